# SPDX-License-Identifier: MIT
"""From verdicts to blame and to the status of a run."""

import pytest

from harness.ask.plan import make_plan
from harness.checks import ALWAYS
from harness.checks.calls import CALLS
from harness.errors import Blame, BuildError, HostError, PatchError, PlanError
from harness.guest.callback_records import Callback, Observer
from harness.guest.records import End, Event, Lost, Phase, ProbeError, Records, Refused
from harness.model import (
    HEALTH,
    Cell,
    CellResult,
    Change,
    Claim,
    GuestEnd,
    Noise,
    NoiseLimit,
    Outcome,
    Repetition,
    Role,
    Status,
    Subject,
    Verdict,
    VersionRange,
)
from harness.verdict.blame import by_check, change
from harness.verdict.faults import kind
from harness.verdict.judge import (
    EVIDENCE_LINES,
    Observed,
    judge_all,
    judge_health,
    judge_repetitions,
    noisy,
)
from harness.verdict.status import judge_run
from tests.unit.changes import a, again, call, without

DONE = Outcome(end=GuestEnd.DONE, stage="batch", summary="done")
PANIC = Outcome(end=GuestEnd.PANIC, stage="boot", summary="panic while booting: Kernel panic")
LOST = Outcome(end=GuestEnd.QEMU_FAILED, stage="none", summary="QEMU ended with status 1")
NOT_STARTED = Outcome(end=GuestEnd.NOT_STARTED, stage="none", summary="not started")
FAILED_STEP = Outcome(
    end=GuestEnd.STEP_FAILED,
    stage="batch",
    summary="step failed in step 2 (sysctl kernel/x 0): exit status 1",
)
FIXES = Claim(fixes=("retention.release", "retention.pairing", "retention.counter"))


@pytest.mark.parametrize(
    ("mine", "reference", "status"),
    [
        (DONE, None, Status.PASS),
        (DONE, PANIC, Status.PASS),
        (PANIC, None, Status.FAIL),
        (PANIC, PANIC, Status.FAIL),
        (LOST, DONE, Status.ERROR),
        (NOT_STARTED, DONE, Status.ERROR),
        (FAILED_STEP, None, Status.ERROR),
        (FAILED_STEP, DONE, Status.FAIL),
        (FAILED_STEP, FAILED_STEP, Status.ERROR),
        (FAILED_STEP, PANIC, Status.ERROR),
    ],
)
def test_blame_for_a_guest(mine, reference, status):
    assert judge_health(mine, reference).status is status


@pytest.mark.parametrize(
    ("error", "blame", "code"),
    [
        (PlanError, Blame.PLAN, 2),
        (HostError, Blame.HOST, 3),
        (PatchError, Blame.SUBJECT, 1),
        (BuildError, Blame.SUBJECT, 1),
    ],
)
def test_blame_for_an_error(error, blame, code):
    raised = error("what", why="one\ntwo", advice="do this")
    assert raised.blame is blame
    assert raised.blame.exit_code == code
    assert raised.lines() == ["error:    what", "why:      one\n          two", "next:     do this"]


def test_a_long_reason_keeps_its_head_and_its_tail():
    lines = HostError("what", why="\n".join(map(str, range(1000)))).lines()[1].splitlines()
    assert len(lines) == 25
    assert lines[0].split() == ["why:", "0"] and lines[-1].split() == ["999"]


GIVEN = (HEALTH, *ALWAYS)
CLEAN, BEFORE = "6.12/cycles-task", "6.12+pre-callbacks/cycles-task"
CRASHED = Observed(PANIC, Records([]))


@pytest.fixture
def plan(catalog):
    """A plan of one scenario; `version` is the kernel's, `scenario` its name or a row."""

    def make(
        reference=True, claim=FIXES, scenario="cycles-task", errata=(), version="6.12", **changed
    ):
        candidate = Subject(name="6.12+new", source="debian:6.12", version=version, patches=())
        old = candidate.model_copy(update={"name": "6.12+old"})
        return make_plan(
            source="debian:6.12",
            series="new",
            claim=claim,
            candidate=candidate,
            reference=old if reference else None,
            machine=catalog.machines["aarch64-tcg"],
            scenarios=(catalog.scenarios[scenario].model_copy(update=changed),),
            errata=errata,
        )

    return make


@pytest.fixture
def results(load):
    """The results of a plan's cells; what they recorded is a capture's name, or Observed."""

    def judge(plan, candidate, reference=None):
        observed = {}
        for cell in plan.cells:
            chosen = candidate if cell.role is Role.CANDIDATE else reference
            if isinstance(chosen, str):
                chosen = Observed(DONE, load(chosen))
            observed[cell.id] = chosen
        verdicts = judge_all(plan, observed)
        return tuple(
            CellResult(
                cell=cell,
                outcome=observed[cell.id].outcome,
                verdicts=verdicts[cell.id],
                repeat="again",
            )
            for cell in plan.cells
        )

    return judge


