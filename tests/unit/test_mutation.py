# SPDX-License-Identifier: MIT
"""Generated mutants: the slips, which are chosen, what becomes of one, the score."""

import io
import subprocess

import pytest
from rich.console import Console

from harness.model import (
    Fate,
    MutantResult,
    Mutation,
    SuiteCoverage,
    Triaged,
)
from harness.report.mutation import show
from harness.run.mutation import Campaign
from harness.source.mutate import as_diff, chosen, mutants

CORE = "kernel/events/core.c"


def slips(line):
    """(operator, the line then) of all mutants of one line."""
    text = f"int f(void)\n{{\n{line}\n}}\n"
    return {(one.operator, one.after.strip()) for one in mutants(CORE, text, [3])}


@pytest.mark.parametrize(
    ("line", "operator", "after"),
    [
        ("\tif (event->attr.freq)", "negated", "if (!(event->attr.freq))"),
        ("\tif (a && (b || c)) {", "negated", "if (!(a && (b || c))) {"),
        ("\tif (a && b)", "logic", "if (a || b)"),
        ("\tif (left <= 0)", "bound", "if (left < 0)"),
        ("\tif (left <= 0)", "constant", "if (left <= 1)"),
        ("\tif (state == ACTIVE)", "equality", "if (state != ACTIVE)"),
        ("\tperf_pmu_disable(event->pmu);", "dropped", ";"),
        ("\tevent->pmu->stop(event, PERF_EF_UPDATE);", "dropped", ";"),
        ("\thwc->interrupts = 0;", "dropped", ";"),
        ("\thwc->interrupts++;", "dropped", ";"),
        ("\thwc->interrupts++;", "step", "hwc->interrupts--;"),
        ("\tdelta = now - then;", "arithmetic", "delta = now + then;"),
        ("\tcount += delta;", "arithmetic", "count -= delta;"),
        ("\tstate &= ~PERF_HES_STOPPED;", "bits", "state |= PERF_HES_STOPPED;"),
        ("\tx = PERF_HES_STOPPED | PERF_HES_UPTODATE;", "flag", "x = PERF_HES_UPTODATE;"),
        ("\tlist_add(entry, head);", "argument", "list_add(head, entry);"),
        ("\treturn true;", "truth", "return false;"),
    ],
)
def test_a_slip(line, operator, after):
    assert (operator, after) in slips(line)


@pytest.mark.parametrize(
    "line",
    [
        "\t * a comment: if (x == 0)",
        "#define X(a, b) ((a) < (b))",
        "\tWARN_ON_ONCE(x == 0);",
        "\traw_spin_lock(&ctx->lock);",
        "\t\\",
        "\tstruct perf_event *event;",
        "\treturn;",
        "\tbreak;",
        "\tcase 1:",
        "out:",
        "",
    ],
)
def test_what_is_no_slip(line):
    assert slips(line) == set()


def test_a_string_is_left_as_it_is():
    assert slips('\tseq_puts(m, "1 < 2 && 0");') == {("dropped", ";")}


def test_one_place_at_a_time():
    assert {after for operator, after in slips("\tx = a - b - c;") if operator == "arithmetic"} == {
        "x = a + b - c;",
        "x = a - b + c;",
    }


SOURCE = "int f(int a, int b)\n{\n\tif (a < b)\n\t\treturn 1;\n\tg(a, b);\n\treturn 0;\n}\n"


def test_only_lines_that_were_asked_for():
    assert {one.number for one in mutants(CORE, SOURCE, [3, 5])} == {3, 5}


def test_the_same_seed_chooses_the_same_a_line_once():
    found = mutants(CORE, SOURCE, range(1, 8))
    first = chosen(found, 3, seed=7)
    assert first == chosen(found, 3, seed=7)
    assert len({one.number for one in first}) == 3
    several = {tuple(one.name for one in chosen(found, 3, seed)) for seed in range(20)}
    assert len(several) > 5
    assert len(chosen(found, 100, seed=1)) == len({one.number for one in found})


def test_git_applies_each(tmp_path):
    place = tmp_path / CORE
    place.parent.mkdir(parents=True)
    for mutant in mutants(CORE, SOURCE, range(1, 8)):
        place.write_text(SOURCE)
        diff = as_diff(mutant, SOURCE)
        subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=diff, text=True, check=True)
        changed = place.read_text().split("\n")
        assert changed[mutant.number - 1] == mutant.after
        changed[mutant.number - 1] = mutant.before
        assert "\n".join(changed) == SOURCE


