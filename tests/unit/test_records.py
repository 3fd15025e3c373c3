# SPDX-License-Identifier: MIT
"""The channel's bytes: whole, truncated, garbage."""

import pytest

from harness.guest.callback_records import Callback, Registers, with_counters
from harness.guest.records import (
    HEADER,
    MAGIC,
    Event,
    Records,
    RecordsError,
    VmResult,
    VmWord,
    channel_bytes,
    parse,
)

LINE = b'{"kind":"step","number":1,"status":0}\n'


def channel(payload=LINE, magic=MAGIC, length=None, room=64):
    size = len(payload) if length is None else length
    return HEADER.pack(magic, size) + payload + bytes(room)


def test_what_was_published_is_read():
    assert channel_bytes(channel()) == LINE


def test_a_guest_that_never_wrote():
    assert channel_bytes(bytes(128)) == b""


@pytest.mark.parametrize(
    "bad",
    [b"", b"short", channel(magic=0xDEAD), channel(length=1 << 40), channel(length=200)],
)
def test_an_impossible_header_is_refused(bad):
    with pytest.raises(RecordsError):
        channel_bytes(bad)


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b'{"kind":"unknown"}',
        b'{"kind":"step","number":1}',
        b'{"kind":"step","number":1,"status":0,"more":1}',
        b'{"kind":"step","number":"\xff","status":0}',
        LINE[:20],
    ],
)
def test_what_is_no_record_is_shown(line):
    with pytest.raises(RecordsError, match="record 2"):
        parse(LINE + line)


def test_64_bit_values_survive():
    line = b'{"kind":"callback","call":"stop","time":1,"cpu":0,"prev":[0,18446744073709551615]}\n'
    assert parse(line).of(Callback)[0].prev[1] == (1 << 64) - 1


def test_completeness_is_said_by_the_guest(load):
    records = load("6.12/cycles-task")
    assert records.complete
    assert not type(records)(records.all[:-1]).complete


def test_events_that_share_a_name_are_numbered(load):
    records = load("6.12/cycles-task")
    assert "filler1" in records.names().values()
    one = [record.model_copy(update={"name": "same"}) for record in records.of(Event)]
    assert list(Records(one[:3]).names().values()) == ["same 1", "same 2", "same 3"]
    assert list(Records(one[:1]).names().values()) == ["same"]


ASSIGN = (
    b'{"kind":"callback","call":"assign","time":1,"cpu":0,"pmu":"cpu","id":2,"parent":0,'
    b'"tick":0,"flags":0,"ret":0,"caller":"ctx_resched","idx":[-1,3],"state":[3,0],'
    b'"left":[5,5],"period":[5,5],"count":[0,0],"prev":[0,1],"interrupts":[0,0]}\n'
)


def test_what_enabling_a_pmu_changed_is_no_call_on_an_event():
    (call,) = parse(ASSIGN).of(Callback)
    assert (call.call, call.idx, call.state) == ("assign", (-1, 3), (3, 0))
    assert not call.is_event


def registers(**more):
    made = {"enabled": 1, "interrupts": 1, "counters": (5, 6, 7), "types": (0, 0, 0)}
    return Registers(**{**made, **more})


def test_registers_say_where_each_counter_has_its_bit():
    assert [registers(bits=(0, 1, 32)).bit(place) for place in range(3)] == [0, 1, 32]
    # Those of arm64's guests that did not say so: the cycle counter comes last.
    assert [registers().bit(place) for place in range(3)] == [0, 1, 31]


@pytest.mark.parametrize("bad", [{"bits": (0, 1)}, {"types": (0,)}])
def test_registers_that_do_not_fit_together_are_refused(bad):
    with pytest.raises(ValueError, match="not one type and one bit for each counter"):
        registers(**bad)


# --- counters that are given when the PMU is enabled (x86) ---------------------


def called(call, id=7, pmu="cpu", **more):
    return Callback(kind="callback", call=call, time=1, cpu=0, pmu=pmu, id=id, **more)


def test_an_add_takes_over_what_enabling_the_pmu_assigned():
    log = [
        called("add", idx=(5, 5), state=(3, 3), left=(0, 0)),
        called("tick", id=0, pmu=""),
        called("assign", idx=(5, 2), state=(3, 0), left=(0, 100), prev=(0, 1)),
        called("stop", idx=(2, 2), state=(0, 3)),
        called("del", idx=(2, 2)),
    ]
    add, tick, stop, delete = with_counters(log)
    assert (add.call, add.idx, add.state, add.left, add.prev) == (
        "add",
        (-1, 2),
        (3, 0),
        (0, 100),
        (0, 1),
    )
    assert (tick, stop) == (log[1], log[3])
    assert delete.idx == (2, -1)


def test_an_add_that_was_undone_had_no_counter():
    log = [called("assign", id=1, idx=(0, 1)), called("add", idx=(4, 4)), called("del", idx=(4, 4))]
    moved, add, delete = with_counters(log)
    assert moved.idx == (0, 1)
    assert add.idx == delete.idx == (-1, -1)


def test_a_refused_add_waits_for_nothing():
    log = [called("add", idx=(4, 4), ret=-22), called("assign", idx=(4, 1))]
    assert [call.call for call in with_counters(log)] == ["add", "assign"]


def test_where_add_gives_the_counter_the_log_stays():
    log = [called("add", idx=(-1, 3)), called("del", idx=(3, -1))]
    assert with_counters(log) is log


def test_what_a_virtual_machine_says():
    records = parse(
        b'{"kind":"vm-said","time":1,"text":"pmu PMUv3"}\n'
        b'{"kind":"vm","time":2,"what":"counted","counter":1,"got":18446744073709551615,'
        b'"wanted":6}\n'
    )
    assert [word.text for word in records.of(VmWord)] == ["pmu PMUv3"]
    assert [result.got for result in records.of(VmResult)] == [2**64 - 1]
