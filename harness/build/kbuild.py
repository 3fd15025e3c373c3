# SPDX-License-Identifier: MIT
"""kbuild's own notes and makefiles: what objects were made of, which symbol asks for one."""

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from harness.host import stranger

# A note names what one object was made of: some thousand headers.
_NOTES_BYTES = 4 << 20

# `obj-$(CONFIG_X) += a.o b/`, and the parts of a composite object: `x-$(CONFIG_Y) += c.o`.
_ASKS = re.compile(
    r"^[\w-]+-\$\((?P<symbol>CONFIG_\w+)\)\s*[:+]?=(?P<objects>[^\n#]*)", flags=re.MULTILINE
)


def inputs(folder: Path, tree: Path) -> list[str]:
    """Paths below the tree of all files that a build folder's objects were made of, in order.

    scripts/basic/fixdep leaves a .cmd file beside each object, which names the object's
    source (source_...) and all that this includes (deps_...).
    """
    prefix = f"{tree}/".encode()
    found: set[bytes] = set()
    for notes in folder.rglob(".*.cmd"):
        with suppress(stranger.NotPlainError, FileNotFoundError):
            text = stranger.read(folder, notes.relative_to(folder), _NOTES_BYTES)
            found.update(text.partition(b"\nsource_")[2].split())
    paths = (path.removeprefix(prefix) for path in found if path.startswith(prefix))
    return sorted(path.decode(errors="surrogateescape") for path in paths)


def forget(folder: Path, source: str) -> None:
    """Remove an object that is no part of the kernel, and kbuild's notes of it."""
    path = PurePosixPath(source).with_suffix(".o")
    for name in (path, path.with_name(f".{path.name}.cmd")):
        with suppress(stranger.NotPlainError):
            stranger.remove(folder, name)


def symbols_for(source: str, makefiles: Iterable[str]) -> tuple[str, ...]:
    """The symbols on which makefiles build an object, or descend into its folder.

    Such as CONFIG_ARM_SPE_PMU, of `obj-$(CONFIG_ARM_SPE_PMU) += arm_spe_pmu.o`.
    """
    path = PurePosixPath(source)
    wanted = {f"{path.stem}.o", f"{path.parent.name}/"}
    return tuple(
        dict.fromkeys(
            match["symbol"]
            for text in makefiles
            for match in _ASKS.finditer(text.replace("\\\n", " "))
            if wanted & set(match["objects"].split())
        )
    )
