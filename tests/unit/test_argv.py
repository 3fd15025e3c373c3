# SPDX-License-Identifier: MIT
"""QEMU's command line, word by word."""

from pathlib import Path

import pytest

from harness.machine.argv import Descriptors, Files, build_argv

GOLDEN = Path(__file__).parents[1] / "data" / "argv"


def argv(machine, channel="/run/channel"):
    files = Files(Path("/k/Image"), Path("/run/initramfs.cpio"), Path(channel))
    return build_argv(machine, files, Descriptors(console=5, monitor=6))


@pytest.mark.parametrize("name", [path.stem for path in GOLDEN.glob("*.txt")])
def test_golden(catalog, name):
    assert "\n".join(argv(catalog.machines[name])) + "\n" == (GOLDEN / f"{name}.txt").read_text()


def test_every_machine_has_a_golden_argv(catalog):
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(catalog.machines)


def test_every_machine_is_confined(catalog):
    for machine in catalog.machines.values():
        words = argv(machine)
        assert any(word.startswith("on,") and "spawn=deny" in word for word in words)
        assert "-nodefaults" in words
        assert not any("netdev" in word or "-nic" in word for word in words)


def test_a_comma_in_a_path_is_no_option(catalog):
    words = argv(catalog.machines["aarch64-tcg"], channel="/run/a,b/channel")
    assert any("mem-path=/run/a,,b/channel" in word for word in words)
