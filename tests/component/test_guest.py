# SPDX-License-Identifier: MIT
"""One guest's run with a QEMU that is a script: every end has its name."""

import os
from pathlib import Path

import pytest

from harness.build.image import GuestImage
from harness.build.recipe import MODULES
from harness.errors import HostError
from harness.guest import batch
from harness.guest.batch import Guest
from harness.guest.blocks import read
from harness.guest.records import End, parse
from harness.guest.saved import AWAKE, WAITING, Saver, System, _Maker
from harness.guest.trace_records import Overflow
from harness.host import process
from harness.host.store import Cache
from harness.machine import qemu
from harness.machine.console import LIMIT_BYTES
from harness.machine.qemu import FILE_BYTES
from harness.model import GuestEnd
from tests.component.fakes import DONE, make_qemu

pytestmark = pytest.mark.needs("cpio", "setpriv")
OOPS = "print [    1.0] Unable to handle kernel NULL pointer dereference\n"


def saved_of(guest, cache):
    """What a guest goes on from."""
    system = System(
        title="it",
        machine=guest.machine,
        kernel=guest.kernel,
        initramfs=guest.image.initramfs,
        contents=(),
        watched=guest.watched,
    )
    return Saver(cache, 1 << 30, print).saved(system)


@pytest.fixture
def run(tmp_path, catalog):
    qemu = make_qemu(tmp_path)
    image = tmp_path / "image.cpio"
    image.write_bytes(b"")
    machine = catalog.machines["aarch64-tcg"].model_copy(update={"qemu": str(qemu), "timeout_s": 2})

    def play(script, machine=machine, name="cycles-task", *, once=False, watched=()):
        kernel = tmp_path / "Image"
        kernel.write_text(script)
        symbols = tmp_path / "System.map"
        symbols.write_text("0000000000000008 t stuck\n")
        for module in MODULES:
            (tmp_path / module).write_text("module")
        folder = tmp_path / "cell"
        folder.mkdir()
        scenario = catalog.scenarios[name]
        guest = Guest(
            *(kernel, tmp_path, symbols, GuestImage(image, ""), machine, scenario), watched=watched
        )
        saved = saved_of(guest, Cache(tmp_path / "cache")) if once else None
        outcome = batch.run(guest, folder, saved=saved)
        return outcome, folder

    play.machine = machine
    play.traced = machine.model_copy(
        update={"offers": ("register-trace",), "trace_events": "x86_pmu_*"}
    )
    return play


@pytest.mark.parametrize(
    ("script", "end", "said"),
    [
        (DONE, GuestEnd.DONE, "done"),
        (OOPS, GuestEnd.OOPS, "oops while booting: Unable to handle"),
        ("print Kernel panic - not syncing: x", GuestEnd.PANIC, "panic while booting"),
        ("print pmu-harness: ready", GuestEnd.STOPPED_EARLY, "without a word (guest-shutdown)"),
        ("", GuestEnd.STOPPED_EARLY, "while booting"),
        ("print pmu-harness: done", GuestEnd.STOPPED_EARLY, "the records end too early"),
        (f"garbage\n{DONE.splitlines()[-1]}", GuestEnd.STOPPED_EARLY, "garbage"),
        ("records nonsense\\n\nprint pmu-harness: done", GuestEnd.STOPPED_EARLY, "record 1"),
        ("print Linux\nhang", GuestEnd.HANG, "hang while booting, in stuck+0x8"),
        ("flood", GuestEnd.FLOOD, "flood while booting"),
    ],
)
def test_every_end_has_its_name(run, script, end, said):
    outcome, folder = run(script)
    assert outcome.end is end
    assert said in outcome.summary
    assert (folder / "outcome.json").exists()
    assert not (folder / "channel").exists() and not (folder / "initramfs.cpio").exists()


REFUSED = "print sh: can't create /proc/sys/kernel/x: nonexistent directory"
STEP = '{"kind":"step","number":2,"status":1}'
WORD = '{"kind":"error","what":"perf ioctl","errno":22,"text":"Invalid argument"}'


@pytest.mark.parametrize(
    ("records", "why"),
    [
        (STEP, "exit status 1"),
        (f"{WORD}\\n{STEP}", "perf ioctl: Invalid argument (errno 22)"),
        (WORD, "perf ioctl: Invalid argument (errno 22)"),  # in a task that nobody waits for
    ],
)
def test_a_step_that_failed_is_seen(run, records, why):
    """The batch ends there; what was observed before is no measurement."""
    end = '{"kind":"end","steps":2}'
    script = f"print pmu-harness: ready\nprint pmu-harness: step 2: sysctl kernel/x 0\n{REFUSED}\n"
    script += f"records {records}\\n{end}\\n\nprint pmu-harness: done\n"
    outcome, _ = run(script)
    assert outcome.end is GuestEnd.STEP_FAILED
    assert outcome.summary == f"step failed in step 2 (sysctl kernel/x 0): {why}"
    assert outcome.evidence == (REFUSED.removeprefix("print "),)


