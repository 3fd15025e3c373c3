# SPDX-License-Identifier: MIT
"""The commits of a range, as patches: `--range A..B` of a git tree."""

from dataclasses import dataclass

from harness.errors import PlanError
from harness.host.process import CommandError
from harness.model import PatchFile
from harness.source.clone import Clone
from harness.source.mail import stem
from harness.source.patches import LIMIT
from harness.source.paths import printable

# What the person's own configuration would change of a diff.
_DIFF = (
    *("diff-tree", "-p", "--binary", "--full-index", "--no-ext-diff", "--no-textconv"),
    *("--no-renames", "--src-prefix=a/", "--dst-prefix=b/", "--no-color"),
)
_COMMITS = 1000


@dataclass(frozen=True)
class Range:
    """The commit below a range, its last one, and a patch for each commit from there to here.

    A merge is one patch: what it brings to the line of first parents.
    """

    base: str
    last: str
    patches: tuple[PatchFile, ...]

    @property
    def text(self) -> str:
        """The range by the commits' own names."""
        return f"{self.base}..{self.last}"


def commits(clone: Clone, asked: str, head: str = "HEAD") -> Range:
    """The commits that a range names, such as A..B, A.. or COMMIT^!; `head` is its open end.

    Raises PlanError for one that does not exist, is empty, or no line from a commit to another.
    """
    base, last = _ends(clone, asked, head)
    listing = ("rev-list", "--first-parent", "--reverse", f"{base}..{last}")
    line = clone.run(*listing).split()
    if not line:
        raise PlanError(
            f"there is no commit in {asked}",
            advice=f"git -C {clone.folder} log --oneline {asked}, as you meant it",
        )
    if len(line) > _COMMITS:
        raise PlanError(
            f"there are {len(line)} commits in {asked}",
            why=f"no more than {_COMMITS} are taken as one series",
            advice="give a range that begins later, or judge the tree: --source git:DIR@REF",
        )
    parent = clone.commit(f"{line[0]}^")
    if parent != base:
        raise PlanError(
            f"{asked} is no line of commits",
            why=f"its first commit stands on {parent[:12]}, and {base[:12]} came in by a merge",
            advice="give a commit of the branch itself as the range's beginning",
        )
    return Range(base, last, tuple(_patch(clone, commit) for commit in line))


def _ends(clone: Clone, asked: str, head: str) -> tuple[str, str]:
    """(the commit where a range's branch begins, the one where it ends)."""
    text = f"{asked}{head}" if asked.endswith("..") and not asked.endswith("...") else asked
    try:
        if text.startswith("-"):
            raise CommandError((), 1, f"{text} is an option")
        names = clone.run("rev-parse", "--revs-only", text, "--").split()
    except CommandError as error:
        raise PlanError(
            f"{clone.folder} has no commits {asked}",
            why=error.output,
            advice="write A..B, A.., or COMMIT^! for one commit",
        ) from error
    above = [name for name in names if not name.startswith("^")]
    below = [name[1:] for name in names if name.startswith("^")]
    if len(above) != 1 or len(below) != 1:
        raise PlanError(
            f"{asked} is no range of commits",
            advice="write A..B, A.., or COMMIT^! for one commit",
        )
    last, first = clone.commit(above[0]), clone.commit(below[0])
    try:
        return clone.run("merge-base", first, last).strip(), last
    except CommandError as error:
        raise PlanError(
            f"{asked} is no line of commits", why="its ends have no commit in common"
        ) from error


def _patch(clone: Clone, commit: str) -> PatchFile:
    """What a commit changes of its first parent."""
    form = "--format=%s%x00%an <%ae>%x00%(trailers:key=Message-Id,valueonly)"
    shown = ("show", "--no-patch", "--no-show-signature", "--encoding=UTF-8", form, commit)
    subject, author, message_id = map(printable, clone.run(*shown).strip().split("\0"))
    text = clone.run(*_DIFF, f"{commit}^", commit)
    data = text.encode(errors="surrogateescape")
    if len(data) > LIMIT:
        raise PlanError(
            f"commit {commit[:12]} is too large for a patch",
            why=f"it changes more than {LIMIT >> 20} MiB",
            advice="give a range without it",
        )
    return PatchFile.of(
        f"{commit[:12]} {subject}",
        data,
        stem=stem(subject),
        subject=subject,
        author=author,
        message_id=message_id.strip("<> "),
    )
