# SPDX-License-Identifier: MIT
"""Rings and the kernel's own records: observations that are made here, right and wrong."""

import pytest

from harness.guest.pmu_records import Answered
from harness.guest.records import (
    Event,
    Phase,
    Polled,
    Read,
    Records,
    Sample,
    Sideband,
    Signals,
    TaskStart,
)
from harness.model import Status
from tests.unit.changes import a, fault, judge, nth, undecided, without

BACKWARD = "ring-backward"
POLL = "ring-poll"
TASKS = "task-records"


def _event(number: int, name: str, **what) -> Event:
    given = {
        "kind": "event", "name": name, "id": number, "leader": number, "task": "self", "cpu": -1,
        "cgroup": "", "type": 2, "config": 1, "period": 1, "frequency": 0,
        "exclude_kernel": False, "exclude_user": False, "pinned": False, "exclusive": False,
        "inherit": False,
    }  # fmt: skip
    return Event.model_validate(given | what)


def _sample(number: int, count: int, time: int, period: int = 1) -> Sample:
    return Sample(
        kind="sample", id=number, stream=number, tid=5, cpu=0, time=time, period=period,
        enabled=time, running=time, counts=((number, count),),
    )  # fmt: skip


def _read(number: int, count: int, time: int) -> Read:
    return Read(
        kind="read", id=number, time=time, phase=0, enabled=time, running=time,
        counts=((number, count),),
    )  # fmt: skip


def _phase(name: str, time: int, task: str = "main") -> Phase:
    return Phase(kind="phase", phase=0, name=name, time=time, task=task)


# --- buffer.newest -----------------------------------------------------------

ROOM = 4096 // 96


@pytest.fixture
def backward(observe):
    """A ring of a page, of 500 samples of which it has the newest."""
    records = [
        _event(2, "target"),
        _phase("syscalls counting 500", 10),
        _read(2, 500, 9000),
        *(_sample(2, 500 - back, 8000 - back) for back in range(ROOM)),
    ]

    def make(*changes):
        return observe(Records(records), *changes, scenario=BACKWARD)

    return make


def test_the_newest_samples_are_kept(backward):
    found = judge("buffer.newest", backward())
    assert found.status is Status.PASS and found.metrics["samples"] == ROOM


def test_newest_first_is_no_time_that_goes_back(backward):
    assert judge("identity.source", backward()).status is Status.PASS
    assert judge("sampling.account", backward()).status is Status.PASS


@pytest.mark.parametrize("place", [0, 7])
def test_a_sample_that_was_left_out(backward, place):
    said = fault("buffer.newest", backward(without(a(Sample), place)))
    assert f"{ROOM - 1} samples where {ROOM} were due; that before {place} newer ones" in said


def test_a_sample_that_was_kept_too_long(backward):
    wrong = nth(-1, a(Sample), counts=((2, 3),))
    assert f"is at 3, not at {500 - ROOM + 1}" in fault("buffer.newest", backward(wrong))


def test_where_nothing_is_written_backward_there_is_no_answer(backward):
    assert undecided("buffer.newest", backward(without(a(Read)))) == "no ring was written backward"


# --- buffer.wakeup -----------------------------------------------------------


@pytest.fixture
def polled(observe):
    """Two polls for each of twelve samples, of which each fifth wakes."""
    records = [_event(2, "target"), _phase("poll target", 1)]
    for number in range(1, 13):
        records.append(_sample(2, number, 100 * number))
        woken = 1 if number % 5 == 0 else 0
        records.append(Polled(kind="poll", id=2, revents=woken, time=100 * number + 10))
        records.append(Polled(kind="poll", id=2, revents=0, time=100 * number + 20))

    def make(*changes):
        return observe(Records(records), *changes, scenario=POLL)

    return make


def test_each_fifth_sample_wakes_once(polled):
    found = judge("buffer.wakeup", polled())
    assert found.status is Status.PASS and found.metrics["answers"] == 24


@pytest.mark.parametrize(("place", "says"), [(8, 0), (9, 1), (2, 1), (23, 1)])
def test_a_reader_that_is_woken_otherwise(polled, place, says):
    said = fault("buffer.wakeup", polled(nth(place, a(Polled), revents=says)))
    assert f"says {says:#x}" in said


