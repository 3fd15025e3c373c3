# SPDX-License-Identifier: MIT
"""The register trace: its lines, and the check that lays it beside the callback log."""

from statistics import quantiles

import pytest

from harness.checks.sightings import SLACK_NS, programmings, sightings
from harness.checks.trace import ticks
from harness.guest.callback_records import Callback
from harness.guest.records import RecordsError, parse
from harness.guest.trace import accesses
from harness.guest.trace_records import Access, Interrupt, Overflow, Rdpmc
from harness.model import Status
from tests.unit.changes import a, again, call, every, fault, judge, nth, undecided, without

AMD, INTEL = "6.12@x86_64-tcg/register-trace", "6.12@x86_64-tcg-intel/register-trace"
MOVED = "6.12+pre-callbacks@x86_64-tcg-core/register-trace"
BOTH = pytest.mark.parametrize("capture", [AMD, INTEL])
LINES = b"""\
x86_pmu_write cpu 0 time 369553941 msr 0xc0010004 counter 0 value 0x800000000001
x86_pmu_read cpu 1 time 369571374 msr 0xc0010000 select 0 value 0x5100c0
x86_pmu_write cpu 0 time 378001656 msr 0x38f control 0 value 0x70000000f
x86_pmu_rdpmc cpu 0 time 369572062 counter 32 value 0x80000000176a
x86_pmu_overflow cpu 0 time 384456013 counter 2 value 0x0
x86_pmu_interrupt cpu 0 time 384456013
"""


def test_each_line_of_a_trace_is_a_record():
    found = accesses(LINES)
    place = {"cpu": 0, "time": 384456013}
    assert [type(one) for one in found] == [Access, Access, Access, Rdpmc, Overflow, Interrupt]
    assert found[0] == Access(
        access="write",
        cpu=0,
        time=369553941,
        msr=0xC0010004,
        role="counter",
        counter=0,
        value=0x800000000001,
    )
    assert (found[1].access, found[1].cpu, found[1].role) == ("read", 1, "select")
    assert (found[2].role, found[2].msr) == ("control", 0x38F)
    assert found[3] == Rdpmc(cpu=0, time=369572062, counter=32, value=0x80000000176A)
    assert found[4:] == [Overflow(**place, counter=2, value=0), Interrupt(**place)]


def test_a_trace_is_read_again_from_the_records():
    found = accesses(LINES)
    lines = "".join(f"{record.model_dump_json()}\n" for record in found)
    assert parse(lines.encode()).all == found


def test_an_empty_trace_has_no_records():
    assert accesses(b"") == []


@pytest.mark.parametrize(
    "line",
    [
        b"x86_pmu_write cpu 0 time 1 msr 0xc0010004 counter 0 value",
        b"x86_pmu_write cpu 0 time 1 msr 0xc0010004 something 0 value 0x1",
        b"x86_pmu_write cpu 0 time 1 counter 0 value 0x1",
        b"x86_pmu_interrupt cpu 0 time 1 counter 0 value 0x1",
        b"x86_pmu_overflow cpu -1 time 1 counter 0 value 0x1",
        b"x86_pmu_nonsense cpu 0 time 1",
        b"qemu-system-x86_64: warning",
        b"\xff\xfe",
        b"",
    ],
)
def test_what_is_no_line_of_a_trace_is_shown(line):
    with pytest.raises(RecordsError, match="line 7 of the register trace is not one") as raised:
        accesses(LINES + line + b"\n")
    assert line.decode(errors="replace").replace("\ufffd", "") in str(raised.value)


def test_a_long_line_is_shown_in_part():
    with pytest.raises(RecordsError) as raised:
        accesses(b"x" * 10_000)
    assert len(str(raised.value)) < 300


def write(role, **wanted):
    """A write that the machine saw."""
    return a(Access, access="write", role=role, **wanted)


def target_of(observation):
    return observation.records.event("target").id


def counter_of(observation):
    """The target's counter, and when the machine saw it programmed, tick by tick."""
    seen = sightings(observation.records, 2 * (observation.machine.largest_left + 1))
    (counter,) = {c.idx[1] for c, _ in seen.pairs if c.id == target_of(observation) and c.tick}
    return counter, [write.time for c, write in seen.pairs if c.tick]


