# SPDX-License-Identifier: MIT
"""What commands need of the host: installed where it is missing, if a person lets them."""

from collections.abc import Sequence

import click

from harness.ask.catalog import Catalog
from harness.doctor.gather import accelerator_of
from harness.host import setup
from harness.model import LLVM, Package


def ensure_machine(catalog: Catalog, name: str, *, yes: bool) -> None:
    """What the machine of that name needs of the host."""
    machine = catalog.find("machines", name)
    played = accelerator_of(machine, catalog)
    emulator = catalog.on_host(machine).emulator
    names = (machine.architecture, emulator, played.name if played else None)
    ensure_packages([row for row in catalog.packages if row.needed_for(*names)], yes=yes)


def ensure_compilers(catalog: Catalog, variants: Sequence[str], *, yes: bool) -> None:
    """What variants of these names are built with beside what all are."""
    rows = [catalog.variants[name] for name in variants if name in catalog.variants]
    if any(row.llvm for row in rows):
        ensure_packages([row for row in catalog.packages if row.needed_for(LLVM)], yes=yes)


def ensure_packages(packages: Sequence[Package], *, yes: bool) -> None:
    """Have these packages, or raise HostError."""
    setup.ensure(
        packages,
        yes=yes,
        say=lambda text: click.echo(text, err=True),
        ask=lambda question: click.confirm(question, default=True, err=True),
    )
