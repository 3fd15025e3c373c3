# SPDX-License-Identifier: MIT
"""Is exactly that counted which was done: harness/checks/counting.py and control.py."""

import pytest

from harness.guest.records import Event, Read, Sample, Signals, VmResult, VmWord, Work
from harness.model import Status
from tests.unit.changes import a, again, every, fault, judge, nth, shifted, undecided, without

# --- counting.exact ----------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "number", "said"),
    [
        (2, 0, "instructions (id 2) counted 7 for 1 loop, which are 6: +1, by "),
        (2, 1, "instructions (id 2) counted 2005 for 1000 loop, which are 2004: +1, by "),
        (2, 2, "instructions (id 2) counted 2000005 for 1000000 loop, which are 2000004: +1, by "),
        (3, 1, "cycles (id 3) counted 2005 for 1000 loop, which are 2004: +1, by "),
        (4, 0, "target (id 4) counted 40000005 for 20000000 loop, which are 40000004: +1, by "),
    ],
)
def test_a_loop_that_is_not_counted_exactly(observe, event, number, said):
    wrong = nth(number, a(Work, id=event), after=shifted("after", event, 1))
    verdict = judge("counting.exact", observe("6.12/exact-user", wrong))
    assert verdict.status is Status.FAIL
    assert verdict.metrics["wrong"] == len(verdict.evidence) == 1
    assert verdict.evidence[0].startswith(said)


@pytest.mark.parametrize(
    ("what", "event", "said"),
    [
        ("faults", 2, "faults (id 2) counted 999 for 1000 faults, which are 1000: -1"),
        ("faults", 3, "user (id 3) counted 999 for 1000 faults, which are 1000: -1"),
        ("kernel-faults", 2, "faults (id 2) counted 999 for 1000 kernel-faults, which are 1000: "),
        ("kernel-faults", 3, "user (id 3) counted -1 for 1000 kernel-faults, which are 0: -1"),
        ("syscalls", 4, "calls (id 4) counted 999 for 1000 syscalls, which are 1000: -1"),
        ("touches", 5, "touches (id 5) counted 999 for 1000 touches, which are 1000: -1"),
        ("touches", 6, "notouches (id 6) counted -1 for 1000 touches, which are 0: -1"),
    ],
)
def test_software_that_is_not_counted_exactly(observe, what, event, said):
    wanted = a(Work, what=what, after=lambda after: event in dict(after))
    lost = nth(0, wanted, after=shifted("after", event, -1))
    assert fault("counting.exact", observe("6.12/exact-software", lost)).startswith(said)


def last_counts(event, count):
    """Every read that has an event's whole count says another one."""
    return every(
        a(Read, counts=lambda counts: dict(counts).get(event, 0) > 1000), counts=((event, count),)
    )


@pytest.mark.parametrize(
    ("scenario", "event", "name", "tasks", "least"),
    [
        ("exec-counts", 2, "total", "worker", 6_000_000),
        ("migrate-counts", 2, "total", "worker", 24_000_000),
        ("switched-out", 2, "total", "worker", 72_000_000),
        ("cgroup-counts", 2, "inside", "second, worker", 80_000_000),
        ("cgroup-counts", 3, "outside", "stranger", 40_000_000),
    ],
)
def test_a_loop_of_a_task_that_is_lost(observe, scenario, event, name, tasks, least):
    lost = last_counts(event, least - 1)
    said = fault("counting.exact", observe(f"6.12/{scenario}", lost))
    assert said == (
        f"{name} (id {event}) counted {least - 1}; the loops of {tasks} are {least} instructions"
    )


def test_a_loop_of_a_stranger_that_is_counted(observe):
    both = last_counts(2, 100_000_000)
    said = fault("counting.exact", observe("6.12/cgroup-counts", both))
    assert said.startswith("inside (id 2) counted 100000000; the loops of second, worker are 8")


def test_without_strangers_a_task_may_execute_what_it_likes(observe):
    much = last_counts(2, 10**9)
    assert judge("counting.exact", observe("6.12/exec-counts", much)).status is Status.PASS


