# SPDX-License-Identifier: MIT
"""What is in the guest's initramfs, and the batch that a scenario becomes."""

from harness.model import Scenario

FOLDERS = ("bin", "dev", "lib", "probes", "proc", "sys", "tmp")
INIT = "init"
BATCH = "batch"
OBSERVER = "lib/pmu_observer.ko"

# Each probe's sources, the first one naming it; all are static programs.
PROBES = {
    "adjust": ("adjust.c", "perf.c", "record.c"),
    "channel": ("channel.c", "record.c"),
    "cost": ("cost.c", "perf.c", "record.c"),
}
COMPILE = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static")


def batch(scenario: Scenario) -> str:
    """The lines that init performs: settings, the observer, then the probe."""
    lines = [f"sysctl {name.replace('.', '/')} {value}" for name, value in scenario.sysctl.items()]
    if scenario.observe:
        lines.append("observe")
    lines.append(" ".join(("probe", *scenario.probe)))
    return "".join(f"{line}\n" for line in lines)