@pytest.mark.parametrize(("place", "says"), [(0, 16), (1, 0)])
def test_an_event_hangs_up_when_its_task_has_ended_and_not_before(observe, place, says):
    records = [
        _event(2, "others", type=1, task="worker"),
        _phase("poll others", 10),
        Polled(kind="poll", id=2, revents=0, time=11),
        _phase("wait worker", 20),
        _phase("poll others", 30),
        Polled(kind="poll", id=2, revents=16, time=31),
    ]
    right = observe(Records(records), scenario=POLL)
    assert judge("buffer.wakeup", right).status is Status.PASS
    wrong = observe(Records(records), nth(place, a(Polled), revents=says), scenario=POLL)
    assert f"says {says:#x}; worker had " in fault("buffer.wakeup", wrong)


def test_who_is_not_asked_says_nothing(polled):
    assert undecided("buffer.wakeup", polled(without(a(Polled)))) == "no event was polled"


# --- records.tasks -----------------------------------------------------------


def _told(what: str, tid: int, time: int, **more) -> Sideband:
    given = {
        "kind": "sideband", "what": what, "id": 2, "stream": 2, "pid": tid, "tid": tid, "cpu": 0,
        "time": time, "who": (tid, tid),
    }  # fmt: skip
    return Sideband.model_validate(given | more)


@pytest.fixture
def tasks(observe):
    """worker (11) makes first (12) and runs exec; both end."""
    records = [
        _event(2, "told", task="worker", cpu=0, inherit=True, type=1, config=9, period=0),
        TaskStart(kind="task", name="main", tid=10, time=1),
        TaskStart(kind="task", name="worker", tid=11, time=2),
        _phase("fork first", 10, "worker"),
        TaskStart(kind="task", name="first", tid=12, time=12),
        _phase("user 2", 13, "first"),
        _phase("exec", 20, "worker"),
        _phase("user 2", 30, "worker"),
        _told("fork", 11, 11, who=(12, 12), parent=(11, 11)),
        _told("switch", 11, 12, out=True),
        _told("switch", 12, 12),
        _told("exit", 12, 18, parent=(11, 11)),
        _told("switch", 11, 19),
        _told("comm", 11, 21, out=True, text="drive"),
        _told("mmap", 11, 22, text="/probes/drive"),
        _told("exit", 11, 40, parent=(10, 10)),
    ]

    def make(*changes):
        return observe(Records(records), *changes, scenario=TASKS)

    return make


def test_all_that_tasks_do_is_told(tasks):
    found = judge("records.tasks", tasks())
    assert found.status is Status.PASS and found.metrics["records"] == 8


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("fork", "0 records of how worker made first, 1 were due"),
        ("exit", "0 records of the end of first, 1 were due"),
        ("comm", "0 records of the name of worker after exec, 1 were due"),
        ("mmap", "no mapping of drive by worker at TIME"),
    ],
)
def test_what_is_not_told(tasks, gone, said):
    assert said in fault("records.tasks", tasks(without(a(Sideband, what=gone))))


def test_a_switch_that_is_not_told(tasks):
    wrong = nth(0, a(Sideband, what="switch"), out=False)
    assert "thread 11 was switched in at TIME and again at TIME" in fault(
        "records.tasks", tasks(wrong)
    )


@pytest.mark.parametrize("what", ["comm", "mmap", "fork"])
def test_who_tells_of_another_one(tasks, what):
    wrong = nth(0, a(Sideband, what=what), tid=12)
    assert "is told by thread 12" in fault("records.tasks", tasks(wrong))


def test_an_event_of_which_nothing_is_told_says_nothing(tasks):
    none = without(a(Event))
    assert undecided("records.tasks", tasks(none)) == "no event was to tell of tasks"


# --- sampling.contents, sampling.sigtrap -------------------------------------

USER_CHAIN = (2**64 - 512, 0x400000, 0x400100)
KERNEL_CHAIN = (2**64 - 128, 2**64 - 4096)