@pytest.fixture
def run(results):
    def judge(plan, *observed):
        return judge_run(plan, results(plan, *observed))

    return judge


@pytest.fixture
def verdicts(plan, results):
    """The candidate's verdicts by check, but for what every scenario is asked."""

    def judge(candidate, reference=None, **planned):
        planned = {"claim": Claim(), "reference": reference is not None, **planned}
        found = results(plan(**planned), candidate, reference)[-1]
        return {verdict.check: verdict for verdict in found.verdicts if verdict.check not in GIVEN}

    return judge


@pytest.fixture
def changed(observe):
    """A capture with changes, as a guest that was done left it."""
    return lambda name, *changes: Observed(DONE, observe(name, *changes).records)


def recorded(*records):
    return Observed(DONE, Records([*records, End(kind="end", steps=1)]))


# --- the status of a run -----------------------------------------------------


def test_a_claim_that_holds_passes(plan, run):
    found = run(plan(), CLEAN, BEFORE)
    assert found.status is Status.PASS
    assert "the claim holds: retention.release" in found.headline
    assert found.claim == dict.fromkeys(FIXES.fixes, True)
    assert {one.change for one in found.changes} == {Change.FIXED}


def test_a_claim_that_nothing_needed_fails(plan, run):
    found = run(plan(), CLEAN, CLEAN)
    assert found.status is Status.FAIL
    assert "its claim does not hold" in found.headline
    assert not any(found.claim.values())


def test_a_candidate_that_fails_fails(plan, run):
    found = run(plan(claim=Claim()), BEFORE, CLEAN)
    assert found.status is Status.FAIL
    broken = ["retention.release", "retention.pairing", "retention.counter"]
    assert found.headline == f"6.12+new breaks {', '.join(broken)}"
    assert [one.check for one in found.changes if one.change is Change.BROKEN] == broken
    first = found.changes[0]
    assert (first.scenario, first.reference.split()[0], first.candidate.split()[0]) == (
        *("cycles-task", "pass:", "fail:"),
    )


def test_a_saboteur_that_is_caught_keeps_its_word(plan, run):
    claim = Claim(breaks=("retention.release",))
    found = run(plan(claim=claim), BEFORE, CLEAN)
    assert found.status is Status.FAIL
    assert found.claim == {"retention.release": True}


def test_a_candidate_alone_is_judged(plan, run):
    assert run(plan(reference=False, claim=Claim()), CLEAN).status is Status.PASS


def test_a_candidate_alone_answers_for_all_that_fails(plan, run):
    found = run(plan(reference=False, claim=Claim()), BEFORE)
    assert found.status is Status.FAIL
    assert found.headline.startswith("6.12+new fails retention.release, ")
    assert found.changes == ()


def test_what_a_series_fixes_takes_a_reference_to_be_seen(plan, run):
    found = run(plan(reference=False), CLEAN)
    assert (found.status, found.claim) == (Status.PASS, {})


def test_a_crashed_candidate_fails_and_measures_nothing(plan, run, verdicts):
    found = run(plan(), CRASHED, BEFORE)
    assert found.status is Status.FAIL
    assert found.headline == f"6.12+new breaks {HEALTH}"
    assert [one.check for one in found.changes] == [HEALTH]
    said = {verdict.measured for verdict in verdicts(CRASHED, BEFORE).values()}
    assert said == {"not measured: panic while booting: Kernel panic"}


def test_a_candidate_that_gets_through_where_its_reference_crashed_fixes_that(plan, run):
    found = run(plan(claim=Claim()), CLEAN, CRASHED)
    assert found.status is Status.PASS
    assert found.headline.endswith(f"; fixed: {HEALTH}")
    assert {one.change for one in found.changes} == {Change.FIXED, Change.NEW}


def test_where_both_crash_alike_nobody_is_blamed_and_nothing_judged(plan, run):
    found = run(plan(claim=Claim()), CRASHED, CRASHED)
    assert found.status is Status.ERROR
    assert found.headline == f"no verdict: nothing was measured: {PANIC.summary}"
    assert [(one.check, one.change) for one in found.changes] == [(HEALTH, Change.STILL_FAILING)]


