# SPDX-License-Identifier: MIT
"""Where a kernel comes from: real git repositories, folders, tarballs around a tiny tree."""

import shutil
import subprocess
import tarfile
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from harness.errors import HostError, PlanError
from harness.host import mirror
from harness.host.store import Cache, file_digest
from harness.source.apply import patched
from harness.source.kernel import Request, kind_of, resolve
from harness.source.kernel.git import split
from harness.source.tree import Change
from tests.component.fakes import diff, git, make_tree
from tests.component.test_tree import patch

pytestmark = pytest.mark.needs("git", "setpriv")


@pytest.fixture
def said():
    return []


@pytest.fixture
def find(tmp_path, said):
    """Resolves a source, and has its work tree hold it."""
    cache = Cache(tmp_path / "cache")

    def resolved(spec, refresh=False):
        source = resolve(spec, Request(cache, None, refresh, said.append))
        source.tree.checkout(patched(source.tree, source.pristine, ())[0])
        return source

    resolved.cache = cache
    return resolved


@pytest.fixture
def repository(tmp_path):
    """A developer's clone with two versions of one file; `v1` and `topic/two` name them."""
    user = make_tree(tmp_path / "linux", "one\n")
    (user / ".gitignore").write_text("*.o\n")
    git(user, "init", "-qb", "master")
    git(user, "add", ".")
    git(user, "commit", "-qm", "one")
    git(user, "tag", "v1")
    git(user, "checkout", "-qb", "topic/two")
    (user / "kernel" / "core.c").write_text("two\n")
    git(user, "commit", "-qam", "two")
    return user


def core(source):
    return (source.tree.work / "kernel" / "core.c").read_text()


def state(folder):
    return sorted(
        (path, path.lstat().st_mtime_ns) for path in folder.rglob("*") if path.name != "index"
    )


# --- git ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ref", "content"),
    [("", "two\n"), ("@v1", "one\n"), ("@HEAD~1", "one\n"), ("@topic/two", "two\n")],
)
def test_a_ref_of_a_clone_is_a_commit(find, repository, ref, content):
    before = state(repository)
    source = find(f"git:{repository}{ref}")
    assert core(source) == content
    commit = git(repository, "rev-parse", ref.removeprefix("@") or "HEAD")
    assert source.spec == f"git:{repository}@{commit}"
    assert source.version == "6.12.1"
    assert core(find(source.spec)) == content
    assert state(repository) == before


def test_two_refs_share_a_tree_in_which_only_what_differs_is_rewritten(find, repository):
    first = find(f"git:{repository}@v1")
    makefile = first.tree.work / "Makefile"
    stamp = makefile.stat().st_mtime_ns
    second = find(f"git:{repository}@topic/two")
    assert second.tree.folder == first.tree.folder
    assert second.digest != first.digest
    assert (core(second), makefile.stat().st_mtime_ns) == ("two\n", stamp)


def objects(source):
    """What the harness has of its own in a source's store."""
    kept = source.tree.git.folder / "objects"
    return [path for path in kept.rglob("*") if path.is_file() and path.name != "alternates"]


@pytest.mark.parametrize(
    "kind", ["bare", "shallow", "worktree", "dot git", "subfolder", "shared", "sha256"]
)
def test_any_clone_will_do_and_nothing_is_copied(find, repository, tmp_path, kind):
    place = tmp_path / "other"
    if kind == "bare":
        git(tmp_path, "clone", "-q", "--bare", str(repository), str(place))
    elif kind == "shallow":
        git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository}", str(place))
    elif kind == "worktree":
        git(repository, "worktree", "add", "-q", "--detach", str(place), "topic/two")
    elif kind == "shared":
        git(tmp_path, "clone", "-q", "--bare", str(repository), str(tmp_path / "between"))
        git(tmp_path, "clone", "-q", "--shared", str(tmp_path / "between"), str(place))
    elif kind == "sha256":
        shutil.copytree(repository, place, ignore=shutil.ignore_patterns(".git"))
        git(place, "init", "-q", "--object-format=sha256")
        git(place, "add", ".")
        git(place, "commit", "-qm", "two")
    else:
        place = repository / {"dot git": ".git", "subfolder": "kernel"}[kind]
    source = find(f"git:{place}")
    assert core(source) == "two\n"
    assert objects(source) == []
    base, result = patched(
        source.tree, source.pristine, (patch(diff("kernel/core.c", "two", "3")),)
    )
    assert source.tree.changed(base, result) == (Change("kernel/core.c", "M"),)


