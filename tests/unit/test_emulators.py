# SPDX-License-Identifier: MIT
"""Rows of emulators.yaml, their patches, and what Debian calls versions and suites."""

import shutil

import pytest

from harness.ask.catalog import Catalog
from harness.errors import PlanError
from harness.host.debian import newest_of, upstream_release
from harness.source.patches import read_patch

SHA256 = "a" * 64


@pytest.fixture
def copy(tmp_path, catalog):
    """A catalog whose emulators may be written anew."""
    (tmp_path / "configs").mkdir()
    shutil.copy(catalog.configs / "emulators.yaml", tmp_path / "configs")
    shutil.copytree(catalog.root / "qemu-patches", tmp_path / "qemu-patches")
    return tmp_path


def rewrite(root, old, new):
    path = root / "configs" / "emulators.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_every_emulators_patches_are_patches(catalog):
    for emulator in catalog.emulators.values():
        for patch in catalog.emulator_patches(emulator):
            assert read_patch(patch.path, patch.data) == patch


def test_patches_are_in_the_order_of_their_names(copy):
    folder = copy / "qemu-patches" / "10.0"
    (folder / "9003-c.patch").write_text("c")
    (folder / "9002-b.patch").write_text("b")
    (folder / "README").write_text("no patch")
    found = Catalog(copy)
    names = [patch.path for patch in found.emulator_patches(found.emulators["qemu-x86-pmu"])]
    assert names[0].startswith("qemu-patches/10.0/0001-")
    assert names[-2:] == ["qemu-patches/10.0/9002-b.patch", "qemu-patches/10.0/9003-c.patch"]


def test_a_folder_without_patches_is_no_vanilla_qemu(copy):
    rewrite(copy, "qemu-patches/10.0", "qemu-patches/10.1")
    found = Catalog(copy)
    with pytest.raises(PlanError, match="qemu-x86-pmu has no patches"):
        found.emulator_patches(found.emulators["qemu-x86-pmu"])


def test_a_row_without_patches_is_a_vanilla_qemu(copy):
    rewrite(copy, "  patches: qemu-patches/10.0\n", "")
    found = Catalog(copy)
    assert found.emulator_patches(found.emulators["qemu-x86-pmu"]) == ()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{debain: qemu, suite: trixie}", "source.debain (did you mean debian?)"),
        ("{debian: qemu, suite: trixie, series: 10.0}", "quote it"),
        ("{debian: qemu, suite: trixie}", "either debian, suite and series, or url and sha256"),
        ("{url: 'https://localhost/q.tar.xz'}", "either debian, suite and series"),
        (
            f"{{debian: qemu, suite: trixie, series: '10.0', url: 'file:///q', sha256: {SHA256}}}",
            "either debian, suite and series, or url and sha256",
        ),
        ("{url: 'ftp://localhost/q', sha256: a}", "source.sha256"),
        ("{}", "either debian, suite and series, or url and sha256"),
    ],
)
def test_a_source_that_is_none_is_refused(copy, source, said):
    rewrite(copy, '{debian: qemu, suite: trixie, series: "10.0"}', source)
    with pytest.raises(PlanError) as raised:
        _ = Catalog(copy).emulators
    assert said in raised.value.why
    assert "emulators.yaml is not a valid emulator" in raised.value.what


def test_a_tarball_is_a_source(copy):
    tarball = f"{{url: 'https://localhost/q.tar.xz', sha256: {SHA256}}}"
    rewrite(copy, '{debian: qemu, suite: trixie, series: "10.0"}', tarball)
    assert Catalog(copy).emulators["qemu-x86-pmu"].source.sha256 == SHA256


def test_an_unknown_emulator_gets_the_nearest(catalog):
    with pytest.raises(PlanError, match=r"unknown emulator qemu-x86-pum \(did you mean qemu-x86"):
        catalog.find("emulators", "qemu-x86-pum")


@pytest.mark.parametrize(
    ("version", "release"),
    [("1:10.0.13+ds-0+deb13u1", "10.0.13"), ("6.1.2-1", "6.1.2"), ("2:1.0~rc1", "1.0")],
)
def test_the_upstream_part_of_a_debian_version(version, release):
    assert upstream_release(version) == release


def test_the_newest_of_a_series():
    versions = ["1:10.0.9+ds-1", "1:10.0.13+ds-0+deb13u1", "1:10.1.0+ds-1", "1:7.2+dfsg-7"]
    assert newest_of("10.0", versions) == "1:10.0.13+ds-0+deb13u1"
    assert newest_of("7.2", versions) == "1:7.2+dfsg-7"
    assert newest_of("9.2", versions) is None
