# SPDX-License-Identifier: MIT
"""A whole run with a tiny tree and a QEMU that is a script: blame, reuse, offline judging."""

import json
import shutil

import pytest

from harness.build.emulator import FACTS, Built
from harness.errors import PlanError
from harness.guest import batch
from harness.guest.saved import AWAKE, WAITING
from harness.host.store import write_json
from harness.model import Change, Emulator, GuestEnd, Machine, Part, Status
from harness.run.conclusion import rejudge
from harness.run.folder import RunFolder
from harness.run.pipeline import Run, Settings
from harness.run.request import Asked, repeat_command
from tests.component.fakes import BEFORE, CLEAN, PANIC, added, diff

pytestmark = pytest.mark.needs("git", "make", "cpio", "setpriv", "aarch64-linux-gnu-gcc")


CLAIM = ("retention.release", "retention.pairing", "retention.counter")


def test_a_claim_holds(world):
    world.add_series("old", "bare", BEFORE)
    world.add_series("new", BEFORE, CLEAN, stands_on="old", fixes=CLAIM)
    result = world(series="new")
    assert result.status is Status.PASS, result.headline
    assert [cell.cell.subject for cell in result.cells] == ["6.12+old", "6.12+new"]
    names = {path.name for path in world.folder.iterdir()}
    assert {"plan.json", "host.json", "results.json", "cells", "subjects"} <= names


def test_a_candidate_that_loses_its_counter_fails(world):
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    world.add_series("bad", CLEAN, BEFORE)
    result = world(series="bad")
    assert result.status is Status.FAIL
    assert "6.12+bad breaks retention.release" in result.headline


def test_a_panic_is_the_candidates_if_the_reference_gets_through(world):
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    world.add_series("bad", CLEAN, PANIC)
    assert world(series="bad").headline == "6.12+bad breaks kernel.health"


def test_a_panic_of_both_is_nobodys(world):
    (world.tree / "kernel" / "core.c").write_text(PANIC + "\n")
    world.add_series("same", PANIC, f"print hello~{PANIC}")
    result = world(series="same")
    assert result.status is Status.ERROR
    assert result.headline.startswith("no verdict: nothing was measured: panic")
    assert [one.change for one in result.changes] == [Change.STILL_FAILING]


def test_another_panic_than_the_references_is_the_candidates(world):
    (world.tree / "kernel" / "core.c").write_text(PANIC + "\n")
    world.add_series("other", PANIC, "print Kernel panic - not syncing: something else")
    result = world(series="other")
    assert (result.status, result.headline) == (Status.FAIL, "6.12+other breaks kernel.health")


def test_an_old_defect_is_not_the_patchs_and_its_repair_is_one(world):
    (world.tree / "kernel" / "core.c").write_text(BEFORE + "\n")
    world.add_series("harmless", BEFORE, f"print hello~{BEFORE}")
    result = world(series="harmless")
    assert result.status is Status.PASS, result.headline
    assert "not this patch's: retention.release" in result.headline
    assert world(series="harmless", strict=True).status is Status.FAIL
    world.add_series("repair", BEFORE, CLEAN)
    result = world(series="repair")
    assert result.status is Status.PASS, result.headline
    assert "; fixed: retention.release" in result.headline
    assert {one.change for one in result.changes} == {Change.FIXED}


# --- guests that go on from a kernel that has booted ---------------------------

BOOTS = f"print [    0.1] boots~print {WAITING.decode()}~stop~hang"
ONCE = f"{BOOTS}\nsaved\nprint {AWAKE.decode()}~{CLEAN}\n"


@pytest.fixture
def once(world):
    """The same, on a machine whose guests go on; counts what was booted."""
    row = world.catalog.machines["aarch64-tcg"].model_copy(update={"boots_once": True})
    world.catalog.machines["aarch64-tcg"] = row
    world.boots = world.folder.parent / "boots"
    note = f'open({str(world.boots)!r}, "a").write("-incoming" in words and "l" or "b")'
    text = world.qemu.read_text()
    world.qemu.write_text(text.replace('serve("cont")', f'{note}\nserve("cont")'))
    (world.tree / "kernel" / "core.c").write_text(ONCE)
    return world


