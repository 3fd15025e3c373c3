# SPDX-License-Identifier: MIT
"""Consoles of our own guests: each names its end in its header."""

from pathlib import Path

import pytest

from harness.machine.crash import clean, inner_end, locate, recognize
from harness.model import GuestEnd

CONSOLES = sorted((Path(__file__).parents[1] / "data" / "consoles").glob("*.txt"))
HOST_SAW = {GuestEnd.HANG, GuestEnd.FLOOD}


def split(path: Path) -> tuple[dict[str, str], bytes]:
    header, _, console = path.read_bytes().partition(b"\n\n")
    return dict(line.split(": ", 1) for line in header.decode().splitlines()), console


@pytest.mark.parametrize("path", CONSOLES, ids=lambda path: path.stem)
def test_captured(path):
    expected, console = split(path)
    end = GuestEnd(expected["end"])
    outcome = recognize(console, cause=end if end in HOST_SAW else None)
    assert outcome.end is end
    assert outcome.stage == expected["stage"]
    assert outcome.summary.startswith(expected["summary"])


@pytest.mark.parametrize(
    ("name", "where"),
    [("oops-in-adjust", "pc : perf_adjust"), ("x86-oops-in-adjust", "RIP: 0010:perf_adjust")],
)
def test_an_oops_names_where(name, where):
    _, console = split(next(path for path in CONSOLES if path.stem == name))
    outcome = recognize(console)
    assert where in outcome.evidence[1]
    trace = outcome.evidence[outcome.evidence.index("Call Trace:") + 1 :] if "x86" in name else ()
    assert not any("? " in frame or "<IRQ>" in frame for frame in trace)


@pytest.mark.parametrize(
    ("line", "end"),
    [
        ("watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [adjust:41]", GuestEnd.STALL),
        ("rcu: INFO: rcu_sched self-detected stall on CPU", GuestEnd.STALL),
        ("INFO: task adjust:41 blocked for more than 120 seconds.", GuestEnd.STALL),
        ("kernel BUG at kernel/events/core.c:12!", GuestEnd.OOPS),
        ("Internal error: Oops: 96000004 [#1] SMP", GuestEnd.OOPS),
        ("BUG: kernel NULL pointer dereference, address: 0", GuestEnd.OOPS),
        ("general protection fault, maybe for address 0x0: 0000 [#1] SMP NOPTI", GuestEnd.OOPS),
        ("divide error: 0000 [#1] SMP NOPTI", GuestEnd.OOPS),
        ("Uhhuh. NMI received for unknown reason 00 on CPU 0.", GuestEnd.WARNING),
        ("unchecked MSR access error: WRMSR to 0xc0010200 (tried to write 0x0)", GuestEnd.WARNING),
        ("Kernel panic - not syncing: No working init found.", GuestEnd.INIT_FAILED),
        (
            "Kernel panic - not syncing: Attempted to kill init! exitcode=0x100",
            GuestEnd.INIT_FAILED,
        ),
        ("WARNING: CPU: 0 PID: 1 at kernel/events/core.c:42 f+0x1/0x2", GuestEnd.WARNING),
        ("BUG: KASAN: slab-use-after-free in perf_event_free_filter+0x20/0x40", GuestEnd.REPORT),
        ("BUG: KCSAN: data-race in perf_swevent_event / perf_event_read", GuestEnd.REPORT),
        ("UBSAN: array-index-out-of-bounds in kernel/events/core.c:9800:22", GuestEnd.REPORT),
        ("ODEBUG: free active (active state 0) object: 0 object type: hrtimer", GuestEnd.REPORT),
        ("BUG: sleeping function called from invalid context at mm/slab.h:1", GuestEnd.REPORT),
        ("BUG: scheduling while atomic: drive/42/0x00000002", GuestEnd.REPORT),
        ("WARNING: possible recursive locking detected", GuestEnd.REPORT),
        ("WARNING: inconsistent lock state", GuestEnd.REPORT),
        ("WARNING: suspicious RCU usage", GuestEnd.REPORT),
        ("WARNING: bad unlock balance detected!", GuestEnd.REPORT),
        ("WARNING: lock held when returning to user space!", GuestEnd.REPORT),
        ("[ BUG: Invalid wait context ]", GuestEnd.REPORT),
        ("BUG: MAX_LOCKDEP_CHAINS too low!", GuestEnd.REPORT),
    ],
)
def test_signs(line, end):
    console = f"pmu-harness: ready\n[    1.000000] {line}\n".encode()
    outcome = recognize(console)
    assert outcome.end is end
    assert outcome.evidence[0] == line


