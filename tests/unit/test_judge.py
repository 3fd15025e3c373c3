# SPDX-License-Identifier: MIT
"""From verdicts to blame and to the status of a run."""

import pytest

from harness.ask.plan import make_plan
from harness.errors import Blame, BuildError, HostError, PatchError, PlanError
from harness.guest.callback_records import Callback, Observer
from harness.guest.records import End, Lost, ProbeError, Records, Refused
from harness.model import (
    Cell,
    CellResult,
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
from harness.verdict.judge import (
    EVIDENCE_LINES,
    HEALTH,
    Observed,
    by_check,
    judge_all,
    judge_health,
    judge_repetitions,
    judge_run,
    noisy,
)
from tests.unit.changes import a, call, without

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
        (PANIC, DONE, Status.FAIL),
        (PANIC, PANIC, Status.ERROR),
        (PANIC, NOT_STARTED, Status.ERROR),
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
    """The candidate's verdicts by check, but for its health."""

    def judge(candidate, reference=None, **planned):
        planned = {"claim": Claim(), "reference": reference is not None, **planned}
        found = results(plan(**planned), candidate, reference)[-1]
        return {verdict.check: verdict for verdict in found.verdicts if verdict.check != HEALTH}

    return judge


@pytest.fixture
def changed(observe):
    """A capture with changes, as a guest that was done left it."""
    return lambda name, *changes: Observed(DONE, observe(name, *changes).records)


def recorded(*records):
    return Observed(DONE, Records([*records, End(kind="end", steps=1)]))


# --- the status of a run -----------------------------------------------------


def test_a_claim_that_holds_passes(plan, run):
    status, headline, claim = run(plan(), CLEAN, BEFORE)
    assert status is Status.PASS
    assert "the claim holds: retention.release" in headline
    assert claim == dict.fromkeys(FIXES.fixes, True)


def test_a_claim_that_nothing_needed_fails(plan, run):
    status, headline, claim = run(plan(), CLEAN, CLEAN)
    assert status is Status.FAIL
    assert "its claim does not hold" in headline
    assert not any(claim.values())


def test_a_candidate_that_fails_fails(plan, run):
    status, headline, _ = run(plan(claim=Claim()), BEFORE, CLEAN)
    assert status is Status.FAIL
    assert headline == ("6.12+new fails retention.release, retention.pairing, retention.counter")


def test_a_saboteur_that_is_caught_keeps_its_word(plan, run):
    claim = Claim(breaks=("retention.release",))
    status, _, held = run(plan(claim=claim), BEFORE, CLEAN)
    assert status is Status.FAIL
    assert held == {"retention.release": True}


def test_a_candidate_alone_is_judged(plan, run):
    assert run(plan(reference=False, claim=Claim()), CLEAN)[0] is Status.PASS


def test_what_a_series_fixes_takes_a_reference_to_be_seen(plan, run):
    status, _, claim = run(plan(reference=False), CLEAN)
    assert (status, claim) == (Status.PASS, {})


def test_a_crashed_candidate_fails_and_measures_nothing(plan, run, verdicts):
    status, headline, _ = run(plan(), CRASHED, BEFORE)
    assert status is Status.FAIL
    assert headline == f"6.12+new fails {HEALTH}"
    said = {verdict.measured for verdict in verdicts(CRASHED, BEFORE).values()}
    assert said == {"not measured: panic while booting: Kernel panic"}


def test_a_crashed_reference_blames_nobody(plan, run):
    status, headline, _ = run(plan(claim=Claim()), CLEAN, CRASHED)
    assert status is Status.ERROR
    assert (
        headline == "the reference 6.12+old does not get through: panic while booting: Kernel panic"
    )


def test_what_has_not_run_is_no_pass(plan, run):
    lost = Observed(NOT_STARTED, Records([]))
    assert run(plan(), lost, lost)[0] is Status.ERROR


def test_what_does_not_decide_is_no_pass(plan, run, changed):
    early = changed(CLEAN, without(lambda record: getattr(record, "time", 0) > 240_000_000))
    status, headline, _ = run(plan(claim=Claim()), early, CLEAN)
    assert status is Status.ERROR
    assert headline == "no verdict: retention.reload"


def test_what_is_skipped_is_said(plan, run):
    status, headline, _ = run(
        plan(scenario="branches", claim=Claim()), "6.12/branches", "6.12/branches"
    )
    assert status is Status.PASS
    assert headline == "6.12+new passes every check (1 skipped, with proof)"


# --- what cannot be judged ---------------------------------------------------


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (
            ProbeError(kind="error", what="target", errno=2, text="No such file or directory"),
            "the probe could not go on: target: No such file or directory (errno 2)",
        ),
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
    status, headline, _ = run(plan(claim=Claim()), recorded(record), CLEAN)
    assert status is Status.ERROR
    assert headline.startswith("no verdict: retention.release, ")


def test_a_step_that_failed_is_told_of_by_all_checks(plan, run):
    """No check says that nothing was adjusted, where the guest did not get so far."""
    failed = Observed(FAILED_STEP, Records([End(kind="end", steps=2)]))
    status, headline, _ = run(plan(claim=Claim()), failed, CLEAN)
    assert status is Status.FAIL
    assert headline == "6.12+new fails kernel.health"
    status, headline, _ = run(plan(claim=Claim()), failed, failed)
    assert status is Status.ERROR
    assert FAILED_STEP.summary in headline


def test_all_that_the_rings_lost_is_added_up(verdicts):
    lost = [Lost(kind="lost", id=number, lost=number) for number in (2, 3)]
    assert "5 records lost" in verdicts(recorded(*lost))["retention.release"].measured


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
    ("reference", "allowed", "status"),
    [
        (None, True, Status.SKIP),
        (REFUSED, True, Status.SKIP),
        (None, False, Status.ERROR),
        (REFUSED, False, Status.ERROR),
        # The patch took it away, whether it may be lacking or not.
        (OPENED, True, Status.FAIL),
        (OPENED, False, Status.FAIL),
        # A crashed one did not try.
        (CRASHED, True, Status.SKIP),
        (CRASHED, False, Status.ERROR),
    ],
)
def test_an_event_that_is_refused(verdicts, reference, allowed, status):
    planned = {"scenario": "branches", "may_lack": ("target",) if allowed else ("other",)}
    found = verdicts(REFUSED, reference, **planned)
    assert found.keys() == {"counting.exact"}
    assert found["counting.exact"].status is status
    assert found["counting.exact"].measured == (
        "the kernel refused target: No such file or directory (errno 2)"
    )


