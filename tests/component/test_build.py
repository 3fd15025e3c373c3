# SPDX-License-Identifier: MIT
"""Building: a tiny tree through the real builder and its sandbox."""

import shutil
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from harness.build.alone import compile_alone
from harness.build.kernel import Builder
from harness.build.recipe import MODULES
from harness.errors import BuildError, HostError, OwnPartError
from harness.host import sandbox
from harness.host.store import Cache
from harness.model import PatchFile, Subject
from harness.source.kernel import Request, resolve
from harness.source.tree import Source, Tree
from tests.component.fakes import diff, make_tree

pytestmark = pytest.mark.needs("git", "make", "setpriv", "aarch64-linux-gnu-gcc")


@pytest.fixture
def place(tmp_path, catalog):
    """A user's tree, and a function that builds it with patches."""
    user = make_tree(tmp_path / "user", "one\n")
    cache = Cache(tmp_path / "cache")
    configs = tmp_path / "configs"
    (configs / "kconfig").mkdir(parents=True)
    for fragment in catalog.architectures["arm64"].kconfig:
        name = Path(fragment.file).stem.upper().replace("-", "_")
        (configs / fragment.file).write_text(f"CONFIG_{name}=y\n")
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "pmu_observer.c").write_text("observer\n")
    (modules / "pmu_test.c").write_text("PMUs\n")

    def builder(source=None):
        request = Request(cache, None, False, lambda _: None)
        return Builder(
            cache,
            source or resolve(build.spec, request),
            catalog.architectures["arm64"],
            configs=configs,
            modules=modules,
            say=lambda _: None,
        )

    def build(*patches, name="s"):
        maker = builder()
        return maker.build(subject(maker.source, *patches, name=name))

    build.user, build.configs, build.cache, build.builder = user, configs, cache, builder
    build.spec = f"path:{user}"
    return build


def subject(source, *patches, name="s"):
    files = tuple(PatchFile(path=f"{n}.patch", text=text) for n, text in enumerate(patches))
    return Subject(name=name, source=source.spec, version=source.version, patches=files)


@pytest.fixture
def archive(tmp_path):
    """A source of which git knows only what patches touch, with a driver that nothing builds."""
    tree = Tree(tmp_path / "archive")
    make_tree(tree.work, "one\n")
    (tree.work / "drivers").mkdir()
    (tree.work / "drivers" / "spe.c").write_text("fine\n")
    tree.prepare()
    return Source(spec="debian:6.12", version="6.12.1", digest="d", tree=tree, pristine=None)


def image(kernel):
    return (kernel.folder / "Image").read_text()


def test_an_artifact_holds_what_it_was_made_of(place):
    kernel = place(diff("kernel/core.c", "one", "two"))
    assert image(kernel) == "two\n"
    assert kernel.facts["version"] == "6.12.1"
    assert kernel.facts["toolchain"].startswith("aarch64-linux-gnu-gcc")
    names = {path.name for path in kernel.folder.iterdir()}
    assert names == {
        "Image", "System.map", "build.json", "build.log", "config", "inputs", *MODULES,
    }  # fmt: skip
    assert kernel.inputs == {"kernel/core.c", "kernel/core.h"}


def test_what_was_built_is_not_built_again(place):
    first = place(diff("kernel/core.c", "one", "two"))
    stamp = (first.folder / "build.json").stat().st_mtime_ns
    other = place(name="bare")
    again = place(diff("kernel/core.c", "one", "two"))
    assert again.digest == first.digest != other.digest
    assert (again.folder / "build.json").stat().st_mtime_ns == stamp


def test_the_same_content_by_another_way_is_the_same_kernel(place):
    bare = place()
    there_and_back = place(diff("kernel/core.c", "one", "two"), diff("kernel/core.c", "two", "one"))
    assert there_and_back.digest == bare.digest


def test_a_source_that_was_unpacked_anew_is_built_anew(place, tmp_path):
    """Its files are older than what was built of them with a patch."""
    tarball = tmp_path / "linux.tar"
    with tarfile.open(tarball, "w") as archive:
        archive.add(place.user, "linux")
    place.spec = f"tarball:{tarball}"
    assert image(place(diff("kernel/core.c", "one", "two"))) == "two\n"
    shutil.rmtree(place.cache.sources)
    assert image(place()) == "one\n"


def test_a_users_change_is_another_kernel(place):
    first = place()
    (place.user / "kernel" / "core.c").write_text("changed\n")
    assert image(place()) == "changed\n"
    assert place().digest != first.digest


def test_what_does_not_compile_shows_the_compilers_words(place):
    with pytest.raises(BuildError) as raised:
        place(diff("kernel/core.c", "one", "core.c:1:1: error: expected ';'"))
    assert "error: expected ';'" in raised.value.why
    assert raised.value.evidence.read_text().startswith("$ ")
    assert image(place()) == "one\n"


def test_a_kconfig_symbol_that_is_lost_is_listed(place):
    (place.configs / "kconfig" / "arm64.config").write_text("CONFIG_DROPPED=y\n")
    with pytest.raises(OwnPartError, match="kconfig is not for kernel") as raised:
        place()
    assert raised.value.why == "CONFIG_DROPPED=y, got n"
    assert "configs/architectures.yaml" in raised.value.advice


