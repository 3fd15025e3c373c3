# SPDX-License-Identifier: MIT
"""What of a patch the guests have, as kbuild's notes and makefiles tell."""

from dataclasses import replace

import pytest

from harness.build.kbuild import forget, inputs, symbols_for
from harness.model import Part, TouchedFile
from harness.source.tree import Change
from harness.verdict.exercise import (
    Builds,
    exercised,
    left_out,
    touched,
    unexercised,
    unjudged,
)

SPE = "drivers/perf/arm_spe_pmu.c"
BUILDS = Builds(
    same_image=False,
    inputs=frozenset({"kernel/events/core.c", "include/linux/perf_event.h", "scripts/mod/elf.h"}),
    selftests=False,
    architecture="arm64",
    elsewhere={"x86": "x86_64-tcg"},
    symbols={SPE: ["CONFIG_ARM_SPE_PMU"]},
    alone={SPE: "compiles by itself"},
)


def part(path, builds=BUILDS, status="M", **changed):
    (file,) = touched([Change(path, status, **changed)], builds)
    return file


@pytest.mark.parametrize(
    "path", ["kernel/events/core.c", "include/linux/perf_event.h", "scripts/mod/elf.h"]
)
def test_what_objects_were_made_of_is_in_the_image(path):
    assert part(path).part is Part.IMAGE
    same = part(path, replace(BUILDS, same_image=True))
    assert same.part is Part.WITHOUT_EFFECT
    assert same.why == "the image is the reference's, byte for byte"


@pytest.mark.parametrize(
    "path", ["init/Kconfig", "kernel/events/Makefile", "arch/arm64/tools/cpucaps", "usr/Kbuild"]
)
def test_what_steers_kbuild_shows_in_the_image_only(path):
    assert part(path).part is Part.IMAGE
    assert part(path, replace(BUILDS, same_image=True)).part is Part.WITHOUT_EFFECT


@pytest.mark.parametrize(
    "path",
    [
        *("Documentation/admin-guide/perf/x.rst", "Documentation/x.c", "MAINTAINERS"),
        *("tools/perf/builtin-stat.c", "kernel/events/README", "samples/x.c", ".gitignore"),
        "tools/testing/selftests/perf_events/sigtrap_threads.c",
    ],
)
def test_documentation_and_tools_are_in_no_kernel(path):
    assert part(path).part is Part.NO_KERNEL


def test_a_mode_is_in_no_kernel():
    file = part("kernel/events/core.c", mode_only=True)
    assert (file.part, file.why) == (Part.NO_KERNEL, "only its mode changes")


def test_selftests_that_differ_are_run():
    path = "tools/testing/selftests/perf_events/sigtrap_threads.c"
    assert part(path, replace(BUILDS, selftests=True)).part is Part.SELFTESTS


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (SPE, "CONFIG_ARM_SPE_PMU not set in this config; compiles by itself"),
        ("net/x.c", "this config leaves it out"),
        ("include/net/x.h", "nothing that this config builds includes it"),
        ("arch/x86/events/core.c", "for x86, which --machine x86_64-tcg builds"),
        ("arch/x86/events/perf_event.h", "for x86, which --machine x86_64-tcg builds"),
        ("arch/s390/kernel/perf_cpum_cf.c", "for s390, which no machine builds"),
    ],
)
def test_what_is_not_built_says_why(path, why):
    file = part(path)
    assert (file.part, file.why) == (Part.NOT_BUILT, why)


def test_what_the_config_leaves_out_can_be_compiled_and_what_is_not_for_it_cannot():
    paths = [SPE, "kernel/events/core.c", "include/net/x.h", "arch/x86/events/core.c", "a.S"]
    changes = [Change(path, "M") for path in paths]
    assert left_out([*changes, Change("gone.c", "D")], BUILDS) == [SPE, "a.S"]


def file(path, part, why=""):
    return TouchedFile(path=path, part=part, why=why)


