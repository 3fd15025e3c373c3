# SPDX-License-Identifier: MIT
"""The command that lets a person, or gdb, into a guest: shell."""

import sys
from typing import Any, NoReturn

import click
from rich.console import Console

from harness.ask.catalog import Catalog
from harness.cli.guests import choose, run
from harness.cli.needs import ensure_compilers
from harness.guest.transfer import parse_get, parse_put
from harness.host.progress import Progress
from harness.host.store import Cache, write_json
from harness.run.folder import HOST
from harness.run.request import Asked, prepare
from harness.run.shell import Errands, enter, prepare_place


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "--put",
    "puts",
    multiple=True,
    type=click.Path(),
    metavar="FILE[:PATH]",
    help="Put a file or folder into the guest before the command, at PATH or in its home.  "
    "Repeat for several.",
)
@click.option(
    "--get",
    "gets",
    multiple=True,
    metavar="PATH[:FILE]",
    help="Get a file or folder from the guest after the command, also when that failed, to FILE "
    "or into the folder that this runs in.  Repeat for several.",
)
@click.option("--gdb", is_flag=True, help="Start paused, for a gdb that attaches; with DWARF.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def shell(gdb: bool, command: tuple[str, ...], timeout_scale: float, **options: Any) -> NoReturn:
    """A shell in a guest of the kernel under test, with perf; or COMMAND there.

    Exits with the status of the shell or of COMMAND, 255 where a signal ended
    it.  Standard input, output and error are as with ssh; modes of files are
    kept.  What is written in the guest is gone with it.

    \b
    Examples:
      ./pmu-harness shell --patch my.patch -- perf stat true
      ./pmu-harness shell --put tests --get log -- sh -c 'tests/run >log'
      ./pmu-harness shell --get perf.data:/tmp/perf.data -- perf record -F 1000 true
    """
    puts, gets = map(parse_put, options.pop("puts")), map(parse_get, options.pop("gets"))
    errands = Errands(command, tuple(puts), tuple(gets))
    if gdb and not command and (errands.puts or errands.gets):
        raise click.UsageError("with --gdb, --put and --get take a COMMAND")
    if len(options["variants"]) > 1:
        raise click.UsageError("a guest has one --variant")
    catalog, cache = Catalog(), Cache()
    console = Console(stderr=True)
    machine, yes = options.pop("machine"), options.pop("yes")
    examined, choice = choose(catalog, cache, console, machine, yes=yes)
    ensure_compilers(catalog, options["variants"], yes=yes)
    with Progress(console) as progress:
        prepared = prepare(catalog, cache, Asked(machine=choice.machine, **options), progress.say)
        place = prepare_place(prepared, catalog, cache, progress, debug=gdb)
        write_json(place.folder / HOST, examined.noted(choice))
    sys.exit(enter(place, errands, timeout_scale, lambda text: click.echo(text, err=True)))


# Its kernel and machine are chosen as those of `run` are.
_CHOICES = (
    *("series", "patches", "commits", "source", "machine", "variants", "kconfig"),
    *("refresh", "timeout_scale", "yes"),
)
shell.params[:0] = [option for option in run.params if option.name in _CHOICES]
