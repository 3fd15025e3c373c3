# SPDX-License-Identifier: MIT
"""A world with a tiny kernel tree, a QEMU that is a script, and runs of the whole pipeline."""

import io
import shutil

import pytest
from rich.console import Console

from harness.ask.catalog import Catalog
from harness.build.image import GuestImage, ImageBuilder
from harness.cli.results import remember, write_reports
from harness.host.progress import Progress
from harness.host.store import Cache
from harness.model import Machine, Series, SeriesPatch
from harness.run import pipeline
from harness.run.folder import RunFolder
from harness.run.pipeline import Run, Settings
from harness.run.request import Asked, prepare
from tests.component.fakes import BEFORE, CLEAN, diff, make_qemu, make_tree


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A catalog with a fake QEMU and one scenario; a function that runs a plan in it."""
    qemu = make_qemu(tmp_path)
    qemu.write_text(qemu.read_text().replace("script.splitlines()", 'script.strip().split("~")'))
    catalog = Catalog()
    machine = catalog.machines["aarch64-tcg"]
    own = {"qemu": str(qemu), "timeout_s": 5, "boots_once": False}
    row = Machine.model_validate({**machine.model_dump(), **own})
    catalog.__dict__["machines"] = {row.name: row}
    wanted = "cycles-task"
    catalog.__dict__["scenarios"] = {wanted: catalog.scenarios[wanted]}
    image = tmp_path / "image.cpio"
    image.write_bytes(b"")
    monkeypatch.setattr(ImageBuilder, "build", lambda _: GuestImage(image, "sha"))
    monkeypatch.setattr(pipeline, "qemu_version", lambda _: "fake")
    catalog.__dict__["series"] = {}
    cache = Cache(tmp_path / "cache")
    tree = make_tree(tmp_path / "linux", "bare\n")
    folder = tmp_path / "run"

    def add_series(name, old, new, stands_on=None, mends=(), **claim):
        file = tmp_path / f"{name}.patch"
        file.write_text(diff("kernel/core.c", old, new))
        catalog.series[name] = Series(
            name=name,
            title=name,
            stands_on=stands_on,
            mends=mends,
            patches=(SeriesPatch(file=str(file)),),
            claim=claim,
        )

    def run(settings=None, emulator=None, **asked):
        request = Asked(source=f"path:{tree}", **asked)
        progress = Progress(Console(file=io.StringIO()))
        prepared = prepare(catalog, cache, request, lambda _: None)
        folder.mkdir(exist_ok=True)
        return Run(
            prepared=prepared,
            catalog=catalog,
            cache=cache,
            folder=RunFolder(folder),
            progress=progress,
            settings=settings or Settings(),
            command="test",
            repeat=lambda cell: f"again {cell.id}",
            emulator=emulator,
        ).execute()

    run.add_series, run.folder, run.tree, run.cache, run.qemu, run.catalog = (
        add_series,
        folder,
        tree,
        cache,
        qemu,
        catalog,
    )
    return run


@pytest.fixture
def runs(world, tmp_path, monkeypatch):
    """(a run that passes, one that loses its counter), both remembered."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    world.add_series("hello", CLEAN, f"print hello~{CLEAN}")
    world.add_series("bad", CLEAN, BEFORE)
    places = []
    for name in ("hello", "bad"):
        result = world(series=name)
        place = tmp_path / name
        shutil.copytree(world.folder, place)
        write_reports(result, place)
        remember(result, place)
        places.append(place)
    return places