def test_another_crash_than_the_references_is_the_candidates(plan, run):
    oops = Outcome(end=GuestEnd.OOPS, stage="boot", summary="oops while booting: NULL pointer")
    found = run(plan(claim=Claim()), Observed(oops, Records([])), CRASHED)
    assert (found.status, found.headline) == (Status.FAIL, f"6.12+new breaks {HEALTH}")


def test_a_crash_is_no_ones_where_the_references_guest_was_lost(plan, run):
    lost = Observed(LOST, Records([]))
    found = run(plan(claim=Claim()), CRASHED, lost)
    assert found.status is Status.ERROR
    assert found.headline.startswith(f"no verdict: {HEALTH}")


def test_what_has_not_run_is_no_pass(plan, run):
    lost = Observed(NOT_STARTED, Records([]))
    assert run(plan(), lost, lost).status is Status.ERROR


def test_what_does_not_decide_is_no_pass(plan, run, changed):
    # All but the last calls, by which the events are gone.
    early = changed(
        CLEAN,
        without(
            lambda record: (
                getattr(record, "time", 0) > 240_000_000 and getattr(record, "call", "") != "del"
            )
        ),
    )
    found = run(plan(claim=Claim()), early, CLEAN)
    assert found.status is Status.ERROR
    assert found.headline == "no verdict: retention.reload"


def test_what_is_skipped_is_said(plan, run):
    found = run(plan(scenario="branches", claim=Claim()), "6.12/branches", "6.12/branches")
    assert found.status is Status.PASS
    assert found.headline == "6.12+new passes every check (1 skipped, with proof)"


# --- what cannot be judged ---------------------------------------------------


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (Lost(kind="lost", id=2, lost=3), "the ring was too small: 3 records lost"),
        (
            Observer(kind="observer", calls=10, kept=9),
            "the callback log was too small: 9 of 10 calls kept",
        ),
    ],
)
def test_records_that_are_not_whole_are_an_error(plan, run, verdicts, record, said):
    found = verdicts(recorded(record), CLEAN)
    assert {verdict.status for verdict in found.values()} == {Status.ERROR}
    assert {verdict.measured for verdict in found.values()} == {f"not measured: {said}"}
    found = run(plan(claim=Claim()), recorded(record), recorded(record))
    assert found.status is Status.ERROR
    assert found.headline.startswith("no verdict: kernel.calls, ")
    # There was room for all that the reference did.
    found = run(plan(claim=Claim()), recorded(record), CLEAN)
    assert (found.status, found.headline) == (Status.FAIL, f"6.12+new breaks {HEALTH}")
    assert said in found.changes[0].candidate


def test_a_step_that_failed_is_told_of_by_all_checks(plan, run):
    """No check says that nothing was adjusted, where the guest did not get so far."""
    failed = Observed(FAILED_STEP, Records([End(kind="end", steps=2)]))
    found = run(plan(claim=Claim()), failed, CLEAN)
    assert (found.status, found.headline) == (Status.FAIL, f"6.12+new breaks {HEALTH}")
    found = run(plan(claim=Claim()), failed, failed)
    assert found.status is Status.ERROR
    assert found.headline.startswith(f"no verdict: {HEALTH}, ")


def test_all_that_the_rings_lost_is_added_up(verdicts):
    lost = [Lost(kind="lost", id=number, lost=number) for number in (2, 3)]
    assert "5 records lost" in verdicts(recorded(*lost))["retention.release"].measured


def test_what_a_small_ring_lost_is_no_obstacle(plan, results):
    """The scenario wants it so; what another event lost is one."""
    told = Event.model_validate(
        {
            **{"kind": "event", "name": "old", "id": 5, "leader": 5, "task": "self", "cpu": -1},
            **{"cgroup": "", "type": 2, "config": 1, "period": 1, "frequency": 0},
            **dict.fromkeys(("exclude_kernel", "exclude_user", "pinned", "exclusive"), False),
            "inherit": False,
        }
    )

    def measured(number: int) -> str:
        records = [told, Lost(kind="lost", id=number, lost=9), End(kind="end", steps=2)]
        observed = Observed(DONE, Records(records))
        planned = plan(scenario="ring-lost", claim=Claim(), reference=False)
        found = {v.check: v for v in results(planned, observed, None)[-1].verdicts}
        return found["counting.exact"].measured

    assert "9 records lost" not in measured(5)
    assert "9 records lost" in measured(6)


def test_a_whole_log_is_no_obstacle(verdicts):
    whole = recorded(Observer(kind="observer", calls=10, kept=10))
    assert verdicts(whole)["retention.release"].status is Status.INCONCLUSIVE


def test_records_without_an_end_are_not_judged(verdicts, load):
    cut = Observed(DONE, Records(load(CLEAN).all[:-1]))
    assert {verdict.status for verdict in verdicts(cut).values()} == {Status.ERROR}


