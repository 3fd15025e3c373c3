# SPDX-License-Identifier: MIT
"""Options that several commands have."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.ask.catalog import Catalog
from harness.doctor.findings import AUTO
from harness.host.store import default_runs
from harness.model import PLAIN, parse_size
from harness.report import text
from harness.run.request import DEFAULT_MACHINE

Command = TypeVar("Command", bound=Callable[..., Any])


# Names the variable that says how much the cache may take.
LIMIT = "PMU_HARNESS_CACHE_LIMIT"


class Size(click.ParamType[int]):
    """A size such as 20G."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Bytes."""
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def detail_options(command: Any) -> Any:
    """--brief and --full, for the commands that print a run's results."""
    brief = click.option("--brief", is_flag=True, help="Print only what did not pass.")
    full = click.option("--full", is_flag=True, help="Print what every check measured.")
    return brief(full(command))


def chosen_detail(*, brief: bool, full: bool) -> text.Detail:
    """What --brief and --full come to."""
    if brief and full:
        raise click.UsageError("--brief and --full exclude each other")
    return text.Detail.BRIEF if brief else text.Detail.FULL if full else text.Detail.NORMAL


def completes(kind: str, *also: str) -> Any:
    """Completion for the names of a kind of row, and what else may be said."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
        names = [*getattr(Catalog(), kind), *also]
        return [name for name in names if name.startswith(incomplete)]

    return complete


def complete_checks(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Completion for the names of checks and their families."""
    from harness.checks import CHECKS  # noqa: PLC0415 (takes long)

    families = dict.fromkeys(check.partition(".")[0] for check in CHECKS)
    return [name for name in (*families, *CHECKS) if name.startswith(incomplete)]


machine_option = click.option(
    "--machine",
    default=DEFAULT_MACHINE,
    show_default=True,
    metavar="NAME",
    shell_complete=completes("machines", AUTO),
    help="The virtual machine, a row of configs/machines.yaml, or auto: one on this host's own "
    "hardware where `doctor` finds that to work, else the default.",
)
variant_option = click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="NAME",
    shell_complete=completes("variants", PLAIN),
    help="The configuration, a row of configs/variants.yaml such as lockdep or kasan, or plain; "
    "repeat for several.  [default: plain]",
)
kconfig_option = click.option(
    "--kconfig",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of CONFIG_ lines to add to the configuration; repeat for several.",
)
known_option = click.option(
    "--known",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Known issues of yours, with reason, link and expiry: what they explain is a skip "
    "(docs/compare.md); repeat for several.",
)
yes_option = click.option("--yes", is_flag=True, help="Install missing packages without asking.")


def carried_out(folder: str) -> Callable[[Command], Command]:
    """Where results go, how many guests at a time and with which patience, what may be installed.

    `folder` is what --output names.
    """
    options = (
        click.option(
            "--output",
            type=click.Path(file_okay=False, path_type=Path),
            help=f"{folder}.  [default: a new one in {default_runs()}]",
        ),
        click.option(
            "--jobs", type=click.IntRange(1), default=os.cpu_count(), help="Guests at a time."
        ),
        click.option(
            "--timeout-scale",
            type=click.FloatRange(0.1),
            default=1.0,
            help="Patience with guests, for slow hosts.",
        ),
        yes_option,
    )

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add
