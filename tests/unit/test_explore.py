# SPDX-License-Identifier: MIT
"""Scenarios drawn by chance: possible, the same for the same seed, cut down to the fault."""

import io
from collections import Counter

import pytest
from rich.console import Console

from harness.ask.catalog import SCENARIO_FILE, as_yaml
from harness.build.recipe import script
from harness.errors import PlanError
from harness.explore.draw import drafts
from harness.explore.possible import draft_of, possible
from harness.explore.shrink import smallest
from harness.model import Discovery, Exploration, Status, Verdict
from harness.report.exploration import show
from harness.run.request import Asked, scenarios_for
from harness.verdict.exploration import ASKED, HOLDS, suspicions, undecided

CHECKS = ("kernel.calls",)
FIRST = {"counts": "cycles", "task": "self", "frequency": 1000}


@pytest.fixture(scope="module")
def machine(catalog):
    return catalog.machines["aarch64-tcg"]


@pytest.fixture(scope="module")
def corpus(catalog, machine):
    rows = [
        row.for_machine(machine) for row in catalog.scenarios.values() if not row.lacks(machine)
    ]
    return [draft for row in rows if (draft := draft_of(row))]


@pytest.fixture
def made(machine):
    """The steps of main, or of a task, of what a draft comes to."""

    def make(task="", **draft):
        scenario = possible({"events": {"first": FIRST}, "steps": [], **draft}, machine, CHECKS)
        assert scenario is not None
        return list(scenario.tasks[task] if task else scenario.steps)

    return make


# --- possible ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        (["close first", "enable first", "close first"], ["close first"]),
        (["enable nobody", "user 1"], ["user 1"]),
        (["user 9999"], ["user 60"]),
        (["open first", "enable first"], ["open first", "enable first"]),
        (["wait worker", "user 1"], ["user 1"]),
        (["unmap first", "drain first"], ["unmap first"]),
        (["offline 1", "user 1"], ["user 1"]),
        (["cpu 1", "cpu 0"], ["cpu 0"]),
        (["exec", "vm 3", "join nowhere"], ["user 2"]),
        (["work test0 3", "show nowhere type"], ["user 2"]),
        ([], ["user 2"]),
        (["user 60"] * 9, ["user 60"] * 4),
    ],
)
def test_a_step_that_cannot_be_performed_is_left_out(made, steps, kept):
    assert made(steps=steps) == kept


def test_a_cpu_that_went_comes_back(made):
    steps = ["offline 1", "cpu 1", "offline 1", "user 1"]
    assert made(cpus=2, steps=steps) == ["offline 1", "user 1", "online 1"]


def test_every_task_is_started_once_and_waited_for(made):
    tasks = {"a": ["user 1", "fork b"], "b": ["user 1"], "never": ["user 1"]}
    assert made(tasks=tasks, steps=["fork a", "fork a"]) == ["fork a", "wait a"]
    assert made("a", tasks=tasks, steps=["fork a"]) == ["user 1", "fork b", "wait b"]


def test_a_task_that_an_event_counts_is_run(made):
    events = {"first": {"counts": "cycles", "task": "a"}}
    steps = made(events=events, tasks={"a": ["user 1"]}, steps=["fork a", "user 1"])
    assert steps == ["user 1", "run a", "wait a"]


def test_behind_exec_there_is_work_only(made):
    tasks = {"a": ["disable first", "exec", "enable first", "user 1"]}
    assert made("a", tasks=tasks, steps=["fork a"]) == ["disable first", "exec", "user 1"]


def test_a_task_touches_no_event_that_is_closed_or_opened_late(made):
    tasks = {"a": ["enable first", "drain first", "user 1"]}
    assert made("a", tasks=tasks, steps=["fork a", "close first"]) == ["user 1"]


@pytest.mark.parametrize(
    ("event", "comes_to"),
    [
        ({"counts": "cycles"}, {"counts": "cycles", "cpu": 0}),
        ({"counts": "work", "pmu": "test0"}, {"counts": "cycles", "cpu": 0}),
        ({"counts": "cycles", "task": "nobody", "cpu": 1}, {"counts": "cycles", "cpu": 0}),
        (
            {"counts": "cycles", "task": "self", "period": 9, "inherit": True},
            {"counts": "cycles", "task": "self", "period": 9},
        ),
        ({"counts": "cycles", "cpu": 0, "leader": "nobody"}, {"counts": "cycles", "cpu": 0}),
        ({"counts": "cycles", "cpu": 0, "sigtrap": True}, {"counts": "cycles", "cpu": 0}),
    ],
)
def test_an_event_is_one_that_can_be_opened(machine, event, comes_to):
    scenario = possible({"events": {"one": event}, "steps": ["user 1"]}, machine, CHECKS)
    assert scenario.events["one"].model_dump(exclude_defaults=True, mode="json") == comes_to