def test_the_batch_is_what_the_scenario_says(run):
    _, folder = run(DONE)
    lines = (folder / "batch").read_text().splitlines()
    assert lines[:3] == [
        "sysctl-if-any kernel/perf_user_access 1",
        "sysctl kernel/perf_cpu_time_max_percent 0",
        "load pmu_observer.ko",
    ]
    assert lines[3:] == ["probe drive"]
    script = (folder / "scenario").read_text().splitlines()
    assert script[0].startswith("event holder1 counts=cycles task=self ")
    assert script[-1] == " disable target"


BOOTS = f"print [    0.1] boots\nprint {WAITING.decode()}\nstop\nhang\nsaved\n"
AWAKENS = f"print {AWAKE.decode()}\n"


def test_a_guest_goes_on_from_where_it_was_saved(run):
    """What it says, and what it leaves, is what one says and leaves that boots."""
    outcome, folder = run(BOOTS + AWAKENS + DONE, once=True)
    assert outcome.end is GuestEnd.DONE
    said = (folder / "console.log").read_text().splitlines()
    assert said == [
        *("[    0.1] boots", "pmu-harness: waiting", "wait: awake"),
        *("pmu-harness: ready", "pmu-harness: done"),
    ]
    assert parse((folder / "records.jsonl").read_bytes()).complete
    left = {path.name for path in folder.iterdir()}
    own = {"batch", "scenario", "console.log", "records.jsonl", "outcome.json", "qemu.log"}
    assert left == own


@pytest.mark.parametrize(
    ("script", "end", "said"),
    [
        ("print Kernel panic - not syncing: x", GuestEnd.PANIC, "panic while booting"),
        ("print pmu-harness: ready\nhang", GuestEnd.HANG, "before the batch, in stuck+0x8"),
    ],
)
def test_the_end_of_one_that_goes_on_has_its_name(run, script, end, said, monkeypatch):
    monkeypatch.setattr(_Maker, "_tried", lambda maker: AWAKE)
    outcome, folder = run(BOOTS + AWAKENS + script, once=True)
    assert outcome.end is end
    assert said in outcome.summary
    assert (folder / "console.log").read_text().startswith("[    0.1] boots")


def test_what_it_executed_before_it_was_saved_is_executed(run):
    before = "trace 0xffff800080010000:  d503233f\\n\n"
    after = "trace 0xffff800080010008:  d65f03c0\\n\n"
    watched = ((0xFFFF800080010000, 0xFFFF800080020000),)
    script = before + BOOTS + after + AWAKENS + DONE
    _, folder = run(script, once=True, watched=watched)
    assert read((folder / "executed.txt").read_text()) == [
        (0xFFFF800080010000, 0xFFFF800080010004),
        (0xFFFF800080010008, 0xFFFF80008001000C),
    ]


def test_a_flood_is_cut(run):
    _, folder = run("flood")
    assert (folder / "console.log").stat().st_size == LIMIT_BYTES


OVERFLOW = "x86_pmu_overflow cpu 0 time 5 counter 2 value 0x0"


def test_a_trace_stands_before_the_guests_records(run):
    script = f"trace {OVERFLOW}\\n\n{DONE}"
    outcome, folder = run(script, run.traced, "register-trace")
    assert outcome.end is GuestEnd.DONE
    assert (folder / "trace.log").read_text() == f"{OVERFLOW}\n"
    first, last = parse((folder / "records.jsonl").read_bytes()).all
    assert first == Overflow(cpu=0, time=5, counter=2, value=0)
    assert isinstance(last, End)


def test_a_scenario_without_a_trace_leaves_none(run):
    _, folder = run(DONE)
    assert not (folder / "trace.log").exists()


def test_a_trace_that_is_none_is_shown(run):
    outcome, folder = run(f"trace nonsense\\n\n{DONE}", run.traced, "register-trace")
    assert outcome.end is GuestEnd.STOPPED_EARLY
    assert "line 1 of the register trace is not one: 'nonsense'" in outcome.summary
    assert (folder / "trace.log").exists()


