# SPDX-License-Identifier: MIT
"""A cell over SSH with a QEMU that is a script and a guest that is a thread: every end named."""

import os
import threading
from pathlib import Path

import pytest

from harness.build.image import GuestImage
from harness.build.kernel import Kernel
from harness.build.recipe import MODULES
from harness.errors import HostError, PlanError, SubjectError
from harness.guest import live, terminal, workload
from harness.guest.batch import Guest
from harness.guest.live import Boot
from harness.guest.records import parse
from harness.guest.ssh import make_keys
from harness.guest.tool_records import Command, Count, Subtest
from harness.guest.transfer import Get, Put
from harness.guest.workload import Provided
from harness.machine.console import LIMIT_BYTES
from harness.model import GuestEnd
from harness.run.shell import Errands, Place, enter
from tests.component.fakes import END, make_qemu
from tests.component.ssh_server import Server

pytestmark = pytest.mark.needs("cpio", "setpriv")
TOOL = Path(__file__).parents[1] / "data" / "tool"
PANIC = "print Kernel panic - not syncing: x\n"


class World:
    """A fake QEMU, an SSH server for its guest, and the files that both share."""

    def __init__(self, folder, catalog, keys):
        self.folder, self.catalog = folder, catalog
        self.files = folder / "guest"
        (self.files / "root").mkdir(parents=True)
        self.reached = threading.Event()
        self.commands = {"sh": self.finish, "perf": self.perf}
        self.server = Server(keys, self.commands, self.files)
        qemu = make_qemu(folder)
        self.machine = catalog.machines["aarch64-tcg"].model_copy(
            update={"qemu": str(qemu), "timeout_s": 2}
        )
        self.image = folder / "image.cpio"
        self.image.write_bytes(b"")

    def sign(self, name):
        """A file that the fake QEMU awaits."""
        (self.folder / name).touch()

    def finish(self, _):
        self.sign("finish")
        return 0

    def perf(self, channel):
        (self.files / "root" / "stat.txt").write_bytes((TOOL / "stat.txt").read_bytes())
        channel.sendall_stderr(b"a warning\n")
        return 0

    def script(self, *lines):
        listening = "print pmu-harness: ready\nprint pmu-harness: listening"
        text = "\n".join([f"port {self.server.port}", listening, *lines]) + "\n"
        (self.folder / "Image").write_text(text)

    @property
    def well(self):
        return (
            f"await {self.folder / 'finish'}",
            f"records {END}\\n",
            "print pmu-harness: done",
        )

    def run(self, scenario="perf-stat", selftests=None):
        for name in ("System.map", *MODULES, "disk"):
            (self.folder / name).write_text("0000000000000008 t stuck\n")
        place = self.folder / "cell"
        place.mkdir()
        row = self.catalog.scenarios[scenario]
        guest = Guest(
            self.folder / "Image",
            self.folder,
            self.folder / "System.map",
            GuestImage(self.image, ""),
            self.machine,
            row,
        )
        provided = Provided(self.folder / "disk", selftests)
        return workload.run(guest, row.tool, provided, place), place

    def boot(self):
        (self.folder / "disk").touch()
        image = GuestImage(self.image, "")
        kernel = self.folder / "Image"
        return Boot(kernel, (), image, self.folder / "disk", self.machine, "serve\n")


@pytest.fixture
def world(tmp_path, catalog, monkeypatch):
    keys = make_keys()
    monkeypatch.setattr(live, "make_keys", lambda: keys)
    world = World(tmp_path, catalog, keys)
    yield world
    world.server.close()


def test_what_the_tool_said_becomes_records(world):
    world.script(*world.well)
    outcome, folder = world.run()
    assert outcome.end is GuestEnd.DONE
    records = parse((folder / "records.jsonl").read_bytes())
    assert records.complete
    (command,) = records.of(Command)
    assert command.argv[:2] == ("perf", "stat")
    assert command.said == ("a warning",)
    assert len(records.of(Count)) == 5
    assert (folder / "tool" / "stat.txt").read_bytes() == (TOOL / "stat.txt").read_bytes()
    assert (folder / "batch").read_text().splitlines()[-1] == "serve"
    assert not (folder / "channel").exists() and not (folder / "initramfs.cpio").exists()


