# SPDX-License-Identifier: MIT
"""What is kept between runs: cache, cache prune, cache clear."""

import json
import shutil
import time
from collections.abc import Callable, Sequence

import click
from rich.console import Console

from harness.ask.catalog import Catalog, nearest
from harness.cli.options import LIMIT, Size
from harness.errors import PlanError
from harness.host.keeper import Keeper
from harness.host.keeping import KINDS, beyond, total
from harness.host.store import Cache
from harness.model import CacheEntry, shown_size
from harness.report import cached

# A run looks that often, at most, whether the cache is within its limit.
_LOOKED_S = 3600.0


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
    place = Cache()
    limit = bound(Catalog(), place)
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
    type=Size(),
    metavar="SIZE",
    envvar=LIMIT,
    show_envvar=True,
    help="How much may stay, such as 20G.  [default: a share of the disk, see configs/cache.yaml]",
)
def prune(limit: int | None) -> None:
    """Remove what was not used for longest, until the rest is within a limit."""
    place = Cache()
    keeper = Keeper(place)
    entries = keeper.entries(exact=True)
    _remove(keeper, entries, beyond(entries, bound(Catalog(), place, limit)))


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


def bound(catalog: Catalog, place: Cache, asked: int | None = None) -> int:
    """How much the cache may take: what was asked for, or what configs/cache.yaml allows."""
    if asked is not None:
        return asked
    there = next(path for path in (place.root, *place.root.parents) if path.exists())
    return catalog.cache_policy.bound(shutil.disk_usage(there).total)


def keep_within(
    catalog: Catalog, place: Cache, say: Callable[[str], None], asked: int | None = None
) -> None:
    """Remove what was not used for longest, and by no run now, where the cache is too large.

    Looked at once an hour where nobody asked for a limit.
    """
    looked = place.root / "looked"
    if asked is None and looked.exists() and time.time() - looked.stat().st_mtime < _LOOKED_S:
        return
    keeper, limit = Keeper(place), bound(catalog, place, asked)
    entries = keeper.entries(exact=False)
    gone = keeper.remove(beyond(entries, limit))
    left = total(entries) - total(gone)
    if gone:
        say(
            f"the cache was larger than {shown_size(limit)}: removed {len(gone)} entries, "
            f"{shown_size(total(gone))}, that were not used for longest"
        )
    if left > limit:
        say(f"the cache takes {shown_size(left)}, more than {shown_size(limit)}, all in use")
    looked.touch()