def test_the_last_line_of_a_trace_may_be_torn(run):
    outcome, folder = run(f"trace {OVERFLOW}\\nx86_pmu_ov\n{DONE}", run.traced, "register-trace")
    assert outcome.end is GuestEnd.DONE
    assert len(parse((folder / "records.jsonl").read_bytes()).all) == 2


@pytest.mark.parametrize("when_full", ["SIG_DFL", "SIG_IGN"])
def test_a_trace_that_floods_is_cut(run, when_full):
    """QEMU dies of it, or writes no further and goes on to its guest's end."""
    script = f"print pmu-harness: ready\ntrace-flood {when_full}\n{DONE}"
    outcome, folder = run(script, run.traced, "register-trace")
    assert outcome.end is GuestEnd.FLOOD
    assert outcome.summary == ("flood before the batch: the register trace has more than 16 MiB")
    assert (folder / "trace.log").stat().st_size == FILE_BYTES
    assert b"overflow" not in (folder / "records.jsonl").read_bytes()
    assert (folder / "outcome.json").exists()


def test_a_qemu_that_dies_is_the_hosts_fault(run):
    with pytest.raises(HostError, match=r"QEMU was ended by SIGABRT$") as raised:
        run("print Linux\ncrash")
    assert "crash of QEMU's own" in raised.value.why
    assert raised.value.evidence.name == "qemu.log"


def test_a_qemu_that_is_killed_is_told_by_what(run, tmp_path, monkeypatch):
    """The host says how many processes it killed for want of memory."""
    kills = tmp_path / "vmstat"
    kills.write_text("nr_free_pages 5\noom_kill 3\n")
    monkeypatch.setattr(process, "_VMSTAT", kills)
    with pytest.raises(HostError, match=r"QEMU was ended by SIGKILL$") as raised:
        run("print Linux\nkill 9")
    assert "kernel was not short of memory" in raised.value.why
    assert raised.value.advice == "find out who did that, then run it again"


def test_a_qemu_that_the_host_killed_for_want_of_memory(run, tmp_path, monkeypatch):
    said = iter((3, 4))
    monkeypatch.setattr(process, "oom_kills", lambda: next(said))
    with pytest.raises(HostError, match=r"QEMU was ended by SIGKILL$") as raised:
        run("print Linux\nkill 9")
    assert "killed 1 processes for want of memory meanwhile" in raised.value.why
    assert raised.value.advice.startswith("free memory")


@pytest.mark.parametrize(
    ("said", "by"),
    [
        ("15 from pid 77 (timeout)", "SIGTERM from process 77 (timeout)"),
        ("1 from pid 77", "SIGHUP from process 77"),
        ("2", "SIGINT"),
    ],
)
def test_a_qemu_that_somebody_asks_to_end_is_the_hosts_fault(run, said, by):
    """It obeys, with status 0."""
    with pytest.raises(HostError) as raised:
        run(f"print Linux\nasked {said}")
    assert raised.value.what == f"QEMU was ended by {by}"


def test_a_qemu_that_does_not_start_is_the_hosts_fault(run, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'qemu: no such machine' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(HostError) as raised:
        run(DONE, run.machine.model_copy(update={"qemu": str(broken)}))
    assert raised.value.what == "QEMU ended with status 1 before its machine ran"
    assert "no such machine" in raised.value.why


def test_a_qemu_that_is_killed_at_once_is_not_said_not_to_start(run, tmp_path):
    killed = tmp_path / "killed"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    with pytest.raises(HostError) as raised:
        run(DONE, run.machine.model_copy(update={"qemu": str(killed)}))
    assert raised.value.what == "QEMU was ended by SIGKILL before its machine ran"
    assert raised.value.advice


def test_a_qemu_that_does_not_answer(run, tmp_path, monkeypatch):
    monkeypatch.setattr(qemu, "HANDSHAKE_S", 0.3)
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    with pytest.raises(HostError) as raised:
        run(DONE, run.machine.model_copy(update={"qemu": str(silent)}))
    assert raised.value.what == "QEMU does not answer"
    assert raised.value.advice


def test_no_qemu_at_all(run):
    with pytest.raises(HostError, match="qemu-none is not installed"):
        run(DONE, run.machine.model_copy(update={"qemu": "qemu-none"}))


def test_nothing_is_left_behind(run):
    run("hang")
    left = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
            command = status.with_name("cmdline").read_bytes()
        except FileNotFoundError:
            continue
        # Python's own, once several processes have judged.
        if parent == os.getpid() and b"resource_tracker" not in command:
            left.append(status)
    assert not left