def test_selftests_are_put_and_run_and_what_is_not_there_is_a_skip(world, tmp_path):
    programs = tmp_path / "selftests"
    programs.mkdir()
    (programs / "remove_on_exec").write_bytes(b"program")
    out = (TOOL / "selftest-remove_on_exec.txt").read_bytes()

    def play(channel):
        assert (world.files / "root" / "remove_on_exec").read_bytes() == b"program"
        channel.sendall(out)
        return 0

    world.commands["/root/remove_on_exec"] = play
    world.script(*world.well)
    outcome, folder = world.run("selftests", programs)
    assert outcome.end is GuestEnd.DONE
    results = parse((folder / "records.jsonl").read_bytes()).of(Subtest)
    assert [test.result for test in results].count("ok") == 4
    assert {test.name for test in results if test.result == "skip"} == {
        "mmap",
        "sigtrap_threads",
        "watermark_signal",
    }


def test_a_panic_while_a_command_runs_ends_it_at_once(world):
    def panic(_):
        world.sign("running")

    world.commands["perf"] = panic
    world.script(f"await {world.folder / 'running'}", PANIC)
    world.machine = world.machine.model_copy(update={"timeout_s": 60})
    outcome, _ = world.run()
    assert outcome.end is GuestEnd.PANIC
    assert outcome.summary.endswith("Kernel panic - not syncing: x")


def test_a_command_that_does_not_end_is_a_hang(world):
    world.commands["perf"] = lambda _: None
    world.script("print last words", "hang")
    outcome, _ = world.run()
    assert outcome.end is GuestEnd.HANG
    assert "perf stat" in outcome.summary and "took too long, in stuck+0x8" in outcome.summary
    assert "last words" in "\n".join(outcome.evidence)


def test_a_guest_that_never_listens_is_a_hang(world):
    (world.folder / "Image").write_text("print Linux\nhang\n")
    outcome, _ = world.run()
    assert outcome.end is GuestEnd.HANG
    assert "did not come up" in outcome.summary


def test_a_guest_that_ends_before_it_listens(world):
    (world.folder / "Image").write_text(f"records {END}\\n\nprint pmu-harness: done\n")
    outcome, _ = world.run()
    assert outcome.end is GuestEnd.STOPPED_EARLY
    assert "before its SSH server came up" in outcome.summary


def test_an_oops_beside_the_commands_is_told(world):
    world.script("print [    1.0] Unable to handle kernel NULL pointer", *world.well)
    outcome, _ = world.run()
    assert outcome.end is GuestEnd.OOPS


def test_a_flood_ends_a_command(world):
    world.commands["perf"] = lambda _: None
    world.script("flood")
    world.machine = world.machine.model_copy(update={"timeout_s": 60})
    outcome, folder = world.run()
    assert outcome.end is GuestEnd.FLOOD
    assert (folder / "console.log").stat().st_size == LIMIT_BYTES


def test_a_tool_that_leaves_no_file(world):
    world.commands["perf"] = lambda _: 0
    world.script("hang")
    outcome, _ = world.run()
    assert outcome.end is GuestEnd.STOPPED_EARLY
    assert "no such file in the guest" in outcome.summary


def test_a_qemu_that_dies_is_the_hosts_fault(world):
    world.script("crash")
    world.commands["perf"] = lambda _: None
    with pytest.raises(HostError, match="QEMU was ended by SIGABRT"):
        world.run()


@pytest.fixture
def shell(world, monkeypatch):
    """A command in a guest, as `shell` has it: its exit status, or what was raised."""
    folder = world.folder / "shell"
    folder.mkdir()
    nothing = os.open("/dev/null", os.O_RDWR)
    monkeypatch.setattr(terminal, "_STDIN", nothing)

    def perform(*command, puts=(), gets=()):
        place = Place(world.boot(), folder, Kernel(None, folder, ""))
        return enter(place, Errands(command, puts, gets), 1.0, said.append)

    said = perform.said = []
    yield perform
    os.close(nothing)