def test_a_kernel_is_booted_once_and_tried(once):
    result = once(alone=True)
    assert result.status is Status.PASS, result.headline
    assert once.boots.read_text() == "bll"
    console = next(once.folder.rglob("console.log")).read_text()
    assert console.startswith("[    0.1] boots") and "pmu-harness: done" in console
    assert not once(alone=True, settings=Settings(rerun=True)).cells[0].reused
    assert once.boots.read_text() == "blll"


def test_what_is_known_needs_no_kernel_that_has_booted(once):
    once(alone=True)
    for place in once.cache.artifacts.glob("saved-*"):
        once.cache.remove(place)
    assert once(alone=True).cells[0].reused
    assert once.boots.read_text() == "bll"


def test_a_kernel_that_cannot_be_saved_boots_for_each_guest(once):
    (once.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    result = once(alone=True)
    assert result.status is Status.PASS, result.headline
    assert once.boots.read_text() == "bb"
    assert once(alone=True).cells[0].reused


def test_a_kernel_that_does_not_boot_has_the_verdict_that_it_has_anywhere(once):
    (once.tree / "kernel" / "core.c").write_text(PANIC + "\n")
    (cell,) = once(alone=True).cells
    assert (cell.outcome.end, cell.outcome.stage) == (GuestEnd.PANIC, "boot")
    assert once.boots.read_text() == "bb"


# --- a person's reproducer ---------------------------------------------------

WORKED = (
    '{"kind":"reproduced","ended":"exit","status":0,"signal":"","ns":5,"stuck":false,"output":0}'
    '\\n{"kind":"end","steps":1}\\n'
)
SURVIVES = f"print pmu-harness: ready~records {WORKED}~print pmu-harness: done"
CRASHES = "print pmu-harness: ready~print Unable to handle kernel NULL pointer dereference"


def test_a_reproducer_is_run_by_both_and_compared(world, tmp_path):
    """It alone, without the suite; a claim is about the suite."""
    file = tmp_path / "crash.c"
    file.write_text("int main(void) { return 0; }\n")
    (world.tree / "kernel" / "core.c").write_text(CRASHES + "\n")
    world.add_series("fix", CRASHES, SURVIVES, fixes=CLAIM)
    result = world(series="fix", reproducers=(file,))
    assert [cell.cell.scenario for cell in result.cells] == ["reproducer-crash"] * 2
    assert result.status is Status.PASS, result.headline
    assert result.headline.endswith("; fixed: kernel.health")
    assert result.claim == {}
    assert rejudge(RunFolder(world.folder)) == result
    kept = world.folder / "reproducers" / "reproducer-crash"
    assert (kept / "reproducer.c").read_text() == file.read_text()
    (world.tree / "kernel" / "core.c").write_text(SURVIVES + "\n")
    world.add_series("bad", SURVIVES, CRASHES)
    result = world(series="bad", reproducers=(file,))
    assert (result.status, result.headline) == (Status.FAIL, "6.12+bad breaks kernel.health")


def test_another_program_is_another_guest(world, tmp_path):
    (world.tree / "kernel" / "core.c").write_text(SURVIVES + "\n")
    file = tmp_path / "crash.c"

    def reused(text):
        file.write_text(text)
        (cell,) = world(reproducers=(file,)).cells
        return cell.reused

    assert not reused("int main(void) { return 0; }\n")
    assert reused("int main(void) { return 0; }\n")
    assert not reused("int main(void) { return 1; }\n")


def test_a_reproducer_that_does_not_compile_is_refused_before_anything_is_done(world, tmp_path):
    file = tmp_path / "crash.c"
    file.write_text("int main(void) { return x; }\n")
    with pytest.raises(PlanError, match=r"crash.c does not compile for arm64"):
        world(reproducers=(file,))
    assert not world.folder.exists()


def test_scenarios_that_are_named_are_run_beside_a_reproducer(world, tmp_path):
    file = tmp_path / "crash.c"
    file.write_text("int main(void) { return 0; }\n")
    (world.tree / "kernel" / "core.c").write_text(SURVIVES + "\n")
    result = world(reproducers=(file,), scenarios=("cycles-task",))
    assert [cell.cell.scenario for cell in result.cells] == ["reproducer-crash", "cycles-task"]


# --- what no guest has -------------------------------------------------------


@pytest.fixture
def patched(world, tmp_path):
    """Judge a patch against the clean tree, which has a driver that no config builds."""
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    for path, text in {"kernel/core.h": "h", "drivers/spe.c": "fine", "MAINTAINERS": "me"}.items():
        (world.tree / path).parent.mkdir(exist_ok=True)
        (world.tree / path).write_text(text + "\n")

    def judge(*diffs, **asked):
        file = tmp_path / "my.patch"
        file.write_text("".join(diffs))
        return world(patches=(file,), **asked)

    return judge


BAD_DRIVER = diff("drivers/spe.c", "fine", "spe.c:1:1: error: x")
ELSEWHERE = added("arch/x86/events/core.c", "this does not compile")


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        (ELSEWHERE, "nothing of 6.12+my is in the guests of aarch64-tcg: arch/x86/events/core.c"),
        (diff("drivers/spe.c", "fine", "finer"), "drivers/spe.c (this config leaves it out; comp"),
        (diff("MAINTAINERS", "me", "you"), "6.12+my changes only what no kernel contains"),
        (diff("kernel/core.h", "h", "i"), "6.12+my makes the same image as its reference"),
    ],
)
def test_a_patch_that_no_guest_has_is_not_exercised(patched, world, patch, said):
    result = patched(patch)
    assert (result.status, result.exercised) == (Status.ERROR, False)
    assert said in result.headline
    assert result.changes == () and result.failures == ()
    assert rejudge(RunFolder(world.folder)) == result
    allowed = patched(patch, allow_unbuilt=True)
    assert (allowed.status, allowed.exercised) == (Status.PASS, False)
    assert allowed.headline == result.headline