def test_loops_say_nothing_of_what_is_no_instruction(observe):
    cycles = every(a(Event), config=0)
    assert "no work" in undecided("counting.exact", observe("6.12/exec-counts", cycles))


def test_what_is_around_the_loops_is_counted_too(observe):
    around = last_counts(2, 99_999_999)
    assert judge("counting.exact", observe("6.12/cgroup-counts", around)).status is Status.PASS


@pytest.mark.parametrize(
    "other",
    [
        every(a(Event), exclude_kernel=False),
        every(a(Event), config=5),
        every(a(Event), type=1, config=0),
    ],
)
def test_work_of_which_an_events_share_is_not_known(observe, other):
    """The kernel beside a loop, branches, a clock."""
    assert "no work" in undecided("counting.exact", observe("6.12/exact-user", other))


def test_without_known_work_nothing_is_exact(observe):
    assert undecided("counting.exact", observe("6.12/cycles-task")) == "no work of known size"


# --- counting.levels ---------------------------------------------------------

LEVELS = "6.12/exact-levels"


@pytest.mark.parametrize("event", [2, 3, 4])
@pytest.mark.parametrize(("kind", "number"), [(Read, -1), (Sample, 5)])
def test_parts_that_are_not_the_whole(observe, event, kind, number):
    wrong = nth(number, a(kind), counts=shifted("counts", event, 1))
    verdict = judge("counting.levels", observe(LEVELS, wrong))
    assert verdict.status is Status.FAIL
    assert len(verdict.evidence) == 1
    assert verdict.evidence[0].startswith("both (id 2) counted ")
    assert "; user " in verdict.evidence[0] and " and kernel " in verdict.evidence[0]


def test_a_group_that_runs_is_read_one_event_after_the_other(observe):
    running = nth(4, a(Read), counts=shifted("counts", 2, 1))
    assert judge("counting.levels", observe(LEVELS, running)).status is Status.PASS


def test_a_group_that_counted_nothing_does_not_add_up(observe):
    silent = every(a(Read), counts=lambda read: tuple((event, 0) for event, _ in read.counts))
    verdict = judge("counting.levels", observe(LEVELS, silent))
    assert verdict.status is Status.FAIL
    assert [line.partition(" in ")[0] for line in verdict.evidence] == [
        "user (id 3) counted nothing",
        "kernel (id 4) counted nothing",
    ]


def test_a_group_of_one_level_has_no_parts(observe):
    assert "no group of user" in undecided("counting.levels", observe("6.12/cycles-task"))


# --- counting.wrap -----------------------------------------------------------

IDLE = "6.12/idle"
LATE = a(Read, time=lambda time: time > 13_000_000_000)


@pytest.mark.parametrize("wraps", [-1, 1])
def test_a_wrap_that_is_lost_or_made_up(observe, wraps):
    wrong = every(LATE, counts=shifted("counts", 2, wraps << 32))
    verdict = judge("counting.wrap", observe(IDLE, wrong))
    assert verdict.status is Status.FAIL
    assert len(verdict.evidence) == verdict.metrics["wrong"] == 6
    assert verdict.evidence[0].startswith("target (id 2) at 13107.349 ms counted ")
    # The wrap, and the few cycles in which the kernel stops the PMU.
    assert int(verdict.evidence[0].rpartition(": ")[2]) // 10**6 == (wraps << 32) // 10**6


def test_less_than_half_a_counter_is_no_wrap(observe):
    """What stops the PMU for a moment is no lost wrap."""
    little = every(LATE, counts=shifted("counts", 2, -(2**31 - 100_000)))
    assert judge("counting.wrap", observe(IDLE, little)).status is Status.PASS


def test_an_event_that_leaves_something_out_does_not_count_the_clock(observe):
    users = every(a(Event), exclude_kernel=True)
    assert "no more than 0 cycles" in undecided("counting.wrap", observe(IDLE, users))


def test_without_a_wrap_none_is_lost(observe):
    short = without(a(Read, time=lambda time: time > 2_000_000_000))
    assert "1000082944 cycles: no wrap" in undecided("counting.wrap", observe(IDLE, short))


# --- counting.control --------------------------------------------------------

CONTROL, GROUP = "6.12/control", "6.12/control-group"


