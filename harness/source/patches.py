# SPDX-License-Identifier: MIT
"""What is in a patch: the files that it touches, and the hunk that git rejected."""

import re

from unidiff.errors import UnidiffParseError
from unidiff.patch import PatchSet

from harness.errors import PatchError
from harness.model import PatchFile

_REJECTED = re.compile(r"^error: patch failed: (?P<file>.+):(?P<line>\d+)$", re.MULTILINE)
_DEV_NULL = "/dev/null"


def _parse(patch: PatchFile) -> PatchSet:
    try:
        parsed = PatchSet(patch.text)
    except UnidiffParseError as error:
        raise PatchError(f"{patch.path} is not a patch", why=str(error)) from error
    if not parsed:
        raise PatchError(
            f"{patch.path} is not a patch",
            why="no 'diff' in it",
            advice="make one with git format-patch, or git diff",
        )
    return parsed


def touched(patches: tuple[PatchFile, ...]) -> list[str]:
    """Paths that the patches change, make or remove, below the tree's root.

    Raises PatchError for a text that is no patch.
    """
    paths = set()
    for patch in patches:
        for file in _parse(patch):
            for side in (file.source_file, file.target_file):
                if side != _DEV_NULL:
                    paths.add(side.removeprefix("a/").removeprefix("b/"))
    return sorted(paths)


def rejected_hunk(patch: PatchFile, complaint: str) -> str:
    """The hunk that git's message names, as text; empty when it names none."""
    match = _REJECTED.search(complaint)
    if not match:
        return ""
    for file in _parse(patch):
        if file.path != match["file"]:
            continue
        for hunk in file:
            if hunk.source_start == int(match["line"]):
                return str(hunk)
    return ""