IN, OUT = file("a.c", Part.IMAGE), file("b.c", Part.NOT_BUILT, "w")
TEXT, SAME = file("d.rst", Part.NO_KERNEL, "n"), file("e.c", Part.WITHOUT_EFFECT)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "p changes nothing of its reference"),
        ([TEXT], "p changes only what no kernel contains: d.rst (n)"),
        ([TEXT, SAME], "p makes the same image as its reference, byte for byte: nothing to judge"),
        ([TEXT, OUT, OUT], "nothing of p is in the guests of m: b.c (w) and 1 more"),
        ([SAME, OUT], "nothing of p is in the guests of m: b.c (w)"),
    ],
)
def test_a_patch_that_no_guest_has_says_why(files, said):
    assert not exercised(files)
    assert unexercised("p", "m", files) == said


def test_a_patch_of_which_a_part_is_built_names_the_rest():
    assert exercised([IN, OUT]) and exercised([file("x", Part.SELFTESTS)])
    assert unjudged([IN, OUT, TEXT]) == "; not built here, so not judged: b.c (w)"
    assert unjudged([IN, TEXT]) == ""


# --- kbuild ------------------------------------------------------------------


def test_kbuilds_notes_name_the_source_and_what_it_includes(tmp_path):
    """As scripts/basic/fixdep writes them; paths outside of the tree are the compiler's own."""
    notes = tmp_path / "build" / "kernel" / ".core.o.cmd"
    notes.parent.mkdir(parents=True)
    notes.write_text(
        "savedcmd_kernel/core.o := gcc -include /tree/include/linux/kconfig.h -c /tree/kernel/x\n\n"
        "source_kernel/core.o := /tree/kernel/core.c\n\n"
        "deps_kernel/core.o := \\\n"
        "    $(wildcard include/config/SMP) \\\n"
        "  /tree/include/linux/perf_event.h \\\n"
        "  /usr/lib/gcc/include/stdarg.h \\\n"
        "  /treehouse/no.h \\\n\n"
        "kernel/core.o: $(deps_kernel/core.o)\n"
    )
    assert inputs(tmp_path / "build", tmp_path / "none") == []
    text = notes.read_text().replace("/tree/", f"{tmp_path}/tree/")
    notes.write_text(text)
    made_of = ["include/linux/perf_event.h", "kernel/core.c"]
    assert inputs(tmp_path / "build", tmp_path / "tree") == made_of
    (notes.parent / "core.o").touch()
    forget(tmp_path / "build", "kernel/core.c")
    assert list(notes.parent.iterdir()) == []
    assert inputs(tmp_path / "build", tmp_path / "tree") == []


@pytest.mark.parametrize(
    ("source", "symbols"),
    [
        (SPE, ("CONFIG_ARM_SPE_PMU",)),
        ("drivers/perf/arm_pmu.c", ("CONFIG_ARM_PMU",)),
        ("drivers/perf/long.c", ("CONFIG_LONG",)),
        ("drivers/perf/part.c", ("CONFIG_PART",)),
        ("drivers/perf/hisilicon/x.c", ("CONFIG_HISI_PMU",)),
        ("drivers/perf/always.c", ()),
        ("drivers/perf/commented.c", ()),
    ],
)
def test_makefiles_say_which_symbol_asks_for_an_object(source, symbols):
    makefile = (
        "obj-y += always.o\n"
        "obj-$(CONFIG_ARM_PMU) += arm_pmu.o arm_pmu_platform.o # commented.o\n"
        "obj-$(CONFIG_ARM_SPE_PMU)  += arm_spe_pmu.o\n"
        "obj-$(CONFIG_LONG) := a.o \\\n\tlong.o\n"
        "whole-objs-$(CONFIG_PART) += part.o\n"
        "obj-$(CONFIG_HISI_PMU) += hisilicon/\n"
    )
    assert symbols_for(source, [makefile]) == symbols
