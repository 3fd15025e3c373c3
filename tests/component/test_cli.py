# SPDX-License-Identifier: MIT
"""The command line as a process: messages, exit codes, offline judging."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.component.fakes import make_tree

ROOT = Path(__file__).parents[2]
# One that needs no Debian packages: these runs have an empty cache.
ONE = ("--scenario", "cycles-cpu")


@pytest.fixture
def call(tmp_path):
    """Run the command line with a cache and a state of its own: (status, stdout, stderr)."""
    env = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }

    def run(*argv, start=False, stdin=""):
        # What a shell starts in the background ignores SIGINT, and so would its children.
        command = ["env", "--default-signal=INT", sys.executable, "-m", "harness"]
        command += map(str, argv)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL if start else subprocess.PIPE,
            **pipes,
        )
        if start:
            return child
        out, err = child.communicate(stdin, timeout=120)
        return child.returncode, out, err

    return run


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "linux", "one\n")


def test_help_teaches(call):
    status, out, _ = call("--help")
    assert status == 0
    assert "./pmu-harness run --patch my.patch" in out
    assert "Exit status:" in out


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("EOFError()", "error:    the harness failed: EOFError\nwhy:      Traceback"),
        ("ValueError('x')", "error:    the harness failed: ValueError: x\nwhy:      Traceback"),
        ("OSError(28, 'No space left')", "error:    [Errno 28] No space left\nnext:     make room"),
        ("OSError(36, 'Too long', 'x')", "error:    [Errno 36] Too long: 'x'\nnext:     choose a"),
        ("OSError(2, 'No such', 'x')", "error:    [Errno 2] No such: 'x'\nwhy:      Traceback"),
    ],
)
def test_a_fault_of_the_harness_is_no_kernels_and_no_interrupt(fault, said):
    code = f"""
from harness import cli
@cli.cli.command()
def breaks():
    raise {fault}
cli.main()
"""
    command = [sys.executable, "-c", code, "breaks"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr.lstrip("\n").startswith(said)


@pytest.mark.parametrize("words", ["--help", "list", "list --no-such", "report ."])
def test_a_pipe_that_nobody_reads_is_no_kernels_fault(words):
    """click and rich would exit with 1."""
    near, far = os.pipe()
    os.close(near)
    command = [sys.executable, "-m", "harness", *words.split()]
    done = subprocess.run(command, cwd=ROOT, check=False, stdout=far, stderr=far)
    os.close(far)
    assert done.returncode == 141


def test_a_broken_pipe_that_is_not_ours_is_told():
    code = """
from harness import cli
@cli.cli.command()
def breaks():
    raise BrokenPipeError(32, "Broken pipe")
cli.main()
"""
    command = [sys.executable, "-c", code, "breaks"]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "")
    assert "Broken pipe" in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_what_is_opened_is_no_standard_stream(closed, tmp_path):
    """Else a closed input would be the first file that the harness opens, and typed to a guest."""
    code = """
import os, sys
from harness import cli
@cli.cli.command()
@cli.click.argument("place")
def opens(place):
    with open(place, "w") as file:
        file.write(f"{file.fileno() > 2} {os.read(0, 1)}")
    print("said")
    print("said", file=sys.stderr)
