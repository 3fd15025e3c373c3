# SPDX-License-Identifier: MIT
"""A git repository of somebody else's, which is only read.

A bare one, a shallow one, a worktree: what is taken from it are objects, by alternates, so
that nothing is copied.
"""

from pathlib import Path

from harness.ask.catalog import nearest
from harness.errors import HostError, PlanError
from harness.host.process import CommandError, capture, environment
from harness.host.store import digest

# Not what a repository's configuration could have git run or write.
_ONLY_READ = ("-c", "safe.directory=*", "-c", "core.fsmonitor=false")
_GITLINK = "160000"


class Clone:
    """A repository on this host; raises PlanError for a folder that is in none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        where = ("--path-format=absolute", "--git-path", "objects")
        try:
            found = self.run("rev-parse", *where, "--show-object-format")
        except CommandError as error:
            raise PlanError(f"{folder} is no git repository", why=error.output) from error
        objects, self.object_format = found.splitlines()
        self.objects = Path(objects).resolve()

    @property
    def name(self) -> str:
        """Of what the cache keeps for it: one for all its refs and worktrees."""
        return f"git-{digest(str(self.objects))[:12]}"

    def run(self, *argv: str) -> str:
        """What a git command says there; raises CommandError."""
        env = environment({"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"})
        command = ["git", *_ONLY_READ, "-C", str(self.folder), *argv]
        return capture(command, env=env, errors="surrogateescape")

    def names(self, *argv: str) -> list[str]:
        """What a command prints with -z, one by one."""
        return self.run(*argv).split("\0")[:-1]

    def commit(self, ref: str) -> str:
        """The commit that a ref names; raises PlanError with what is near where there is none."""
        try:
            return self.run(
                "rev-parse", "--verify", "--end-of-options", f"{ref}^{{commit}}"
            ).strip()
        except CommandError as error:
            refs = self.run("for-each-ref", "--format=%(refname:lstrip=2)").split()
            shallow = self.run("rev-parse", "--is-shallow-repository").strip() == "true"
            hint = f"it is shallow: git -C {self.folder} fetch --depth=1 REMOTE {ref}, if need be"
            raise PlanError(
                f"{self.folder} has no commit {ref}{nearest(ref, refs)}",
                why=error.output,
                advice=hint if shallow else f"git -C {self.folder} branch -a, or tag, names some",
            ) from error

    def see_that_all_is_there(self, commit: str) -> None:
        """Raise HostError where a partial clone has not fetched what is in a commit."""
        try:
            self.run("config", "--get-regexp", r"^remote\..*\.promisor$")
        except CommandError:
            return
        listing = ("rev-list", "--objects", "--missing=print", "--no-walk", f"{commit}^{{tree}}")
        missing = [row for row in self.run(*listing).splitlines() if row.startswith("?")]
        if missing:
            raise HostError(
                f"{self.folder} lacks files of {commit[:12]}",
                why=f"it is a partial clone, and has not fetched {len(missing)} objects",
                advice=f"have git fetch them: git -C {self.folder} checkout {commit[:12]}",
            )

    def head(self) -> str:
        """The tree of HEAD, or the empty one before the first commit."""
        try:
            return self.run("rev-parse", "--verify", "--quiet", "HEAD^{tree}").strip()
        except CommandError:
            return self.run("hash-object", "-t", "tree", "/dev/null").strip()

    def staged(self) -> list[str]:
        """What the index has otherwise than HEAD, as update-index --index-info takes it."""
        said = self.names("diff-index", "--cached", "-z", "--no-renames", self.head())
        found = []
        for row, path in zip(said[0::2], said[1::2], strict=True):
            _, mode, _, blob, _ = row.split(" ")
            if mode != _GITLINK:
                found.append(f"{mode} {blob}\t{path}")
        return found

    def unstaged(self) -> list[str]:
        """What lies in the work tree otherwise than in the index, as `git status` shows it."""
        changed = self.names("diff-files", "-z", "--name-only", "--ignore-submodules")
        untracked = self.names("ls-files", "-z", "--others", "--exclude-standard")
        # A repository within is a folder with a slash behind it.
        return sorted({path for path in (*changed, *untracked) if not path.endswith("/")})
