# SPDX-License-Identifier: MIT
"""What is in the guest's initramfs, and the batch that a scenario becomes."""

from harness.model import ANSWERED, EventSpec, Reproducer, Scenario, copies

FOLDERS = ("bin", "dev", "lib", "probes", "proc", "sys", "tmp")
INIT = "init"
# What init calls.
APPLETS = (
    *("cat", "chmod", "chroot", "cp", "insmod", "ip"),
    *("mkdir", "mkfifo", "mount", "poweroff", "sh"),
)
BATCH = "batch"
SCENARIO = "scenario"
# Kernel modules of guest-images/modules, in the order in which they are loaded: the observer
# looks for PMUs that are there.
TEST_PMUS = "pmu_test.ko"
OBSERVER = "pmu_observer.ko"
MODULES = (TEST_PMUS, OBSERVER)
MODULES_PLACE = "lib"
KEYS = "ssh"
# What guest-images/probes/reproduce.c runs.
REPRODUCER = "reproducer"
# guest-images/vm, which guest-images/probes/vm.c runs in a virtual machine.
VM = "probes/vm"
VM_MAIN = "vm/main.c"

# Each probe's sources, the first one naming it; all are static programs.
PROBES = {
    "channel": ("channel.c", "record.c"),
    "cost": ("cost.c", "perf.c", "sample.c", "sideband.c", "aux.c", "record.c"),
    "drive": (
        *("drive.c", "script.c", "pmu.c", "vm.c", "work.c"),
        *("perf.c", "sample.c", "sideband.c", "aux.c", "record.c"),
    ),
    "phases": ("phases.c", "vm.c", "perf.c", "sample.c", "sideband.c", "aux.c", "record.c"),
    "reproduce": ("reproduce.c", "perf.c", "sample.c", "sideband.c", "aux.c", "record.c"),
}
# Where a machine is saved: guest-images/saved, in a guest's image and in an outer system's.
WAIT = ("wait.c", "receive.c")
# What is performed before, as a batch's first lines.
PRELUDE = "prelude"
# What every guest is set to, but one of a person's own program.  An emulated interrupt takes
# its time, for which perf_sample_event_took() would lower the allowed sample rate.
SETTINGS = {"kernel.perf_cpu_time_max_percent": 0}
# What lets user space see the counters of watched events, where the kernel has it:
# arm64's does, x86's lets it from the beginning (rdpmc).
WATCHING = {"kernel.perf_user_access?": 1}
COMPILE = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static")


# The verb that starts the system on the disk and its SSH server, until told to finish.
SERVE = "serve"
SHELL_BATCH = f"sysctl-if-any kernel/perf_user_access 1\n{SERVE}\n"

# The system on the disk: perf, an SSH server, a shell, and what a person expects beside it.
PACKAGES = (
    *("linux-perf", "dropbear-bin", "openssh-sftp-server"),
    *("bash", "coreutils", "findutils", "grep", "less", "mawk", "mount", "ncurses-base"),
    *("procps", "sed"),
)
# What the packages' own scripts, which are not run, would have left.
LINKS = {"bin/sh": "bash", "usr/bin/awk": "mawk"}
TEXTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n",
    "etc/group": "root:x:0:\n",
    "etc/shells": "/bin/bash\n/bin/sh\n",
    "etc/hosts": "127.0.0.1 localhost guest\n",
    "root/.profile": "PS1='\\u@\\h:\\w\\$ '\n",
}
UNWANTED = tuple(f"usr/share/{name}" for name in ("doc", "info", "lintian", "locale", "man"))
DISK_SPARE_MIB = 64


def batch(scenario: Scenario) -> str:
    """The lines that init performs: settings, modules, then the probe or the SSH server.

    A reproducer finds the kernel as it is: without settings or modules of ours.
    """
    if scenario.reproducer:
        return _reproduced(scenario, scenario.reproducer)
    watching = any(event.watched for event in scenario.events.values())
    # SETTINGS come last: the kernel refuses a sample rate once they hold.
    sysctl = scenario.sysctl | (WATCHING if watching else {}) | SETTINGS
    lines = [_setting(name, value) for name, value in sysctl.items()]
    parameters = {TEST_PMUS: _test_pmu_parameters, OBSERVER: _observer_parameters}
    lines += [" ".join(("load", name, *parameters[name](scenario))) for name in modules(scenario)]
    if scenario.tool:
        lines.append(SERVE)
    else:
        lines.append(" ".join(("probe", *(scenario.probe or ("drive",)))))
    return "".join(f"{line}\n" for line in lines)