def test_every_check_of_a_scenario_lacks_the_event(verdicts, catalog):
    gone = recorded(Refused(kind="refused", name="target", errno=22, text="Invalid argument"))
    found = verdicts(gone, CLEAN)
    assert list(found) == list(catalog.scenarios["cycles-task"].checks)
    assert {verdict.status for verdict in found.values()} == {Status.FAIL}


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
    """One line that does not match, behind any number that do."""
    leader = changed(LEADERS_ONLY, without(call("stop", 2), 150))
    verdict = siblings(leader, LEADERS_ONLY)["retention.pairing"]
    assert verdict.status is Status.FAIL
    assert siblings(leader)["sampling.rate"].status is Status.SKIP


def test_a_defect_that_the_reference_does_not_have_is_the_candidates(siblings):
    verdict = siblings(LEADERS_ONLY, BOTH)["retention.pairing"]
    assert verdict.status is Status.FAIL
    assert "erratum" not in verdict.measured


def test_a_defect_that_shows_by_chance_need_not_show_in_the_reference(siblings):
    verdict = siblings(LEADERS_ONLY, BOTH, by_chance=True)["retention.pairing"]
    assert verdict.status is Status.SKIP


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
    assert judge_run(plan(claim=Claim(fixes=("x",))), cells)[2] == {"x": held}


def test_a_machines_own_defect_excuses_no_other_machine(catalog):
    erratum = catalog.errata["late-overflow-nested"]
    late = Verdict(
        check="sampling.rate",
        status=Status.FAIL,
        measured="m",
        expected="e",
        evidence=("target (id 2): 12 samples in 50.0 ms, 240 Hz instead of 1000",),
    )
    covered = [
        name
        for name, machine in catalog.machines.items()
        if erratum.covers("cycles-cpu", late, "6.12", machine)
    ]
    assert covered == ["aarch64-kvm-nested"]
    missing = ("target (id 2): 69 samples for 459 periods",)
    few = late.model_copy(update={"check": "sampling.overflow", "evidence": missing})
    assert erratum.covers("overflow-cycles", few, "6.12", catalog.machines[covered[0]])
    said = ("target (id 5): after 1000 Hz was asked for, 37 samples where 40 were due",)
    asked = late.model_copy(update={"check": "sampling.reprogram", "evidence": said})
    assert erratum.covers("period-ioctl", asked, "6.12", catalog.machines[covered[0]])
    # Where a period ends is another matter.
    said = (
        "target (id 2): the period was set to 30000 at 120.000 ms, when the count was "
        "500 to 900; the next overflow came at 10500",
    )
    misplaced = asked.model_copy(update={"evidence": said})
    assert not erratum.covers("period-ioctl", misplaced, "6.12", catalog.machines[covered[0]])
    other = late.model_copy(update={"evidence": (*late.evidence, "target (id 2): nothing")})
    assert not erratum.covers("cycles-cpu", other, "6.12", catalog.machines[covered[0]])


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
                noisy=noisy(plan, observed[cell.id]),
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
        return judge_run(plan, results)[:2], by_role

    return judge


def test_repetitions_come_to_one_verdict_for_each_check(repeated, catalog):
    (status, headline), verdicts = repeated([CLEAN] * 6, [BEFORE] * 6)
    assert status is Status.PASS, headline
    assert "the claim holds: retention.release" in headline
    mine, theirs = verdicts[Role.CANDIDATE], verdicts[Role.REFERENCE]
    assert list(mine) == [HEALTH, *catalog.scenarios["cycles-task"].checks]
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
    assert headline == "6.12+new fails retention.release, retention.pairing, retention.counter"
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
    assert headline == "no verdict: conservation.twin, conservation.growth"
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
    assert noisy(plan(), seen) == ()
    assert noisy(plan().model_copy(update={"noise_limits": LIMITS}), seen) == (
        "steal 0.5, more than 0.02",
    )
