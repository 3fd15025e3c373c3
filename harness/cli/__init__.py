# SPDX-License-Identifier: MIT
"""The command line: the one place that exits."""

import os
import signal
import sys
from importlib import import_module
from typing import NoReturn

import click

from harness import PROGRAM, __version__
from harness.cli import streams
from harness.errors import Exit, HarnessError, HostError
from harness.host import process

# We have no plugin of pydantic's, and to look for one it reads what each package is.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")

HELP = """Does a Linux kernel keep its perf counters while it adjusts the sampling period?

Builds a kernel without and with a patch, boots both in QEMU with a virtual
PMU, runs perf workloads in the guest, and says with evidence whether every
event kept its counter and its counts.

\b
Examples:
  ./pmu-harness run                               the 2010 callbacks, against a kernel without
  ./pmu-harness run --patch my.patch              your patch, against the kernel without it
  ./pmu-harness run --source path:~/linux         your tree as it is
  ./pmu-harness ci *.patch                        a series, patch by patch: which one broke what
  ./pmu-harness run --series pre-callbacks        a kernel that loses its counters: exits 1
  ./pmu-harness ladder                            the whole suite on each kernel that is kept green
  ./pmu-harness mutants -k throttle               which check catches which bug
  ./pmu-harness coverage                          what the suite executes of perf's sources
  ./pmu-harness explore --patch my.patch          scenarios drawn by chance: what nobody thought of
  ./pmu-harness shell -- perf stat true           perf in a guest of the kernel under test
  ./pmu-harness doctor                            what this host can do, and why not more
  ./pmu-harness emulator build                    the patched QEMUs, before a run needs them
  ./pmu-harness judge RUN                         judge a stored run again, offline
  ./pmu-harness cache                             what is kept between runs, and how large it is
  ./pmu-harness test                              the project's own tests

\b
Exit status:
  0  the candidate broke nothing, and what the series claims holds
  1  the kernel under test is at fault: a check, its patch, its build, its boot
  2  what was asked for does not exist
  3  no verdict: the host or the harness is at fault, the data do not decide, or no
     guest has anything of the patch
"""


# Each command's module in harness.cli, what it is called there, and its line in the list of
# commands: a command imports what itself needs, and the list nothing.
_COMMANDS = {
    "baseline": ("compare", "baseline", "Runs that others are compared with."),
    "bisect": ("bisect", "bisect", "Find the first commit, or patch, that breaks what GOOD has."),
    "bisect-step": ("bisect", "bisect_step", ""),
    "cache": ("cache", "cache", "What is kept between runs: how large, last used when."),
    "ci": ("steps", "ci", "Judge a series patch by patch, each against the step before."),
    "compare": ("compare", "compare_", "What moved from one stored run's candidate to another's."),
    "coverage": (
        "coverage",
        "coverage",
        "Measure what the suite executes of perf's sources.",
    ),
    "doctor": ("host", "doctor_", "What this host can do, why not more, and what to do about it."),
    "emulator": ("host", "emulator", "QEMUs of the harness's own."),
    "explore": ("explore", "explore", "Draw scenarios by chance, and look for a fault."),
    "history": ("compare", "history_", "What became of a check over all runs."),
    "judge": ("results", "judge", "Judge a stored run again, with the checks of today."),
    "ladder": ("ladder", "ladder", "Run the whole suite on each kernel that is kept green."),
    "list": ("host", "list_", "The series, machines, scenarios, checks, and what else has a name."),
    "mutants": ("mutants", "mutants", "Put bugs into clean kernels, and see which check says so."),
    "report": ("results", "report", "Show a stored run's results, and write its reports anew."),
    "run": ("guests", "run", "Build, boot and judge a kernel with a patch, against one without."),
    "schema": ("results", "schema", "Print the JSON Schema of a file that this writes."),
    "setup": ("host", "setup", "Install what the host lacks."),
    "shell": ("shell", "shell", "A shell in a guest of the kernel under test, with perf."),
    "test": ("host", "test", "Run the project's own tests through tox."),
}


class _Commands(streams.Group):
    """The commands, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One by its name."""
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, name, _ = _COMMANDS[cmd_name]
        found: click.Command = getattr(import_module(f"harness.cli.{module}"), name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list, but for what is for programs."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items() if line])


@click.group(cls=_Commands, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pmu-harness")
def cli() -> None:
    """The group that holds the commands."""


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main() -> NoReturn:
    """Run the command line; turn every failure into a message and an exit code."""
    streams.open_closed()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        with streams.naming_closed_pipes():
            _run()
    except streams.UnreadError:
        process.stop_all()
        streams.let_go()
        sys.exit(Exit.UNREAD)


def _run() -> NoReturn:
    try:
        cli.main(prog_name=PROGRAM, standalone_mode=False)
        sys.exit(Exit.PASS)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort as abort:
        # click takes any EOFError for a person's Ctrl-D.
        if isinstance(abort.__cause__, EOFError):
            _failed(HostError.of(abort.__cause__))
        _stopped()
    except click.ClickException as error:
        error.show()
        sys.exit(Exit.PLAN)
    except HarnessError as error:
        _failed(error)
    except Exception as error:
        _failed(HostError.of(error))
    except KeyboardInterrupt:
        _stopped()


def _failed(error: HarnessError) -> NoReturn:
    click.echo("\n".join(error.lines()), err=True)
    sys.exit(error.blame.exit_code)


def _stopped() -> NoReturn:
    process.stop_all()
    click.echo("interrupted: all children are ended; run the same command to go on", err=True)
    sys.exit(Exit.INTERRUPTED)