def test_worktrees_of_one_clone_share_what_is_built(find, repository, tmp_path):
    git(repository, "worktree", "add", "-q", "--detach", str(tmp_path / "other"), "v1")
    folders = {
        find(spec).tree.folder
        for spec in (f"git:{repository}", f"git:{tmp_path / 'other'}", f"path:{tmp_path / 'other'}")
    }
    assert len(folders) == 1


def test_what_a_clone_does_not_have_is_told_with_what_is_near(find, repository, tmp_path):
    with pytest.raises(PlanError, match=r"has no commit topic/too \(did you mean topic/two\?\)"):
        find(f"git:{repository}@topic/too")
    with pytest.raises(PlanError, match=r"/other is no git repository"):
        find(f"git:{make_tree(tmp_path / 'other')}")
    with pytest.raises(PlanError, match=r"there is no repository /nowhere$"):
        find("git:/nowhere@v1")
    with pytest.raises(PlanError, match="has no commit --all"):
        find(f"git:{repository}@--all")


def test_a_shallow_clone_says_that_it_is_one(find, repository, tmp_path):
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository}", "other")
    with pytest.raises(PlanError) as raised:
        find(f"git:{tmp_path / 'other'}@v1")
    assert "it is shallow" in raised.value.advice


def test_a_partial_clone_says_what_it_lacks(find, repository, tmp_path):
    git(repository, "config", "uploadpack.allowFilter", "true")
    partial = ("clone", "-q", "--filter=blob:none", "--no-checkout")
    git(tmp_path, *partial, f"file://{repository}", "other")
    with pytest.raises(HostError, match="lacks files of") as raised:
        find(f"git:{tmp_path / 'other'}")
    assert "it is a partial clone, and has not fetched 4 objects" in raised.value.why
    git(tmp_path / "other", "checkout", "-q", "HEAD")
    assert core(find(f"git:{tmp_path / 'other'}")) == "two\n"


def test_a_commit_without_a_kernel_is_none(find, repository):
    git(repository, "rm", "-q", "Kconfig")
    git(repository, "commit", "-qm", "less")
    with pytest.raises(PlanError, match=r"^commit \w{12} of .*/linux is no kernel tree$"):
        find(f"git:{repository}")


def test_what_a_clones_configuration_names_is_not_run(find, repository, tmp_path):
    ran = tmp_path / "ran"
    evil = tmp_path / "evil"
    evil.write_text(f"#!/bin/sh\ntouch {ran}\n")
    evil.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(evil))
    for spec in (f"git:{repository}", f"path:{repository}"):
        assert core(find(spec)) == "two\n"
    assert not ran.exists()


@pytest.mark.parametrize(
    ("text", "where", "ref"),
    [
        ("https://host/linux.git", "https://host/linux.git", "HEAD"),
        ("https://host/linux.git@v6.12", "https://host/linux.git", "v6.12"),
        ("https://me@host/linux.git", "https://me@host/linux.git", "HEAD"),
        ("https://me@host/linux.git@a/b", "https://me@host/linux.git", "a/b"),
        ("git@host:linux.git", "git@host:linux.git", "HEAD"),
        ("git@host:linux.git@v1", "git@host:linux.git", "v1"),
        ("/nowhere", "/nowhere", "HEAD"),
        ("/nowhere@v1", "/nowhere", "v1"),
        ("/nowhere@HEAD@{1}", "/nowhere", "HEAD@{1}"),
        ("/nowhere@", "/nowhere@", "HEAD"),
        ("file:///nowhere@v1", "/nowhere", "v1"),
    ],
)
def test_where_a_repository_ends_and_a_ref_begins(text, where, ref):
    assert split(text) == (where, ref)


def test_a_folders_name_may_have_an_at_sign(find, repository, tmp_path):
    place = repository.rename(tmp_path / "linux@home")
    assert core(find(f"git:{place}")) == "two\n"
    assert core(find(f"git:{place}@v1")) == "one\n"


@pytest.fixture
def served(repository, monkeypatch):
    """The repository at a URL that git itself serves."""
    # Of another protocol than a clone on this host, and without a network.
    monkeypatch.setattr("harness.source.kernel.git._LOCAL", "never://")
    return f"file://{repository}"