def prelude(scenario: Scenario) -> str:
    """What most batches begin with, where a scenario's does: settings and the observer."""
    settings = (_setting(name, value) for name, value in SETTINGS.items())
    usual = "".join(f"{line}\n" for line in (*settings, f"load {OBSERVER}"))
    return usual if batch(scenario).startswith(usual) else ""


def _reproduced(scenario: Scenario, reproducer: Reproducer) -> str:
    lines = [_setting(name, value) for name, value in scenario.sysctl.items()]
    words = ["reproduce", str(reproducer.seconds), *(["userland"] if reproducer.userland else [])]
    return "".join(f"{line}\n" for line in (*lines, " ".join(words)))


def _setting(name: str, value: int) -> str:
    """One line of settings; a name that ends in ? may be one that the kernel lacks."""
    verb = "sysctl-if-any" if name.endswith("?") else "sysctl"
    return f"{verb} {name.removesuffix('?').replace('.', '/')} {value}"


def texts(scenario: Scenario) -> dict[str, str]:
    """The files that a scenario puts into its guest's initramfs, by name."""
    return {BATCH: batch(scenario), SCENARIO: script(scenario)}


def modules(scenario: Scenario) -> tuple[str, ...]:
    """The files of the modules that a guest loads, in order."""
    wanted = {TEST_PMUS: scenario.pmus, OBSERVER: scenario.observe}
    return tuple(name for name in MODULES if wanted[name])


def _test_pmu_parameters(scenario: Scenario) -> list[str]:
    """Module parameters of guest-images/modules/pmu_test.c: a value for each PMU."""
    rows = [pmu.model_dump() for pmu in scenario.pmus.values()]
    columns = {key: [int(row[key]) for row in rows] for key in rows[0]}
    return [f"{key}={','.join(map(str, values))}" for key, values in columns.items() if any(values)]


def _observer_parameters(scenario: Scenario) -> list[str]:
    """Module parameters of guest-images/modules/pmu_observer.c."""
    parameters = []
    also = () if isinstance(scenario.observe, bool) else scenario.observe
    if also or scenario.pmus:
        parameters.append("also=" + ",".join((*also, *scenario.pmus)))
    if scenario.registers:
        parameters.append("registers=1")
    return parameters


def script(scenario: Scenario) -> str:
    """Events, tasks and steps as guest-images/probes/script.h reads them; empty without any."""
    if not scenario.steps:
        return ""
    late = scenario.opened_late
    lines = ["quiet"] if scenario.quiet else []
    lines += [
        _event_line(copy, event, late=copy in late, may_be_refused=_may_be_refused(scenario, copy))
        for name, event in scenario.events.items()
        for copy in copies(name, event)
    ]
    for task, steps in scenario.tasks.items():
        lines += [f"task {task}", *(_step_line(scenario, step) for step in steps)]
    lines += ["main", *(_step_line(scenario, step) for step in scenario.steps)]
    return "".join(f"{line}\n" for line in lines)


def _step_line(scenario: Scenario, step: str) -> str:
    """With a ? before one that the kernel may refuse."""
    tolerated = scenario.tolerant and step.split(maxsplit=1)[0] in ANSWERED
    return f" ?{step}" if tolerated or step in scenario.answers else f" {step}"


def _may_be_refused(scenario: Scenario, event: str) -> bool:
    return scenario.tolerant or bool(scenario.answers_to_open(event))


def _event_line(name: str, event: EventSpec, *, late: bool, may_be_refused: bool) -> str:
    counts = f"pmu:{event.pmu}:{event.counts}" if event.pmu else event.counts
    words = [f"event {name} counts={counts}"]
    own = {"pmu", "counts", "copies", "expect", "records", "sample", "attr"}
    given = event.model_dump(exclude=own, exclude_defaults=True)
    given |= {"records": ",".join(event.records)} if event.records else {}
    given |= {"sample": ",".join(event.sample)} if event.sample else {}
    given |= {f"attr.{field}": value for field, value in event.attr.items()}
    given |= {"late": True} if late else {}
    given |= {"may_be_refused": True} if may_be_refused else {}
    words += [f"{key}={int(value) if value is True else value}" for key, value in given.items()]
    return " ".join(words)
