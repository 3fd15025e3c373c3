# SPDX-License-Identifier: MIT
"""An outer system that is saved where it waits, by a QEMU that is a script."""

import os
import pty
import subprocess
import time

import pytest

from harness.build.outer import OuterImage
from harness.errors import HostError
from harness.guest import saved as module
from harness.guest.saved import AWAKE, WAITING, saved
from harness.host.store import Cache
from tests.component.fakes import make_qemu
from tests.component.test_outer import compiled

WAITS = f"outer [    0.1] boots\nprint {WAITING.decode()}\nhang\n"
GOES_ON = f"saved\nouter {AWAKE.decode()}\n"


@pytest.fixture
def save(tmp_path, catalog, monkeypatch):
    """Save an outer system that behaves as a script says; counts the boots."""
    monkeypatch.setattr(module, "_TRIAL_S", 0.5)
    qemu = make_qemu(tmp_path)
    boots = tmp_path / "boots"
    qemu.write_text(
        qemu.read_text().replace(
            'serve("cont")',
            f'open({str(boots)!r}, "a").write("-incoming" in words and "l" or "b")\nserve("cont")',
        )
    )
    machine = catalog.machines["aarch64-kvm-nested"].model_copy(update={"timeout_s": 2})
    row = catalog.outers["arm64-el2"].model_copy(update={"qemu": str(qemu)})
    cache, said = Cache(tmp_path / "cache"), []

    def call(script, cpus=1):
        kernel = tmp_path / "kernel"
        kernel.write_text(script)
        image = OuterImage(row, kernel, kernel, "sha")
        place = saved(
            image, machine.with_cpus(cpus), None, version="7.2", cache=cache, say=said.append
        )
        return place, boots.read_text()

    call.said, call.cache, call.boots = said, cache, boots
    return call


@pytest.mark.needs("setpriv", "prlimit")
def test_it_is_booted_once_for_machines_of_a_size(save):
    first, boots = save(WAITS + GOES_ON)
    assert boots == "bl"
    assert save.said == ["booting arm64-el2 with 1 CPUs, to be gone on from"]
    assert save(WAITS + GOES_ON) == (first, "bl")
    assert first.boot_log.read_text() == "[    0.1] boots\n"
    around = first.around(first.folder / "guest", first.folder / "console")
    assert around.state and around.state.exists()
    assert around.memory.stat().st_size == 768 << 20
    assert around.memory.stat().st_blocks == 0
    left = {path.name for path in first.folder.iterdir()}
    assert left == {"boot.log", "console.log", "memory", "qemu.log", "state", "trial.log"}
    other, boots = save(WAITS + GOES_ON, cpus=2)
    assert (other.name != first.name, boots) == (True, "blbl")


@pytest.mark.needs("setpriv", "prlimit")
def test_a_qemu_that_is_killed_is_no_system_that_does_not_boot(save):
    with pytest.raises(HostError, match="QEMU was ended by SIGKILL"):
        save("outer [    0.1] boots\nkill 9\n")


@pytest.mark.needs("setpriv", "prlimit")
@pytest.mark.parametrize(
    ("script", "boots"),
    [
        # The host was slow: it was awake before it was stopped.
        (WAITS.replace("hang", f"outer {AWAKE.decode()}\nhang") + GOES_ON, "bbbbb"),
        (WAITS + "saved\nhang\n", "blblblblbl"),
        (WAITS + "saved\nouter Kernel panic\n", "blblblblbl"),
    ],
    ids=["too late", "its timer is lost", "it ends otherwise"],
)
def test_what_does_not_go_on_is_tried_again_and_told(save, script, boots):
    with pytest.raises(HostError, match="could not be saved in 5 tries") as caught:
        save(script)
    assert save.boots.read_text() == boots
    assert "less busy" in caught.value.advice
    assert not list(save.cache.artifacts.iterdir())


@pytest.mark.needs("setpriv", "prlimit")
@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("outer Kernel panic - not syncing: x\n", "the outer system arm64-el2 does not boot"),
        ("outer [    0.1] boots\nhang\n", "the outer system arm64-el2 does not boot"),
        (WAITS + "migration fails\n", "QEMU does not save the outer system"),
    ],
    ids=["panic", "hang", "not saved"],
)
def test_one_that_does_not_boot_is_the_hosts_fault(save, script, what):
    with pytest.raises(HostError, match=what) as caught:
        save(script)
    assert caught.value.why
    assert not list(save.cache.artifacts.iterdir())


@pytest.mark.needs("gcc")
def test_it_waits_until_a_time_of_the_clock(tmp_path):
    program = compiled("wait", tmp_path)
    near, far = pty.openpty()
    began = time.monotonic()
    said = subprocess.run([program, os.ttyname(far)], capture_output=True, check=True).stdout
    assert time.monotonic() - began > 0.016 + 0.010
    assert said == AWAKE + b"\n"
    assert os.read(near, 100).rstrip() == WAITING
    os.close(near)
    os.close(far)


@pytest.mark.needs("gcc")
def test_a_terminal_that_is_not_there_is_told(tmp_path):
    program = compiled("wait", tmp_path)
    done = subprocess.run([program, "/nowhere"], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"wait: /nowhere: No such file or directory\n")