def test_what_the_config_leaves_out_has_to_compile_all_the_same(patched):
    result = patched(BAD_DRIVER)
    assert (result.status, result.exercised) == (Status.FAIL, True)
    assert "drivers/spe.c does not compile, which this config leaves out" in result.headline
    assert "spe.c:1:1: error: x" in result.failures[0]


def test_what_the_reference_does_not_compile_either_is_no_fault(patched, world):
    (world.tree / "drivers" / "spe.c").write_text("spe.c:1:1: error: x\n")
    result = patched(diff("drivers/spe.c", "spe.c:1:1: error: x", "spe.c:1:1: error: y"))
    assert (result.status, result.exercised) == (Status.ERROR, False)
    assert "does not compile by itself, nor does the reference's" in result.headline


def test_a_new_file_that_does_not_compile_by_itself_is_no_fault(patched):
    """No reference says that it could be compiled under this config."""
    result = patched(added("drivers/new.c", "new.c:1:1: error: x"))
    assert (result.status, result.exercised) == (Status.ERROR, False)


def test_a_patch_of_which_a_part_is_built_names_the_rest(patched):
    result = patched(diff("kernel/core.c", CLEAN, f"print hello~{CLEAN}"), ELSEWHERE)
    assert (result.status, result.exercised) == (Status.PASS, True)
    assert result.headline.startswith("6.12+my passes every check; not built here, so not judged:")
    assert {file.path: file.part for file in result.touched} == {
        "kernel/core.c": Part.IMAGE,
        "arch/x86/events/core.c": Part.NOT_BUILT,
    }


def test_a_reference_that_does_not_build_is_no_fault_of_the_candidate(world):
    (world.tree / "kernel" / "core.c").write_text("core.c:1:1: error: x\n")
    world.add_series("new", "core.c:1:1: error: x", CLEAN)
    result = world(series="new")
    assert result.status is Status.ERROR
    assert "the reference 6.12: the kernel does not build" in result.headline
    assert {cell.outcome.end.value for cell in result.cells} == {"not started"}


def test_a_candidate_that_does_not_build_keeps_the_references_cells(world):
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    world.add_series("bad", CLEAN, "core.c:1:1: error: x")
    result = world(series="bad")
    assert result.status is Status.FAIL
    assert result.headline == "6.12+bad: the kernel does not build"
    assert [cell.outcome.end.value for cell in result.cells] == ["done", "not started"]


# Modules that do not compile for a kernel whose one file has a word.
PICKY = """
modules: picky
picky:
\t@test -z "$(M)" || ! grep -q unlike kernel/core.c || { echo "o.c:1:1: error: x"; exit 1; }
.PHONY: picky
"""