@BOTH
def test_every_programming_is_seen(observe, capture):
    observation = observe(capture)
    seen = sightings(observation.records, 2 * (observation.machine.largest_left + 1))
    assert len(seen.pairs) == len(programmings(observation.records)) > 100
    assert not seen.unseen
    assert all((w.value - c.prev[1]) % 2**31 == 0 for c, w in seen.pairs)
    found = ticks(observation.records, seen)
    assert len(found) == 100
    assert all(len(tick.pairs) == 1 for tick in found)


@BOTH
def test_the_clocks_differ_as_the_docstring_says(observe, capture):
    """The observer's stamp is near the write; from start to start the offset hardly moves."""
    observation = observe(capture)
    seen = sightings(observation.records, 2 * (observation.machine.largest_left + 1))
    starts = [(c.time, w.time - c.time) for c, w in seen.pairs if c.call == "start"]
    ahead = [offset for _, offset in starts]
    drift = (ahead[-1] - ahead[0]) / (starts[-1][0] - starts[0][0])
    assert abs(drift) < 1 / 2048
    low, *_, high = quantiles(
        [offset - ahead[0] - drift * (time - starts[0][0]) for time, offset in starts], n=10
    )
    assert high - low < 200
    assigns = [w.time - c.time for c, w in seen.pairs if c.call == "assign"]
    assert max(abs(offset - ahead[0]) for offset in assigns) < SLACK_NS / 2


@BOTH
def test_a_value_that_the_log_does_not_say(observe, capture):
    target = target_of(observe(capture))
    wrong = call("start", target, tick=True)
    said = fault(
        "retention.trace", observe(capture, nth(5, wrong, prev=lambda c: (0, c.prev[1] + 1000)))
    )
    assert "log: start programmed counter " in said
    assert "; trace: 0x" in said and said.endswith("was written")
    assert said.startswith(f"target (id {target}) on CPU 0 at TIME: ")
    assert len(said.splitlines()) == 1


@BOTH
def test_every_value_is_another_one_and_still_they_meet(observe, capture):
    target = target_of(observe(capture))
    off = every(call("start", target, tick=True), prev=lambda c: (0, c.prev[1] + 1000))
    verdict = judge("retention.trace", observe(capture, off))
    assert (verdict.metrics["faults"], verdict.metrics["unseen"]) == (100, 0)


@BOTH
def test_a_programming_that_the_machine_did_not_see(observe, capture):
    counter, times = counter_of(observe(capture))
    gone = without(write("counter", counter=counter, time=times[7]))
    said = fault("retention.trace", observe(capture, gone))
    assert f"programmed counter {counter} to 0x" in said
    assert "trace: nothing was written to it" in said


@BOTH
def test_a_write_to_a_neighbour(observe, capture):
    counter, times = counter_of(observe(capture))
    own = write("counter", counter=counter, time=times[7])
    twice = again(0, own, counter=3, time=times[7] + 10, value=0x1234)
    assert fault("retention.trace", observe(capture, twice)) == (
        f"in the tick of CPU 0 at TIME: log: the tick programmed counter {counter}; "
        "trace: 0x1234 was written to counter 3"
    )


@BOTH
def test_the_same_write_twice(observe, capture):
    counter, times = counter_of(observe(capture))
    twice = again(0, write("counter", counter=counter, time=times[7]), time=times[7] + 10)
    said = fault("retention.trace", observe(capture, twice))
    assert said.endswith(f"was written to counter {counter}")


def test_an_overflow_explains_a_write_once(observe):
    counter, times = counter_of(observe(AMD))
    own = write("counter", counter=counter, time=times[7])
    twice = again(0, own, counter=3, time=times[7] + 20)

    def overflown(records):
        place = next(i for i, record in enumerate(records) if own(record))
        here = Overflow(cpu=0, time=times[7], counter=3, value=0)
        return [*records[:place], here, *records[place:]]

    assert judge("retention.trace", observe(AMD, twice, overflown)).status is Status.PASS
    thrice = again(0, write("counter", counter=3, time=times[7] + 20), time=times[7] + 30)
    said = fault("retention.trace", observe(AMD, twice, overflown, thrice))
    assert said.endswith("was written to counter 3")


