# SPDX-License-Identifier: MIT
"""What is in the guest's initramfs, and the batch that a scenario becomes."""

from harness.model import EventSpec, Scenario, copies

FOLDERS = ("bin", "dev", "lib", "probes", "proc", "sys", "tmp")
INIT = "init"
BATCH = "batch"
SCENARIO = "scenario"
OBSERVER = "lib/pmu_observer.ko"

# Each probe's sources, the first one naming it; all are static programs.
PROBES = {
    "channel": ("channel.c", "record.c"),
    "cost": ("cost.c", "perf.c", "record.c"),
    "drive": ("drive.c", "script.c", "work.c", "perf.c", "record.c"),
}
# What every guest is set to.  An emulated interrupt takes its time, for which
# perf_sample_event_took() would lower the allowed sample rate.
SETTINGS = {"kernel.perf_cpu_time_max_percent": 0}
# What lets user space see the counters of watched events (arm64; x86 has rdpmc).
WATCHING = {"kernel.perf_user_access": 1}
COMPILE = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static")


def batch(scenario: Scenario) -> str:
    """The lines that init performs: settings, the observer, then the probe."""
    watching = any(event.watched for event in scenario.events.values())
    # SETTINGS come last: the kernel refuses a sample rate once they hold.
    sysctl = scenario.sysctl | (WATCHING if watching else {}) | SETTINGS
    lines = [f"sysctl {name.replace('.', '/')} {value}" for name, value in sysctl.items()]
    if scenario.observe:
        lines.append(" ".join(("observe", *_observer_parameters(scenario))))
    lines.append(" ".join(("probe", *(scenario.probe or ("drive",)))))
    return "".join(f"{line}\n" for line in lines)


def _observer_parameters(scenario: Scenario) -> list[str]:
    """Module parameters of guest-images/modules/pmu_observer.c."""
    parameters = []
    if not isinstance(scenario.observe, bool):
        parameters.append("also=" + ",".join(scenario.observe))
    if scenario.registers:
        parameters.append("registers=1")
    return parameters


def script(scenario: Scenario) -> str:
    """Events, tasks and steps as guest-images/probes/script.h reads them; empty for a probe."""
    if scenario.probe:
        return ""
    lines = [
        _event_line(copy, event)
        for name, event in scenario.events.items()
        for copy in copies(name, event)
    ]
    for task, steps in scenario.tasks.items():
        lines += [f"task {task}", *(f" {step}" for step in steps)]
    lines += ["main", *(f" {step}" for step in scenario.steps)]
    return "".join(f"{line}\n" for line in lines)


def _event_line(name: str, event: EventSpec) -> str:
    words = [f"event {name} counts={event.counts}"]
    given = event.model_dump(exclude={"counts", "copies"}, exclude_defaults=True)
    words += [f"{key}={int(value) if value is True else value}" for key, value in given.items()]
    return " ".join(words)
