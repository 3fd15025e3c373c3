# SPDX-License-Identifier: MIT
"""From a subject to its own perf_events selftests, as static programs for its guest."""

import shutil
from pathlib import Path

from harness.build.compile import LOG
from harness.build.kernel import Builder
from harness.host import stranger
from harness.host.store import digest
from harness.model import Subject

SELFTESTS = "tools/testing/selftests"
PERF_EVENTS = f"{SELFTESTS}/perf_events"
# Not optimized, as the tree has it: sigtrap_threads reads a count that its own signal handler
# changed, and the compiler may keep what it read before.
CFLAGS = "-static"


def build(builder: Builder, subject: Subject) -> Path:
    """The folder of the programs, from the store if it is there; empty where there are none.

    Subjects that differ elsewhere share them.  Raises BuildError.
    """
    architecture = builder.architecture
    below = (SELFTESTS, "include/uapi", f"arch/{architecture.kernel}/include/uapi")
    with builder.trees(subject) as (pristine, tree):
        name = digest(
            builder.source.digest,
            builder.source.tree.difference(pristine, tree, below),
            architecture.model_dump_json(),
            builder.toolchain,
            CFLAGS,
        )
        place = builder.cache.artifacts / f"selftests-{name}"
        builder.cache.use(place, builder.source.spec)
        if not place.exists():
            builder.source.tree.checkout(tree)
            _make(builder, place)
    return place


def _make(builder: Builder, place: Path) -> None:
    """Install the tree's headers for user space, and compile the tests against them."""
    output = builder.folder / "selftests"
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    builder.log.unlink(missing_ok=True)
    with builder.cache.publish(place) as new:
        if (builder.source.tree.work / PERF_EVENTS).is_dir():
            builder.make("kernel's headers", "headers")
            headers = f"KHDR_INCLUDES=-isystem {builder.folder / 'usr' / 'include'}"
            # Of the environment, not of the command line: the makefile adds to it.
            words = (f"OUTPUT={output}", headers)
            flags = {"CFLAGS": CFLAGS}
            builder.make("perf_events selftests", *words, below=PERF_EVENTS, env=flags)
            stranger.copy(builder.folder, LOG, new / LOG)
        for program in sorted(output.iterdir()):
            if program.is_file() and not program.is_symlink():
                stranger.copy(builder.folder, f"{output.name}/{program.name}", new / program.name)