def test_a_sibling_counts_whom_its_leader_counts(machine):
    events = {"first": FIRST, "second": {"counts": "cycles", "cpu": 0, "leader": "first"}}
    second = possible({"events": events, "steps": []}, machine, CHECKS).events["second"]
    assert (second.task, second.cpu, second.leader) == ("self", None, "first")


def test_of_what_opens_no_event_nothing_is_left(machine):
    events = {"one": FIRST, "two": {**FIRST, "leader": "one"}}
    steps = ["open one", "close one", "open two"]
    assert "two" not in possible({"events": events, "steps": steps}, machine, CHECKS).events
    assert possible({"events": {}, "steps": ["user 1"]}, machine, CHECKS) is None
    nonsense = {"events": {"one": {**FIRST, "frequency": "often"}}, "steps": []}
    assert possible(nonsense, machine, CHECKS) is None


def test_the_suites_own_scenarios_are_possible(corpus, machine):
    assert len(corpus) > 60
    assert all(possible(draft, machine, CHECKS) for draft in corpus)


def test_what_needs_more_than_events_and_steps_is_no_draft(catalog):
    for name in ("perf-record", "refused-events", "register-trace", "cost-cycles", "kvm-cpu"):
        assert draft_of(catalog.scenarios[name]) is None


# --- drawn -------------------------------------------------------------------


def test_the_same_key_draws_the_same(corpus):
    assert drafts(corpus, 16, 7) == drafts(corpus, 16, 7)
    assert drafts(corpus, 16, 7) != drafts(corpus, 16, 8)


@pytest.mark.parametrize("key", range(12))
def test_few_drafts_come_to_nothing(corpus, machine, key):
    """Whatever is drawn, what is left of it the guest's program takes."""
    drawn = drafts(corpus, 16, key)
    scenarios = [possible(draft, machine, CHECKS) for draft in drawn]
    assert sum(one is None for one in scenarios) <= len(drawn) // 2
    for scenario in filter(None, scenarios):
        late = scenario.opened_late
        for line in script(scenario).splitlines():
            assert len(line.split()) >= 1
        assert len(scenario.event_names) <= 96 and len(scenario.tasks) <= 7
        opened = Counter(step for step in scenario.steps if step.startswith("open "))
        assert set(opened.values()) <= {1} and len(opened) == len(late)


def test_what_is_drawn_without_a_corpus_is_new(machine):
    scenarios = [possible(draft, machine, CHECKS) for draft in drafts([], 16, 1)]
    assert sum(one is not None for one in scenarios) > 8


# --- made small --------------------------------------------------------------


def test_what_does_not_matter_is_left_out(catalog, machine):
    draft = draft_of(catalog.scenarios["fork-tree"].for_machine(machine))

    def shows(one):
        scenario = possible(one, machine, CHECKS)
        return bool(scenario) and "target" in scenario.events and "first" in scenario.tasks

    small = possible(smallest(draft, shows, 500), machine, CHECKS)
    assert list(small.events) == ["target"]
    assert list(small.tasks) == ["worker", "first"]
    assert small.tasks["worker"] == ("fork first", "wait first")
    assert small.events["target"].frequency is None


def test_no_more_is_tried_than_allowed():
    asked = []

    def shows(one):
        asked.append(one)
        return False

    draft = {"events": {"first": dict(FIRST)}, "steps": ["user 1"] * 30}
    assert smallest(draft, shows, 10) == draft
    assert len(asked) == 10


def test_numbers_get_small():
    draft = {"events": {"first": {"counts": "cycles", "task": "self"}}, "steps": ["user 50"]}
    small = smallest(draft, lambda one: one["steps"] and int(one["steps"][0].split()[1]) > 2, 90)
    assert small["steps"] == ["user 3"]


# --- what is suspicious ------------------------------------------------------


def said(check, status):
    return Verdict(check=check, status=status, measured="what", expected="else")


PASS, FAIL, SKIP, ERROR = Status.PASS, Status.FAIL, Status.SKIP, Status.ERROR