def test_a_commit_elsewhere_is_fetched_without_its_history(find, served, repository):
    source = find(f"git:{served}@v1")
    assert core(source) == "one\n"
    second = find(f"git:{served}")
    assert core(second) == "two\n"
    assert second.tree.folder == source.tree.folder
    assert second.spec == f"git:{served}@{git(repository, 'rev-parse', 'HEAD')}"
    assert git(second.tree.git.folder, "rev-list", "--count", second.spec[-40:]) == "1"


def test_a_branch_elsewhere_is_followed_and_a_commit_needs_no_network(find, served, repository):
    first = find(f"git:{served}@topic/two")
    (repository / "kernel" / "core.c").write_text("three\n")
    git(repository, "commit", "-qam", "three")
    assert core(find(f"git:{served}@topic/two")) == "three\n"
    repository.rename(repository.with_name("gone"))
    assert core(find(first.spec)) == "two\n"
    with pytest.raises(HostError, match="cannot fetch from") as raised:
        find(f"git:{served}@topic/two")
    assert raised.value.evidence.read_text()


def test_a_ref_that_is_not_there_elsewhere_gets_the_nearest(find, served):
    with pytest.raises(PlanError, match=r"has no topic/too \(did you mean topic/two\?\)"):
        find(f"git:{served}@topic/too")


@pytest.mark.parametrize("url", ["ext::sh -c touch% /tmp/x", "ext::x@v1", "fd::7"])
def test_no_url_runs_a_command(find, url):
    with pytest.raises(PlanError, match="there is no repository"):
        find(f"git:{url}")
    with pytest.raises(HostError, match="cannot fetch"):
        find(f"git:ext://{url}")


# --- path --------------------------------------------------------------------


def test_a_folder_alone_is_a_path(find, repository, monkeypatch):
    assert core(find(str(repository))) == "two\n"
    monkeypatch.chdir(repository.parent)
    assert find("linux").spec == f"path:{repository}"
    monkeypatch.chdir(repository)
    assert find(".").spec == f"path:{repository}"


def test_a_tree_under_git_is_as_git_status_shows_it(find, repository):
    (repository / "kernel" / "core.c").write_text("modified\n")
    (repository / "kernel" / "new.c").write_text("untracked\n")
    (repository / "kernel" / "caf\udce9.c").write_text("untracked\n")
    (repository / "kernel" / "core.o").write_text("ignored\n")
    (repository / "Kconfig").unlink()
    (repository / "Kconfig").mkdir()
    (repository / "Kconfig" / "inner").write_text("folder for a file\n")
    (repository / "staged.c").write_text("staged\n")
    git(repository, "add", "staged.c")
    (repository / "intended.c").write_text("intended\n")
    git(repository, "add", "-N", "intended.c")
    git(repository, "rm", "-q", "--cached", ".gitignore")
    (repository / "gone.c").write_text("gone\n")
    git(repository, "add", "gone.c")
    git(repository, "commit", "-qm", "more", "gone.c")
    git(repository, "rm", "-q", "gone.c")
    (repository / "gone.c").mkdir()
    (repository / "gone.c" / "inner").write_text("staged folder for a file\n")
    git(repository, "add", "gone.c")
    before = state(repository)
    source = find(f"path:{repository}")
    held = {path.relative_to(source.tree.work) for path in source.tree.work.rglob("*")}
    assert {str(path) for path in held} == {
        *(
            ".gitignore",
            "Makefile",
            "Kconfig",
            "Kconfig/inner",
            "gone.c",
            "gone.c/inner",
            "staged.c",
            "intended.c",
        ),
        *("kernel", "kernel/core.c", "kernel/new.c", "kernel/caf\udce9.c"),
    }
    assert core(source) == "modified\n"
    assert (source.tree.work / "intended.c").read_text() == "intended\n"
    assert state(repository) == before


def test_of_a_tree_under_git_only_what_is_changed_is_copied(find, repository):
    source = find(f"path:{repository}")
    assert objects(source) == []
    (repository / "kernel" / "core.c").write_text("modified\n")
    again = find(f"path:{repository}")
    assert (core(again), len(objects(again))) == ("modified\n", 2 + len(trees(again)))
    git(repository, "commit", "-qam", "three")
    assert core(find(f"path:{repository}")) == "modified\n"