def test_modules_that_do_not_compile_are_the_harness_own_fault(world):
    """Without a reference, or for the reference as well."""
    makefile = world.tree / "Makefile"
    makefile.write_text(makefile.read_text() + PICKY)
    (world.tree / "kernel" / "core.c").write_text("unlike\n")
    world.add_series("same", "unlike", "unlike too")
    for asked in ({}, {"series": "same"}):
        result = world(**asked)
        assert result.status is Status.ERROR
        assert result.headline == ("the harness's modules do not compile for kernel 6.12.1")
        (failure,) = result.failures
        assert [line.split()[0] for line in failure.splitlines()] == [
            *("error:", "why:", "evidence:", "next:")
        ]
        assert (world.folder / "subjects" / "6.12" / "build.log").exists()


def test_modules_that_only_the_candidate_does_not_take_are_its_fault(world):
    makefile = world.tree / "Makefile"
    makefile.write_text(makefile.read_text() + PICKY)
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    world.add_series("other", CLEAN, "unlike")
    result = world(series="other")
    assert result.status is Status.FAIL
    assert result.headline.startswith("6.12+other: the harness's modules do not compile")
    assert "the reference takes it" in result.failures[0]


def test_a_symbol_that_a_kernel_lacks_is_the_harness_own_fault(world):
    makefile = world.tree / "Makefile"
    makefile.write_text(makefile.read_text().replace("DROPPED", "CONFIG_PERF_EVENTS"))
    result = world()
    assert result.status is Status.ERROR
    assert result.headline == "the harness's kconfig is not for kernel 6.12.1"
    assert "CONFIG_PERF_EVENTS=y, got n" in result.failures[0]
    assert str(world.folder / "subjects" / "6.12" / "config") in result.failures[0]


def test_a_reference_whose_patch_does_not_apply_is_no_fault_of_the_candidate(world):
    world.add_series("old", "something else", BEFORE)
    world.add_series("new", BEFORE, CLEAN, stands_on="old", fixes=CLAIM)
    result = world(series="new")
    assert result.status is Status.ERROR
    assert "the reference 6.12+old: " in result.headline


def test_a_defect_that_a_series_mends_excuses_nothing_there(world):
    """Nor in what stands on it: both kernels of that run are without the defect."""
    defect = "tick-leaves-siblings"
    world.add_series("mend", "bare", CLEAN, mends=(defect,))
    world.add_series("more", CLEAN, BEFORE, stands_on="mend")
    world.add_series("other", "bare", CLEAN)
    for series, excused in (("mend", False), ("more", False), ("other", True)):
        world(series=series)
        known = {erratum.name for erratum in RunFolder(world.folder).read_plan().errata}
        assert (defect in known) is excused
        assert known >= world.catalog.errata.keys() - {defect}


def test_a_patch_that_does_not_apply_is_the_candidates_fault(world, tmp_path):
    file = tmp_path / "my.patch"
    file.write_text(diff("kernel/core.c", "something else", BEFORE))
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    result = world(patches=(file,))
    assert (result.status, result.headline) == (
        Status.FAIL,
        f"6.12+my: {file} does not apply",
    )


@pytest.mark.parametrize(
    ("text", "what"),
    [("", "is not a patch"), (diff("kernel/core.c", "x", "y", "cut")[:-5], "was damaged")],
)
def test_a_file_that_is_no_patch_is_refused_before_anything_is_done(world, tmp_path, text, what):
    file = tmp_path / "my.patch"
    file.write_text(text)
    with pytest.raises(PlanError, match=what):
        world(patches=(file,))
    assert not world.folder.exists()


@pytest.mark.parametrize(
    "name",
    [
        *("n" * 230, "ж" * 120, "caf\udce9", "\x1b[2J", "two\nlines", "[bold]"),
        *("", ".", "a b", "a,b", "a:b", "-x", "%s", " "),
    ],
)
def test_a_patch_may_have_any_name(world, tmp_path, name):
    """A byte of its lines is built as it is, too, whatever its encoding."""
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    file = tmp_path / f"{name}.patch"
    file.write_bytes(added("kernel/n.c", "caf#").encode().replace(b"#", b"\xe9"))
    result = world(patches=(file,), allow_unbuilt=True)
    assert result.status is Status.PASS, result.headline
    (built,) = world.cache.sources.glob("*/tree/kernel/n.c")
    assert built.read_bytes() == b"caf\xe9\n"
    assert rejudge(RunFolder(world.folder)) == result
    plan = RunFolder(world.folder).read_plan()
    repeat_command(plan, Asked(patches=(file,)), plan.cells[0]).encode("utf-8")


