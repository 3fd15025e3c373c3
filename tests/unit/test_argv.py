# SPDX-License-Identifier: MIT
"""QEMU's command line, word by word."""

from pathlib import Path

import pytest

from harness.machine.argv import (
    Around,
    Descriptors,
    Files,
    Program,
    Saving,
    Trace,
    build_argv,
    inner_argv,
    trial_argv,
)

GOLDEN = Path(__file__).parents[1] / "data" / "argv"


def argv(machine, channel="/run/channel", **more):
    files = Files(Path("/k/Image"), Path("/run/initramfs.cpio"), Path(channel), **more)
    return build_argv(machine, files, Descriptors(console=5, monitor=6))


@pytest.mark.parametrize("name", [path.stem for path in GOLDEN.glob("*.txt")])
def test_golden(catalog, name):
    assert "\n".join(argv(catalog.machines[name])) + "\n" == (GOLDEN / f"{name}.txt").read_text()


def test_every_machine_has_a_golden_argv(catalog):
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(catalog.machines)


@pytest.mark.parametrize("name", [path.stem for path in (GOLDEN / "saved").glob("*.txt")])
@pytest.mark.parametrize(("folder", "state"), [("saving", None), ("saved", Path("/c/state"))])
def test_golden_of_a_machine_that_boots_once(catalog, name, folder, state):
    """As it boots to be saved, and as it goes on with a guest."""
    machine = catalog.machines[name]
    outer = catalog.outers[machine.outer] if machine.outer else None
    words = argv(
        machine,
        outer=Around(outer, Path("/run/outer,1.log")) if outer else None,
        saving=Saving(Path("/c/memory"), Path("/run/given,1"), state),
    )
    assert "\n".join(words) + "\n" == (GOLDEN / folder / f"{name}.txt").read_text()


@pytest.mark.parametrize("folder", ["saving", "saved"])
def test_every_machine_that_boots_once_has_a_golden_one(catalog, folder):
    once = {name for name, row in catalog.machines.items() if row.boots_once}
    assert {path.stem for path in (GOLDEN / folder).glob("*.txt")} == once
    assert {name for name, row in catalog.machines.items() if row.outer} <= once


def test_what_runs_in_an_outer_system_is_what_runs_on_hardware(catalog):
    """But for the paths: the same words, from the hardware's golden file."""
    for name, machine in catalog.machines.items():
        if machine.outer:
            golden = (GOLDEN / f"{name.removesuffix('-nested')}.txt").read_text()
            for ours, inside in (
                ("/run/channel", "/run/channel"),
                ("/k/Image", "/guest/kernel"),
                ("/run/initramfs.cpio", "/guest/initramfs.cpio"),
                ("console,fd=5", "console,fd=3"),
                ("monitor,fd=6", "monitor,fd=4"),
            ):
                assert ours in golden
                golden = golden.replace(ours, inside)
            assert "\n".join(inner_argv(machine)) + "\n" == golden


@pytest.mark.parametrize("name", [path.stem for path in GOLDEN.glob("*.txt")])
def test_golden_with_a_session(catalog, name):
    words = argv(catalog.machines[name], disk=Path("/c/disk,1"), network=True, gdb=Path("/s/gdb"))
    assert "\n".join(words) + "\n" == (GOLDEN / "session" / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", [path.stem for path in (GOLDEN / "trace").glob("*.txt")])
def test_golden_with_a_trace(catalog, name):
    trace = Trace(Path("/run/trace.log"), ("write", "read", "rdpmc", "overflow", "interrupt"))
    words = argv(catalog.machines[name], trace=trace)
    assert "\n".join(words) + "\n" == (GOLDEN / "trace" / f"{name}.txt").read_text()


def test_every_machine_that_offers_a_trace_has_a_golden_one(catalog):
    offering = {name for name, row in catalog.machines.items() if "register-trace" in row.offers}
    assert {path.stem for path in (GOLDEN / "trace").glob("*.txt")} == offering


@pytest.mark.parametrize("name", [path.stem for path in (GOLDEN / "trial").glob("*.txt")])
def test_golden_of_a_trial(catalog, name):
    row = catalog.accelerators[name]
    program = Program(Path("/a/qemu"), Path("/a/firmware")) if row.emulator else None
    words = trial_argv(row, Path("/c/image"), program)
    assert "\n".join(words) + "\n" == (GOLDEN / "trial" / f"{name}.txt").read_text()


def test_every_accelerator_has_a_golden_trial(catalog):
    golden = {path.stem for path in (GOLDEN / "trial").glob("*.txt")}
    assert golden == set(catalog.accelerators)


def test_a_program_of_our_own_changes_nothing_else(catalog):
    program = Program(Path("/c/qemu"), Path("/c/firmware"))
    for machine in catalog.machines.values():
        words = argv(machine, program=program)
        assert words == ["/c/qemu", "-L", "/c/firmware", *argv(machine)[1:]]


def test_a_session_reaches_the_guest_and_the_guest_nothing(catalog):
    for machine in catalog.machines.values():
        words = argv(machine, disk=Path("/c/disk"), network=True)
        (netdev,) = (word for word in words if word.startswith("user,"))
        assert "restrict=on" in netdev and "hostfwd=tcp:127.0.0.1:0-:22" in netdev
        (disk,) = (word for word in words if "node-name=disk" in word)
        assert "read-only=on" in disk
        assert any("spawn=deny" in word for word in words)


def test_a_disk_by_itself_brings_no_network(catalog):
    for machine in catalog.machines.values():
        words = argv(machine, disk=Path("/c/disk"))
        assert any("node-name=disk" in word for word in words)
        assert not any("net" in word for word in words if not word.startswith("tsc"))


def test_every_machine_is_confined(catalog):
    for machine in catalog.machines.values():
        words = argv(machine)
        assert any(word.startswith("on,") and "spawn=deny" in word for word in words)
        assert "-nodefaults" in words
        assert not any("netdev" in word or "-nic" in word for word in words)


def test_a_comma_in_a_path_is_no_option(catalog):
    words = argv(catalog.machines["aarch64-tcg"], channel="/run/a,b/channel")
    assert any("mem-path=/run/a,,b/channel" in word for word in words)


def test_a_kernel_is_told_what_its_machine_says(catalog):
    machine = catalog.machines["aarch64-tcg"].model_copy(update={"kernel_arguments": ("a=1", "b")})
    words = argv(machine)
    assert words[words.index("-append") + 1].endswith(" rdinit=/init a=1 b")
