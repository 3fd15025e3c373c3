# SPDX-License-Identifier: MIT
"""The emulator and the program, made once for all tests."""

import pytest

from tests.emulator import machines


@pytest.fixture(scope="session")
def qemu():
    """The command of the emulator that is tested; without one there is nothing to skip to."""
    return machines.emulator()


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    return machines.compile_program(tmp_path_factory.mktemp("pmu") / "pmu.img")
