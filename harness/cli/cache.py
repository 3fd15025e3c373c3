# SPDX-License-Identifier: MIT
"""What is kept between runs: cache, cache prune, cache clear."""

import json
import time
from collections.abc import Callable, Sequence

import click
from rich.console import Console

from harness.ask.catalog import Catalog, nearest
from harness.errors import PlanError
from harness.host.keeper import Keeper
from harness.host.keeping import KINDS, beyond, total
from harness.host.store import Cache
from harness.model import CacheEntry, parse_size, shown_size
from harness.report import cached


class _Size(click.ParamType[int]):
    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Bytes."""
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group(invoke_without_command=True)
@click.option("--full", is_flag=True, help="Each observation and each kernel by itself.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.pass_context
def cache(context: click.Context, full: bool, as_json: bool) -> None:
    """What is kept between runs: how large, last used when, for what.

    Sources, build folders, kernels, images, emulators and observations are kept
    so that nothing is done twice; whatever is removed is made again when a run
    needs it.  What a run uses now is never removed.

    \b
    Examples:
      ./pmu-harness cache
      ./pmu-harness cache prune --limit 20G
      ./pmu-harness cache clear observation
    """
    if context.invoked_subcommand:
        return
    place, limit = Cache(), Catalog().cache_policy.limit
    entries = Keeper(place).entries(exact=True)
    if as_json:
        rows = [entry.model_dump() for entry in entries]
        data = {"path": str(place.root), "bytes": total(entries), "limit": limit, "entries": rows}
        click.echo(json.dumps(data, indent=1))
    else:
        cached.show(Console(), entries, str(place.root), limit, now=time.time(), full=full)


@cache.command()
@click.option(
    "--limit",
    type=_Size(),
    metavar="SIZE",
    help="How much may stay, such as 20G.  [default: that of configs/cache.yaml]",
)
def prune(limit: int | None) -> None:
    """Remove what was not used for longest, until the rest is within a limit."""
    keeper = Keeper(Cache())
    wanted = Catalog().cache_policy.limit if limit is None else limit
    entries = keeper.entries(exact=True)
    _remove(keeper, entries, beyond(entries, wanted))


@cache.command()
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
@click.option("--yes", is_flag=True, help="Do not ask.")
def clear(kinds: tuple[str, ...], yes: bool) -> None:
    """Remove everything of these kinds, or of all, that no run uses now."""
    for kind in kinds:
        if kind not in KINDS:
            raise PlanError(
                f"the cache has no {kind}{nearest(kind, list(KINDS))}",
                advice=f"known: {', '.join(KINDS)}",
            )
    keeper = Keeper(Cache())
    entries = keeper.entries(exact=True)
    going = [one for one in entries if one.kind in (kinds or KINDS) and not one.in_use]
    if going and not yes:
        question = f"Remove {len(going)} entries, {shown_size(total(going))}?"
        click.confirm(question, default=True, abort=True, err=True)
    _remove(keeper, entries, going)


def _remove(keeper: Keeper, entries: Sequence[CacheEntry], going: Sequence[CacheEntry]) -> None:
    """Remove entries, and say what went and what is left."""
    gone = keeper.remove(going)
    for entry in gone:
        click.echo(f"{shown_size(entry.bytes):>6}  {entry.name}")
    left = total(entries) - total(gone)
    used = total(entry for entry in entries if entry.in_use)
    click.echo(
        f"removed {shown_size(total(gone))}; {shown_size(left)} left, {shown_size(used)} in use"
    )


def say_if_large(catalog: Catalog, place: Cache, say: Callable[[str], None]) -> None:
    """Say that the cache has grown beyond its limit, where it has."""
    size, limit = total(Keeper(place).entries(exact=False)), catalog.cache_policy.limit
    if size > limit:
        say(
            f"the cache takes {shown_size(size)}, more than {shown_size(limit)}: "
            f"`./pmu-harness cache prune` removes what was not used for longest"
        )