# --- a campaign ----------------------------------------------------------------


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """A campaign over SOURCE; `fates` says what a scenario's run comes to, by its name."""

    def make(fates, triage=()):
        ran = []

        def run(patch, scenarios, place):
            ran.append((patch.stem, tuple(scenarios)))
            return scenarios

        def fate(scenarios):
            found = [fates.get(name, Fate.SURVIVED) for name in scenarios]
            for wanted in (Fate.KILLED, Fate.STILLBORN, Fate.UNDECIDED):
                if wanted in found:
                    return wanted, f"retention.order in {scenarios[found.index(wanted)]}"
            return Fate.SURVIVED, ""

        monkeypatch.setattr("harness.run.mutation.fate_of", fate)
        names = ("a", "b", "c", "d", "e")
        coverage = SuiteCoverage(
            kernel="6.12.1",
            machine="m",
            functions=(),
            lines={CORE: {3: names, 5: names[:2], 6: ()}},
            places={CORE: {3: "f", 5: "f"}},
        )
        made = Campaign(
            coverage=coverage,
            texts={CORE: SOURCE},
            triage=triage,
            folder=tmp_path,
            run=run,
            say=lambda _: None,
        )
        return made, ran

    return make


def test_only_lines_that_ran_are_mutated(campaign):
    made, _ = campaign({})
    assert {one.number for one in made.candidates()} == {3, 5}


def test_scenarios_are_run_until_one_kills(campaign):
    made, ran = campaign({"b": Fate.KILLED})
    result = made.judged(next(one for one in made.candidates() if one.number == 3))
    assert (result.fate, result.by) == (Fate.KILLED, "retention.order in b")
    assert [scenarios for _, scenarios in ran] == [("a", "b", "c")]
    assert (result.ran, result.function) == (3, "f")


def test_what_killed_most_is_tried_first(campaign):
    made, ran = campaign({"e": Fate.KILLED})
    first, second, *_ = [one for one in made.candidates() if one.number == 3]
    made.judged(first)
    made.judged(second)
    assert [scenarios for _, scenarios in ran] == [("a", "b", "c"), ("d", "e"), ("e", "a", "b")]


def test_a_survivor_was_given_all_that_reach_it(campaign):
    made, ran = campaign({})
    result = made.judged(next(one for one in made.candidates() if one.number == 3))
    assert (result.fate, result.ran) == (Fate.SURVIVED, 5)
    assert [scenarios for _, scenarios in ran] == [("a", "b", "c"), ("d", "e")]


def test_what_is_not_decided_is_no_kill_and_another_scenario_may_decide(campaign):
    made, _ = campaign({"a": Fate.UNDECIDED, "e": Fate.KILLED})
    assert made.judged(made.candidates()[0]).fate is Fate.KILLED
    made, _ = campaign({"a": Fate.UNDECIDED})
    assert made.judged(made.candidates()[0]).fate is Fate.UNDECIDED


def test_a_person_has_the_last_word_on_a_survivor(campaign):
    made, _ = campaign({})
    mutant = next(one for one in made.candidates() if one.operator == "bound")
    row = Triaged(
        path=CORE, before=mutant.before.strip(), after=mutant.after.strip(), equivalent="a != b"
    )
    made, _ = campaign({}, [row])
    assert made.judged(mutant).fate is Fate.EQUIVALENT
    made, _ = campaign({"a": Fate.KILLED}, [row])
    assert made.judged(mutant).fate is Fate.KILLED


def result(fate, **more):
    known = {"path": CORE, "line": 3, "function": "f", "operator": "bound"}
    return MutantResult(**known, before="a < b", after="a <= b", fate=fate, **more)


def test_the_score_leaves_out_what_no_test_can_kill():
    fates = [Fate.KILLED] * 3 + [Fate.SURVIVED] + [Fate.UNDECIDED]
    fates += [Fate.EQUIVALENT, Fate.SAME_IMAGE, Fate.STILLBORN]
    found = Mutation(kernel="6.12", machine="m", seed=1, mutants=tuple(map(result, fates)))
    assert found.score == 60


def test_survivors_are_shown_with_their_diff_and_who_ran_them():
    alive = result(Fate.SURVIVED, reached=("one", "two"), note="no scenario sets this period")
    killed = result(Fate.KILLED, by="retention.order in one", seconds=12.0)
    found = Mutation(kernel="6.12", machine="m", seed=1, mutants=(alive, killed))
    out = io.StringIO()
    show(Console(file=out, width=120), found, "/runs/x")
    text = out.getvalue()
    assert "survived  kernel/events/core.c:3 in f (bound)" in text
    assert "-a < b" in text and "+a <= b" in text
    assert "executed in one, two" in text and "no scenario sets this period" in text
    assert "score 50 % of 2 mutants of 6.12 on m, seed 1; 12 s, 6 s each" in text
    assert "killed by: retention.order 1" in text