def test_a_module_that_does_not_compile_is_no_kernels_fault(place):
    fails = "@test -z '$(M)' || { echo 'pmu_test.c:1:1: error: no'; exit 1; }"
    makefile = place.user / "Makefile"
    makefile.write_text(makefile.read_text() + rule(fails))
    with pytest.raises(OwnPartError, match="modules do not compile for kernel") as raised:
        place()
    assert raised.value.why == "pmu_test.c:1:1: error: no"
    assert "compat.h" in raised.value.advice
    assert raised.value.evidence.exists()


def test_a_full_disk_is_the_hosts_fault(place):
    makefile = place.user / "Makefile"
    text = "cp: error writing 'x': No space left on device"
    makefile.write_text(makefile.read_text() + f'\nImage: full\nfull:\n\t@echo "{text}"; exit 1\n')
    with pytest.raises(HostError, match="the disk is full"):
        place()


@pytest.mark.parametrize(
    "script",
    [
        "echo 'aarch64-linux-gnu-gcc: fatal error: Killed signal terminated program cc1'; exit 1",
        "kill -9 $$$$",
    ],
)
def test_a_compiler_that_is_killed_is_the_hosts_fault(place, script):
    makefile = place.user / "Makefile"
    makefile.write_text(makefile.read_text() + f"\nImage: killed\nkilled:\n\t@{script}\n")
    with pytest.raises(HostError, match="a program was killed: the kernel was not built") as raised:
        place()
    assert "Killed" in raised.value.why
    assert raised.value.advice


def test_what_a_later_patch_touches_stays_in_an_earlier_subjects_tree(place, archive):
    """The archive's driver is known to git from the second subject on."""
    builder = place.builder(archive)
    bare, patched = subject(archive), subject(archive, diff("drivers/spe.c", "fine", "odd"))
    builder.build(bare)
    builder.build(patched)
    changes = builder.changes(bare, patched)
    assert [(change.path, change.status) for change in changes] == [("drivers/spe.c", "M")]
    for one, text in ((patched, "odd\n"), (bare, "fine\n"), (patched, "odd\n")):
        with builder.configured(one) as tree:
            assert (tree / "drivers" / "spe.c").read_text() == text


def test_a_file_is_compiled_by_itself_once_and_leaves_nothing(place, archive):
    builder = place.builder(archive)
    before = builder.build(subject(archive))
    after = builder.build(subject(archive, diff("drivers/spe.c", "fine", "finer")))
    for _ in range(2):
        said = compile_alone(builder, before, after, ["drivers/spe.c"])
        assert said == {"drivers/spe.c": "compiles by itself"}
    builds = [path for path in builder.folder.rglob("*spe*")]
    assert builds == []
    log = builder.log.read_text()
    assert log.count("drivers/spe.o") > 0
    builder.log.write_text("")
    compile_alone(builder, before, after, ["drivers/spe.c"])
    assert builder.log.read_text() == ""


def test_what_only_the_candidate_does_not_compile_is_its_fault(place, archive):
    builder = place.builder(archive)
    before = builder.build(subject(archive))
    broken = diff("drivers/spe.c", "fine", "spe.c:1:1: error: x")
    after = builder.build(subject(archive, broken))
    with pytest.raises(BuildError) as raised:
        compile_alone(builder, before, after, ["drivers/spe.c"])
    assert raised.value.what == "drivers/spe.c does not compile, which this config leaves out"
    assert "spe.c:1:1: error: x" in raised.value.why
    assert "spe.c:1:1: error: x" in raised.value.evidence.read_text()


def build_log(place):
    return next(place.cache.builds.glob("*/build.log")).read_text()


def rule(command):
    return f"\nmodules: evil\nevil:\n\t{command}\n.PHONY: evil\n"


@pytest.mark.needs("bwrap")
@pytest.mark.parametrize("target", ["{user}/Makefile", "{cache}/owned", "/etc/owned", "/owned"])
def test_a_build_cannot_write_outside_its_folder(place, target):
    assert not sandbox.why_unavailable()
    path = target.format(user=place.user, cache=place.cache.root)
    makefile = place.user / "Makefile"
    text = makefile.read_text() + rule(f"echo owned >> {path}")
    makefile.write_text(text)
    with suppress(BuildError):  # below /tmp it writes to a /tmp of its own
        place()
    assert "owned >> " in build_log(place)
    assert makefile.read_text() == text
    assert path == str(makefile) or not Path(path).exists()


@pytest.mark.needs("bwrap", "python3")
def test_a_build_has_no_network(place):
    probe = "python3 -c 'import os; print(sorted(os.listdir(\"/sys/class/net\")))'"
    reach = "python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", 80), 2)'"
    makefile = place.user / "Makefile"
    makefile.write_text(makefile.read_text() + rule(f"{probe}; {reach}"))
    with pytest.raises(BuildError) as raised:
        place()
    assert "Network is unreachable" in raised.value.why
