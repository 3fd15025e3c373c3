# SPDX-License-Identifier: MIT
"""What is in the guest's initramfs, and the batch that a scenario becomes."""

from harness.model import Scenario

FOLDERS = ("bin", "dev", "lib", "probes", "proc", "sys", "tmp")
INIT = "init"
BATCH = "batch"
OBSERVER = "lib/pmu_observer.ko"
KEYS = "ssh"

# Each probe's sources, the first one naming it; all are static programs.
PROBES = {
    "adjust": ("adjust.c", "perf.c", "record.c"),
    "channel": ("channel.c", "record.c"),
    "cost": ("cost.c", "perf.c", "record.c"),
    "phases": ("phases.c",),
}
COMPILE = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static")


# The verb that starts the system on the disk and its SSH server, until told to finish.
SERVE = "serve"
SHELL_BATCH = f"sysctl kernel/perf_user_access 1\n{SERVE}\n"

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
    """The lines that init performs: settings, the observer, then the probe or the SSH server."""
    lines = [f"sysctl {name.replace('.', '/')} {value}" for name, value in scenario.sysctl.items()]
    if scenario.observe:
        lines.append("observe")
    lines.append(SERVE if scenario.tool else " ".join(("probe", *scenario.probe)))
    return "".join(f"{line}\n" for line in lines)