def test_a_reference_that_cannot_be_judged_is_not_compared_with(verdicts):
    """What needs no reference is judged all the same."""
    (alone,) = verdicts("6.12/cost-cycles", CRASHED, scenario="cost-cycles").values()
    assert alone.status is Status.PASS
    assert alone.expected == "(the reference's own)"


# --- events that a kernel refuses --------------------------------------------

REFUSED = "6.12/branches"
OPENED = recorded()


@pytest.mark.parametrize(
    ("reference", "allowed", "status", "calls"),
    [
        (None, True, Status.SKIP, Status.PASS),
        (REFUSED, True, Status.SKIP, Status.PASS),
        (None, False, Status.ERROR, Status.ERROR),
        (REFUSED, False, Status.ERROR, Status.ERROR),
        # The patch took it away, whether it may be lacking or not.
        (OPENED, True, Status.ERROR, Status.FAIL),
        (OPENED, False, Status.ERROR, Status.FAIL),
        # A crashed one did not try.
        (CRASHED, True, Status.SKIP, Status.PASS),
        (CRASHED, False, Status.ERROR, Status.ERROR),
    ],
)
def test_an_event_that_is_refused(plan, results, reference, allowed, status, calls):
    planned = plan(
        scenario="branches",
        may_lack=("target",) if allowed else ("other",),
        claim=Claim(),
        reference=reference is not None,
    )
    found = {v.check: v for v in results(planned, REFUSED, reference)[-1].verdicts}
    said = "the kernel refused target: No such file or directory (ENOENT)"
    assert list(found) == [HEALTH, CALLS, "counting.exact"]
    assert found["counting.exact"].status is status
    assert said in found["counting.exact"].measured
    assert found[CALLS].status is calls
    assert said in found[CALLS].measured


def test_an_event_that_the_reference_opens_is_the_candidates_fault_once(plan, run):
    gone = recorded(Refused(kind="refused", name="target", errno=22, text="Invalid argument"))
    found = run(plan(claim=Claim()), gone, CLEAN)
    assert (found.status, found.headline) == (Status.FAIL, f"6.12+new breaks {CALLS}")
    assert [one.check for one in found.changes] == [CALLS]


# --- calls that a kernel refuses ----------------------------------------------

FAULT = ProbeError(
    kind="error", what="PERF_EVENT_IOC_PERIOD of target", errno=14, text="Bad address"
)


def stopped(load, name, error=FAULT, after=3):
    """A capture whose probe could not go on behind so many steps."""
    records = load(name).all
    phases = [place for place, record in enumerate(records) if isinstance(record, Phase)]
    return Observed(DONE, Records([*records[: phases[after - 1] + 1], error]))


def test_a_call_that_the_reference_allows_is_the_candidates_fault(plan, run, results, load):
    mine = stopped(load, CLEAN)
    found = run(plan(claim=Claim()), mine, CLEAN)
    assert (found.status, found.headline) == (Status.FAIL, f"6.12+new breaks {CALLS}")
    (changed,) = found.changes
    assert (changed.check, changed.change) == (CALLS, Change.BROKEN)
    calls = results(plan(claim=Claim()), mine, CLEAN)[-1].verdicts[1]
    step = mine.records.of(Phase)[-1].name
    said = f"PERF_EVENT_IOC_PERIOD of target: Bad address (EFAULT), in step '{step}'"
    assert calls.measured == said
    assert calls.evidence == (f"{said}; the reference's same guest got past that",)


def test_a_reference_that_stops_at_the_same_call_blames_nobody(plan, run, load):
    mine = stopped(load, CLEAN)
    found = run(plan(claim=Claim()), mine, mine)
    assert found.status is Status.ERROR
    assert found.headline.startswith(f"no verdict: {CALLS}, retention.release")


def test_a_reference_that_comes_further_got_past_that_call(plan, run, load):
    mine, theirs = (stopped(load, CLEAN, after=number) for number in (2, 3))
    assert run(plan(claim=Claim()), mine, theirs).status is Status.FAIL
    fixed = run(plan(claim=Claim()), theirs, mine)
    assert fixed.status is Status.ERROR


def test_without_a_reference_nobody_says_that_the_call_is_allowed(plan, run, load):
    found = run(plan(claim=Claim(), reference=False), stopped(load, CLEAN))
    assert found.status is Status.ERROR


def test_a_call_that_the_reference_refused_is_fixed(plan, run, load):
    found = run(plan(claim=Claim()), CLEAN, stopped(load, CLEAN))
    assert found.status is Status.PASS
    assert found.headline == f"6.12+new passes every check; fixed: {CALLS}"