def test_a_folder_of_an_earlier_run_is_replaced_and_no_other(world):
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    world()
    stale = world.folder / "cells" / "stale"
    stale.mkdir()
    world()
    assert not stale.exists()
    (world.folder / "plan.json").unlink()
    with pytest.raises(PlanError, match="holds no run"):
        world()


def test_a_machine_that_did_this_before_is_not_booted_again(world):
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    first = world()
    again = world()
    assert [cell.reused for cell in first.cells] == [False]
    assert [cell.reused for cell in again.cells] == [True]
    assert again.cells[0].verdicts == first.cells[0].verdicts


def test_another_emulator_is_another_machine_wherever_it_is(world, tmp_path):
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    row = Emulator(
        name="fake",
        title="a fake",
        source={"debian": "qemu", "suite": "trixie", "series": "10.0"},
        configure=(),
        target="qemu",
    )

    def built(place, digest):
        folder = tmp_path / place
        folder.mkdir()
        shutil.copy2(world.qemu, folder / "qemu")
        write_json(folder / FACTS, {"version": "a fake", "digest": digest})
        return Built(row, folder, digest)

    def reused(emulator):
        (cell,) = world(emulator=emulator).cells
        assert cell.outcome.end.value == "done"
        return cell.reused

    assert not reused(None)
    world.qemu.rename(tmp_path / "of-the-host")
    world.qemu = tmp_path / "of-the-host"
    assert not reused(built("here", "1"))
    assert reused(built("there", "1"))
    assert not reused(built("elsewhere", "2"))
    host = json.loads((world.folder / "host.json").read_text())
    assert host["qemu"] == "a fake"
    assert host["emulator"]["digest"] == "2"


def test_a_machine_that_does_something_else_than_before_is_an_error(world):
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    assert world().status is Status.PASS
    assert world(settings=Settings(rerun=True)).status is Status.PASS
    text = world.qemu.read_text()
    world.qemu.write_text(text.replace('b"\\r\\n")\n    elif', 'b"!\\r\\n")\n    elif'))
    result = world(settings=Settings(rerun=True))
    assert result.status is Status.ERROR
    assert "the same guest did something else than before" in result.headline


def test_a_trace_is_kept_and_compared(world):
    """Of a machine that tells of its registers; the trace is a part of the observation."""
    catalog = world.catalog
    machine, scenario = catalog.machines["aarch64-tcg"], catalog.scenarios["cycles-task"]
    tells = {"offers": (*machine.offers, "register-trace"), "trace_events": "x86_pmu_*"}
    catalog.machines[machine.name] = machine.model_copy(update=tells)
    asks = {"needs": ("register-trace",), "trace": ("interrupt",)}
    catalog.scenarios[scenario.name] = scenario.model_copy(update=asks)
    line = "trace x86_pmu_interrupt cpu 0 time 7\\n"
    (world.tree / "kernel" / "core.c").write_text(f"{line}~{CLEAN}\n")
    place = world.folder / "cells" / "6.12" / "aarch64-tcg" / "cycles-task" / "trace.log"
    assert world().status is Status.PASS
    place.unlink()
    assert world().cells[0].reused
    assert place.read_text() == "x86_pmu_interrupt cpu 0 time 7\n"
    text = world.qemu.read_text()
    world.qemu.write_text(text.replace("write(rest.", 'write(rest.replace("7", "8").'))
    result = world(settings=Settings(rerun=True))
    assert "trace.log" in result.failures[0]


def test_a_stored_run_is_judged_offline(world):
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    first = world()
    folder = RunFolder(world.folder)
    again = rejudge(folder)
    assert again == first == folder.read_results()


def test_a_build_that_failed_is_no_pass_offline_either(world):
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    world.add_series("bad", CLEAN, "core.c:1:1: error: x")
    first = world(series="bad")
    assert rejudge(RunFolder(world.folder)) == first


def test_a_cell_that_is_lost_is_no_pass(world):
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    world.qemu.write_text("#!/bin/sh\nexit 1\n")
    result = world()
    assert result.status is Status.ERROR
    assert result.cells[0].outcome.end.value == "qemu failed"