cli.main()
"""
    place = tmp_path / "opened"
    words = [sys.executable, "-c", code, "opens", str(place)]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *words],
        cwd=ROOT,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0
    assert place.read_text() == "True b''"


def test_a_shell_of_what_does_not_exist(call):
    status, _, err = call("shell", "--series", "pre-callback", "--", "true")
    assert status == 2
    assert "did you mean pre-callbacks?" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--put", "/nowhere/x"], "--put /nowhere/x: there is no such file"),
        (["--get", "/"], "--get /: it does not say what, or where to"),
        (["--gdb", "--get", "x"], "with --gdb, --put and --get take a COMMAND"),
    ],
)
def test_files_for_a_shell_that_cannot_be_meant(call, words, said):
    status, out, err = call("shell", *words)
    assert (status, out) == (2, "")
    assert said in err


def test_a_shell_where_none_reaches(call, tree):
    where = ("--machine", "aarch64-kvm-nested", "--source", f"path:{tree}")
    status, out, err = call("shell", *where, "--", "true")
    assert (status, out) == (2, "")
    assert "SSH does not reach into its outer system" in err


def test_list_names_everything(call, catalog):
    status, out, _ = call("list")
    assert status == 0
    rows = [*catalog.series, *catalog.machines, *catalog.accelerators, *catalog.emulators]
    rows += [*catalog.outers, *catalog.scenarios]
    for name in [*rows, "retention.counter"]:
        assert f"  {name} " in out


def test_an_emulator_that_does_not_exist_is_a_plan_error(call):
    status, out, err = call("emulator", "build", "qemu-x86-pum")
    assert (status, out) == (2, "")
    assert "unknown emulator qemu-x86-pum (did you mean qemu-x86-pmu?)" in err


@pytest.mark.needs("git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc", "cpio")
@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--series", "pre-callback"], "unknown series pre-callback (did you mean pre-callbacks?)"),
        (["--machine", "aarch64-tgc"], "did you mean aarch64-tcg?"),
        (["--scenario", "cycle-cpu"], "did you mean cycles-cpu?"),
        (["--source", "debain:6.12"], "did you mean debian?"),
        (["--source", "path:/nowhere"], "there is no folder /nowhere"),
        (["--patch", "/nowhere.patch"], "does not exist"),
        (["--sereis", "x"], "--series"),
    ],
)
def test_what_does_not_exist_is_a_plan_error(call, argv, said):
    status, _, err = call("run", *argv)
    assert status == 2
    assert said in err
    assert "Traceback" not in err


@pytest.mark.needs("git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc", "cpio")
def test_a_kernel_that_does_not_exist_is_a_row_of_the_ladder(call):
    status, out, _ = call("ladder", "--source", "path:/no/such/tree", "--json")
    assert status == 2
    rows = json.loads(out)["rows"]
    assert [(row["machine"], row["exit"]) for row in rows] == [
        ("aarch64-tcg", 2),
        ("x86_64-tcg", 2),
    ]
    assert rows[0]["trouble"][0].startswith("error: there is no folder /no/such/tree")


def test_a_patch_that_does_not_apply_is_the_subjects_fault(call, tree, tmp_path):
    patch = tmp_path / "stale.patch"
    patch.write_text("--- a/kernel/core.c\n+++ b/kernel/core.c\n@@ -1 +1 @@\n-zero\n+two\n")
    status, out, _ = call("run", "--source", f"path:{tree}", *ONE, "--patch", patch)
    assert status == 1
    assert "stale.patch does not apply" in out
    assert "-zero" in out
    assert (tree / "kernel" / "core.c").read_text() == "one\n"


STALE = "--- a/kernel/core.c\n+++ b/kernel/core.c\n@@ -1 +1 @@\n-{}\n+two\n"


@pytest.mark.needs("git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc", "cpio")
@pytest.mark.parametrize("words", ["--patch A B --alone", "--patch=A B --alone", "--patch A B -"])
def test_several_patches_may_follow_one_option(call, tree, tmp_path, words):
    """As a shell's * gives them; the last one that is named does not apply."""
    files = {"A": tmp_path / "a.patch", "B": tmp_path / "b.patch"}
    files["A"].write_text(STALE.format("one"))
    files["B"].write_text(STALE.format("zero").replace("+two", "+three"))
    argv = [re.sub(r"\b[AB]$", lambda found: str(files[found[0]]), word) for word in words.split()]
    standard_input = STALE.format("nothing") if "-" in argv else ""
    status, out, _ = call(*("run", "--source", f"path:{tree}", *ONE, *argv), stdin=standard_input)
    assert status == 1
    assert f"{files['B']} does not apply" in out
    number = 3 if "-" in argv else 2
    assert f"({number} patches)" in out


@pytest.mark.needs("git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc", "cpio")
def test_a_patch_is_read_from_standard_input(call, tree):
    where = ("--source", f"path:{tree}", *ONE, "--patch", "-")
    status, out, _ = call("run", *where, stdin=STALE.format("zero"))
    assert (status, "6.12+stdin: standard input does not apply" in out) == (1, True)
    status, _, err = call("run", *where)
    assert (status, "standard input is not a patch" in err) == (2, True)
    assert "it is empty" in err


@pytest.mark.needs("git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc", "cpio")
def test_a_range_takes_a_history(call, tree):
    status, _, err = call("run", *ONE, "--range", "HEAD~1..")
    assert (status, "debian:auto has no commits to choose from" in err) == (2, True)
    status, _, err = call("run", "--source", f"path:{tree}", *ONE, "--range", "HEAD~1..")
    assert (status, "is no git repository" in err) == (2, True)


@pytest.mark.needs("git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc", "cpio")
def test_a_tree_that_does_not_build_is_the_subjects_fault(call, tree):
    (tree / "kernel" / "core.c").write_text("core.c:1:1: error: expected ';'\n")
    makefile = tree / "Makefile"
    makefile.write_text(makefile.read_text().replace("grep -v DROPPED", "cat"))
    status, out, _ = call("run", "--source", f"path:{tree}", *ONE, "--output", tree.parent / "run")
    assert status == 1
    assert "6.12: the kernel does not build" in out
    assert "error: expected ';'" in out
    assert (tree.parent / "run" / "subjects" / "6.12" / "build.log").exists()
    assert '"status": "fail"' in (tree.parent / "run" / "results.json").read_text()