# --- what the reference fails as well -----------------------------------------


def test_what_fails_on_both_is_not_this_patchs(plan, run):
    found = run(plan(claim=Claim()), BEFORE, BEFORE)
    assert found.status is Status.PASS
    assert found.headline == (
        "6.12+new breaks nothing; 3 checks fail on the reference as well, not this patch's: "
        "retention.release, retention.pairing, retention.counter"
    )
    assert {one.change for one in found.changes} == {Change.STILL_FAILING}


def test_strictly_it_is_a_failure_all_the_same(plan, run):
    strict = plan(claim=Claim()).model_copy(update={"strict": True})
    found = run(strict, BEFORE, BEFORE)
    assert found.status is Status.FAIL
    assert found.headline.startswith("6.12+new fails, as its reference does, retention.release")


def test_two_crashes_at_other_addresses_are_of_one_kind():
    lines = [
        f"oops in step 1 (reproduce 5): BUG: unable to handle page fault for address: {address}"
        for address in ("ffffc90000123abc", "ffff888004d3e8c0", "deadbeefdeadbeef", "0x10")
    ]
    assert len({kind(line) for line in lines}) == 1
    assert kind("in perf_event_release+0x10/0x80") != kind("in perf_event_alloc+0x10/0x80")


def test_a_fault_of_another_kind_is_broken_although_the_check_failed_before(plan, run, changed):
    """The tick's releases are the reference's; one outside of a tick is not."""
    ioctl = again(0, call("del", 5), tick=False, caller="perf_event_period+0x1")
    found = run(plan(claim=Claim()), changed(BEFORE, ioctl), BEFORE)
    assert found.status is Status.FAIL
    assert found.headline.startswith("6.12+new breaks retention.release")


def test_far_more_faults_of_one_kind_are_broken_too(plan, run, changed):
    """One tick of the reference lacks its stop, and forty of the candidate."""
    few, many = (
        changed(CLEAN, *[without(call("stop", 5), 2 * n) for n in range(number)])
        for number in (1, 40)
    )
    assert run(plan(claim=Claim()), few, few).status is Status.PASS
    assert run(plan(claim=Claim()), many, few).headline == "6.12+new breaks retention.pairing"
    assert run(plan(claim=Claim()), few, many).status is Status.PASS


def of_one_check(status, role=Role.CANDIDATE):
    (result,) = in_cells(status, role=role)
    return result.verdicts[0]


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (Status.PASS, Status.FAIL, Change.BROKEN),
        (Status.SKIP, Status.FAIL, Change.BROKEN),
        (Status.INCONCLUSIVE, Status.FAIL, Change.BROKEN),
        (Status.ERROR, Status.FAIL, Change.UNDECIDED),
        (Status.FAIL, Status.FAIL, Change.STILL_FAILING),
        (Status.FAIL, Status.PASS, Change.FIXED),
        (Status.PASS, Status.PASS, Change.STILL_PASSING),
        (Status.SKIP, Status.SKIP, Change.STILL_PASSING),
        (Status.SKIP, Status.PASS, Change.NEW),
        (Status.ERROR, Status.PASS, Change.NEW),
        (Status.PASS, Status.SKIP, Change.GONE),
        (Status.FAIL, Status.SKIP, Change.GONE),
        (Status.PASS, Status.INCONCLUSIVE, Change.UNDECIDED),
        (Status.PASS, Status.ERROR, Change.UNDECIDED),
    ],
)
def test_what_became_of_a_check(before, after, what):
    assert change(of_one_check(before, Role.REFERENCE), of_one_check(after)) is what


# --- known defects -----------------------------------------------------------

LEADERS_ONLY, BOTH = "6.12/group-frequency", "6.1/group-frequency"


@pytest.fixture
def siblings(verdicts, catalog):
    """Verdicts in the light of the catalog's errata, or of one that is changed."""

    def judge(candidate, reference=None, version="6.12", **change):
        erratum = catalog.errata["tick-leaves-siblings"]
        known = (erratum.model_copy(update=change),)
        return verdicts(
            candidate, reference, scenario="group-frequency", errata=known, version=version
        )

    return judge


@pytest.mark.parametrize("reference", [None, LEADERS_ONLY])
def test_a_known_defect_is_skipped_with_its_proof(siblings, catalog, reference):
    erratum = catalog.errata["tick-leaves-siblings"]
    verdict = siblings(LEADERS_ONLY, reference)["retention.pairing"]
    assert verdict.status is Status.SKIP
    assert verdict.measured.endswith(": erratum tick-leaves-siblings")
    assert verdict.evidence[:2] == (erratum.what, f"({erratum.source})")
    assert verdict.evidence[2].startswith("sibling (id 3): no call in the tick at ")


