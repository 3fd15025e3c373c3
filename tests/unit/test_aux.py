# SPDX-License-Identifier: MIT
"""AUX buffers and what samples have of memory, cgroups and traces: captures, falsified."""

import pytest

from harness.guest.aux_records import NO_WORDS, OVERWRITE, TRUNCATED, Aux, TraceWords
from harness.guest.pmu_records import Cgroup
from harness.guest.records import Read, Sample, Sideband
from harness.model import Status
from tests.unit.changes import a, again, every, fault, judge, nth, undecided, without

TRACE = "6.12/aux-trace"
NEWEST = "6.12/aux-newest"
GROUPS = "6.12/aux-groups"
PARTS = "6.12/sample-parts"
STRETCH = a(Aux, what="stretch")
LOOK = a(Aux, what="newest")


def _later(name):
    """A field with one more than it was."""
    return lambda record: getattr(record, name) + 1


# --- buffer.aux --------------------------------------------------------------


def test_a_trace_is_followed_word_by_word(observe):
    found = judge("buffer.aux", observe(TRACE))
    assert found.status is Status.PASS and found.metrics["stretches"] == 6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (nth(2, STRETCH, words=TraceWords(180, 1021, 1200, 0)), "1020 was due"),
        (nth(2, STRETCH, words=TraceWords(180, 1020, 1199, 1)), "1 of them out of order"),
        (nth(1, STRETCH, offset=840), "begins 40 bytes behind the one before"),
        (nth(1, STRETCH, offset=896), "begins 96 bytes behind the one before"),
        (nth(3, STRETCH, offset=9600), "begins -32 bytes behind the one before"),
        (nth(3, STRETCH, flags=OVERWRITE), "is said to be written over"),
        (nth(5, STRETCH, flags=0), "has the flags 0x0"),
        (nth(3, STRETCH, flags=TRUNCATED), "has the flags 0x1"),
        (nth(0, STRETCH, size=9000), "goes beyond the watermark"),
        (without(STRETCH, 5), "words are in the buffer"),
        (without(a(Sideband, what="trace-begins"), 1), "records say that it begins, 4 times"),
        (again(0, a(Sideband, what="trace-begins")), "records say that it begins, 4 times"),
        (nth(0, a(Sideband, what="trace-begins"), who=(44, 45)), "is told of thread 45"),
    ],
)
def test_a_trace_that_is_told_wrongly(observe, change, said):
    assert said in fault("buffer.aux", observe(TRACE, change))


def test_stretches_that_end_for_no_reason(observe):
    """More of them than watermarks, truncations and stops."""
    assert judge("buffer.aux", observe(GROUPS)).status is Status.PASS
    said = fault("buffer.aux", observe(GROUPS, *[again(0, STRETCH)] * 90))
    assert "stretches end early, of" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (nth(1, STRETCH, flags=0), "has the flags 0x0"),
        (nth(1, STRETCH, offset=4392), "does not follow 800"),
        (without(STRETCH, 3), "words were told of, 1251 were counted"),
        (
            nth(1, LOOK, words=TraceWords(512, 737, 1248, 0)),
            "newest of 1250 words are 512, 737",
        ),
        (nth(1, LOOK, words=TraceWords(512, 738, 1249, 1)), "1 out of order"),
        (nth(0, LOOK, words=NO_WORDS), "the newest of 100 words are 0"),
    ],
)
def test_a_trace_that_is_written_over(observe, change, said):
    assert judge("buffer.aux", observe(NEWEST)).status is Status.PASS
    assert said in fault("buffer.aux", observe(NEWEST, change))


def test_a_trace_and_work_of_one_group_are_as_much(observe):
    last = nth(-1, a(Read, id=2), counts=lambda r: ((2, 1251), (3, 1252), (4, 1251)))
    assert "1251 words of 1252 units of work" in fault("buffer.aux", observe(NEWEST, last))


def test_nothing_traced_decides_nothing(observe):
    none = [without(a(Aux)), without(a(Sideband))]
    events = every(a(Read, id=2), counts=lambda r: ((2, 0),))
    gone = without(lambda r: getattr(r, "call", "") == "add" and r.id == 2)
    assert undecided("buffer.aux", observe(TRACE, *none, events, gone)) == "nothing was traced"


# --- contexts.work -----------------------------------------------------------


def test_a_trace_that_is_full_is_to_be_enabled_again(observe):
    """6.12 leaves it enabled: erratum full-trace-stays-enabled."""
    said = fault("contexts.work", observe(TRACE))
    assert "trace (id 2) had counted 3243 by TIME; 3245 units of work were its own" in said


def test_a_trace_that_goes_on_when_it_is_enabled(observe):
    mended = [
        nth(place, a(Read, id=2), counts=((2, 3245),)) for place in (-3, -2, -1)
    ]  # fmt: skip
    assert judge("contexts.work", observe(TRACE, *mended)).status is Status.PASS


# --- sampling.contents -------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (nth(3, a(Sample, id=2), physical=_later("physical")), "has the physical address"),
        (nth(3, a(Sample, id=2), physical=0), "has the physical address 0x0"),
        (nth(3, a(Sample, id=2), data_page=2 << 20), "is of pages of 2097152 and 4096 bytes"),
        (nth(3, a(Sample, id=2), weight=5), "knows of hardware: 0x5"),
        (nth(3, a(Sample, id=2), source=0), "knows of hardware: 0x0, 0x0, 0x0"),
        (nth(3, a(Sample, id=2), interrupted=7), "has 7 registers, not 8"),
        (nth(3, a(Sample, id=3), raw=0), "has 0 bytes of its tracepoint"),
        (nth(3, a(Sample, id=3), raw=_later("raw")), "bytes of its tracepoint"),
        (nth(3, a(Sample, id=4), cgroup=7), "is of cgroup 7, not 1"),
        (nth(-1, a(Sample, id=4), cgroup=1), "is of cgroup 1, not"),
        (every(a(Cgroup), tid=1), "is of cgroup"),
    ],
)
def test_samples_that_say_what_is_not_so(observe, change, said):
    assert judge("sampling.contents", observe(PARTS)).status is Status.PASS
    assert said in fault("sampling.contents", observe(PARTS, change))


def test_a_sample_has_what_was_traced_until_then(observe):
    cut = nth(2, a(Sample, id=4), aux=TraceWords(31, 419, 449, 0))
    assert "has 31 traced words" in fault("sampling.contents", observe(NEWEST, cut))
    mixed = nth(2, a(Sample, id=4), aux=TraceWords(32, 418, 449, 2))
    assert "2 out of order" in fault("sampling.contents", observe(NEWEST, mixed))


# --- what members of a group lost --------------------------------------------


def test_each_member_tells_its_own_losses(observe):
    assert judge("sampling.account", observe("6.12/ring-lost-group")).status is Status.PASS

    def leaders(record):
        return tuple((event, record.lost[0][1]) for event, _ in record.lost)

    wrong = every(a(Read, id=2, lost=lambda lost: len(lost) == 3), lost=leaders)
    assert "second (id 3)" in fault("sampling.account", observe("6.12/ring-lost-group", wrong))