def trees(source):
    """Loose objects: of folders, which git writes by itself; files go into a pack."""
    return [path for path in objects(source) if "pack" not in str(path)]


def test_a_tree_in_the_midst_of_a_merge_is_taken_as_it_lies_there(find, repository):
    git(repository, "checkout", "-qb", "other", "v1")
    (repository / "kernel" / "core.c").write_text("other\n")
    git(repository, "commit", "-qam", "other")
    with pytest.raises(Exception, match="merge"):
        git(repository, "merge", "topic/two")
    assert "<<<<<<<" in core(find(f"path:{repository}"))


def test_a_tree_before_its_first_commit_is_taken(find, repository):
    shutil.rmtree(repository / ".git")
    git(repository, "init", "-q")
    git(repository, "add", "kernel", "Makefile")
    assert core(find(f"path:{repository}")) == "two\n"
    (repository / "kernel" / "core.c").unlink()
    assert not (find(f"path:{repository}").tree.work / "kernel").exists()


def test_a_sparse_tree_is_taken_whole(find, repository):
    git(repository, "sparse-checkout", "set", "--cone", "--sparse-index", "nothing")
    assert not (repository / "kernel").exists()
    assert core(find(f"path:{repository}")) == "two\n"


def test_a_repository_within_is_none_of_the_tree(find, repository):
    git(repository, "init", "-q", "inner")
    (repository / "inner" / "x.c").write_text("x")
    assert not (find(f"path:{repository}").tree.work / "inner").exists()
    shutil.rmtree(repository / ".git")
    assert not (find(f"path:{repository}").tree.work / "inner").exists()


DEBIAN = ".*\n*.o\n/vmlinux\n/*\n!/debian/\n"


def test_what_git_ignores_though_no_build_left_it_is_said(find, repository, said):
    (repository / ".gitignore").write_text(DEBIAN)
    git(repository, "commit", "-qam", "Debian's")
    for name in ("new.c", "more.c", "core.o"):
        (repository / "kernel" / name).write_text("x\n")
    source = find(f"path:{repository}")
    assert not (source.tree.work / "kernel" / "new.c").exists()
    assert said[-1] == (
        "left out, as .gitignore says: kernel/more.c, kernel/new.c; git add -f takes them in"
    )
    git(repository, "add", "-f", "kernel/new.c", "kernel/more.c")
    assert (find(f"path:{repository}").tree.work / "kernel" / "new.c").exists()
    assert "left out" not in said[-1]


BUILT = (
    *(".config", "vmlinux", "System.map", "Module.symvers", "kernel/core.o", "kernel/core.lds"),
    *("include/generated/x.h", "include/config/x", "arch/arm64/include/generated/x.h"),
    *("scripts/basic/fixdep", ".tmp_vmlinux1", "modules.order", "kernel/.core.o.cmd"),
)


@pytest.mark.parametrize("rules", [".*\n!.gitignore\n*.o\n/vmlinux\n", DEBIAN, None])
def test_what_a_build_left_in_a_folder_is_not_taken(find, tmp_path, rules):
    user = make_tree(tmp_path / "linux", "one\n")
    kept = ("scripts/basic/fixdep.c", "arch/arm64/include/x.h", "kernel/test.d/x.tc")
    for name in (*BUILT, *kept):
        (user / name).parent.mkdir(parents=True, exist_ok=True)
        (user / name).write_text("x\n")
    (user / "scripts" / "basic" / ".gitignore").write_text("/fixdep\n")
    (user / "kernel" / ".gitignore").write_text("*.lds\n")
    if rules:
        (user / ".gitignore").write_text(rules)
    work = find(f"path:{user}").tree.work
    left = [name for name in BUILT if (work / name).exists()]
    assert left == []
    for name in (*kept, "Makefile", "Kconfig", "kernel/core.c", "kernel/.gitignore"):
        assert (work / name).exists(), name


# --- tarball -----------------------------------------------------------------


@pytest.fixture
def tarball(tmp_path):
    """A release as kernel.org has it; packed anew with another top folder."""
    tree = make_tree(tmp_path / "tree", "one\n")

    def pack(name="linux-6.12.1.tar.xz", top="linux-6.12.1"):
        file = tmp_path / name
        with tarfile.open(file, "w:xz" if name.endswith("xz") else "w") as archive:
            archive.add(tree, top)
        return file

    pack.tree = tree
    return pack