def test_a_shell_command_has_its_status(world, shell):
    world.commands["exit"] = lambda channel: channel.sendall(b"hello\n") or 7
    world.script(*world.well)
    assert shell("exit", "7") == 7


def test_a_shell_command_that_nobody_reads(world, shell, monkeypatch):
    """As if SIGPIPE had ended it; the guest is let go in peace."""
    near, far = os.pipe()
    os.close(near)
    monkeypatch.setattr(terminal, "_STDOUT", far)

    def floods(channel):
        while True:
            channel.sendall(b"x" * 65536)

    world.commands["yes"] = floods
    world.script(*world.well)
    assert shell("yes") == 141
    assert (world.folder / "finish").exists()
    os.close(far)


def test_a_shell_whose_output_cannot_be_written(world, shell, monkeypatch):
    full = os.open("/dev/full", os.O_WRONLY)
    monkeypatch.setattr(terminal, "_STDOUT", full)
    world.commands["echo"] = lambda channel: channel.sendall(b"hello\n") or 0
    world.script(*world.well)
    with pytest.raises(HostError, match="written to standard output") as raised:
        shell("echo")
    assert "No space left" in raised.value.why
    assert raised.value.advice.startswith("make room")
    os.close(full)


def test_a_shell_command_has_its_status_also_of_a_guest_that_does_not_finish(
    world, shell, monkeypatch
):
    monkeypatch.setattr(live, "FINISH_S", 0.2)
    world.commands["exit"] = lambda _: 7
    world.commands["sh"] = lambda _: None
    world.script(*world.well)
    assert shell("exit") == 7


@pytest.mark.parametrize("status", [0, 7])
def test_files_go_in_before_a_command_and_come_out_after_it(world, shell, status):
    """Also after one that failed."""
    (world.folder / "in").write_text("one\n")

    def doubles(_):
        (world.files / "out").write_text((world.files / "in").read_text() * 2)
        return status

    world.commands["double"] = doubles
    world.script(*world.well)
    put, get = Put(world.folder / "in", "/in"), Get("/out", world.folder / "out")
    assert shell("double", puts=(put,), gets=(get,)) == status
    assert (world.folder / "out").read_text() == "one\none\n"


def test_a_file_that_did_not_come_out_is_told(world, shell):
    """After the others came out."""
    world.commands["make"] = lambda _: (world.files / "out").touch() or 0
    world.script(*world.well)
    place = world.folder / "place"
    place.mkdir()
    with pytest.raises(PlanError, match="/no2: the guest has no such file"):
        shell("make", gets=(Get("/no1", place), Get("/out", place), Get("/no2", place)))
    assert [path.name for path in place.iterdir()] == ["out"]
    assert "/no1: the guest has no such file" in shell.said[0]


def test_a_file_that_did_not_come_out_does_not_hide_how_the_command_ended(world, shell):
    world.commands["fail"] = lambda _: 7
    world.script(*world.well)
    assert shell("fail", gets=(Get("/no", world.folder / "out"),)) == 7
    assert "/no: the guest has no such file" in shell.said[0]


def test_a_file_that_does_not_go_in_ends_it(world, shell):
    world.script(*world.well)
    (world.files / "file").touch()
    (world.folder / "in").touch()
    with pytest.raises(HostError, match="does not take"):
        shell("never", puts=(Put(world.folder / "in", "/file/in"),))


def test_a_panic_under_a_shell_is_the_kernels_fault(world, shell):
    def panic(_):
        world.sign("running")

    world.commands["exit"] = panic
    world.script(f"await {world.folder / 'running'}", PANIC)
    with pytest.raises(SubjectError, match="Kernel panic"):
        shell("exit")


def test_a_qemu_that_is_killed_under_a_shell_is_the_hosts_fault(world, shell):
    world.commands["hangs"] = lambda _: world.sign("running")
    world.script(f"await {world.folder / 'running'}", "kill 9")
    with pytest.raises(HostError) as raised:
        shell("hangs")
    assert raised.value.what == "QEMU was ended by SIGKILL"
    assert raised.value.evidence.name == "qemu.log"
