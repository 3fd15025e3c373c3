# SPDX-License-Identifier: MIT
"""What of a patch a machine's guests have: a file at a time, and what that comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.model import Part, TouchedFile
from harness.source.tree import Change

# What no kernel is made of.  What of tools/ and scripts/ a build runs, kbuild's notes know.
_NO_KERNEL = ("Documentation/", "tools/", "samples/", "LICENSES/", "scripts/")
_TEXTS = (".rst", ".txt", ".md", ".yaml", ".gitignore", ".mailmap", ".clang-format")
_NAMES = ("MAINTAINERS", "CREDITS", "COPYING", "README")
# What kbuild compiles, or includes; it notes each of these.
_COMPILED = (".c", ".h", ".S")
_SELFTESTS = "tools/testing/selftests/"


@dataclass(frozen=True)
class Builds:
    """What is known of the reference's and the candidate's builds.

    `inputs` are the files that either was made of; `selftests` is True if those that guests
    run differ; `alone` says of files that the config leaves out how
    they compiled by themselves; `symbols` what asks for them; `architecture` is the kernel's
    name of the machine's, `elsewhere` has a machine of each other.
    """

    same_image: bool
    inputs: frozenset[str]
    selftests: bool
    architecture: str
    elsewhere: Mapping[str, str]
    symbols: Mapping[str, Sequence[str]]
    alone: Mapping[str, str]


def touched(changes: Sequence[Change], builds: Builds) -> tuple[TouchedFile, ...]:
    """For each changed file what of the guests it is a part of, and why not, in their order."""
    return tuple(_touched(change, builds) for change in changes)


def left_out(changes: Sequence[Change], builds: Builds) -> list[str]:
    """Sources that the config leaves out, and that could be compiled by themselves."""
    return [
        file.path
        for change in changes
        if change.status != "D"
        for file in [_touched(change, builds)]
        if file.part is Part.NOT_BUILT
        and PurePosixPath(file.path).suffix in (".c", ".S")
        and _other_architecture(file.path, builds) is None
    ]


def _touched(change: Change, builds: Builds) -> TouchedFile:
    path = change.path

    def file(part: Part, why: str = "") -> TouchedFile:
        return TouchedFile(path=path, part=part, why=why)

    if change.mode_only:
        return file(Part.NO_KERNEL, "only its mode changes")
    if path in builds.inputs or _steers_kbuild(path):
        if not builds.same_image:
            return file(Part.IMAGE)
        return file(Part.WITHOUT_EFFECT, "the image is the reference's, byte for byte")
    if path.startswith(_SELFTESTS) and builds.selftests:
        return file(Part.SELFTESTS)
    if _is_no_kernels(path):
        return file(Part.NO_KERNEL)
    return file(Part.NOT_BUILT, _why_not_built(path, builds))


def _is_no_kernels(path: str) -> bool:
    name = PurePosixPath(path).name
    return path.startswith(_NO_KERNEL) or name.endswith(_TEXTS) or name in _NAMES


def _steers_kbuild(path: str) -> bool:
    """True for what is neither compiled nor text: makefiles, Kconfig, tables, scripts."""
    return not path.endswith(_COMPILED) and not _is_no_kernels(path)


def _other_architecture(path: str, builds: Builds) -> str | None:
    """The kernel's name of the architecture that a file is for, if that is not the machine's."""
    parts = PurePosixPath(path).parts
    if len(parts) > 2 and parts[0] == "arch" and parts[1] != builds.architecture:
        return parts[1]
    return None


def _why_not_built(path: str, builds: Builds) -> str:
    other = _other_architecture(path, builds)
    if other:
        machine = builds.elsewhere.get(other)
        return f"for {other}, which {f'--machine {machine}' if machine else 'no machine'} builds"
    if path.endswith(".h"):
        return "nothing that this config builds includes it"
    symbols = " and ".join(builds.symbols.get(path, ()))
    why = f"{symbols} not set in this config" if symbols else "this config leaves it out"
    return "; ".join(filter(None, [why, builds.alone.get(path, "")]))


# Of several configurations' answers, the first of these is what the run has of a file.
_MOST_FIRST = (Part.IMAGE, Part.SELFTESTS, Part.WITHOUT_EFFECT, Part.NOT_BUILT, Part.NO_KERNEL)


def in_any(answers: Sequence[Sequence[TouchedFile]]) -> tuple[TouchedFile, ...]:
    """What guests have of each file under any configuration; each of `answers` is one's."""
    return tuple(
        min(files, key=lambda file: _MOST_FIRST.index(file.part))
        for files in zip(*answers, strict=True)
    )


def exercised(files: Sequence[TouchedFile]) -> bool:
    """True if a guest has something of them; an empty patch has nothing to miss."""
    return any(file.part in (Part.IMAGE, Part.SELFTESTS) for file in files)


def unexercised(name: str, machine: str, files: Sequence[TouchedFile]) -> str:
    """Why nothing was judged."""
    if not files:
        return f"{name} changes nothing of its reference"
    if all(file.part is Part.NO_KERNEL for file in files):
        return f"{name} changes only what no kernel contains: {_first(files)}"
    if all(file.part in (Part.NO_KERNEL, Part.WITHOUT_EFFECT) for file in files):
        return f"{name} makes the same image as its reference, byte for byte: nothing to judge"
    left = [file for file in files if file.part is Part.NOT_BUILT]
    return f"nothing of {name} is in the guests of {machine}: {_first(left)}"


def _first(files: Sequence[TouchedFile]) -> str:
    first = files[0]
    why = f" ({first.why})" if first.why else ""
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return f"{first.path}{why}{more}"


def unjudged(files: Sequence[TouchedFile]) -> str:
    """What of a patch was not judged, for the headline of one that was; or nothing."""
    left = [file for file in files if file.part is Part.NOT_BUILT]
    return f"; not built here, so not judged: {_first(left)}" if left else ""