@pytest.mark.needs("git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc", "cpio")
def test_auto_goes_on_with_emulation_and_says_why(call, tree):
    (tree / "kernel" / "core.c").write_text("core.c:1:1: error: expected ';'\n")
    run = tree.parent / "run"
    words = ("--source", f"path:{tree}", *ONE, "--machine", "auto", "--output", run)
    status, out, err = call("run", *words)
    assert status in (1, 3), err
    assert "machine aarch64-tcg: emulated, as " in out
    host = json.loads((run / "host.json").read_text())
    assert host["machine"]["asked"] == "auto"
    assert host["machine"]["machine"] == "aarch64-tcg"
    assert host["machine"]["reason"] in out
    assert "aarch64-tcg" in [finding["name"] for finding in host["findings"]]


@pytest.fixture
def sources(tmp_path):
    """A cache that has a kernel's source, so that nobody asks the network for one."""
    place = tmp_path / "cache" / "pmu-harness" / "sources"
    place.mkdir(parents=True)
    (place / "debian-6.12.json").write_text("{}")


@pytest.mark.needs("qemu-system-aarch64", "aarch64-linux-gnu-gcc")
def test_doctor_says_what_this_host_can_do(call, sources):
    began = time.monotonic()
    status, out, err = call("doctor")
    assert time.monotonic() - began < 40
    assert (status, out.splitlines()[-1]) == (0, "this host can do the main job, on aarch64-tcg")
    assert "  yes  aarch64-tcg " in out
    assert "try aarch64-tcg" in err


@pytest.mark.needs("qemu-system-aarch64", "aarch64-linux-gnu-gcc")
def test_doctor_for_programs(call, sources):
    status, out, _ = call("doctor", "--json")
    told = json.loads(out)
    assert (status, told["able"], told["schema_version"]) == (0, True, 1)
    findings = {finding["name"]: finding for finding in told["findings"]}
    assert findings["aarch64-tcg"]["good"] and findings["aarch64-tcg"]["needed"]
    trials = {trial["accelerator"]: trial for trial in told["trials"]}
    assert trials["aarch64-tcg"]["boot"]["console"].endswith("done\n")
    assert told["facts"]["kernels"] == ["6.12"]
    assert findings["Debian"]["said"] == "in the cache: 6.12"
    for finding in told["findings"]:
        assert finding["good"] or (finding["said"] and finding["advice"]), finding


@pytest.mark.needs("git", "make", "qemu-system-aarch64", "aarch64-linux-gnu-gcc", "cpio")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing_running(call, tree, number):
    # A time that nobody else sleeps for, such as another run of this test.
    asleep = str(1_000_000_000 + os.getpid())
    makefile = tree / "Makefile"
    slow = f"\nImage: slow\nslow:\n\t@echo begun; sleep {asleep}\n"
    makefile.write_text(makefile.read_text() + slow)
    run = tree.parent / "run"
    child = call("run", "--source", f"path:{tree}", *ONE, "--output", run, start=True)
    builds = tree.parent / "cache" / "pmu-harness" / "builds"
    wait_for(lambda: any("begun" in log.read_text() for log in builds.rglob("build.log")))
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert child.returncode == 130, out + err
    assert "interrupted" in err
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert not any(asleep.encode() in command for command in commands)
    assert '"headline": "interrupted"' in (run / "results.json").read_text()


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_folder_without_a_run_is_a_plan_error(call, tmp_path):
    for command in ("judge", "report"):
        status, _, err = call(command, tmp_path)
        assert status == 2
        assert "holds no results" in err


def test_missing_packages_without_a_terminal_are_named(call, tmp_path, monkeypatch):
    code = (
        "import os; os.environ.pop('CI', None)\n"
        "from harness.host import setup\nfrom harness.model import Package\n"
        "row = Package(package='no-such', provides='no-such-command', why='a test')\n"
        "from harness.errors import HostError\n"
        "try:\n"
        "    setup.ensure((row,), yes=False, say=print, ask=lambda q: False)\n"
        "except HostError as error:\n    print(error.lines())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=True)  # fmt: skip
    assert "no-such                  a test" in done.stdout
    assert "apt-get install --quiet --yes --no-install-recommends no-such" in done.stdout


def test_what_is_meant_for_pytest_gets_through_tox(monkeypatch):
    from click.testing import CliRunner

    from harness.cli import cli, host

    seen = []
    monkeypatch.setattr(host.os, "execv", lambda file, argv: seen.append(argv[1:]))
    monkeypatch.setattr(host.os, "chdir", lambda folder: None)
    monkeypatch.setattr(host, "ensure_packages", lambda packages, *, yes: None)
    CliRunner().invoke(cli, ["test", "--yes", "-e", "unit", "--", "-k", "one or two"])
    CliRunner().invoke(cli, ["test", "-e", "unit"])
    assert seen == [["run", "-e", "unit", "--", "-k", "one or two"], ["run", "-e", "unit"]]
