# SPDX-License-Identifier: MIT
"""What finding a kernel's source may use, and how a kernel tree tells its release."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import PlanError
from harness.host.debian import Archive
from harness.host.store import Cache

MAKEFILE = "Makefile"
KCONFIG = "Kconfig"
_MAKEFILE_VERSION = re.compile(r"^(VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)$", re.MULTILINE)
_HEAD = 4096


@dataclass(frozen=True)
class Request:
    """What resolving a source may use."""

    cache: Cache
    archive: Archive
    refresh: bool
    say: Callable[[str], None]


def release(makefile: str) -> str | None:
    """`6.12.117` of a kernel's top Makefile; None of any other."""
    found = dict(_MAKEFILE_VERSION.findall(makefile[:_HEAD]))
    if not {"VERSION", "PATCHLEVEL"} <= found.keys():
        return None
    return ".".join(found[key] for key in ("VERSION", "PATCHLEVEL", "SUBLEVEL") if key in found)


def kernel_version(folder: Path, what: str) -> str:
    """The release of the kernel tree in a folder; raises PlanError where `what` is none."""
    makefile = folder / MAKEFILE
    text = makefile.read_text(errors="replace") if makefile.is_file() else ""
    version = release(text)
    if version is None or not (folder / KCONFIG).exists():
        raise no_kernel(what)
    return version


def no_kernel(what: str) -> PlanError:
    """That something is no kernel tree."""
    return PlanError(
        f"{what} is no kernel tree", why="it has no Kconfig, or no Makefile with a VERSION"
    )
