# SPDX-License-Identifier: MIT
"""From what each repetition says to one verdict: a rule for each kind of test.

What all have in common: repetitions that skip are left out, unless all do; one that was not
measured makes an error, as it may be the one that would have shown it, unless a violation
in another decides already; witnesses that disagree in some repetitions but not in all were
upset by noise, and decide nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from harness.checks.base import (
    ANY,
    Check,
    Equivalence,
    NoMore,
    Observation,
    Property,
    Recurrence,
    Test,
    inconclusive,
)
from harness.model import NOT_MEASURED, GuestEnd, Noise, NoiseLimit, Status, Verdict
from harness.verdict.statistics import (
    CONFIDENCE,
    LEAST_VALUES,
    Interval,
    location,
    most_violations,
    p_larger,
    p_outside,
    proportion,
    shift,
)

# How a guest ends that did not get enough of the host's time, or that stands still.
_BY_TIME = (GuestEnd.HANG, GuestEnd.STALL)

Numbers = dict[str, int | float]


@dataclass(frozen=True)
class Said:
    """What a repetition says of one check; `noisy` is what of the host's noise was too much."""

    repetition: int
    verdict: Verdict
    noisy: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """The verdict's."""
        return self.verdict.status

    @property
    def lost(self) -> bool:
        """True if nothing was measured."""
        measured = self.verdict.measured
        return self.status is Status.ERROR and measured.startswith(NOT_MEASURED)


def excess(noise: Noise | None, limits: Sequence[NoiseLimit]) -> tuple[str, ...]:
    """What of the noise was beyond the limits."""
    if noise is None:
        return ()
    return tuple(text for limit in limits if (text := limit.exceeded(noise)))


# --- what one repetition says ------------------------------------------------


def judge_one(check: Check, mine: Observation, theirs: Observation | None) -> Verdict:
    """A check's verdict on one repetition; of a measurement, with the numbers as its metrics."""
    test = check.test
    if isinstance(test, Equivalence):
        return _deviations(check.name, test, mine)
    if isinstance(test, NoMore):
        return _cost(check.name, test, mine)
    return check.judge(mine, theirs)


def _deviations(check: str, test: Equivalence, mine: Observation) -> Verdict:
    tolerance = mine.machine.tolerances.get(check)
    if tolerance is None:
        return inconclusive(check, f"{mine.machine.name} has no tolerance for it", "")
    expected = f"within {tolerance:.0%} of what is expected"
    found = test.measure(mine)
    if not found:
        return inconclusive(check, "nothing was measured", expected)
    off = {name: value for name, value in found.items() if abs(value) > tolerance}
    return Verdict(
        check=check,
        status=Status.FAIL if off else Status.PASS,
        measured=", ".join(f"{name} {value:+.2%}" for name, value in found.items()),
        expected=expected,
        evidence=tuple(f"{name}: {value:+.2%}" for name, value in off.items()),
        metrics=dict(found),
    )


def _cost(check: str, test: NoMore, mine: Observation) -> Verdict:
    expected = f"{test.unit} per adjustment"
    found = test.measure(mine)
    if not found:
        return inconclusive(check, "nothing was measured", expected)
    return Verdict(
        check=check,
        status=Status.PASS,
        measured=f"{found['cost']:.0f} {expected}",
        expected=expected,
        metrics=dict(found),
    )


# --- what all of them come to ------------------------------------------------


def combine(
    check: Check, said: Sequence[Said], theirs: Sequence[Said] = (), tolerance: float = 0.0
) -> Verdict:
    """One verdict from those of all repetitions, and the reference's where there is one.

    `tolerance` is the machine's for this check.
    """
    counted = [one for one in said if one.status is not Status.SKIP]
    if not counted:
        return said[0].verdict
    found = _plain(check.test, counted)
    if found is None:
        test = check.test
        if isinstance(test, Property):
            found = _property(test, counted)
        elif isinstance(test, Recurrence):
            found = _recurrence(counted)
        elif isinstance(test, Equivalence):
            found = _equivalence(counted, tolerance)
        else:
            found = _no_more(test, counted, list(theirs), tolerance)
    return found.model_copy(update={"expected": f"{found.expected} [{check.test.name}]"})


def _plain(test: Test, said: list[Said]) -> Verdict | None:
    """The verdict of what needs no statistics: violations, errors; None where there are none."""
    violated = [one for one in said if one.status is Status.FAIL and isinstance(test, Property)]
    if violated:
        return _violation(violated, said)
    if lost := [one for one in said if one.lost]:
        return _of_some(lost, said, Status.ERROR)
    if torn := [one for one in said if one.status is Status.ERROR]:
        return _of_some(torn, said, Status.ERROR if torn == said else Status.INCONCLUSIVE)
    return None


def _result(
    like: Verdict,
    status: Status,
    measured: str,
    metrics: Mapping[str, float],
    evidence: Sequence[str] = (),
) -> Verdict:
    return like.model_copy(
        update={
            "status": status,
            "measured": measured,
            "metrics": dict(metrics),
            "evidence": tuple(evidence),
        }
    )


