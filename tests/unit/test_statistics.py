# SPDX-License-Identifier: MIT
"""Exact tests and intervals, against tables and against scipy."""

import subprocess
import sys

import pytest
from scipy.stats import binom, mannwhitneyu, wilcoxon

from harness.verdict.statistics import (
    LEAST_VALUES,
    location,
    most_violations,
    p_larger,
    p_outside,
    proportion,
    shift,
)


def test_no_violation_in_59_is_less_than_one_in_20():
    """The rule of three, exactly: 0.95 ** 59 < 0.05 < 0.95 ** 58."""
    assert most_violations(0, 59) < 0.05 < most_violations(0, 58)
    assert most_violations(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert binom.cdf(2, 20, most_violations(2, 20)) == pytest.approx(0.05)


def test_six_of_six_is_more_than_half_and_five_of_five_is_not():
    interval, p = proportion(6, 6)
    assert interval.low == pytest.approx(0.025 ** (1 / 6))
    assert (interval.high, interval.estimate) == (1, 1)
    assert p == pytest.approx(2 / 64)
    five, p = proportion(5, 5)
    assert five.low < 0.5 and p > 0.05


def test_six_values_have_an_interval_and_five_have_none():
    interval = location([1, 2, 3, 4, 5, 6])
    assert (interval.low, interval.high, interval.estimate) == (1, 6, 3.5)
    assert location([1, 2, 3, 4, 5]) is None
    assert LEAST_VALUES == 6


def test_the_interval_is_what_the_signed_rank_test_does_not_reject():
    values = [0.3137, 1.1719, -0.4331, 2.2113, 0.9173, 1.7311, 0.1097, 1.3471, 0.7559, -1.0523]
    interval = location(values)
    for place, inside in (
        (interval.low - 1e-9, False),
        (interval.low + 1e-9, True),
        (interval.high - 1e-9, True),
        (interval.high + 1e-9, False),
    ):
        p = wilcoxon([value - place for value in values], method="exact").pvalue
        assert bool(p > 0.05) is inside
    assert interval.low < interval.estimate < interval.high


def test_the_shift_is_what_the_rank_sum_test_does_not_reject():
    mine, theirs = (
        [5.1137, 6.3719, 7.7331, 8.0511, 9.2173, 4.4313],
        [1.2311, 3.3097, 5.5471, 2.1559, 4.7523],
    )
    interval = shift(mine, theirs)
    for place, inside in (
        (interval.low - 1e-9, False),
        (interval.low + 1e-9, True),
        (interval.high - 1e-9, True),
        (interval.high + 1e-9, False),
    ):
        p = mannwhitneyu([value - place for value in mine], theirs, method="exact").pvalue
        assert bool(p > 0.05) is inside


def test_three_against_three_decide_nothing():
    assert shift([1, 2, 3], [4, 5, 6]) is None
    assert shift([1, 2, 3, 4], [5, 6, 7, 8]) is not None


def test_equal_values_are_no_interval_of_width():
    assert location([2.0] * 8).low == location([2.0] * 8).high == 2
    assert shift([2.0] * 8, [1.0] * 8).estimate == 1


@pytest.mark.parametrize(
    ("values", "small"), [([0.0] * 8, True), ([0.5, -0.5] * 4, True), ([1.5] * 8, False)]
)
def test_p_of_equivalence(values, small):
    assert (p_outside(values, 1) < 0.025) is small


@pytest.mark.parametrize(("by", "small"), [(2, True), (0, False)])
def test_p_of_no_more(by, small):
    assert (p_larger([11, 12, 13, 14, 15, 16], [11, 12, 13, 14, 15, 16.5], by * 3) < 0.05) is small


def test_who_needs_no_statistics_does_not_pay_for_them():
    code = "import sys, harness.cli; sys.exit('scipy' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