@pytest.mark.parametrize("name", ["linux.tar", "linux.tar.xz"])
@pytest.mark.parametrize("top", ["linux-6.12.1", ".", "./linux"])
def test_a_tarball_is_a_source(find, tarball, name, top):
    file = tarball(name, top)
    source = find(f"tarball:{file}")
    assert (core(source), source.version) == ("one\n", "6.12.1")
    assert source.spec == f"tarball:{file}#{file_digest(file)}"
    assert find(str(file)).spec == source.spec
    base, result = patched(source.tree, None, (patch(diff("kernel/core.c", "one", "two")),))
    assert source.tree.changed(base, result) == (Change("kernel/core.c", "M"),)


def test_a_tarball_is_unpacked_once_and_again_when_it_changes(find, tarball, said):
    file = tarball()
    first = find(f"tarball:{file}")
    stamp = first.tree.work.stat().st_mtime_ns
    assert find(f"tarball:{file}", refresh=True).tree.work.stat().st_mtime_ns == stamp
    assert [text for text in said if "unpacking" in text] == [f"unpacking {file}"]
    (tarball.tree / "kernel" / "core.c").write_text("two\n")
    assert core(find(f"tarball:{tarball()}")) == "two\n"


def test_a_tarball_elsewhere_is_fetched_once(find, served_file, tarball):
    url = served_file(tarball())
    source = find(f"tarball:{url}")
    assert core(source) == "one\n"
    served_file(None)
    assert find(f"tarball:{url}").spec == source.spec
    assert find(source.spec).digest == source.digest
    with pytest.raises(PlanError, match="cannot fetch"):
        find(f"tarball:{url}", refresh=True)
    assert find(source.spec, refresh=True).digest == source.digest


def test_a_digest_names_a_tarball_or_none(find, tarball):
    file = tarball()
    right = file_digest(file)
    with pytest.raises(PlanError, match="is not the tarball that was asked for") as raised:
        find(f"tarball:{file}#{'0' * 64}")
    assert right in raised.value.why
    assert core(find(f"tarball:{file}#{right}")) == "one\n"
    with pytest.raises(PlanError, match="abc is no SHA-256"):
        find(f"tarball:{file}#abc")


def test_what_is_no_kernels_tarball_is_said_to_be(find, tarball, tmp_path):
    junk = tmp_path / "linux-6.12.2.tar"
    junk.write_bytes(b"junk" * 1000)
    with pytest.raises(PlanError, match=r"linux-6.12.2.tar is no tarball"):
        find(f"tarball:{junk}")
    (tarball.tree / "Kconfig").unlink()
    with pytest.raises(PlanError, match=r"linux-6.12.1.tar.xz is no kernel tree"):
        find(f"tarball:{tarball()}")
    with pytest.raises(PlanError, match=r"linux-6.12.3.tar \(did you mean linux-6.12.\d.tar"):
        find(f"tarball:{tmp_path}/linux-6.12.3.tar")
    with pytest.raises(PlanError, match=r"is a folder$"):
        find(f"tarball:{tmp_path}")
    assert not list(find.cache.sources.glob("tarball-*"))


def test_no_tarball_writes_elsewhere(find, tarball, tmp_path):
    file = tarball("linux.tar")
    with tarfile.open(file, "a") as archive:
        for name in ("linux-6.12.1/../../outside", f"{tmp_path}/absolute", "linux-6.12.1/l/x"):
            if name.endswith("l/x"):
                link = tarfile.TarInfo("linux-6.12.1/l")
                link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
                archive.addfile(link)
            archive.addfile(tarfile.TarInfo(name))
    with suppress(PlanError, HostError):
        find(f"tarball:{file}")
    for name in ("outside", "absolute", "x"):
        assert not list(tmp_path.glob(name)), name


@pytest.fixture
def served_file(tmp_path, monkeypatch):
    """Serves one file over HTTP, at a URL that stays; None is 404."""
    files = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = files.get("content")
            self.send_response(200 if content else 404)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    def serve(file):
        files["content"] = file.read_bytes() if file else None
        return f"http://127.0.0.1:{server.server_port}/linux.tar.xz"

    thread = Thread(target=server.serve_forever)
    thread.start()
    yield serve
    server.shutdown()
    thread.join()
    server.server_close()