def test_a_known_defect_hides_no_other(siblings, changed):
    """One line that it does not explain, behind two hundred that it does: that one is left."""
    leader = changed(LEADERS_ONLY, without(call("stop", 2), 150))
    verdict = siblings(leader, LEADERS_ONLY)["retention.pairing"]
    assert verdict.status is Status.FAIL
    assert verdict.measured.endswith("; 200 of 201 by erratum tick-leaves-siblings")
    (line,) = verdict.evidence
    assert line.startswith("leader (id 2): start in the tick at ")
    assert siblings(leader)["sampling.rate"].status is Status.SKIP


def test_a_known_defect_explains_no_more_of_it_than_the_reference_shows(siblings, changed):
    """The sibling misses one tick of the reference's, and each of the candidate's."""
    stops = len([c for c in changed(BOTH).records.of(Callback) if call("stop", 3)(c)])
    assert stops > 100
    once = changed(BOTH, without(call("stop", 3), 0), without(call("start", 3), 0))
    seldom = siblings(once, once)["retention.pairing"]
    assert seldom.status is Status.SKIP
    verdict = siblings(LEADERS_ONLY, once)["retention.pairing"]
    assert verdict.status is Status.FAIL
    assert "erratum" not in verdict.measured


def test_a_known_defect_explains_nothing_else_of_the_same_event(siblings, changed):
    """The sibling is left alone by the reference's tick; here the tick releases it, once."""
    lone = again(0, call("stop", 2), call="del", id=3)
    verdict = siblings(changed(LEADERS_ONLY, lone), LEADERS_ONLY)["retention.pairing"]
    assert verdict.status is Status.FAIL
    (line,) = verdict.evidence
    assert line.startswith("sibling (id 3): del in the tick at ")


def test_a_defect_that_the_reference_does_not_have_is_the_candidates(siblings):
    verdict = siblings(LEADERS_ONLY, BOTH)["retention.pairing"]
    assert verdict.status is Status.FAIL
    assert "erratum" not in verdict.measured


def test_a_defect_that_shows_by_chance_need_not_show_in_the_reference(siblings, changed):
    once = changed(BOTH, without(call("stop", 3), 0), without(call("start", 3), 0))
    assert siblings(once, BOTH)["retention.pairing"].status is Status.FAIL
    assert siblings(once, BOTH, by_chance=True)["retention.pairing"].status is Status.SKIP


def test_chance_does_not_explain_hundreds(siblings):
    verdict = siblings(LEADERS_ONLY, BOTH, by_chance=True)["retention.pairing"]
    assert verdict.status is Status.FAIL


def test_a_defect_is_known_of_some_kernels_only(siblings):
    assert siblings(LEADERS_ONLY, version="6.9.12")["retention.pairing"].status is Status.FAIL
    fixed = VersionRange(since="6.10", before="6.12")
    assert siblings(LEADERS_ONLY, versions=fixed)["retention.pairing"].status is Status.FAIL


@pytest.mark.parametrize(
    "excuses",
    [{"group-frequency": ("sampling.rate",)}, {"throttle-sibling": ("retention.pairing",)}],
)
def test_a_defect_excuses_what_it_names_and_nothing_else(siblings, excuses):
    found = siblings(LEADERS_ONLY, excuses=excuses)
    assert found["retention.pairing"].status is Status.FAIL


def test_what_passes_needs_no_excuse(siblings):
    found = siblings(BOTH, version="6.12")
    assert {verdict.status for verdict in found.values()} == {Status.PASS}


def test_what_does_not_decide_is_not_excused(siblings, changed):
    idle = changed(LEADERS_ONLY, without(a(Callback, call="tick")))
    assert siblings(idle)["retention.pairing"].status is Status.INCONCLUSIVE


# --- evidence ----------------------------------------------------------------


def test_evidence_is_shortened_and_says_by_how_much(verdicts):
    evidence = verdicts(BEFORE)["retention.release"].evidence
    assert len(evidence) == EVIDENCE_LINES + 1
    assert evidence[-1] == f"... and {240 - EVIDENCE_LINES} more"
    assert all("gave up counter" in line for line in evidence[:-1])


def test_an_erratums_proof_is_shortened_too(siblings):
    evidence = siblings(LEADERS_ONLY)["retention.pairing"].evidence
    assert len(evidence) == EVIDENCE_LINES + 1
    assert evidence[-1] == f"... and {2 + 200 - EVIDENCE_LINES} more"