def _cited(said: Sequence[Said]) -> list[str]:
    """The evidence of the first of them, with its number."""
    first = said[0]
    return [f"repetition {first.repetition}: {line}" for line in first.verdict.evidence]


def _of_some(some: list[Said], said: list[Said], status: Status) -> Verdict:
    """A verdict for what some of the repetitions say."""
    first = some[0].verdict
    measured = f"{first.measured}: in {len(some)} of {len(said)} repetitions"
    numbers: Numbers = {"repetitions": len(said)}
    return _result(first, status, measured, numbers, _cited(some))


def _violation(violated: list[Said], said: list[Said]) -> Verdict:
    first = violated[0]
    return _result(
        first.verdict,
        Status.FAIL,
        f"violated in {len(violated)} of {len(said)} repetitions; "
        f"{first.repetition}: {first.verdict.measured}",
        {**first.verdict.metrics, "repetitions": len(said), "violated": len(violated)},
        _cited(violated),
    ).model_copy(update={"faults": _added_up(violated)})


def _added_up(said: Sequence[Said]) -> dict[str, int]:
    """The faults of all of them, by kind."""
    return dict(sum((Counter(one.verdict.faults) for one in said), Counter()))


def _property(test: Property, said: list[Said]) -> Verdict:
    """No violation: is that enough to say that there is next to none?"""
    passed = [one for one in said if one.status is Status.PASS]
    like = (passed or said)[0].verdict
    seen = int(sum(one.verdict.metrics[test.of] for one in passed))
    if not seen:
        nothing = Status.PASS if passed and test.most >= ANY else Status.INCONCLUSIVE
        return _result(like, nothing, like.measured, {"repetitions": len(said)})
    bound = most_violations(0, seen)
    enough = bound <= test.most
    return _result(
        like,
        Status.PASS if enough else Status.INCONCLUSIVE,
        f"0 violations in {seen} {test.of} of {len(passed)} repetitions: a rate of at most "
        f"{bound:.2%} at {CONFIDENCE:.0%}",
        {"repetitions": len(said), test.of: seen, "bound": bound},
    )


def _recurrence(said: list[Said]) -> Verdict:
    """Violated in each repetition, in none, or in some; noisy ones do not fail."""
    decided = [one for one in said if one.status in (Status.PASS, Status.FAIL)]
    failed = [one for one in decided if one.status is Status.FAIL]
    quiet = [one for one in decided if not one.noisy]
    like = (failed or decided or said)[0]
    if len(decided) < LEAST_VALUES:
        measured = f"{like.verdict.measured}: {_too_few(len(decided))}"
        return _result(like.verdict, Status.INCONCLUSIVE, measured, {"repetitions": len(said)})
    interval, p = proportion(len(failed), len(decided))
    measured = (
        f"violated in {len(failed)} of {len(decided)} repetitions, rate {interval.low:.0%} to "
        f"{interval.high:.0%}, p {p:.2g}; {like.repetition}: {like.verdict.measured}"
    )
    status, why = Status.PASS, ""
    if failed:
        everywhere = failed == decided
        status = Status.FAIL if everywhere else Status.INCONCLUSIVE
        if everywhere and len(quiet) < LEAST_VALUES:
            status, why = Status.INCONCLUSIVE, _noise(decided)
    numbers: Numbers = {"repetitions": len(decided), "violated": len(failed), "p": p}
    numbers |= {"low": interval.low, "high": interval.high}
    found = _result(like.verdict, status, measured + why, numbers, _cited(failed) if failed else [])
    return found.model_copy(update={"faults": _added_up(failed)})


def _too_few(number: int) -> str:
    return f"{number} repetitions that count, {LEAST_VALUES} decide"


def _noise(said: Sequence[Said]) -> str:
    """What the host did meanwhile, as the end of a sentence."""
    noisy = [one for one in said if one.noisy]
    reasons = dict.fromkeys(reason.split()[0] for one in noisy for reason in one.noisy)
    return f"; noise in {len(noisy)} of {len(said)} ({', '.join(reasons)})"


def _values(said: Sequence[Said], name: str) -> list[float]:
    return [one.verdict.metrics[name] for one in said if name in one.verdict.metrics]


def _told(interval: Interval) -> str:
    return f"{interval.estimate:+.2%} [{interval.low:+.2%}, {interval.high:+.2%}]"


