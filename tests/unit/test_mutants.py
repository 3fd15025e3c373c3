# SPDX-License-Identifier: MIT
"""The kill matrix: which saboteurs are chosen and run, what one run says, how it is shown."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.errors import PlanError
from harness.model import (
    Cell,
    CellResult,
    Claim,
    GuestEnd,
    KillMatrix,
    Outcome,
    Role,
    RunResult,
    Series,
    SeriesPatch,
    Status,
    Verdict,
    VersionRange,
)
from harness.report.kill_matrix import show
from harness.run.mutants import SABOTEURS, chosen, kill, matrix

EVIDENCE = Path("/runs/evidence")


def saboteur(
    name="breaks-it", breaks=("a",), since="6.1", before=None, stands_on=None, scenarios=()
):
    patch = SeriesPatch(file=f"{name}.patch", versions=VersionRange(since=since, before=before))
    return Series(
        name=f"{SABOTEURS}{name}",
        title=f"What {name} does",
        patches=(patch,),
        claim=Claim(breaks=breaks, scenarios=scenarios),
        stands_on=stands_on,
    )


def cell(role, scenario, **statuses):
    """A cell whose checks have these statuses; what is not a pass has a line of evidence."""
    verdicts = [
        Verdict(
            check=check,
            status=status,
            measured=f"measured {check}",
            expected="e",
            evidence=(f"{check} in {scenario}",) if status is Status.FAIL else (),
        )
        for check, status in statuses.items()
    ]
    return CellResult(
        cell=Cell(subject=role.value, role=role, machine="m", scenario=scenario),
        outcome=Outcome(end=GuestEnd.DONE, stage="batch", summary="done"),
        verdicts=tuple(verdicts),
        repeat="again",
    )


def clean(scenario, **statuses):
    return cell(Role.REFERENCE, scenario, **statuses)


def patched(scenario, **statuses):
    return cell(Role.CANDIDATE, scenario, **statuses)


def result(*cells, failures=()):
    return RunResult(
        command="c",
        plan="p",
        started="2026-01-01T00:00:00Z",
        seconds=1.0,
        status=Status.FAIL,
        headline="h",
        claim={},
        cells=cells,
        failures=failures,
    )


PASS, FAIL, SKIP = Status.PASS, Status.FAIL, Status.SKIP

# --- what is run -------------------------------------------------------------


def test_saboteurs_are_chosen_by_a_part_of_their_name(catalog):
    every = chosen(catalog, "")
    assert {series.name for series in every} == {
        name for name in catalog.series if name.startswith(SABOTEURS)
    }
    throttling = chosen(catalog, "throttle")
    assert 0 < len(throttling) < len(every)
    assert all("throttle" in series.name for series in throttling)


def test_the_folders_name_is_no_part_of_a_saboteurs(catalog):
    with pytest.raises(PlanError, match="no saboteur matches saboteurs/") as raised:
        chosen(catalog, "saboteurs/")
    assert "no-low-pass" in raised.value.advice


def test_what_is_no_expression_is_a_plan_error(catalog):
    with pytest.raises(PlanError, match="not a regular expression") as raised:
        chosen(catalog, "(")
    assert raised.value.why


def test_each_saboteur_runs_on_each_kernel_that_it_is_for(catalog):
    asked = []

    def run(series, source):
        asked.append((series.name, source))
        health = {"kernel.health": FAIL}
        return result(clean("s"), patched("s", **health)), EVIDENCE

    breaks = ("kernel.health",)
    old, both = saboteur("old", breaks, before="6.2"), saboteur("both", breaks)
    kernels = {"debian:6.12": "6.12.117", "debian:6.1": "6.1.192"}
    found = matrix(catalog, [old, both], kernels, catalog.machines["aarch64-tcg"], run)
    assert asked == [
        ("saboteurs/both", "debian:6.12"),
        ("saboteurs/old", "debian:6.1"),
        ("saboteurs/both", "debian:6.1"),
    ]
    assert [(k.saboteur, k.kernel) for k in found.kills] == [
        ("both", "debian:6.12"),
        ("old", "debian:6.1"),
        ("both", "debian:6.1"),
    ]
    assert not found.survivors and not found.false_alarms


def test_a_saboteur_on_another_series_needs_a_kernel_for_both(catalog):
    nowhere = saboteur("nowhere", stands_on="pre-callbacks")

    def never(series, source):
        raise AssertionError(f"{series.name} on {source}")

    machine = catalog.machines["aarch64-tcg"]
    assert matrix(catalog, [nowhere], {"path:/linux": "5.10"}, machine, never).kills == ()


def test_a_machine_runs_what_it_can_show_of_a_saboteur(catalog):
    """exact-levels is no scenario of x86_64-tcg, and counting.levels in no other one."""
    asked = []

    def run(series, source):
        asked.append((series.name, series.claim.scenarios))
        return result(clean("s"), patched("s", **{"counting.exact": FAIL})), EVIDENCE

    both = ("counting.levels", "counting.exact")
    some = saboteur("some", both, scenarios=("exact-levels", "exact-user"))
    none = saboteur("none", both[:1], scenarios=("exact-levels",))
    found = matrix(catalog, [some, none], {"d": "6.12"}, catalog.machines["x86_64-tcg"], run)
    assert asked == [("saboteurs/some", ("exact-user",))]
    assert not found.survivors
    matrix(catalog, [some, none], {"d": "6.12"}, catalog.machines["aarch64-tcg"], run)
    assert asked[1:] == [
        ("saboteurs/some", ("exact-levels", "exact-user")),
        ("saboteurs/none", ("exact-levels",)),
    ]


# --- what one run says -------------------------------------------------------


def killed(series, *cells, failures=()):
    return kill(series, "debian:6.12", result(*cells, failures=failures), EVIDENCE)


def test_a_saboteur_that_is_caught_as_meant():
    found = killed(
        saboteur(),
        clean("one", a=PASS, b=PASS),
        clean("two", a=PASS),
        patched("one", a=PASS, b=FAIL),
        patched("two", a=FAIL),
    )
    assert found.as_meant
    assert found.saboteur == "breaks-it"
    assert found.turned == ("a", "b") and found.missed == ()
    assert found.scenarios == {"a": ("two",), "b": ("one",)}
    assert found.explanation == "a in two"
    assert found.checks == ("a", "b")
    assert found.evidence == "/runs/evidence"
    assert not found.false_alarms


def test_a_saboteur_that_another_check_caught():
    found = killed(
        saboteur(breaks=("a", "b")), clean("one", a=PASS, b=PASS), patched("one", a=FAIL, b=PASS)
    )
    assert not found.as_meant
    assert found.turned == ("a",) and found.missed == ("b",)
    assert found.explanation == "a in one"


def test_a_saboteur_that_nothing_caught():
    found = killed(saboteur(), clean("one", a=PASS), patched("one", a=PASS), failures=("error: x",))
    assert not found.as_meant
    assert found.turned == () and found.missed == ("a",)
    assert found.explanation == ""
    assert found.failures == ("error: x",)


def test_a_saboteur_that_means_nothing_is_explained_by_what_turned():
    found = killed(saboteur(breaks=()), clean("one", b=PASS), patched("one", b=FAIL))
    assert found.as_meant
    assert found.explanation == "b in one"


def test_a_saboteur_that_only_the_measured_tells():
    told = Verdict(check="a", status=FAIL, measured="measured a", expected="e")
    bare = patched("one").model_copy(update={"verdicts": (told,)})
    assert killed(saboteur(), clean("one", a=PASS), bare).explanation == "measured a"


@pytest.mark.parametrize("status", [Status.FAIL, Status.ERROR, Status.INCONCLUSIVE])
def test_what_does_not_pass_on_the_clean_kernel_is_a_false_alarm(status):
    found = killed(saboteur(), clean("one", a=PASS, b=status), patched("one", a=FAIL))
    assert found.false_alarms == (f"reference/m/one b: {status.value}",)


def test_a_skip_on_the_clean_kernel_is_none():
    assert not killed(saboteur(), clean("one", a=SKIP), patched("one", a=FAIL)).false_alarms


def test_an_error_is_no_kill():
    found = killed(saboteur(), clean("one", a=PASS), patched("one", a=Status.ERROR))
    assert found.missed == ("a",)


# --- how it is shown ---------------------------------------------------------


@pytest.fixture
def shown():
    kills = (
        killed(saboteur("good"), clean("one", a=PASS, b=PASS), patched("one", a=FAIL, b=PASS)),
        killed(
            saboteur("half", breaks=("a", "b")),
            clean("one", a=PASS, b=Status.INCONCLUSIVE),
            patched("one", a=PASS, b=FAIL),
        ),
        killed(
            saboteur("lives", breaks=("c",)),
            clean("one", c=PASS, b=Status.INCONCLUSIVE),
            patched("one", c=PASS),
            failures=("error: [bold]one[/bold]\nmore",),
        ),
    )
    out = io.StringIO()
    show(Console(file=out), KillMatrix(kills=kills), "/runs")
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_each_saboteur_has_a_row_of_marks(shown):
    at = shown.index("saboteur kernel 1 2 3")
    assert shown[at + 1 : at + 4] == [
        "good 6.12 X . .",
        "half 6.12 ! X .",
        "lives 6.12 . . !",
    ]
    assert [line for line in shown if line[:1].isdigit()][:3] == ["1 a", "2 b", "3 c"]
    assert "X turned, ! meant to turn and did not" in shown


def test_each_saboteur_is_explained(shown):
    at = shown.index("good on debian:6.12: What good does")
    assert shown[at + 1] == "a in one"
    assert shown[shown.index("lives on debian:6.12: What lives does") + 1] == "nothing told"


def test_survivors_and_false_alarms_are_listed_once(shown):
    assert [line for line in shown if line.startswith("survivor")] == [
        "survivor half on debian:6.12: killed by b, not by a; see /runs/evidence",
        "survivor lives on debian:6.12: survived, not by c: error: [bold]one[/bold]; "
        "see /runs/evidence",
    ]
    assert [line for line in shown if line.startswith("false alarm")] == [
        "false alarm reference/m/one b: inconclusive"
    ]
    assert shown[-1] == (
        "1 of 3 killed as meant, 1 false alarms on the clean kernels; evidence: /runs"
    )