@pytest.mark.parametrize(
    ("check", "mine", "theirs", "sure"),
    [
        ("kernel.health", FAIL, PASS, True),
        ("agreement.counts", FAIL, SKIP, True),
        ("agreement.counts", FAIL, FAIL, None),
        ("agreement.counts", PASS, FAIL, None),
        ("retention.release", FAIL, PASS, False),
        ("retention.release", FAIL, SKIP, None),
        ("retention.release", ERROR, PASS, None),
    ],
)
def test_a_fault_is_what_the_reference_has_not(check, mine, theirs, sure):
    found = suspicions([said(check, mine)], [said(check, theirs)])
    assert [one.sure for one in found] == ([] if sure is None else [sure])


def test_without_a_reference_what_holds_for_all_is_asked():
    verdicts = [said("retention.release", FAIL), said("identity.source", FAIL)]
    assert [one.check for one in suspicions(verdicts, None)] == ["identity.source"]


def test_the_surest_comes_first():
    verdicts = [said("retention.release", FAIL), said("identity.source", FAIL)]
    passed = [said("retention.release", PASS), said("identity.source", PASS)]
    assert [one.sure for one in suspicions(verdicts, passed)] == [True, False]


def test_what_cannot_be_judged_says_why():
    assert undecided([said("kernel.calls", ERROR), said("retention.release", ERROR)]) == "what"
    assert undecided([said("kernel.calls", PASS), said("retention.release", ERROR)]) == ""


def test_what_is_asked_is_all_that_events_and_steps_show():
    assert not set(ASKED) & set(HOLDS)
    assert {"retention.release", "contexts.work", "conservation.sum"} <= set(ASKED)
    assert not any(check.startswith(("cost.", "tool.", "trace.")) for check in ASKED)


# --- a scenario of a person's ------------------------------------------------


def test_a_scenario_of_a_file_is_run(tmp_path, catalog, machine):
    file = tmp_path / f"mine{SCENARIO_FILE}"
    file.write_text(
        as_yaml(
            {
                "title": "x",
                "events": {"a": FIRST},
                "steps": ["user 1"],
                "tolerant": True,
                "checks": ["kernel.calls"],
            }
        )
    )
    (found,) = scenarios_for(catalog, Asked(scenarios=(str(file),)), machine)
    assert found.name == "mine" and found.tolerant
    assert "may_be_refused" in script(found)


def test_a_file_that_is_none_is_told(tmp_path, catalog, machine):
    with pytest.raises(PlanError, match="cannot read"):
        scenarios_for(catalog, Asked(scenarios=(str(tmp_path / "no.yaml"),)), machine)


# --- told --------------------------------------------------------------------


def test_what_was_found_is_told():
    one = Discovery(
        check="identity.turns",
        said="4 turns, 1 faults",
        evidence=("event4: twice",),
        example=52,
        shifted=(2, 3),
        file="found.yaml",
        repeat="./pmu-harness run",
        scenario="main\n user 2\n",
    )
    found = Exploration(
        kernel="6.12",
        machine="aarch64-tcg",
        seed=3,
        examples=64,
        invalid=1,
        undecided={"the ring was too small": 2},
        corpus=80,
        reached=50,
        size=100,
        near=("a", "b"),
        entered=("a",),
        discoveries=(one,),
        seconds=9.0,
    )
    out = io.StringIO()
    show(Console(file=out, width=200), found, "folder")
    text = out.getvalue()
    for part in (
        "found  identity.turns  4 turns, 1 faults (example 52; in 2 of 3 guests that begin later)",
        "event4: twice",
        "repeat: ./pmu-harness run",
        "1 of the 2 changed functions were entered",
        "never b",
        "64, of which 1 came to no scenario and 2 could not be judged; seed 3",
        "2: the ring was too small",
        "50.0 % of perf's sources ran",
        "1 found in 6.12",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("undecided", "invalid", "number", "decides"),
    [({}, 0, 10, True), ({"hang": 6}, 0, 10, False), ({}, 6, 10, False), ({}, 0, 0, False)],
)
def test_where_most_was_not_judged_nothing_is_decided(undecided, invalid, number, decides):
    found = Exploration(
        **{"kernel": "6.12", "machine": "aarch64-tcg", "seed": 1, "corpus": 1, "reached": 0},
        **{"size": 0, "near": (), "entered": (), "discoveries": (), "seconds": 1.0},
        examples=number,
        invalid=invalid,
        undecided=undecided,
    )
    assert found.decides is decides
    out = io.StringIO()
    show(Console(file=out, width=200), found, "folder")
    assert ("no verdict: most was not judged" in out.getvalue()) is not decides