def test_an_interrupt_just_before_a_tick_programs_the_same(observe):
    """As of a counter that did not count in between: each write has its own explanation."""
    counter, times = counter_of(observe(AMD))
    own = write("counter", counter=counter, time=times[7])

    def reloaded(records):
        place = next(i for i, record in enumerate(records) if own(record))
        before = times[7] - 6000
        here = Overflow(cpu=0, time=before - 500, counter=counter, value=0)
        handlers = records[place].model_copy(update={"time": before})
        return [*records[:place], here, handlers, *records[place:]]

    assert judge("retention.trace", observe(AMD, reloaded)).status is Status.PASS


def test_a_write_outside_a_tick_is_not_judged(observe):
    counter, times = counter_of(observe(AMD))
    own = write("counter", counter=counter, time=times[7])
    late = again(0, own, counter=3, time=times[7] + 400_000)
    assert judge("retention.trace", observe(AMD, late)).status is Status.PASS


def test_a_counter_that_is_not_enabled_again(observe):
    """AMD's select registers are all written, without and with the enable bit."""
    _, times = counter_of(observe(AMD))

    def after(time):
        return times[7] < time < times[7] + 5000

    forgotten = without(write("select", counter=1, time=after))
    assert fault("retention.trace", observe(AMD, forgotten)) == (
        "in the tick of CPU 0 at TIME: log: counter 1 runs; trace: it was not enabled again"
    )


def test_a_pmu_that_is_not_enabled_again(observe):
    """Intel's global control register has a bit for each counter."""
    _, times = counter_of(observe(INTEL))

    def after(time):
        return times[7] < time < times[7] + 5000

    lost = every(write("control", msr=0x38F, time=after), value=0x700000000)
    said = fault("retention.trace", observe(INTEL, lost))
    counters = [line.partition("counter ")[2].split()[0] for line in said.splitlines()]
    assert counters == ["0", "1", "2", "3"]


def test_a_fixed_counter_that_is_not_enabled_again(observe):
    _, times = counter_of(observe(INTEL))

    def after(time):
        return times[7] < time < times[7] + 5000

    off = again(0, write("control", msr=0x38F, time=after), msr=0x38D, value=0)
    first = nth(0, write("control", msr=0x38F, time=after), value=0xF)
    said = fault("retention.trace", observe(INTEL, first, off))
    assert "log: counter 32 runs; trace: it was not enabled again" in said


def test_a_neighbour_that_counts_something_else(observe):
    _, times = counter_of(observe(AMD))

    def after(time):
        return times[7] < time < times[7] + 5000

    other = every(write("select", counter=3, time=after), value=0x5100C2)
    said = fault("retention.trace", observe(AMD, other))
    assert "log: counter 3 was given to no event; trace: bits 0x2 of its select register" in said


def test_a_tick_that_reassigns_writes_to_a_neighbour(observe):
    """On a kernel that releases its counters; the callback log does not see it."""
    verdict = judge("retention.trace", observe(MOVED))
    assert verdict.status is Status.FAIL
    (line,) = verdict.evidence
    assert "log: the tick programmed counter 2; trace: 0x" in line
    assert line.endswith("was written to counter 4")


@BOTH
def test_witnesses_that_do_not_meet_are_an_error_that_shows_both(observe, capture):
    late = iter(range(10**6))
    scattered = every(a(Callback), time=lambda c: c.time + 7_000_000 * next(late))
    verdict = judge("retention.trace", observe(capture, scattered))
    assert verdict.status is Status.ERROR
    assert [line.partition(":")[0] for line in verdict.evidence] == ["log", "trace"]


def test_a_log_without_a_trace_is_an_error(observe):
    verdict = judge("retention.trace", observe(AMD, without(a(Access))))
    assert verdict.status is Status.ERROR
    assert verdict.evidence[1] == "trace: no counter was written"


def test_a_trace_without_a_log_decides_nothing(observe):
    assert undecided("retention.trace", observe(AMD, without(a(Callback))))


def test_where_the_clock_of_the_log_began_does_not_matter(observe):
    earlier = every(a(Callback), time=lambda c: c.time - 300_000_000)
    assert judge("retention.trace", observe(AMD, earlier)).status is Status.PASS