def test_a_fault_of_the_harness_is_no_kernels(world, monkeypatch):
    """One that nobody foresaw: the cell's own error, with its traceback; the run is concluded."""

    def breaks(*_):
        raise EOFError

    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    monkeypatch.setattr(batch, "run", breaks)
    result = world()
    assert result.status is Status.ERROR
    (cell,) = result.cells
    assert (cell.outcome.end.value, cell.outcome.summary) == (
        "harness failed",
        "the harness failed: EOFError",
    )
    assert "raise EOFError" in "\n".join(cell.outcome.evidence)
    assert rejudge(RunFolder(world.folder)) == result


def test_a_fault_of_the_harness_between_the_guests_is_concluded_too(world, monkeypatch):
    monkeypatch.setattr(Run, "_start_guests", lambda *_: 1 / 0)
    result = world()
    assert result.status is Status.ERROR
    assert result.headline == "the harness failed: ZeroDivisionError: division by zero"
    assert "report it with these lines" in result.failures[0]


# --- repetitions -------------------------------------------------------------


@pytest.fixture
def noisy(world):
    """The same world on a machine whose runs differ, with six repetitions."""
    (row,) = world.catalog.machines.values()
    data = row.model_dump(mode="json")
    data |= {"regime": "statistical", "repetitions": 6, "tolerances": {"conservation.twin": 0.01}}
    data["offers"] = [word for word in data["offers"] if word != "instruction-clock"]
    world.catalog.__dict__["machines"] = {row.name: Machine.model_validate(data)}
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    return world


def test_each_repetition_is_a_guest_with_all_that_it_left(noisy):
    result = noisy()
    assert result.status is Status.PASS, result.headline
    (cell,) = result.cells
    assert [guest.cell.id for guest in cell.repetitions] == [
        f"6.12/aarch64-tcg/cycles-task/{number}" for number in range(1, 7)
    ]
    for guest in cell.repetitions:
        place = noisy.folder / "cells" / guest.cell.id
        names = {path.name for path in place.iterdir()}
        assert {"outcome.json", "records.jsonl", "console.log", "noise.json"} <= names
        assert guest.noise and guest.noise.seconds > 0
    assert cell.seconds == pytest.approx(sum(guest.seconds for guest in cell.repetitions), abs=0.1)
    assert {verdict.metrics.get("repetitions") for verdict in cell.verdicts} == {6}


def test_repetitions_are_stored_each_by_itself(noisy):
    first = noisy()
    again = noisy(repetitions=8)
    (cell,) = again.cells
    assert [guest.reused for guest in cell.repetitions] == [True] * 6 + [False] * 2
    assert not cell.reused
    assert [guest.noise for guest in cell.repetitions[:6]] == [
        guest.noise for guest in first.cells[0].repetitions
    ]
    assert noisy(repetitions=3).cells[0].reused


def test_repetitions_are_booted_again_and_may_differ(noisy):
    noisy()
    text = noisy.qemu.read_text()
    noisy.qemu.write_text(text.replace('b"\\r\\n")\n    elif', 'b"!\\r\\n")\n    elif'))
    again = noisy(settings=Settings(rerun=True))
    assert not any(guest.reused for guest in again.cells[0].repetitions)
    assert not again.failures


def test_repetitions_are_judged_offline(noisy):
    result = noisy()
    offline = rejudge(RunFolder(noisy.folder))
    assert offline.cells == result.cells
    assert (offline.status, offline.headline) == (result.status, result.headline)


def test_a_repetition_that_has_not_run_is_not_green(noisy):
    noisy()
    place = noisy.folder / "cells" / "6.12/aarch64-tcg/cycles-task/4"
    begun = {"end": "not started", "stage": "none", "summary": "not started"}
    write_json(place / "outcome.json", begun)
    (place / "records.jsonl").unlink()
    offline = rejudge(RunFolder(noisy.folder))
    assert offline.status is Status.ERROR
    assert offline.cells[0].outcome.end.value == "not started"


def test_one_repetition_alone_decides_no_measurement(noisy):
    result = noisy(repetitions=1)
    assert result.status is Status.ERROR
    assert result.headline == "no verdict: conservation.growth, conservation.twin"
    assert [guest.cell.repetition for guest in result.cells[0].repetitions] == [0]


def test_what_is_exact_is_not_repeated(world):
    with pytest.raises(PlanError, match="nothing to repeat"):
        world(repetitions=2)
