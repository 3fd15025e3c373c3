# SPDX-License-Identifier: MIT
"""A machine that is saved where it stops itself, by a QEMU that is a script."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from harness.errors import HostError
from harness.guest import saved as module
from harness.guest.saved import AWAKE, WAITING, Saver, System
from harness.host.store import Cache
from tests.component.fakes import make_qemu

pytestmark = pytest.mark.needs("setpriv", "prlimit")

ENDS = f"print {AWAKE.decode()}\n"
BOOTS = "print [    0.1] boots\n"
STOPS = f"print {WAITING.decode()}\nstop\nhang\n"
GOES_ON = BOOTS + STOPS + "saved\n" + ENDS
# An outer system's console is another one than that of the guest, on which it says that it waits.
OUTER = GOES_ON.replace(BOOTS, "outer [    0.1] boots\n").replace("print wait", "outer wait")


def system(folder, catalog, script, cpus=1, *, outer=False):
    """One that behaves as a script says."""
    qemu = folder / "qemu"
    if not qemu.exists():
        make_qemu(folder)
        boots = f'open({str(folder / "boots")!r}, "a").write("-incoming" in words and "l" or "b")'
        text = qemu.read_text()
        qemu.write_text(text.replace('serve("cont")', f'{boots}\nserve("cont")'))
    name = "aarch64-kvm-nested" if outer else "aarch64-tcg"
    machine = catalog.machines[name].model_copy(update={"timeout_s": 2, "qemu": str(qemu)})
    row = catalog.outers["arm64-el2"].model_copy(update={"qemu": str(qemu)})
    kernel = folder / "kernel"
    kernel.write_text(script)
    return System(
        title="it",
        machine=machine.with_cpus(cpus),
        kernel=kernel,
        initramfs=kernel,
        contents=("sha", "7.2"),
        outer=row if outer else None,
    )


@pytest.fixture
def save(tmp_path, catalog, monkeypatch):
    """Save such a system: what came of it, and which boots (b) and trials (l) that took."""
    monkeypatch.setattr(module, "_TRIAL_S", 0.5)
    cache, said = Cache(tmp_path / "cache"), []
    saver = Saver(cache, 1 << 30, said.append)

    def call(script, cpus=1, *, outer=False):
        made = saver.saved(system(tmp_path, catalog, script, cpus, outer=outer))
        return made, (tmp_path / "boots").read_text()

    call.said, call.cache, call.boots = said, cache, tmp_path / "boots"
    return call


@pytest.mark.parametrize("outer", [False, True], ids=["guest", "outer system"])
def test_it_is_booted_once_for_machines_of_a_size(save, outer):
    script = OUTER if outer else GOES_ON
    first, boots = save(script, outer=outer)
    assert boots == "bl"
    assert save.said == ["booting it, to be gone on from"]
    assert save(script, outer=outer) == (first, "bl")
    log = first.boot_log.read_text().replace("\r", "")
    assert log == "[    0.1] boots\n" + ("" if outer else f"{WAITING.decode()}\n")
    files = first.files(Path("given"), Path("channel"), Path("console"))
    assert files.saving.state.exists()
    assert files.saving.memory.stat().st_size == (768 if outer else 256) << 20
    assert files.saving.memory.stat().st_blocks == 0
    left = {path.name for path in first.folder.iterdir()}
    own = {"boot.log", "executed.txt", "memory", "qemu.log", "state", "trial.log"}
    assert left == own | ({"console.log"} if outer else set())
    other, boots = save(script, cpus=2, outer=outer)
    assert (other.system.name != first.system.name, boots) == (True, "blbl")


def test_its_name_is_that_of_what_it_is(tmp_path, catalog):
    """And not of where it lies, or of what is noted."""
    one = system(tmp_path, catalog, GOES_ON)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = system(elsewhere, catalog, GOES_ON)
    assert one.kernel != other.kernel
    qemu = one.machine.qemu
    same = module.replace(
        other, machine=other.machine.model_copy(update={"qemu": qemu}), watched=((1, 2),)
    )
    assert same.name == one.name
    assert module.replace(one, contents=("sha", "8.0")).name != one.name


@pytest.mark.parametrize(
    ("script", "boots", "what"),
    [
        (BOOTS + "print Kernel panic - not syncing: x\n", "b", "it does not boot"),
        (BOOTS + "hang\n", "b", "it does not boot"),
        (GOES_ON.replace("stop\n", "migration fails\nstop\n"), "b", "QEMU does not save it"),
        (GOES_ON.replace(ENDS, "hang\n"), "bl", "it does not go on from where it was saved"),
        (GOES_ON.replace(ENDS, "print x\n"), "bl", "it does not go on from where it was saved"),
        (
            GOES_ON.replace("awake", "late"),
            "blblblblbl",
            "it does not go on from where it was saved",
        ),
        (BOOTS + "kill 9\n", "b", "QEMU was ended by SIGKILL"),
    ],
    ids=["panic", "hang", "not saved", "hangs afterwards", "ends otherwise", "late", "killed"],
)
def test_what_cannot_be_saved_is_booted_which_is_said_once(save, script, boots, what):
    assert save(script) == (None, boots)
    assert save(script) == (None, boots)
    assert save.said == ["booting it, to be gone on from", f"{what}: its guests boot"]
    assert not list(save.cache.artifacts.iterdir())


def test_there_is_no_guest_without_its_outer_system(save):
    for _ in range(2):
        with pytest.raises(HostError, match="it does not boot") as caught:
            save("outer [    0.1] boots\nhang\n", outer=True)
        assert caught.value.why
    assert save.boots.read_text() == "b"
    assert not list(save.cache.artifacts.iterdir())


def test_two_guests_at_a_time_have_it_booted_once(save):
    made = []
    askers = [Thread(target=lambda: made.append(save(GOES_ON)[0])) for _ in range(4)]
    for one in askers:
        one.start()
    for one in askers:
        one.join()
    assert made[0] and made == [made[0]] * 4
    assert save.boots.read_text() == "bl"


def test_those_that_no_guest_uses_make_room(tmp_path, catalog):
    cache = Cache(tmp_path / "cache")
    saver = Saver(cache, 1, print)

    def folder(cpus):
        return saver.saved(system(tmp_path, catalog, GOES_ON, cpus)).folder

    first, second = folder(1), folder(2)
    assert first.exists()
    saver.release()
    third = folder(3)
    assert [place.exists() for place in (first, second, third)] == [False, False, True]
    assert folder(1) == first


SAVES = """
import sys
from pathlib import Path
from harness.ask.catalog import Catalog
from harness.guest.saved import Saver
from harness.host.store import Cache
from tests.component.test_saved import system
folder = Path(sys.argv[1])
saver = Saver(Cache(folder / "cache"), 1 << 30, lambda text: print(text, flush=True))
sys.exit(saver.saved(system(folder, Catalog(), sys.argv[2])) is None)
"""


def living(folder):
    """The processes that have a folder on their command lines."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words and int(place.name) != os.getpid():
            found.append(int(place.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_save_that_is_interrupted_leaves_nothing(tmp_path, catalog, number):
    """Neither a QEMU, nor anything that is taken for whole; the next one saves it."""
    script = BOOTS + "hang\n"
    child = subprocess.Popen(
        [sys.executable, "-c", SAVES, str(tmp_path), script],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
    )
    assert b"to be gone on from" in child.stdout.readline()
    boots = tmp_path / "boots"
    while not boots.exists() or not boots.read_text():
        time.sleep(0.01)
    child.send_signal(number)
    child.wait(20)
    child.stdout.close()
    deadline = time.monotonic() + 20
    while living(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert living(tmp_path) == []
    cache = Cache(tmp_path / "cache")
    assert not [path for path in cache.artifacts.iterdir() if not path.name.startswith(".")]
    assert Saver(cache, 1 << 30, print).saved(system(tmp_path, catalog, GOES_ON))
    assert [path.name[:6] for path in cache.artifacts.iterdir()] == ["saved-"]


def test_a_full_disk_leaves_nothing_and_the_guests_boot(save, monkeypatch):
    def full(self, place):
        place.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.qemu.Monitor, "save", full)
    assert save(GOES_ON)[0] is None
    assert "No space left on device" in save.said[-1] or "does not save" in save.said[-1]
    assert not list(save.cache.artifacts.iterdir())