# --- debian ------------------------------------------------------------------


PACKAGES = {
    "": {"6.1": ["6.1.9-1"], "6.12": ["6.12.3-1", "6.12.1-1"]},
    "sid": {"7.2": ["7.2.1-1"]},
    "trixie-backports": {"7.3": ["7.3~rc7-1~exp1"]},
}


class FakeArchive:
    """Debian's packages of a suite, each with the tarball of a tiny tree."""

    def __init__(self, folder, suite=""):
        self.folder, self.suite = folder, suite

    def of(self, suite):
        return FakeArchive(self.folder, suite)

    def kernel_sources(self):
        return PACKAGES.get(self.suite, {})

    def download(self, package, folder, version):
        root = self.folder / f"{package}_{version}"
        source = root / "usr" / "src"
        source.mkdir(parents=True)
        tree = make_tree(self.folder / f"tree-{package}_{version}", f"{version}\n")
        with tarfile.open(source / f"{package}.tar.xz", "w:xz") as tarball:
            tarball.add(tree, package)
        (root / "DEBIAN").mkdir()
        (root / "DEBIAN" / "control").write_text(
            f"Package: {package}\nVersion: {version}\nArchitecture: all\n"
            "Maintainer: t <t@t>\nDescription: t\n"
        )
        subprocess.run(["dpkg-deb", "--build", root, folder], check=True, capture_output=True)
        return next(folder.glob("*.deb"))


@pytest.fixture
def debian(tmp_path, said, monkeypatch):
    """Resolves a source of a Debian whose own suite is bookworm."""
    suites = {"bookworm": "oldstable", "trixie-backports": "stable-backports", "sid": "unstable"}
    monkeypatch.setattr(mirror, "codename", lambda: "bookworm")
    monkeypatch.setattr(mirror, "suites", lambda _: suites)
    cache, archive = Cache(tmp_path / "cache"), FakeArchive(tmp_path)

    def resolved(spec, refresh=False):
        return resolve(f"debian:{spec}", Request(cache, archive, refresh, said.append))

    resolved.cache = cache
    return resolved


@pytest.mark.needs("dpkg-deb")
@pytest.mark.parametrize(
    ("spec", "package", "named"),
    [
        ("6.12", "6.12.3-1", "6.12"),
        ("6.12.1", "6.12.1-1", "6.12.1"),
        ("6.12.1-1", "6.12.1-1", "6.12.1-1"),
        ("6.12@oldstable", "6.12.3-1", "6.12"),
        ("6.12@bookworm", "6.12.3-1", "6.12"),
        ("7.2@sid", "7.2.1-1", "7.2@sid"),
        ("7.2@unstable", "7.2.1-1", "7.2@sid"),
        ("7.3@trixie-backports", "7.3~rc7-1~exp1", "7.3@trixie-backports"),
    ],
)
def test_a_kernel_of_any_suite(debian, said, spec, package, named):
    source = debian(spec)
    assert (core(source), source.spec) == (f"{package}\n", f"debian:{named}")
    said.clear()
    assert debian(spec).digest == source.digest
    assert said == []


@pytest.mark.needs("dpkg-deb")
def test_a_source_that_is_gone_from_the_cache_is_fetched_again(debian, tmp_path):
    source = debian("6.1")
    shutil.rmtree(source.tree.folder)
    shutil.rmtree(tmp_path / "linux-source-6.1_6.1.9-1")
    shutil.rmtree(tmp_path / "tree-linux-source-6.1_6.1.9-1")
    assert core(debian("6.1")) == "6.1.9-1\n"


def test_a_kernel_that_a_suite_does_not_have_is_told_where_it_is(debian):
    with pytest.raises(PlanError) as raised:
        debian("7.2")
    assert raised.value.what == (
        "Debian bookworm has no kernel source 7.2 (did you mean debian:7.2@sid?)"
    )
    assert raised.value.why.splitlines() == [
        "there are",
        "bookworm             6.1, 6.12 (6.12.3-1, 6.12.1-1)",
        "trixie-backports     7.3",
        "sid                  7.2",
    ]
    with pytest.raises(PlanError, match=r"did you mean debian:6.12 or debian:7.2@sid\?"):
        debian("6.17")
    with pytest.raises(PlanError, match=r"Debian sid has no .* \(did you mean debian:6.12\?\)"):
        debian("6.12@sid")
    with pytest.raises(PlanError, match=r"no suite sidd \(did you mean sid\?\)") as raised:
        debian("6.12@sidd")
    assert "bookworm (oldstable), " in raised.value.why


