# SPDX-License-Identifier: MIT
"""Series, versions and cells: what is planned, and what is refused."""

import re
import subprocess
from pathlib import Path

import pytest

from harness.ask.plan import fits, make_plan, newest_fitting, stack, subject_of_series
from harness.errors import PlanError
from harness.model import (
    VM_COUNTERS,
    Claim,
    Counters,
    Machine,
    Role,
    Series,
    SeriesPatch,
    Subject,
    VersionRange,
    parse_version,
)
from harness.run.request import (
    Asked,
    command_line,
    for_kernel,
    repeat_command,
    repeated,
    scenarios_for,
    short_name,
)


def series(name, stands_on=None, since="6.1", before="6.2"):
    patch = SeriesPatch(file=f"{name}.patch", versions=VersionRange(since=since, before=before))
    return Series(name=name, title=name, stands_on=stands_on, patches=(patch,))


@pytest.mark.parametrize(
    ("text", "release"),
    [("6.1", (6, 1)), ("6.12.117-1~deb12u1", (6, 12, 117)), ("6.10", (6, 10))],
)
def test_versions_are_numbers(text, release):
    assert parse_version(text) == release


def test_ranges_are_half_open():
    versions = VersionRange(since="6.1", before="6.12")
    inside = ["6.1", "6.1.192", "6.2", "6.11.9"]
    assert [v for v in ["6.0.9", *inside, "6.12", "6.12.1"] if v in versions] == inside


def test_a_version_that_yaml_read_as_a_number_is_refused():
    with pytest.raises(ValueError, match="quote it"):
        VersionRange(since=6.10)


def test_a_series_brings_what_it_stands_on():
    catalog = {"low": series("low"), "high": series("high", "low")}
    assert [layer.name for layer in stack(catalog["high"], catalog)] == ["low", "high"]


def test_a_series_cannot_stand_on_itself():
    catalog = {"a": series("a", "b"), "b": series("b", "a")}
    with pytest.raises(PlanError, match="itself"):
        stack(catalog["a"], catalog)


def test_a_series_cannot_stand_on_nothing():
    with pytest.raises(PlanError, match="does not exist"):
        stack(series("a", "gone"), {})


def test_the_newest_kernel_that_fits_is_taken():
    catalog = {"s": series("s", since="6.1", before="6.2")}
    assert newest_fitting(["6.1", "6.12"], catalog["s"], "arm64", catalog) == "6.1"
    assert newest_fitting(["6.1", "6.12", "6.2"], None, "arm64", catalog) == "6.12"
    assert fits(catalog["s"], "6.1.192", "arm64", catalog)


def test_a_patch_of_another_architecture_does_not_fit():
    both = series("s")
    patch = both.patches[0].model_copy(update={"architecture": "arm64"})
    catalog = {"s": both.model_copy(update={"patches": (patch,)})}
    assert fits(catalog["s"], "6.1", "arm64", catalog)
    assert not fits(catalog["s"], "6.1", "x86_64", catalog)
    with pytest.raises(PlanError) as raised:
        subject_of_series(catalog["s"], "debian:6.1", "6.1.1", "x86_64", catalog=catalog, files={})
    assert "6.2 on arm64" in raised.value.why


def test_patches_of_drivers_name_their_architecture(catalog):
    of_one = re.compile(r"^\+\+\+ b/(?:drivers/perf/|arch/)(arm|riscv|x86)", re.MULTILINE)
    names = {"arm": "arm64", "riscv": "riscv64", "x86": "x86_64"}
    for row in catalog.series.values():
        for patch in row.patches:
            found = of_one.search(Path(patch.file).read_text())
            expected = names[found[1]] if found else None
            assert patch.architecture == expected, patch.file


def test_no_kernel_fits():
    catalog = {"s": series("s", since="7.0", before=None)}
    with pytest.raises(PlanError) as raised:
        newest_fitting(["6.1"], catalog["s"], "arm64", catalog)
    assert "6.1" in raised.value.why


def test_a_series_without_a_patch_for_the_kernel_says_for_which_it_is():
    catalog = {"s": series("s")}
    with pytest.raises(PlanError) as raised:
        subject_of_series(catalog["s"], "debian:6.12", "6.12.1", "arm64", catalog=catalog, files={})
    assert "6.1 up to, not including, 6.2" in raised.value.why


