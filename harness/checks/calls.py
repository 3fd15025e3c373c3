# SPDX-License-Identifier: MIT
"""Calls: the kernel does what its reference does when a probe asks it for something."""

from errno import errorcode

from harness.checks.base import FEW, Check, Observation, Property, inconclusive, verdict
from harness.guest.pmu_records import Answered
from harness.guest.records import Event, Interruption, Phase, ProbeError, Records, Refused
from harness.model import CALLS, Answer, Scenario, Status, Verdict, answer_for

ANSWERS = "contexts.answers"
_EXPECTED = "each call answered as the reference, or what is known of the kernel, has it"


def failed_call(records: Records) -> str:
    """The call that a probe could not go on without, with its errno; empty if there is none."""
    errors = records.of(ProbeError)
    if not errors:
        return ""
    first = errors[0]
    number = errorcode.get(first.errno, str(first.errno))
    steps = records.of(Phase)
    where = f", in step '{steps[-1].name}'" if steps else ""
    return f"{first.what}: {first.text} ({number}){where}"


def refused_event(records: Records) -> str:
    """What the kernel refused that a scenario may lack, with its errno; empty if nothing."""
    refused = records.of(Refused)
    if not refused:
        return ""
    first = refused[0]
    number = errorcode.get(first.errno, str(first.errno))
    return f"the kernel refused {first.name}: {first.text} ({number})"


def _reached(records: Records) -> int:
    """How far a probe came: events opened, steps begun, interruptions timed."""
    return sum(len(records.of(kind)) for kind in (Event, Phase, Interruption, Answered))


def _got_past(theirs: Records, mine: Records) -> bool:
    """True if the reference's same guest was answered where this one was refused."""
    stuck = failed_call(theirs) or refused_event(theirs)
    return _reached(theirs) > _reached(mine) or (theirs.complete and not stuck)


def _expected_answer(scenario: Scenario, what: str, version: str) -> Answer | None:
    """What a kernel answers to a call by what is known of it; None where no one asked."""
    verb, _, name = what.partition(" ")
    answers = scenario.answers.get(what, ())
    if verb == "open" and not answers:
        answers = scenario.answers_to_open(name)
    return answer_for(answers, version) if answers else None


def _wrong_answers(observation: Observation) -> list[str]:
    """Calls that the kernel took or refused otherwise than its version does."""
    faults = []
    for answered in observation.records.of(Answered):
        wanted = _expected_answer(observation.scenario, answered.what, observation.version)
        if wanted is not None and wanted.errno != answered.errno:
            number = errorcode.get(answered.errno, str(answered.errno))
            said = f"refused with {number}" if answered.errno else "taken"
            faults.append(f"{answered.what}: {said}, not {wanted.said} ({wanted.source})")
    return faults


def _answers(records: Records) -> dict[str, set[int]]:
    """The errno values that each call was answered with."""
    found: dict[str, set[int]] = {}
    for answered in records.of(Answered):
        found.setdefault(answered.what, set()).add(answered.errno)
    return found


def _other_answers(observation: Observation, reference: Observation | None) -> list[str]:
    """Calls of which nothing is known, and which the reference answers otherwise."""
    theirs = _answers(reference.records) if reference else {}
    return [
        f"{what}: {_named(mine)}, by the reference {_named(theirs[what])}"
        for what, mine in _answers(observation.records).items()
        if mine != theirs.get(what, mine)
        and _expected_answer(observation.scenario, what, observation.version) is None
    ]


def _named(errors: set[int]) -> str:
    said = (f"refused with {errorcode.get(error, error)}" if error else "taken" for error in errors)
    return " and ".join(sorted(said))


def judge_calls(observation: Observation, reference: Observation | None) -> Verdict:
    """The kernel refuses no call that its reference allows, in the same step of the same guest.

    Where the answer is the question, the scenario knows what each kernel says; where all may be
    refused (`tolerant`), the reference does.

    Where there is no reference, or it does not get past that call either, nobody says that
    the kernel should allow it: an event that a scenario may lack is no fault, and what else
    a probe cannot do without is an error of the scenario on this kernel.
    """
    records = observation.records
    failed, refused = failed_call(records), refused_event(records)
    metrics: dict[str, int | float] = {"calls": _reached(records)}
    if not failed and not refused and not metrics["calls"]:
        return inconclusive(CALLS, "no call was made", _EXPECTED)
    wrong = _wrong_answers(observation) + _other_answers(observation, reference)
    if not failed and not refused:
        said = f"{len(wrong)} calls answered otherwise" if wrong else "every call answered"
        return verdict(CALLS, wrong, measured=said, expected=_EXPECTED, metrics=metrics)
    said = failed or refused
    if reference and _got_past(reference.records, records):
        fault = f"{said}; the reference's same guest got past that"
        return verdict(CALLS, [fault, *wrong], measured=said, expected=_EXPECTED, metrics=metrics)
    lacking = bool(refused) and records.of(Refused)[0].name in observation.scenario.may_lack
    return Verdict(
        check=CALLS,
        status=Status.PASS if lacking else Status.ERROR,
        measured=f"{said}, which the scenario allows" if lacking else said,
        expected=_EXPECTED,
        metrics=metrics,
    )


def judge_answers(observation: Observation, _: Observation | None) -> Verdict:
    """Each call that is a question gets the answer that the scenario has for this kernel."""
    expected = "each call taken or refused as this kernel's release has it"
    got = observation.records.of(Answered)
    faults = _wrong_answers(observation)
    if not got:
        return inconclusive(ANSWERS, "no call was a question", expected)
    return verdict(
        ANSWERS,
        faults,
        measured=f"{len(got) - len(faults)} of {len(got)} answers as expected",
        expected=expected,
        metrics={"answers": len(got), "wrong": len(faults)},
    )


CHECKS = (
    Check(
        CALLS,
        "Does the kernel allow what its reference allows?",
        judge_calls,
        Property("calls", most=FEW),
    ),
    Check(
        ANSWERS,
        "Is each call taken or refused as this release has it?",
        judge_answers,
        Property("answers", most=FEW),
    ),
)