def _equivalence(said: list[Said], tolerance: float) -> Verdict:
    """Each quantity by itself; the worst counts."""
    measured = [one for one in said if one.verdict.metrics]
    like = (measured or said)[0].verdict
    numbers: Numbers = {"repetitions": len(measured), "tolerance": tolerance}
    if not measured:
        return _result(like, Status.INCONCLUSIVE, like.measured, numbers)
    worst, texts, evidence = Status.PASS, [], []
    for name in dict.fromkeys(name for one in measured for name in one.verdict.metrics):
        having = [one for one in measured if name in one.verdict.metrics]
        status, text, found = _within(name, having, tolerance)
        worst = max(worst, status, key=list(Status).index)
        texts.append(f"{name} {text}")
        numbers |= found
        if status is not Status.PASS:
            values = ", ".join(f"{value:+.2%}" for value in _values(having, name))
            evidence.append(f"{name} in each repetition: {values}")
    return _result(like, worst, "; ".join(texts), numbers, evidence)


def _within(name: str, said: list[Said], tolerance: float) -> tuple[Status, str, Numbers]:
    """(status, what is said of it, numbers) of one quantity."""
    values = _values(said, name)
    interval = location(values)
    if interval is None:
        return Status.INCONCLUSIVE, _too_few(len(values)), {}
    p = p_outside(values, tolerance)
    text = f"{_told(interval)}, p {p:.2g}, n {len(values)}"
    numbers: Numbers = {name: interval.estimate, f"{name}.p": p}
    numbers |= {f"{name}.low": interval.low, f"{name}.high": interval.high}
    if -tolerance <= interval.low and interval.high <= tolerance:
        return Status.PASS, text, numbers
    if not _beyond(interval, tolerance):
        return Status.INCONCLUSIVE, text, numbers
    quiet = location(_values([one for one in said if not one.noisy], name))
    if quiet and _beyond(quiet, tolerance):
        return Status.FAIL, text, numbers
    return Status.INCONCLUSIVE, text + _noise(said), numbers


def _beyond(interval: Interval, tolerance: float) -> bool:
    """True if all of it is outside of the tolerance, on one side."""
    return interval.low > tolerance or interval.high < -tolerance


def _no_more(test: NoMore, said: list[Said], theirs: list[Said], tolerance: float) -> Verdict:
    """The candidate's cost against the reference's; told only, where there is none."""
    like = said[0].verdict
    mine, others = _values(said, "cost"), _values(theirs, "cost")
    if not mine:
        return _result(like, Status.INCONCLUSIVE, like.measured, {"repetitions": 0})
    cost = median(mine)
    numbers: Numbers = {"repetitions": len(mine), "cost": cost}
    if not others:
        return _result(like, Status.PASS, f"{cost:.0f} {like.expected}", numbers)
    base = median(others)
    allowed = base * tolerance
    numbers |= {"reference": base}
    like = like.model_copy(update={"expected": f"at most {base + allowed:.0f} {test.unit}"})
    found = shift(mine, others)
    if found is None:
        text = f"{cost:.0f} {test.unit}: {_too_few(min(len(mine), len(others)))}"
        return _result(like, Status.INCONCLUSIVE, text, numbers)
    p = p_larger(mine, others, allowed)
    numbers |= {"change": found.estimate, "low": found.low, "high": found.high, "p": p}
    text = (
        f"{cost:.0f} {test.unit} ({found.estimate:+.0f} [{found.low:+.0f}, {found.high:+.0f}], "
        f"p {p:.2g}, n {len(mine)} and {len(others)})"
    )
    if found.high <= allowed:
        return _result(like, Status.PASS, text, numbers)
    evidence = [_listed("candidate", mine), _listed("reference", others)]
    if found.low > allowed and _still_higher(said, theirs, allowed):
        return _result(like, Status.FAIL, text, numbers, evidence)
    why = _noise([*said, *theirs]) if found.low > allowed else ""
    return _result(like, Status.INCONCLUSIVE, text + why, numbers, evidence)


def _still_higher(said: list[Said], theirs: list[Said], allowed: float) -> bool:
    """True if the quiet repetitions alone say that the cost is too high."""
    quiet = [_values([one for one in side if not one.noisy], "cost") for side in (said, theirs)]
    found = shift(*quiet)
    return found is not None and found.low > allowed


def _listed(whose: str, values: list[float]) -> str:
    return f"{whose}, each repetition: {', '.join(f'{value:.0f}' for value in values)}"


# --- the guests themselves ---------------------------------------------------


def combine_health(said: Sequence[Said], ends: Sequence[GuestEnd]) -> Verdict:
    """Each guest gets through; one that hangs or stalls may be the host's, if others do not."""
    failed = [(one, end) for one, end in zip(said, ends, strict=True) if one.status is Status.FAIL]
    own = [one for one, end in failed if end not in _BY_TIME or len(failed) == len(said)]
    errors = [one for one in said if one.status is Status.ERROR]
    if own:
        return _violation(own, list(said))
    if errors:
        return _of_some(errors, list(said), Status.ERROR)
    if failed:
        return _of_some([one for one, _ in failed], list(said), Status.INCONCLUSIVE)
    numbers: Numbers = {"repetitions": len(said)}
    return _result(said[0].verdict, Status.PASS, f"{len(said)} of {len(said)} guests done", numbers)