@pytest.mark.parametrize("number", [1, 3])
def test_few_lines_are_all_shown(verdicts, changed, number):
    odd = [without(call("stop", 5), 10 * n) for n in range(number)]
    evidence = verdicts(changed(CLEAN, *odd))["retention.pairing"].evidence
    assert len(evidence) == number


# --- by check ----------------------------------------------------------------


def in_cells(*statuses, role=Role.CANDIDATE):
    """Results of as many cells, each with a verdict of one check."""
    return tuple(
        CellResult(
            cell=Cell(subject="s", role=role, machine="m", scenario=f"s{number}"),
            outcome=DONE,
            verdicts=(Verdict(check="x", status=status, measured="m", expected="e"),),
            repeat="again",
        )
        for number, status in enumerate(statuses)
    )


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        ([Status.SKIP], Status.SKIP),
        ([Status.SKIP, Status.SKIP], Status.SKIP),
        ([Status.SKIP, Status.PASS], Status.PASS),
        ([Status.PASS, Status.SKIP, Status.INCONCLUSIVE], Status.INCONCLUSIVE),
        ([Status.ERROR, Status.INCONCLUSIVE], Status.ERROR),
        ([Status.SKIP, Status.FAIL, Status.ERROR, Status.PASS], Status.FAIL),
    ],
)
def test_a_checks_worst_status_where_it_was_not_skipped(statuses, worst):
    assert by_check(in_cells(*statuses), Role.CANDIDATE) == {"x": worst}
    assert by_check(in_cells(*statuses), Role.REFERENCE) == {}


@pytest.mark.parametrize(
    ("before", "after", "held"),
    [
        ([Status.FAIL], [Status.PASS], True),
        ([Status.FAIL, Status.SKIP], [Status.SKIP, Status.PASS], True),
        ([Status.FAIL], [Status.SKIP], False),
        ([Status.FAIL], [Status.PASS, Status.INCONCLUSIVE], False),
        ([Status.ERROR], [Status.PASS], False),
        ([Status.SKIP], [Status.PASS], False),
    ],
)
def test_a_fix_turns_fail_to_pass(plan, before, after, held):
    cells = in_cells(*before, role=Role.REFERENCE) + in_cells(*after)
    assert judge_run(plan(claim=Claim(fixes=("x",))), cells).claim == {"x": held}


def test_a_machines_own_defect_excuses_no_other_machine(catalog):
    erratum = catalog.errata["late-overflow-nested"]
    concerned = [
        name
        for name, machine in catalog.machines.items()
        if erratum.concerns("cycles-cpu", "sampling.rate", "6.12", machine)
    ]
    assert concerned == ["aarch64-kvm-nested"]


@pytest.mark.parametrize(
    ("line", "explained"),
    [
        ("target (id 2): 12 samples in 50.0 ms, 240 Hz instead of 1000", True),
        ("target (id 2): 69 samples for 459 periods", True),
        ("target (id 5): after 1000 Hz was asked for, 37 samples where 40 were due", True),
        # Where a period ends is another matter.
        (
            "target (id 2): the period was set to 30000 at 120.000 ms, when the count was "
            "500 to 900; the next overflow came at 10500",
            False,
        ),
        ("target (id 2): nothing", False),
    ],
)
def test_lost_samples_are_explained_and_wrong_ones_are_not(catalog, line, explained):
    assert catalog.errata["late-overflow-nested"].explains(line) is explained


# --- repetitions -------------------------------------------------------------

LIMITS = (NoiseLimit(name="steal", most=0.02, why="w"),)
QUIET, LOUD = Noise(seconds=1, steal=0.0), Noise(seconds=1, steal=0.5)