@pytest.mark.parametrize("console", [b"", b"\x00\xff\xfe", b"\x1b[2Jgarbage", b"pmu-harness: re"])
def test_garbage_is_an_early_stop(console):
    outcome = recognize(console)
    assert outcome.end is GuestEnd.STOPPED_EARLY
    assert outcome.stage == "boot"


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("guest-shutdown", GuestEnd.STOPPED_EARLY),
        ("guest-reset", GuestEnd.STOPPED_EARLY),
        ("host-signal", GuestEnd.QEMU_FAILED),
        ("host-qmp-quit", GuestEnd.QEMU_FAILED),
    ],
)
def test_a_machine_that_the_host_ended_is_not_the_guests_fault(reason, end):
    outcome = recognize(b"pmu-harness: ready\n", reason=reason)
    assert outcome.end is end
    assert reason in outcome.summary


def test_a_worse_sign_wins_over_done():
    console = b"pmu-harness: ready\nWARNING: CPU: 0 PID: 1 at a.c:1 f\npmu-harness: done\n"
    assert recognize(console).end is GuestEnd.WARNING


def test_control_characters_do_not_reach_a_terminal():
    shown = clean(b"\x1b]0;owned\x07a\x1b[31mred\xc2\x9b2Jz\r\n")
    assert shown == "]0;ownedared2Jz\n"


def test_a_program_counter_gets_its_function():
    symbols = "ffff800080000000 T _text\nffff800080001000 t spin\nffff800080002000 T next\n"
    assert locate(" PC=ffff800080001008 X00=0", symbols) == "spin+0x8"
    assert locate("RIP=ffff800080002000 RFL=0", symbols) == "next+0x0"
    assert locate(" V      =   0\n pc       ffff800080001008\n mhartid  0", symbols) == "spin+0x8"
    assert locate("nothing", symbols) == ""
    assert locate("PC=0000000000000010", symbols) == ""


def test_only_code_of_the_kernel_is_a_function():
    symbols = (
        "0000000000000000 A __per_cpu_start\n0000000000021000 D cpu_info\n"
        "ffffffff81000000 T _text\nffffffff81001000 t spin\nffffffff81002000 d data\n"
        "ffffffff81800000 B _end\n"
    )
    assert locate("RIP=ffffffff81001007 RFL=00000002", symbols) == "spin+0x7"
    assert locate("RIP=0000000000401000 RFL=00000002", symbols) == ""
    assert locate("RIP=ffffffffa0001000 RFL=00000002", symbols) == ""


def test_an_outer_system_says_how_its_guest_ended():
    console = (CONSOLES[0].parents[1] / "outer" / "done.log").read_text()
    ended = inner_end(console)
    assert (ended.said, ended.status) == ("QEMU ended with status 0", 0)
    assert ended.reason == "guest-shutdown"
    assert inner_end(console[: console.index("launch:")]) is None


def test_a_report_names_the_function_that_is_not_the_tools_own():
    _, console = split(next(path for path in CONSOLES if path.stem == "lockdep-order"))
    outcome = recognize(console)
    assert "fs_reclaim" in outcome.evidence[2]
    assert "&cpuctx_lock" in outcome.evidence[4]
    assert outcome.evidence[5].split("+")[0].strip() == "__perf_event_period"


def test_each_report_of_a_console_is_told():
    _, console = split(next(path for path in CONSOLES if path.stem == "lockdep-order"))
    first, second = recognize(console).reports
    assert first.startswith("WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected")
    assert second.startswith("BUG: sleeping function called from invalid context")
    assert first.endswith("in __perf_event_period") and second.endswith("in __perf_event_period")


def test_one_crash_is_one_report():
    _, console = split(next(path for path in CONSOLES if path.stem == "x86-oops-in-adjust"))
    assert len(recognize(console).reports) == 1


def test_a_word_of_a_tool_is_no_report():
    """What the tools say of themselves at boot."""
    said = b"kasan: KernelAddressSanitizer initialized (generic)\nLock dependency validator: ...\n"
    said += b"ODEBUG: selftest passed\nkcsan: enabled early\npmu-harness: done\n"
    assert recognize(said).end is GuestEnd.DONE
