# SPDX-License-Identifier: MIT
"""From a subject to its own tests of perf_events, as static programs for its guest.

These are its selftests, and those of tools/perf/tests that need nothing else of perf, of
which guest-images/perf-tests has what they take from it.
"""

import shutil
from pathlib import Path

from harness.build.compile import LOG, run_step
from harness.build.kernel import Builder
from harness.host import stranger
from harness.host.store import digest, update_files
from harness.model import Subject

SELFTESTS = "tools/testing/selftests"
PERF_EVENTS = f"{SELFTESTS}/perf_events"
# Not optimized, as the tree has it: sigtrap_threads reads a count that its own signal handler
# changed, and the compiler may keep what it read before.
CFLAGS = "-static"
# Those of perf's own tests that are compiled alone, and the headers that are empty then.
PERF_TESTS = "tools/perf/tests"
ALONE = ("event_groups",)
EMPTY = ("header.h", "pmus.h")


def build(builder: Builder, subject: Subject) -> Path:
    """The folder of the programs, from the store if it is there; empty where there are none.

    Subjects that differ elsewhere share them.  Raises BuildError.
    """
    architecture = builder.architecture
    alone = [f"{PERF_TESTS}/{name}.c" for name in ALONE]
    below = (SELFTESTS, "include/uapi", f"arch/{architecture.kernel}/include/uapi", *alone)
    headers = [path.read_bytes() for path in sorted(_headers(builder).iterdir())]
    name = digest(
        builder.source.digest,
        builder.difference_of(subject, below),
        architecture.model_dump_json(),
        builder.toolchain,
        CFLAGS,
        *headers,
    )
    place = builder.cache.use(builder.cache.artifacts / f"selftests-{name}", builder.source.spec)
    if not place.exists():
        with builder.trees(subject) as (_, tree):
            if not place.exists():
                builder.source.tree.checkout(tree)
                _make(builder, place)
    return place


def _headers(builder: Builder) -> Path:
    """What takes perf's place for its tests."""
    return builder.modules.parent / "perf-tests"


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
            for name in ALONE:
                _make_alone(builder, name, output)
            stranger.copy(builder.folder, LOG, new / LOG)
        for program in sorted(output.iterdir()):
            if program.is_file() and not program.is_symlink():
                stranger.copy(builder.folder, f"{output.name}/{program.name}", new / program.name)


def _make_alone(builder: Builder, name: str, output: Path) -> None:
    """Compile one of perf's tests, where the tree has it, without perf."""
    source = builder.source.tree.work / PERF_TESTS / f"{name}.c"
    if not source.exists():
        return
    # The test says "../perf-sys.h": its headers are beside it, and above.
    place = builder.folder / "perf-tests"
    shutil.rmtree(place, ignore_errors=True)
    update_files(_headers(builder), place)
    update_files(_headers(builder), place / "tests")
    for header in EMPTY:
        (place / "tests" / header).touch()
    copy = shutil.copyfile(source, place / "tests" / source.name)
    headers = ("-isystem", str(builder.folder / "usr" / "include"))
    compiler = f"{builder.architecture.triplet}-gcc"
    argv = [compiler, CFLAGS, *headers, "-o", str(output / name), str(copy)]
    run_step(f"perf test {name}", argv, builder.folder, readable=[])