@pytest.fixture
def contents(observe):
    """A cycles event in user space and in the kernel, page faults, and a breakpoint."""
    inside = {"registers": 8, "stack": 256}
    cycles = [
        _sample(2, 1, 10).model_copy(
            update={"mode": 2, "ip": 0x400000, "chain": USER_CHAIN, **inside}
        ),
        _sample(2, 2, 20).model_copy(
            update={"mode": 1, "ip": 2**64 - 4096, "chain": KERNEL_CHAIN, **inside}
        ),
    ]
    faults = [
        _sample(4, n, 30 + n).model_copy(
            update={"mode": 2, "ip": 0x400000, "address": 0x7000 + (n << 12), "registers": 8}
        )
        for n in range(1, 4)
    ]
    touches = [
        _sample(6, 3 * n, 40 + n).model_copy(
            update={"mode": 2, "ip": 0x400000, "address": 0x5008, "chain": USER_CHAIN}
        )
        for n in range(1, 3)
    ]
    records = [
        _event(2, "cycles", type=0, config=0, period=200000),
        _event(4, "fault", type=1, config=2),
        _event(6, "touch", type=5, config=0, period=3),
        *cycles,
        *faults,
        *touches,
    ]

    def make(*changes):
        return observe(Records(records), *changes, scenario="sample-contents")

    return make


def test_contents_that_fit(contents):
    found = judge("sampling.contents", contents())
    assert found.status is Status.PASS and found.metrics["samples"] == 7


@pytest.mark.parametrize(
    ("event", "update", "said"),
    [
        (2, {"mode": 0}, "is of mode 0, neither the kernel's nor the user's"),
        (2, {"ip": 2**64 - 8}, "is of mode 2, at 0xfffffffffffffff8"),
        (2, {"ip": 0}, "is of mode 2, at 0x0"),
        (2, {"chain": KERNEL_CHAIN}, "at 0x400000 has the chain 0xffffffffffffff80"),
        (2, {"chain": USER_CHAIN[:1]}, "at 0x400000 has the chain 0xfffffffffffffe00"),
        (2, {"registers": 0}, "has 0 registers, not 8"),
        (2, {"stack": 0}, "has 0 bytes of the stack, not up to 256"),
        (4, {"address": 0}, "1 samples without an address"),
        (4, {"address": 0x9010}, "1 pages that were faulted in twice"),
        (6, {"address": 0x5010}, "2 addresses of one breakpoint"),
    ],
)
def test_contents_that_do_not_fit(contents, event, update, said):
    assert said in fault("sampling.contents", contents(nth(0, a(Sample, id=event), **update)))


def test_samples_without_more_are_not_looked_at(contents):
    none = undecided("sampling.contents", contents(without(a(Sample))))
    assert none == "no sample has more than all have"


@pytest.fixture
def traps(observe):
    records = [
        _event(2, "call"),
        _event(3, "fault", type=1, period=10),
        _read(2, 70, 100),
        _read(3, 105, 101),
        Signals.model_validate({"kind": "signals", "id": 2, "in": 70, "hup": 0}),
        Signals.model_validate({"kind": "signals", "id": 3, "in": 10, "hup": 0}),
    ]

    def make(*changes):
        return observe(Records(records), *changes, scenario="sigtrap")

    return make


def test_a_trap_for_each_overflow(traps):
    found = judge("sampling.sigtrap", traps())
    assert found.status is Status.PASS and found.metrics["overflows"] == 80


def test_traps_that_went_to_another_event(traps):
    said = fault("sampling.sigtrap", traps(nth(0, a(Signals), arrived=80)))
    assert said == "call (id 2) overflowed 70 times, and gave 80 SIGTRAP"


def test_no_trap_at_all(traps):
    said = fault("sampling.sigtrap", traps(without(a(Signals))))
    assert "fault (id 3) overflowed 10 times, and gave 0 SIGTRAP" in said


def test_without_an_overflow_nothing_is_due(traps):
    assert undecided("sampling.sigtrap", traps(without(a(Event)))) == "no event was to trap"


def test_a_kernel_before_sigtrap_is_skipped(traps):
    asked = Answered(kind="answer", what="open call", errno=22, time=1)
    old = traps(without(a(Event)), lambda records: [*records, asked])
    found = judge("sampling.sigtrap", old)
    assert found.status is Status.SKIP
    assert found.measured == "the kernel has no such event: open call refused"
