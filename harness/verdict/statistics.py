# SPDX-License-Identifier: MIT
"""Exact tests of small samples, none of which assumes a distribution: scipy's, and intervals.

scipy is imported where it is first needed: it takes half a second, which a run on an
exact machine does not pay.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

CONFIDENCE = 0.95
# Fewer values cannot decide: both tails of the signed ranks of five are 2/32 > 1 - CONFIDENCE.
LEAST_VALUES = 6


@dataclass(frozen=True)
class Interval:
    """What lies between `low` and `high` at CONFIDENCE, and the one that is most likely."""

    low: float
    high: float
    estimate: float


def most_violations(violations: int, opportunities: int) -> float:
    """The upper bound of the rate of violations, at CONFIDENCE (Clopper-Pearson, one-sided).

    Without a violation that is about 3 in n.  It takes opportunities as independent.
    """
    from scipy.stats import binomtest  # noqa: PLC0415

    test = binomtest(violations, opportunities, alternative="less")
    return float(test.proportion_ci(CONFIDENCE, method="exact").high)


def proportion(violations: int, repetitions: int) -> tuple[Interval, float]:
    """(Clopper-Pearson's interval of the rate, p of the exact binomial test against one half)."""
    from scipy.stats import binomtest  # noqa: PLC0415

    test = binomtest(violations, repetitions)
    bounds = test.proportion_ci(CONFIDENCE, method="exact")
    interval = Interval(float(bounds.low), float(bounds.high), violations / repetitions)
    return interval, float(test.pvalue)


def p_more(mine: int, theirs: int) -> float:
    """p that of two counts of one rate the first is so much larger: the exact conditional test.

    Given their sum, each of the counted is the first one's with a chance of one half
    (Przyborowski and Wilenski, Biometrika 31, 1940).
    """
    from scipy.stats import binom  # noqa: PLC0415

    return float(binom.sf(mine - 1, mine + theirs, 0.5))


def location(values: Sequence[float]) -> Interval | None:
    """Where the middle of the values lies: the interval of Wilcoxon's signed-rank test.

    It goes from one Walsh average (of two values, or of one with itself) to another, as
    many from either end as the test's exact distribution has it; their median is Hodges and
    Lehmann's estimate.  None where there are too few values.  The test takes deviations to
    either side as alike; equal values make it wider than it need be.
    """
    averages = sorted(
        (one + other) / 2 for place, one in enumerate(values) for other in values[place:]
    )
    return _middle(averages, _signed_ranks(len(values)))


def shift(mine: Sequence[float], theirs: Sequence[float]) -> Interval | None:
    """By how much mine are larger than theirs: the interval of Mann and Whitney's U test.

    As that of `location`, from the differences of each pair.
    """
    differences = sorted(one - other for one in mine for other in theirs)
    return _middle(differences, _rank_sums(len(mine), len(theirs)))


def p_outside(values: Sequence[float], tolerance: float) -> float:
    """p of Wilcoxon's two one-sided tests that the middle lies outside the tolerance.

    Small where it is within: the larger one of the p of either side.
    """
    from scipy.stats import wilcoxon  # noqa: PLC0415

    def p(bound: float, alternative: str) -> float:
        off = [value - bound for value in values]
        return float(wilcoxon(off, alternative=alternative, method="exact").pvalue)

    return max(p(-tolerance, "greater"), p(tolerance, "less"))


def p_larger(mine: Sequence[float], theirs: Sequence[float], by: float) -> float:
    """p of the one-sided U test that mine are larger than theirs by so much: small if not."""
    from scipy.stats import mannwhitneyu  # noqa: PLC0415

    allowed = [value + by for value in theirs]
    return float(mannwhitneyu(mine, allowed, alternative="less", method="exact").pvalue)


def _middle(ordered: Sequence[float], ways: Sequence[int]) -> Interval | None:
    """From the kth of ordered statistics to the kth from the end, by a test's null distribution.

    `ways` is how many of all the equally likely orders there are for each value of the test's
    statistic, from 0 on; k - 1 is the largest value that is still in the tail.
    """
    tail = (1 - CONFIDENCE) / 2 * sum(ways)
    outside = sum(up_to <= tail for up_to in accumulate(ways))
    if not outside:
        return None
    number = len(ordered)
    estimate = (ordered[(number - 1) // 2] + ordered[number // 2]) / 2
    return Interval(ordered[outside - 1], ordered[number - outside], estimate)


@cache
def _signed_ranks(number: int) -> tuple[int, ...]:
    """In how many ways some of the ranks 1 to `number` sum up to 0, 1, 2, ..."""
    ways = [1] + [0] * (number * (number + 1) // 2)
    for rank in range(1, number + 1):
        for total in range(len(ways) - 1, rank - 1, -1):
            ways[total] += ways[total - rank]
    return tuple(ways)


@cache
def _rank_sums(mine: int, theirs: int) -> tuple[int, ...]:
    """In how many orders of two samples 0, 1, 2, ... pairs have mine behind theirs."""
    if not mine or not theirs:
        return (1,)
    last_mine = (0,) * theirs + _rank_sums(mine - 1, theirs)
    last_theirs = _rank_sums(mine, theirs - 1) + (0,) * mine
    return tuple(one + other for one, other in zip(last_mine, last_theirs, strict=True))