def step(observe, name, words, number=0):
    """When main's nth step of these words began, in ns; the steps do not move by themselves."""
    from harness.checks.points import main_steps

    found = [s for s in main_steps(observe(name)) if " ".join(s.words) == words]
    return found[number].begin


def test_a_disabled_event_that_counts(observe):
    counts = nth(-1, a(Read, id=3, phase=5), counts=shifted("counts", 3, 10))
    said = fault("counting.control", observe(CONTROL, counts))
    assert said == "target (id 3): disabled, it counted 10 and took 0 samples in 'user 5' at TIME"


def test_a_disabled_event_that_samples(observe):
    off = step(observe, CONTROL, "user 5", 2)
    sampled = again(3, a(Sample, id=3), time=off + 1000)
    said = fault("counting.control", observe(CONTROL, sampled))
    assert "target (id 3): disabled, it counted 0 and took 1 samples in 'user 5' at " in said


def test_a_member_that_counts_while_its_leader_is_disabled(observe):
    counts = nth(-1, a(Read, phase=5), counts=shifted("counts", 3, 10))
    said = fault("counting.control", observe(GROUP, counts))
    assert said.startswith("member (id 3): disabled, it counted 10 and took 0 samples in 'user 5'")


def test_an_enabled_event_that_stands_still(observe):
    at_first = dict(next(filter(a(Read, id=3, phase=2), observe(CONTROL).records.all)).counts)[3]
    still = every(a(Read, id=3, phase=3), counts=((3, at_first),))
    said = fault("counting.control", observe(CONTROL, still))
    assert said == "target (id 3): enabled, it counted nothing in 'user 5' at TIME"


def test_enable_that_sets_a_count_back(observe):
    back = nth(-1, a(Read, id=3, phase=6), counts=((3, 17),))
    said = fault("counting.control", observe(CONTROL, back))
    assert said.startswith("target (id 3): ENABLE at TIME set its count back from ")
    assert said.endswith(" to 17")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without(a(Sample, id=4), 0), "REFRESH 5 at TIME gave 4 samples"),
        (again(4, a(Sample, id=4)), "REFRESH 5 at TIME gave 6 samples"),
        (without(a(Sample, id=4), -1), "REFRESH 3 at TIME gave 2 samples"),
    ],
)
def test_refresh_that_gives_more_or_fewer(observe, change, said):
    assert fault("counting.control", observe(CONTROL, change)) == f"refreshed (id 4): {said}"


@pytest.mark.parametrize(("arrived", "hup"), [(5, 2), (8, 0), (0, 0), (6, 3)])
def test_signals_that_are_lost_or_of_the_wrong_kind(observe, arrived, hup):
    wrong = nth(0, a(Signals, id=4), arrived=arrived, hup=hup)
    assert fault("counting.control", observe(CONTROL, wrong)) == (
        f"refreshed (id 4): 6 POLL_IN and 2 POLL_HUP were due, {arrived} and {hup} came"
    )


@pytest.mark.parametrize(
    ("name", "phase", "event", "said"),
    [
        (CONTROL, 8, 3, "target (id 3): RESET at TIME left "),
        (CONTROL, 14, 5, "counting (id 5): RESET at TIME left "),
        (GROUP, 2, 2, "leader (id 2): RESET at TIME left "),
        (GROUP, 2, 3, "member (id 3): RESET at TIME left "),
    ],
)
def test_reset_that_leaves_something(observe, name, phase, event, said):
    kept = nth(
        -1,
        a(Read, phase=phase, counts=lambda counts: event in dict(counts)),
        counts=shifted("counts", event, 10**6),
    )
    assert said in fault("counting.control", observe(name, kept))


@pytest.mark.parametrize("event", [2, 3])
def test_reset_of_a_group_is_reset_of_each_member(observe, event):
    """`reset leader` is the leader's alone: its member goes on."""
    begin = step(observe, GROUP, "reset leader")
    observation = observe(GROUP)
    after = next(filter(a(Read, time=lambda time: time > begin), observation.records.all))
    assert (dict(after.counts)[event] < 1000) is (event == 2)
    assert judge("counting.control", observation).status is Status.PASS


