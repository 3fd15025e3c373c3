# SPDX-License-Identifier: MIT
"""The first bad news first: what is booted before what, and what is said as soon as it is known."""

import io
import threading

import pytest
from rich.console import Console

from harness.host import progress as progress_module
from harness.host.progress import Progress
from harness.model import Claim, PatchFile, Series, SeriesPatch, Status, Verdict
from harness.run.order import functions, ranks, suspected
from harness.verdict.blame import blamed

PATCH = """\
--- a/kernel/events/core.c
+++ b/kernel/events/core.c
@@ -4000,7 +4000,7 @@ static void perf_adjust_period(struct perf_event *event, u64 nsec)
-x
+y
@@ -5000,3 +5000,3 @@
-x
+y
@@ -6000,3 +6000,3 @@ struct perf_event_context {
-x
+y
"""


def test_functions_are_those_that_hunks_name():
    assert functions([PatchFile.of("p", PATCH.encode())]) == {"perf_adjust_period"}


def saboteur(name, scenarios):
    claim = Claim(breaks=("a.check",), scenarios=scenarios)
    return Series(name=name, title="t", patches=(SeriesPatch(file="p"),), claim=claim)


def test_suspected_is_where_saboteurs_of_the_same_functions_show():
    saboteurs = {
        "near": (saboteur("near", ("a", "b")), frozenset({"f", "g"})),
        "far": (saboteur("far", ("c",)), frozenset({"h"})),
    }
    assert suspected({"g"}, saboteurs) == {"a", "b"}
    assert suspected(set(), saboteurs) == set()


def test_first_what_failed_lately_then_suspects_then_the_quick():
    names = ("slow", "quick", "suspect", "unknown", "failed", "failed-before")
    seconds = {"slow": 5.0, "quick": 1.0, "suspect": 9.0, "failed": 9.0, "failed-before": 1.0}
    places = ranks(
        names, failed=("failed", "gone", "failed-before"), suspects={"suspect"}, seconds=seconds
    )
    ordered = sorted(places, key=places.get)
    assert ordered == ["failed", "failed-before", "suspect", "unknown", "quick", "slow"]


def verdict(check, status, **faults):
    return Verdict(check=check, status=status, measured="m", expected="e", faults=faults)


PASS, FAIL, ERROR = Status.PASS, Status.FAIL, Status.ERROR


@pytest.mark.parametrize(
    ("before", "after", "strict", "fault"),
    [
        (PASS, FAIL, False, True),
        (FAIL, FAIL, False, False),
        (FAIL, FAIL, True, True),
        (PASS, ERROR, False, False),
        (ERROR, FAIL, False, False),
        (None, FAIL, False, True),
        (None, PASS, False, False),
    ],
)
def test_what_is_the_candidates_fault(before, after, strict, fault):
    theirs = None if before is None else [verdict("a", before, x=1)]
    found = blamed(theirs, [verdict("a", after, x=1)], strict=strict)
    assert [one.check for one in found] == (["a"] if fault else [])


# --- a sign of life ----------------------------------------------------------


@pytest.fixture
def out(monkeypatch):
    monkeypatch.setattr(progress_module, "ALIVE_S", 0.05)
    return io.StringIO()


def test_a_long_stage_says_that_it_lasts_and_where_it_is(out):
    spoken = threading.Event()

    class Heard(io.StringIO):
        def write(self, text):
            if "still at" in text:
                spoken.set()
            return out.write(text)

    with Progress(Console(file=Heard(), width=200)) as progress:
        progress.where = lambda: "3 of 9 guests are over"
        with progress.stage("build 6.12") as note:
            note("[5/9]")
            assert spoken.wait(20)
    line = next(line for line in out.getvalue().splitlines() if "still at" in line)
    assert "still at build 6.12 [5/9] for 0 s; 3 of 9 guests are over" in line


def test_where_nothing_lasts_nothing_is_said(out):
    with Progress(Console(file=out, width=200)) as progress:
        progress.say_where()
        with progress.stage("quick"):
            pass
        progress.say_where()
    assert "still at" not in out.getvalue()
