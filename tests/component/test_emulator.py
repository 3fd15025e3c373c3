# SPDX-License-Identifier: MIT
"""Building an emulator: a tiny source through the real builder, ninja and the sandbox."""

import io
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from rich.console import Console

from harness.build import emulator as build
from harness.build.emulator import EmulatorBuilder
from harness.errors import Exit, HostError
from harness.host import sandbox
from harness.host.progress import Progress
from harness.host.store import Cache, file_digest
from harness.model import Emulator, PatchFile
from harness.source.emulator import Fetcher
from tests.component.fakes import COMPILE, added, diff, make_qemu_source

pytestmark = pytest.mark.needs("git", "gcc", "ninja", "setpriv", "dpkg-deb", "tar")

TWO = diff("main.c", "one", "two")
OTHER = diff("other.c", "other", "another")


class FakeArchive:
    """One suite, with one source package and one package of firmware."""

    def __init__(self, folder, tarball):
        self.folder, self.tarball = folder, tarball
        self.version = "1:10.0.1+ds-1"
        self.asked = 0
        root = folder / "deb"
        (root / "DEBIAN").mkdir(parents=True)
        fields = "Package: rom\nVersion: 2-1\nArchitecture: all\nMaintainer: t\nDescription: t\n"
        (root / "DEBIAN" / "control").write_text(fields)
        (root / "usr").mkdir()
        (root / "usr" / "bios.bin").write_text("bios\n")
        (root / "usr" / "link.bin").symlink_to("/etc/passwd")

    def source_version(self, package, series):
        assert (package, series) == ("qemu", "10.0")
        self.asked += 1
        return self.version

    def download_source(self, package, version, folder):
        return shutil.copyfile(self.tarball, folder / "qemu_10.0.1.orig.tar.gz")

    def download(self, package, folder):
        target = folder / f"{package}.deb"
        command = ["dpkg-deb", "--root-owner-group", "--build", self.folder / "deb", target]
        subprocess.run(command, check=True, capture_output=True)
        return target


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A function that builds a row with patches; it counts the steps that are run."""
    tarball = make_qemu_source(tmp_path)
    source = {"url": tarball.as_uri(), "sha256": file_digest(tarball)}
    archive = FakeArchive(tmp_path, tarball)
    cache = Cache(tmp_path / "cache")
    shown = io.StringIO()
    steps = []
    run_step = build.run_step

    def counted(what, argv, *rest, **more):
        steps.append(argv[0].rpartition("/")[2])
        run_step(what, argv, *rest, **more)

    monkeypatch.setattr(build, "run_step", counted)

    def make(*patches, refresh=False, rerun=False, stored=False, **changes):
        row = {
            "name": "fake",
            "title": "a fake",
            "source": source,
            "configure": ["--smallest"],
            "target": "qemu-fake",
            "firmware": [
                {"package": "rom", "suite": "trixie", "files": ["usr/bios.bin"]},
                {"files": ["pc-bios/own.bin"]},
            ],
        }
        progress = Progress(Console(file=shown))
        fetcher = Fetcher(cache, progress.say, refresh=refresh, archive=lambda _: archive)
        files = tuple(PatchFile(path=f"{n}.patch", text=text) for n, text in enumerate(patches))
        builder = EmulatorBuilder(cache, Emulator(**{**row, **changes}), files, fetcher, progress)
        return builder.built() if stored else builder.build(rerun=rerun)

    make.cache, make.archive, make.tarball = cache, archive, tarball
    make.steps, make.shown = steps, shown
    return make


def said(built):
    return subprocess.check_output([built.program.binary], text=True).strip()


def test_an_artifact_is_a_program_its_firmware_and_its_facts(place):
    built = place(TWO)
    assert said(built) == "two"
    assert {path.name for path in built.folder.iterdir()} == {
        "qemu-fake", "firmware", "build.log", "emulator.json",
    }  # fmt: skip
    assert (built.program.firmware / "bios.bin").read_text() == "bios\n"
    assert (built.program.firmware / "own.bin").read_text() == "own\n"
    facts = built.facts
    assert facts["version"] == "two"
    assert facts["source_digest"] == file_digest(place.tarball)
    assert facts["patches"] == ["0.patch"]
    assert set(facts["firmware"]) == {"bios.bin", "own.bin"}


def test_configure_stays_offline_and_gets_our_python(place):
    log = (place().folder / "build.log").read_text()
    words = next(line for line in log.splitlines() if line.startswith("configured with"))
    assert "--disable-download" in words and "--python=/" in words and "--smallest" in words


def test_what_is_up_to_date_is_not_touched(place):
    first = place(TWO)
    place.steps.clear()
    place.tarball.unlink()
    shutil.rmtree(place.cache.builds)
    shown = place.shown.tell()
    again = place(TWO)
    assert again == first
    assert place.steps == []
    assert place.shown.tell() == shown


def test_what_is_not_built_is_found_without_fetching_anything(place):
    assert place(TWO, stored=True) is None
    assert place.archive.asked == 0 and place.shown.tell() == 0 and place.steps == []
    built = place(TWO)
    assert place(TWO, stored=True) == built
    assert place(OTHER, stored=True) is None


def test_two_runs_share_one_build(place):
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(lambda _: place(), range(2))
    assert first == second
    assert place.steps == ["configure", "ninja"]


def test_a_changed_patch_builds_what_it_touches_and_configures_nothing(place):
    first = place()
    other = place(OTHER)
    assert place.steps == ["configure", "ninja", "ninja"]
    assert other.digest != first.digest
    assert "no work to do" in (other.folder / "build.log").read_text()
    assert said(place(TWO)) == "two"
    assert said(place(OTHER)) == "one"


def test_other_options_are_another_emulator(place):
    first = place()
    assert place(configure=["--larger"]).digest != first.digest
    assert place.steps == ["configure", "ninja"] * 2


def test_a_rerun_begins_with_nothing(place):
    first = place()
    assert place(rerun=True) == first
    assert place.steps == ["configure", "ninja"] * 2


def test_what_does_not_compile_is_no_kernels_fault(place):
    with pytest.raises(HostError) as raised:
        place(diff("main.c", "one", "main.c:1:1: error: expected ';'"))
    error = raised.value
    assert error.what == "the emulator fake: the qemu-fake does not build"
    assert error.why == "main.c:1:1: error: expected ';'"
    assert error.evidence.read_text().startswith("$ ")
    assert error.blame.exit_code is Exit.ERROR
    assert not list(place.cache.artifacts.glob("emulator-*"))
    assert said(place()) == "one"


def test_a_full_disk_is_said(place):
    with pytest.raises(HostError, match="the disk is full: the qemu-fake was not built"):
        place(diff("main.c", "one", "x: error: No space left on device"))


@pytest.mark.parametrize("path", ["../outside.c", "/tmp/outside.c"])
def test_a_patch_cannot_leave_the_tree(place, path):
    with pytest.raises(HostError, match=r"the emulator fake: 0.patch reaches out"):
        place(added(path))
    assert place.steps == []


@pytest.mark.needs("bwrap")
def test_a_build_cannot_write_to_its_source(place):
    assert not sandbox.why_unavailable()
    evil = f"echo owned >$(dirname $1)/VERSION; {COMPILE}"
    assert said(place(diff("compile", COMPILE, evil))) == "one"
    (log,) = place.cache.builds.glob("*/build.log")
    assert "Read-only file system" in log.read_text()


def test_a_tarball_with_another_digest_is_refused(place):
    wanted = "0" * 64
    with pytest.raises(HostError) as raised:
        place(source={"url": place.tarball.as_uri(), "sha256": wanted})
    assert wanted in raised.value.why
    assert file_digest(place.tarball) in raised.value.why
    assert not place.cache.sources.exists() or not list(place.cache.sources.glob("*/tree"))


def test_a_tarball_that_cannot_be_fetched_is_named(place, tmp_path):
    url = (tmp_path / "nowhere.tar.xz").as_uri()
    with pytest.raises(HostError, match=r"cannot fetch file:///.*nowhere.tar.xz"):
        place(source={"url": url, "sha256": "0" * 64})


DEBIAN = {"debian": "qemu", "suite": "trixie", "series": "10.0"}


def test_debian_is_asked_once_until_a_refresh(place):
    first = place(source=DEBIAN)
    assert first.facts["source"] == "debian:qemu=1:10.0.1+ds-1"
    place(source=DEBIAN)
    assert place.archive.asked == 1
    place.archive.version = "1:10.0.1+ds-2"
    place.steps.clear()
    again = place(source=DEBIAN, refresh=True)
    assert place.archive.asked == 2
    assert again == first, "the same tarball"
    assert place.steps == []


def test_newer_firmware_is_another_emulator(place):
    first = place()
    (place.archive.folder / "deb" / "usr" / "bios.bin").write_text("newer\n")
    assert place().digest == first.digest
    newer = place(refresh=True)
    assert newer.digest != first.digest
    assert (newer.program.firmware / "bios.bin").read_text() == "newer\n"


@pytest.mark.parametrize("file", ["usr/nothing.bin", "usr/link.bin"])
def test_firmware_is_a_file_of_its_package(place, file):
    with pytest.raises(HostError, match=f"package rom holds no file {file}"):
        place(firmware=[{"package": "rom", "suite": "trixie", "files": [file]}])
