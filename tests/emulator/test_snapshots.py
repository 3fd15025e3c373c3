# SPDX-License-Identifier: MIT
"""A machine that is stopped in the middle of its loop, saved, and goes on: counts go on."""

import time

import pytest

from tests.emulator.machines import PASSED, Configuration, command_line, run, watched

CONFIGURATIONS = [
    Configuration("amd-core", "EPYC,+perfctr-core", 0, 1),
    Configuration("intel", "Nehalem", 2, 1),
    Configuration("amd", "EPYC", None, 1),
    Configuration("intel", "Nehalem", None, 1),
]
PATIENCE_S = 20.0


def by_name():
    names = [configuration.name for configuration in CONFIGURATIONS]
    return pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=names)


@pytest.fixture
def argv(qemu, image, configuration):
    """A machine that runs the one test that is interrupted."""
    words = command_line(qemu, image, configuration)
    words[words.index("-append") + 1] += " migrate"
    return words


def settled(monitor, command, key):
    """Ask until something is over; how it ended."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = monitor.execute(command)
        found = answer[0] if isinstance(answer, list) else answer
        if found.get(key) in ("completed", "failed", "concluded"):
            return found
        assert time.monotonic() < deadline, answer
        time.sleep(0.01)


def stopped(machine):
    """Stop a machine that has begun its loop, and is not at its end."""
    assert machine.line() == "ready\n"
    machine.monitor.execute("stop")


def save(machine, place):
    machine.monitor.execute("migrate", {"uri": f"file:{place}"})
    assert settled(machine.monitor, "query-migrate", "status")["status"] == "completed"


def load(machine, place):
    machine.monitor.execute("migrate-incoming", {"uri": f"file:{place}"})
    assert settled(machine.monitor, "query-migrate", "status")["status"] == "completed"
    machine.monitor.execute("cont")


@by_name()
def test_another_process_goes_on(configuration, argv, tmp_path):
    with watched(argv, tmp_path / "from") as source:
        stopped(source)
        save(source, tmp_path / "state")
        source.monitor.execute("quit")
        assert "ok" not in source.rest().text
    with watched([*argv, "-incoming", "defer"], tmp_path / "to") as target:
        load(target, tmp_path / "state")
        done = target.rest()
    assert not done.complaints, done.complaints
    assert done.named("ok") == ["migration"]
    assert done.status == PASSED
    if configuration.shift is not None:
        undisturbed = run(argv, tmp_path / "log")
        assert undisturbed.text == "ready\n" + done.text


def job(machine, command, arguments):
    """A command that QEMU does in the background, done."""
    machine.monitor.execute(command, {"job-id": command, **arguments})
    end = settled_job(machine.monitor, command)
    assert "error" not in end, end
    machine.monitor.execute("job-dismiss", {"id": command})


def settled_job(monitor, name):
    deadline = time.monotonic() + PATIENCE_S
    while True:
        (found,) = (entry for entry in monitor.execute("query-jobs") if entry["id"] == name)
        if found["status"] == "concluded":
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def add_disk(machine, place):
    """A qcow2 image for snapshots, without qemu-img."""
    where = {"driver": "file", "filename": str(place)}
    job(machine, "blockdev-create", {"options": {**where, "size": 0}})
    machine.monitor.execute("blockdev-add", {**where, "node-name": "file"})
    image = {"driver": "qcow2", "file": "file"}
    job(machine, "blockdev-create", {"options": {**image, "size": 1 << 20}})
    machine.monitor.execute("blockdev-add", {**image, "node-name": "disk"})


@by_name()
def test_the_same_process_goes_back(configuration, argv, tmp_path):
    """What it counted after the snapshot is forgotten."""
    snapshot = {"tag": "middle", "vmstate": "disk", "devices": ["disk"]}
    with watched(argv, tmp_path / "log") as machine:
        stopped(machine)
        add_disk(machine, tmp_path / "disk")
        job(machine, "snapshot-save", snapshot)
        for _ in range(2):
            machine.monitor.execute("cont")
            time.sleep(0.1)
            machine.monitor.execute("stop")
            job(machine, "snapshot-load", snapshot)
        machine.monitor.execute("cont")
        done = machine.rest()
    assert not done.complaints, done.complaints
    assert done.named("ok") == ["migration"]
    assert done.status == PASSED
