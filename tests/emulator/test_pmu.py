# SPDX-License-Identifier: MIT
"""The PMU of the patched QEMU, against a program that knows what it executes.

guest-images/pmu runs every test on every machine and says `ok`, `not ok` or `skip`;
what is skipped where is written here, so that nothing is skipped silently.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.emulator.machines import PASSED, Configuration, command_line, run

DATA = Path(__file__).parents[1] / "data" / "emulator"
NAMES = (DATA / "tests.txt").read_text().split()

CPUS = {"amd": "EPYC", "amd-core": "EPYC,+perfctr-core", "intel": "Nehalem"}
CONFIGURATIONS = [
    Configuration(vendor, cpu, shift, cpus)
    for vendor, cpu in CPUS.items()
    for shift in (0, 2, None)
    for cpus in (1, 2)
]
CONFIGURATIONS += [
    Configuration("amd-core", CPUS["amd-core"], None, 4),
    Configuration("intel", CPUS["intel"], 0, 4),
]

OF_INTEL = {"code-fast_system_call", "register-global-status", "register-global-control"}
OF_AMD = {"count-node-clock", "count-worlds", "count-injected", "overflow-clock-in-halt"}
OF_AMD_CORE = {"register-both-addresses"}
OF_ICOUNT = {
    "overflow-user-nmi",
    "overflow-user-vector",
    "overflow-kernel-nmi",
    "overflow-kernel-vector",
    "overflow-codes",
    "overflow-far-away",
    "overflow-other-events",
    "overflow-same-moment",
    "overflow-one-after-the-other",
    "overflow-periods",
}
OF_INTEL_WITHOUT_ICOUNT = {"count-no-reference-cycles"}
OF_MANY = {"smp-counts", "smp-registers", "smp-overflow", "smp-init"}


def skipped(configuration):
    intel, icount = configuration.vendor == "intel", configuration.shift is not None
    names = OF_AMD if intel else OF_INTEL
    if configuration.vendor != "amd-core":
        names = names | OF_AMD_CORE
    if not intel or icount:
        names = names | OF_INTEL_WITHOUT_ICOUNT
    if not icount:
        names = names | OF_ICOUNT
    if configuration.cpus == 1:
        names = names | OF_MANY
    return names


def by_name(configurations):
    names = [configuration.name for configuration in configurations]
    return pytest.mark.parametrize("configuration", configurations, ids=names)


@by_name(CONFIGURATIONS)
def test_the_pmu(configuration, qemu, image, tmp_path):
    """An exact machine runs twice, at the same time, and both say the same."""
    argv = command_line(qemu, image, configuration)
    logs = [tmp_path / "first"] + ([tmp_path / "second"] if configuration.shift is not None else [])
    with ThreadPoolExecutor() as pool:
        done, *again = pool.map(run, [argv] * len(logs), logs)
    assert not done.complaints, done.complaints
    assert done.text.endswith("\nend\n"), done.text + logs[0].read_text()
    assert set(done.named("skip")) == skipped(configuration)
    assert done.named("ok") == [name for name in NAMES if name not in skipped(configuration)]
    assert done.status == PASSED
    assert again in ([], [done])