def test_a_claim_on_an_architecture_leaves_out_what_turns_on_another():
    claim = Claim(
        fixes=("a", "b"), breaks=("c", "d"), only={"b": ("arm64",), "c": ("x86_64", "riscv64")}
    )
    on_arm, on_x86 = claim.on("arm64"), claim.on("x86_64")
    assert claim.on("riscv64") == on_x86
    assert (on_arm.fixes, on_arm.breaks) == (("a", "b"), ("d",))
    assert (on_x86.fixes, on_x86.breaks) == (("a",), ("c", "d"))


def test_cells_are_stable_and_the_reference_comes_first(catalog):
    candidate = Subject(name="6.1+x", source="path:/t", version="6.1.1", patches=())
    reference = candidate.model_copy(update={"name": "6.1"})
    plan = make_plan(
        source="path:/t",
        series="x",
        claim=Claim(),
        candidate=candidate,
        reference=reference,
        machine=catalog.machines["aarch64-tcg"],
        scenarios=tuple(catalog.scenarios[name] for name in ("cost-cycles", "two-cpus")),
    )
    assert [(cell.role, cell.id) for cell in plan.cells] == [
        (Role.REFERENCE, "6.1/aarch64-tcg/cost-cycles"),
        (Role.REFERENCE, "6.1/aarch64-tcg/two-cpus"),
        (Role.CANDIDATE, "6.1+x/aarch64-tcg/cost-cycles"),
        (Role.CANDIDATE, "6.1+x/aarch64-tcg/two-cpus"),
    ]


@pytest.mark.parametrize("name", ["aarch64-tcg", "x86_64-tcg"])
def test_a_plan_survives_the_disk(catalog, name):
    machine = catalog.machines[name]
    subject = Subject(name="6.1", source="path:/t", version="6.1.1", patches=())
    plan = make_plan(
        source="path:/t",
        series="",
        claim=Claim(),
        candidate=subject,
        reference=None,
        machine=machine,
        scenarios=tuple(
            row.for_machine(machine) for row in catalog.scenarios.values() if not row.lacks(machine)
        ),
    )
    assert type(plan).model_validate_json(plan.model_dump_json()) == plan


@pytest.fixture
def on_cpus(catalog):
    """A plan of one scenario that asks for so many CPUs."""

    def plan(cpus):
        return make_plan(
            source="path:/t",
            series="",
            claim=Claim(),
            candidate=Subject(name="6.1", source="path:/t", version="6.1.1", patches=()),
            reference=None,
            machine=catalog.machines["aarch64-tcg"],
            scenarios=(catalog.scenarios["two-cpus"].model_copy(update={"cpus": cpus}),),
        )

    return plan


def test_a_scenario_may_ask_for_all_cpus_of_a_machine_and_for_no_more(catalog, on_cpus):
    most = catalog.machines["aarch64-tcg"].cpus
    assert on_cpus(most).cells
    with pytest.raises(PlanError) as raised:
        on_cpus(most + 1)
    assert raised.value.what == "scenario two-cpus is not for machine aarch64-tcg"
    assert raised.value.why == f"it takes {most + 1} CPUs, of which aarch64-tcg has at most {most}"


@pytest.mark.parametrize(
    ("asked", "lacking"),
    [
        ({"counters": 7}, ""),
        ({"counters": 8}, "8 counters, of which aarch64-tcg has 7"),
        ({"needs": ("shared-counters",)}, "shared-counters, which aarch64-tcg has not"),
    ],
)
def test_a_scenario_says_what_it_takes_of_a_machine(catalog, asked, lacking):
    scenario = catalog.scenarios["cycles-cpu"].model_copy(update=asked)
    assert scenario.lacks(catalog.machines["aarch64-tcg"]) == lacking


@pytest.mark.parametrize(("counts", "number"), [("instructions", 4), ("cycles", 5)])
def test_the_rest_of_a_machines_counters_is_filled(catalog, counts, number):
    scenario = catalog.scenarios["cycles-cpu"]
    filler = scenario.events["twin"].model_copy(
        update={"counts": counts, "leader": None, "copies": "rest"}
    )
    asked = scenario.model_copy(update={"events": {**scenario.events, "filler": filler}})
    assert asked.event_names == ["target", "twin"]
    machine = catalog.machines["aarch64-tcg"]
    full = asked.for_machine(machine)
    assert full.event_names == ["target", "twin", *(f"filler{n}" for n in range(1, number + 1))]
    few = machine.model_copy(update={"counters": Counters(instructions=2, cycles=2, all=2)})
    assert asked.for_machine(few).event_names == ["target", "twin"]