@pytest.fixture
def repeated(catalog, load):
    """Judge a plan of cycles-task on the noisy machine: (status, headline), verdicts by role.

    What each repetition of either side recorded is a capture's name, or Observed.
    """

    def judge(candidate, reference=None, claim=FIXES, noise=QUIET):
        subject = Subject(name="6.12+new", source="debian:6.12", version="6.12", patches=())
        machine = catalog.machines["aarch64-tcg-noisy"]
        plan = make_plan(
            source="debian:6.12",
            series="new",
            claim=claim,
            candidate=subject,
            reference=subject.model_copy(update={"name": "6.12+old"}) if reference else None,
            machine=machine.model_copy(update={"repetitions": len(candidate)}),
            scenarios=(catalog.scenarios["cycles-task"],),
            noise_limits=LIMITS,
        )
        observed = {}
        for cell in plan.cells:
            said = (candidate if cell.role is Role.CANDIDATE else reference)[cell.repetition - 1]
            seen = said if isinstance(said, Observed) else Observed(DONE, load(said), noise)
            observed[cell.id] = seen
        verdicts = judge_all(plan, observed)
        guests = {}
        for cell in plan.cells:
            one = Repetition(
                cell=cell,
                outcome=observed[cell.id].outcome,
                verdicts=verdicts[cell.id],
                noisy=noisy(plan, observed[cell.id].noise),
            )
            guests.setdefault(cell.whole, []).append(one)
        found = judge_repetitions(plan, guests)
        results = tuple(
            CellResult(
                cell=cell,
                outcome=mine[0].outcome,
                verdicts=found[cell.id],
                repeat="again",
                repetitions=tuple(mine),
            )
            for cell, mine in guests.items()
        )
        by_role = {
            result.cell.role: {verdict.check: verdict for verdict in result.verdicts}
            for result in results
        }
        found = judge_run(plan, results)
        return (found.status, found.headline), by_role

    return judge


def test_repetitions_come_to_one_verdict_for_each_check(repeated, catalog):
    (status, headline), verdicts = repeated([CLEAN] * 6, [BEFORE] * 6)
    assert status is Status.PASS, headline
    assert "the claim holds: retention.release" in headline
    mine, theirs = verdicts[Role.CANDIDATE], verdicts[Role.REFERENCE]
    assert list(mine) == [*GIVEN, *catalog.scenarios["cycles-task"].checks]
    assert mine[HEALTH].measured == "6 of 6 guests done"
    assert mine["retention.release"].metrics["adjustments"] == 6 * 240
    assert mine["conservation.twin"].metrics["repetitions"] == 6
    assert theirs["retention.release"].status is Status.FAIL
    assert theirs["retention.release"].measured == (
        "violated in 6 of 6 repetitions; 1: 240 releases in 240 adjustments"
    )


def test_one_repetition_that_loses_its_counter_fails_in_any_noise(repeated):
    (status, headline), verdicts = repeated([CLEAN] * 5 + [BEFORE], [CLEAN] * 6, noise=LOUD)
    assert status is Status.FAIL
    assert headline == "6.12+new breaks retention.release, retention.pairing, retention.counter"
    evidence = verdicts[Role.CANDIDATE]["retention.counter"].evidence
    assert evidence[0].startswith("repetition 6: log: target")


def test_one_repetition_that_was_lost_is_no_pass(repeated):
    lost = Observed(LOST, Records([]))
    (status, _), verdicts = repeated([CLEAN] * 5 + [lost], claim=Claim())
    assert status is Status.ERROR
    assert verdicts[Role.CANDIDATE][HEALTH].status is Status.ERROR
    assert verdicts[Role.CANDIDATE]["retention.release"].status is Status.ERROR


def test_two_repetitions_decide_properties_and_no_measurement(repeated):
    (status, headline), verdicts = repeated([CLEAN] * 2, claim=Claim())
    assert status is Status.ERROR
    assert headline == "no verdict: conservation.growth, conservation.twin"
    assert verdicts[Role.CANDIDATE]["retention.release"].status is Status.PASS


def test_a_claim_is_not_refuted_by_a_reference_that_does_not_decide(repeated):
    """Witnesses that noise upset in some repetitions: nobody says that the counter stayed."""
    (status, headline), _ = repeated([CLEAN] * 6, [BEFORE] * 6)
    assert status is Status.PASS
    claim = Claim(fixes=("retention.reload",))
    idle = Observed(DONE, Records([End(kind="end", steps=1)]))
    (status, headline), _ = repeated([CLEAN] * 6, [idle] * 6, claim=claim)
    assert status is Status.ERROR
    assert headline == "no verdict: retention.reload (reference)"


def test_what_of_the_noise_is_too_much_is_the_plans(repeated, plan):
    seen = Observed(DONE, Records([]), LOUD)
    assert noisy(plan(), seen.noise) == ()
    assert noisy(plan().model_copy(update={"noise_limits": LIMITS}), seen.noise) == (
        "steal 0.5, more than 0.02",
    )


def test_a_report_more_than_the_reference_has_is_the_candidates(catalog):
    known = ("WARNING: suspicious RCU usage, in perf_read",)
    more = (*known, "BUG: KASAN: slab-use-after-free in free_event_rcu+0x20/0x40")
    guests = [
        Outcome(end=GuestEnd.REPORT, stage="batch", summary="report", reports=reports)
        for reports in (known, more)
    ]
    before, after = (judge_health(guest, None) for guest in guests)
    assert change(before, after) is Change.BROKEN
    assert change(before, before) is Change.STILL_FAILING
