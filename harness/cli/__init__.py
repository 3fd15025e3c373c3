# SPDX-License-Identifier: MIT
"""The command line: the one place that exits."""

import signal
import sys
from typing import NoReturn

import click

from harness import __version__
from harness.cli import (
    bisect,
    cache,
    compare,
    coverage,
    explore,
    guests,
    host,
    ladder,
    mutants,
    results,
    steps,
    streams,
)
from harness.errors import Exit, HarnessError, HostError
from harness.host import process
from harness.run.request import PROGRAM

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


@click.group(cls=streams.Group, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pmu-harness")
def cli() -> None:
    """The group that holds the commands."""


_COMMANDS = (
    guests.run,
    mutants.mutants,
    guests.shell,
    steps.ci,
    bisect.bisect,
    bisect.bisect_step,
    compare.compare_,
    compare.baseline,
    compare.history_,
    ladder.ladder,
    coverage.coverage,
    explore.explore,
    results.judge,
    results.report,
    results.schema,
    host.doctor_,
    host.emulator,
    host.list_,
    host.setup,
    host.test,
    cache.cache,
)
for _command in _COMMANDS:
    cli.add_command(_command)


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