# --- which scenarios ---------------------------------------------------------


def test_a_scenario_that_cannot_do_without_breakpoints_says_so(catalog):
    """Of what it opens, and of what the observer is told to watch."""
    for scenario in catalog.scenarios.values():
        opened = any(
            event.counts == "breakpoint" and all(answer.refused is None for answer in event.expect)
            for event in scenario.events.values()
        )
        watched = scenario.observe if isinstance(scenario.observe, tuple) else ()
        if opened or "perf_breakpoint" in watched:
            assert "breakpoints" in scenario.needs, scenario.name


def test_a_scenario_of_newer_kernels_is_left_out_and_said(catalog):
    rows = [catalog.scenarios[name] for name in ("idle", "all-at-once")]
    machine, said = catalog.machines["aarch64-tcg"], []
    assert for_kernel(rows, machine, "6.12.117", said.append) == tuple(rows)
    assert said == []
    assert for_kernel(rows, machine, "6.1.192", said.append) == (rows[0],)
    assert said == ["left out on kernel 6.1.192: all-at-once takes a kernel 6.2 and newer"]
    with pytest.raises(PlanError, match=r"no scenario that was asked for is for kernel 6\.1"):
        for_kernel(rows[1:], machine, "6.1.192", said.append)


def asked_for(catalog, machine="aarch64-tcg", **words):
    rows = scenarios_for(catalog, Asked(**words), catalog.machines[machine])
    return {row.name for row in rows}


def test_without_a_word_all_that_the_machine_can_do(catalog):
    assert "idle" in asked_for(catalog)
    assert "idle" not in asked_for(catalog, "x86_64-tcg")
    assert "perf-stat" in asked_for(catalog)
    assert not {"perf-stat", "cost-cycles"} & asked_for(catalog, "aarch64-kvm-nested")


def test_a_check_chooses_the_scenarios_that_ask_it(catalog):
    found = asked_for(catalog, checks=("retention.isolation",))
    assert found == {
        name for name, row in catalog.scenarios.items() if "retention.isolation" in row.checks
    }
    assert found


def test_a_family_chooses_those_of_all_its_checks(catalog):
    family = asked_for(catalog, checks=("cost", "tool.stat"))
    assert family == {"cost-cycles", "cost-instructions", "perf-stat"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"checks": ("retention.relase",)}, "did you mean retention.release"),
        ({"checks": ("retentio",)}, "did you mean retention"),
        ({"checks": ("cost",), "scenarios": ("idle",)}, "exclude each other"),
    ],
)
def test_a_choice_that_is_none_is_said(catalog, words, said):
    with pytest.raises(PlanError, match=said):
        asked_for(catalog, **words)


# --- repetitions -------------------------------------------------------------


@pytest.fixture
def cells(catalog):
    """The cells of a plan of two scenarios on a machine, with so many repetitions."""

    def expand(machine, repetitions=None):
        candidate = Subject(name="6.12+new", source="debian:6.12", version="6.12", patches=())
        return make_plan(
            source="debian:6.12",
            series="",
            claim=Claim(),
            candidate=candidate,
            reference=candidate.model_copy(update={"name": "6.12"}),
            machine=repeated(catalog.machines[machine], repetitions),
            scenarios=(catalog.scenarios["cycles-cpu"], catalog.scenarios["cycles-task"]),
        ).cells

    return expand


def test_a_machine_that_does_the_same_each_time_gets_one_guest_of_each(cells):
    assert [cell.id for cell in cells("aarch64-tcg")] == [
        f"{subject}/aarch64-tcg/{scenario}"
        for subject in ("6.12", "6.12+new")
        for scenario in ("cycles-cpu", "cycles-task")
    ]
    assert cells("aarch64-tcg", 1) == cells("aarch64-tcg")


def test_all_scenarios_come_once_before_one_is_repeated(cells):
    found = cells("aarch64-tcg-noisy", 3)
    assert [cell.id for cell in found[:4]] == [
        "6.12/aarch64-tcg-noisy/cycles-cpu/1",
        "6.12/aarch64-tcg-noisy/cycles-task/1",
        "6.12/aarch64-tcg-noisy/cycles-cpu/2",
        "6.12/aarch64-tcg-noisy/cycles-task/2",
    ]
    assert len({cell.id for cell in found}) == len(found) == 12
    assert {cell.whole.id for cell in found[:6]} == {
        "6.12/aarch64-tcg-noisy/cycles-cpu",
        "6.12/aarch64-tcg-noisy/cycles-task",
    }