def test_reset_that_sets_the_times_back(observe):
    back = nth(0, a(Read, id=3, phase=8), enabled=100)
    said = fault("counting.control", observe(CONTROL, back))
    assert said == "target (id 3): RESET at TIME set time_enabled back"


def test_reset_that_begins_the_period_anew(observe):
    reset = step(observe, CONTROL, "reset target")
    anew = nth(
        0,
        a(Sample, id=3, time=lambda time: time > reset),
        counts=((3, 100_000),),
    )
    said = fault("counting.control", observe(CONTROL, anew))
    assert said.startswith("target (id 3): the first sample after RESET at TIME came at 1000")
    assert ", as if the count had been " in said


@pytest.mark.parametrize(("name", "words"), [(CONTROL, "reset target"), (GROUP, "reset leader")])
def test_a_sample_may_come_between_the_steps_begin_and_its_system_call(observe, name, words):
    """It is one before RESET, and no first one behind it."""
    reset = step(observe, name, words)
    event = 3 if name == CONTROL else 2
    late = nth(
        -1,
        a(Sample, id=event, time=lambda time: time < reset),
        time=reset + 16,
        enabled=lambda sample: sample.enabled + reset + 16 - sample.time,
    )
    assert judge("counting.control", observe(name, late)).status is Status.PASS


@pytest.mark.parametrize("later", [True, False])
def test_reset_without_samples_around_it(observe, later):
    reset = step(observe, CONTROL, "reset target")
    gone = without(a(Sample, id=3, time=lambda time: (time > reset) is later))
    said = fault("counting.control", observe(CONTROL, gone))
    assert "target (id 3): no sample on both sides of RESET at TIME" in said


@pytest.mark.parametrize("enabled", [103_000_000, 59_000_000])
def test_exec_that_enables_too_early_or_too_late(observe, enabled):
    wrong = every(a(Read, id=3, enabled=lambda ns: ns > 0), enabled=enabled)
    no_samples = without(a(Sample, id=3))
    said = fault("counting.control", observe("6.12/exec", wrong, no_samples))
    assert said == "onexec (id 3) was enabled for TIME: 40 ms before exec, 60 ms after it"


def test_an_event_that_nobody_controls(observe):
    assert undecided("counting.control", observe(IDLE)) == "no event was controlled"


# --- counting.vm -------------------------------------------------------------

VIRTUAL = "6.12@aarch64-tcg-el2/kvm-scarce"


@pytest.mark.parametrize(
    ("what", "counter", "got", "said"),
    [
        ("counted", 0, 1999999, "its counter 0 had counted 1999999 for 2000000: -1"),
        ("counted", 1, 2000001, "its counter 1 had counted 2000001 for 2000000: +1"),
        ("overflows", 0, 2, "its counter 0 had interrupted 2 times for 3 overflows"),
        ("overflows", 1, 4, "its counter 1 had interrupted 4 times for 3 overflows"),
    ],
)
def test_a_virtual_machine_that_is_not_counted_exactly(observe, what, counter, got, said):
    wrong = nth(0, a(VmResult, what=what, counter=counter), got=got)
    verdict = judge("counting.vm", observe(VIRTUAL, wrong))
    assert verdict.status is Status.FAIL
    assert verdict.metrics["wrong"] == len(verdict.evidence) == 1
    assert verdict.evidence[0].endswith(said)


def test_a_virtual_machine_that_stops_is_quoted(observe):
    stopped = again(0, a(VmWord), time=150_000_000, text="stopped, KVM's exit reason being 17")
    verdict = judge("counting.vm", observe(VIRTUAL, stopped))
    assert verdict.status is Status.FAIL
    assert [line.partition(": ")[2] for line in verdict.evidence] == [
        "pmu PMUv3, PMUVer 0x6, event counters 0x6",
        "stopped, KVM's exit reason being 17",
    ]
    nothing = observe(VIRTUAL, stopped, without(a(VmResult)))
    assert judge("counting.vm", nothing).status is Status.FAIL


def test_a_virtual_machine_without_a_result_decides_nothing(observe):
    assert undecided("counting.vm", observe(VIRTUAL, without(a(VmResult))))
