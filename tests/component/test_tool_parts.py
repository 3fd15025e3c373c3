# SPDX-License-Identifier: MIT
"""What guests over SSH need beside a kernel: a disk of packages, selftests, a vmlinux for gdb."""

import subprocess
from pathlib import Path

import pytest

from harness.build import disk, selftests
from harness.build.disk import DiskBuilder
from harness.build.kernel import DEBUG, VMLINUX, Builder, Configuration
from harness.errors import BuildError
from harness.host.store import Cache
from harness.model import PatchFile, Subject
from harness.source.kernel import Request, resolve
from tests.component.fakes import diff, make_tree

TESTS_MAKEFILE = """\
all:
\t@echo "$(CFLAGS)" | grep -q static
\t@echo "$(KHDR_INCLUDES)" | grep -q usr/include
\tcp one.c $(OUTPUT)/one
\t@! grep -q 'error:' one.c
"""


class Packages:
    """An archive with one package in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, 0

    def download_all(self, packages, folder):
        self.asked += 1
        for path, text in {"usr/bin/perf": "perf", "usr/share/doc/perf/copyright": "long"}.items():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / path).write_text(text)
        control = self.folder / "DEBIAN" / "control"
        control.parent.mkdir(exist_ok=True)
        control.write_text(
            "Package: perf\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
        )
        folder.mkdir()
        target = folder / "perf_1_all.deb"
        build = ["dpkg-deb", "--build", "--root-owner-group", self.folder, target]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        return [target]


def inside(image, request):
    """What debugfs(8) says of a file system."""
    done = subprocess.run(
        ["debugfs", "-R", request, image], check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.mark.needs("dpkg-deb", "mke2fs", "fakeroot", "debugfs", "setpriv")
def test_packages_become_a_disk_that_is_roots(tmp_path, catalog):
    packages = Packages(tmp_path / "package")
    cache = Cache(tmp_path / "cache")
    builder = DiskBuilder(cache, catalog.architectures["arm64"], packages, lambda _: None)
    image = builder.build()
    assert inside(image, "cat /usr/bin/perf") == "perf"
    assert "root:x:0:0:root:/root:/bin/bash" in inside(image, "cat /etc/passwd")
    assert 'Fast link dest: "bash"' in inside(image, "stat /bin/sh")
    assert "User:     0   Group:     0" in inside(image, "stat /usr/bin/perf")
    assert "doc" not in inside(image, "ls /usr/share")
    assert builder.build() == image and packages.asked == 1
    assert {path.name for path in image.parent.iterdir()} == {
        disk.DISK,
        disk.PACKAGE_LIST,
        "build.log",
    }


@pytest.fixture
def place(tmp_path, catalog):
    """A tree with selftests, and a function that makes a builder and a subject of it."""
    user = make_tree(tmp_path / "user", "one\n")
    makefile = (user / "Makefile").read_text()
    vmlinux = "\tcp $< $(O)/System.map\n"
    (user / "Makefile").write_text(
        makefile.replace(vmlinux, f"{vmlinux}\tcp $< $(O)/vmlinux\n") + "headers:\n\t@:\n"
    )
    tests = user / "tools/testing/selftests/perf_events"
    tests.mkdir(parents=True)
    (tests / "Makefile").write_text(TESTS_MAKEFILE)
    (tests / "one.c").write_text("test\n")
    configs, modules = tmp_path / "configs", tmp_path / "modules"
    (configs / "kconfig").mkdir(parents=True)
    for file in (*(fragment.file for fragment in catalog.architectures["arm64"].kconfig), DEBUG):
        (configs / file).write_text(f"CONFIG_{Path(file).stem.upper()[:4]}=y\n")
    modules.mkdir()
    (tmp_path / "perf-tests").mkdir()
    (modules / "pmu_observer.c").write_text("observer\n")
    (modules / "pmu_test.c").write_text("PMUs\n")
    cache = Cache(tmp_path / "cache")

    def make(*patches, debug=False):
        source = resolve(f"path:{user}", Request(cache, None, False, lambda _: None))
        builder = Builder(
            cache,
            source,
            catalog.architectures["arm64"],
            configs=configs,
            modules=modules,
            say=lambda _: None,
            configuration=Configuration(debug=debug),
        )
        files = tuple(PatchFile(path=f"{n}.patch", text=text) for n, text in enumerate(patches))
        return builder, Subject(name="s", source=source.spec, version=source.version, patches=files)

    make.tests = tests
    return make


needs_compiler = pytest.mark.needs("git", "make", "setpriv", "aarch64-linux-gnu-gcc")


@needs_compiler
def test_selftests_are_of_the_subjects_own_tree(place):
    path = "tools/testing/selftests/perf_events/one.c"
    bare = selftests.build(*place())
    changed = selftests.build(*place(diff(path, "test", "changed")))
    assert (bare / "one").read_text() == "test\n"
    assert (changed / "one").read_text() == "changed\n"


@needs_compiler
def test_subjects_that_differ_elsewhere_share_them(place):
    patched = selftests.build(*place(diff("kernel/core.c", "one", "two")))
    assert selftests.build(*place()) == patched


@needs_compiler
def test_selftests_that_do_not_compile_are_the_subjects_fault(place):
    path = "tools/testing/selftests/perf_events/one.c"
    with pytest.raises(BuildError, match="selftests does not build"):
        selftests.build(*place(diff(path, "test", "one.c:1: error: no")))


@needs_compiler
def test_a_tree_without_selftests_has_none(place):
    for path in place.tests.iterdir():
        path.unlink()
    place.tests.rmdir()
    assert list(selftests.build(*place()).iterdir()) == []


@needs_compiler
def test_a_kernel_for_gdb_is_a_build_of_its_own(place):
    builder, subject = place(debug=True)
    kernel = builder.build(subject)
    assert (kernel.folder / VMLINUX).read_text() == "one\n"
    assert "CONFIG_DEBU=y" in (kernel.folder / "config").read_text()
    assert builder.folder.name.endswith("-gdb")
    fast, _ = place()
    usual = fast.build(subject)
    assert usual.digest != kernel.digest
    assert not (usual.folder / VMLINUX).exists()