def test_the_machine_says_how_many(cells, catalog):
    assert len(cells("x86_64-kvm")) == 4 * catalog.machines["x86_64-kvm"].repetitions


def test_one_repetition_has_no_number(cells):
    assert [cell.repetition for cell in cells("x86_64-kvm", 1)] == [0] * 4


def test_what_is_exact_is_not_repeated(catalog):
    with pytest.raises(PlanError, match="nothing to repeat"):
        repeated(catalog.machines["aarch64-tcg"], 2)


def test_a_repeat_command_has_what_was_asked(cells, catalog):
    (cell, *_) = cells("aarch64-tcg-noisy")
    plan = make_plan(
        source="debian:6.12",
        series="",
        claim=Claim(),
        candidate=Subject(name="6.12", source="debian:6.12", version="6.12", patches=()),
        reference=None,
        machine=catalog.machines["aarch64-tcg-noisy"],
        scenarios=(),
    )
    words = "--machine aarch64-tcg-noisy --scenario cycles-cpu --rerun"
    assert repeat_command(plan, Asked(), cell).endswith(words)
    assert repeat_command(plan, Asked(repetitions=20), cell).endswith(f"{words} --repetitions 20")


@pytest.mark.parametrize(
    ("machine", "change", "said"),
    [
        ("aarch64-tcg", {"repetitions": 2}, "statistical regime"),
        ("aarch64-tcg", {"tolerances": {"sampling.rate": 0.1}}, "statistical regime"),
        ("aarch64-tcg", {"regime": "statistical"}, "instruction-clock"),
        ("aarch64-tcg-noisy", {"regime": "exact"}, "instruction-clock"),
        ("aarch64-tcg-noisy", {"offers": ["instructions"]}, "instructions are offered"),
    ],
)
def test_a_row_that_mixes_the_regimes_is_refused(catalog, machine, change, said):
    row = catalog.machines[machine].model_dump(mode="json")
    with pytest.raises(ValueError, match=said):
        Machine.model_validate({**row, **change})


def test_a_machine_without_a_counter_of_instructions_lacks_what_counts_them(catalog):
    noisy = catalog.machines["aarch64-tcg-noisy"]
    assert catalog.scenarios["instructions-cpu"].lacks(noisy) == (
        "a counter of instructions, which aarch64-tcg-noisy has not"
    )
    assert catalog.scenarios["cost-instructions"].lacks(noisy).startswith("instructions and ")
    assert not catalog.scenarios["cycles-cpu"].lacks(noisy)


def test_a_virtual_machines_counters_are_left(catalog):
    scenario = catalog.scenarios["kvm-scarce"]
    arm64, x86 = (catalog.machines[name] for name in ("aarch64-tcg-el2", "x86_64-tcg-svm"))
    fillers = [f"filler{number}" for number in (1, 2)]
    assert scenario.for_machine(arm64).event_names == ["holder", "target", *fillers]
    assert scenario.for_machine(x86).event_names == ["holder", "target"]
    still = scenario.model_copy(update={"steps": ("enable target", "user 30")})
    assert len(still.for_machine(arm64).event_names) == VM_COUNTERS + 4


@pytest.mark.parametrize("word", ["plain", "two words", "it's", "caf\udce9", "a\nb", "\x1b\\x'"])
def test_a_command_can_be_given_to_a_shell_again(word):
    words = [word, "next"]
    said = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command_line(words)}"], capture_output=True, check=True
    )
    assert said.stdout == b"".join(f"{w}\0".encode(errors="surrogateescape") for w in words)


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("0001-perf-Fix-it", "0001-perf-Fix-it"),
        ("a b, [c]", "a b, [c]"),
        (".", "..patch"),
        ("", ".patch"),
        ("two\nlines\x1b[2J", "two_lines_[2J"),
        ("caf\udce9", "caf_"),
        ("n" * 100, "n" * 100),
    ],
)
def test_a_patchs_name_in_a_subjects(name, short):
    assert short_name(Path(f"/a/b/{name}.patch")) == short


@pytest.mark.parametrize("char", ["n", "ж", "\udce9", "\n"])
def test_long_names_are_cut_and_told_apart(char):
    first, second = (short_name(Path(f"{char * 240}{number}.patch")) for number in (1, 2))
    assert first != second
    for name in (first, second):
        assert 95 <= len(name.encode()) <= 100
    assert first == short_name(Path(f"elsewhere/{char * 240}1.patch"))