def test_where_no_other_suite_can_be_asked_the_own_one_is_told(debian, said, monkeypatch):
    def unreachable(_):
        raise HostError("no network")

    monkeypatch.setattr(mirror, "suites", unreachable)
    with pytest.raises(PlanError, match=r"no kernel source 7.2 \(did you mean debian:6.12\?\)"):
        debian("7.2")
    assert said[-1] == "other suites cannot be asked: no network"


@pytest.mark.parametrize("spec", ["@sid", "6.12@", "../x", "6.12@../x", "6.12@sid@sid"])
def test_what_can_be_no_kernel_of_debians(debian, spec):
    with pytest.raises(PlanError, match="names no kernel"):
        debian(spec)


def test_the_suites_of_a_mirror(tmp_path, monkeypatch):
    helper = tmp_path / "helper"
    helper.write_text(
        "#!/bin/sh\ncase $2 in\n"
        "*/oldstable/*) echo 'Codename: bookworm' >$3;;\n"
        "*/bookworm-backports/*) echo 'Codename: bookworm-backports' >$3;;\n"
        "*/experimental/*) echo 'Codename: rc-buggy' >$3;;\n"
        "*) echo 'E: Failed to fetch x  404  Not Found' >&2; exit 100;;\nesac\n"
    )
    helper.chmod(0o755)
    monkeypatch.setattr(mirror, "HELPER", str(helper))
    monkeypatch.setattr(mirror, "machine_archives", lambda: [("http://site/d/", "old", "main")])
    assert mirror.suites(tmp_path) == {
        "bookworm": "oldstable",
        "bookworm-backports": "oldstable-backports",
        "experimental": "experimental",
    }
    helper.write_text("#!/bin/sh\necho 'Could not resolve' >&2; exit 100\n")
    with pytest.raises(HostError, match="cannot be fetched"):
        mirror.suites(tmp_path)


def test_a_suite_is_where_the_mirror_has_it(tmp_path, monkeypatch):
    """Of the sites of the machine's own: one has no updates for it, none another suite."""
    helper = tmp_path / "helper"
    helper.write_text(
        "#!/bin/sh\ncase $2 in */new/* | */new-security/*) : >$3;;\n"
        "*) echo 'E: Failed to fetch x  404  Not Found' >&2; exit 100;;\nesac\n"
    )
    helper.chmod(0o755)
    archives = [("http://site/d", name, "main") for name in ("old", "old-updates")]
    archives.append(("http://site/s", "old-security", "main"))
    monkeypatch.setattr(mirror, "HELPER", str(helper))
    monkeypatch.setattr(mirror, "codename", lambda: "old")
    monkeypatch.setattr(mirror, "machine_archives", lambda: archives)
    assert mirror.places("new", tmp_path) == [
        ("http://site/d", "new", "main"),
        ("http://site/s", "new-security", "main"),
    ]
    with pytest.raises(HostError, match="Debian has no suite newer"):
        mirror.places("newer", tmp_path)


# --- what is wrong -----------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("6.12", r"unknown source 6.12 \(did you mean debian:6.12\?\)"),
        ("path:{}/linus", r"there is no folder .*/linus \(did you mean linux\?\)"),
        ("path:{}/linux/kernel", "is no kernel tree"),
        ("path:{}/linux/.git", r"/.git is a repository$"),
        ("pth:{}", r"unknown source pth:.* \(did you mean path\?\)"),
        ("path:", "unknown source path:"),
        ("nothing", "unknown source nothing"),
    ],
)
def test_a_wrong_source_is_told_what_is_near(find, repository, spec, what):
    with pytest.raises(PlanError, match=what):
        find(spec.format(repository.parent))


def test_the_kind_of_a_source():
    assert kind_of("debian:6.12") == ("debian", "6.12")
    assert kind_of("git:x@host:y") == ("git", "x@host:y")
    assert kind_of(str(Path.cwd())) == ("path", str(Path.cwd()))
