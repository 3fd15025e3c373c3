# SPDX-License-Identifier: MIT
"""What commands import before they do anything: a person waits for that each time."""

import subprocess
import sys

import pytest

from harness.cli import _COMMANDS, cli

# What takes long, of others and of ours, and is for what a warm run does not do.
HEAVY = {
    *("asyncio", "cryptography", "elftools", "hypothesis", "jinja2", "junitparser"),
    *("multiprocessing", "numpy", "paramiko", "perfetto", "pexpect", "qemu", "scipy", "unidiff"),
    *("harness.checks", "harness.guest.batch", "harness.guest.records", "harness.guest.ssh"),
    *("harness.report.html", "harness.report.junit", "harness.report.mail"),
    *("harness.run.conclusion", "harness.verdict.judge", "urllib.request"),
}


def imported(code):
    """The modules that are there when some code has run."""
    code = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stderr.split())


def test_help_imports_no_command():
    names = imported(
        "import harness.cli\ntry: harness.cli.cli(['--help'])\nexcept SystemExit: pass"
    )
    allowed = {"cli", "cli.streams", "errors", "host", "host.process", "host.stranger"}
    ours = {name.partition(".")[2] for name in names if name.startswith("harness.")}
    assert ours == allowed
    assert not {"pydantic", "rich", "yaml"} & names


def test_run_imports_what_a_warm_run_needs():
    assert not HEAVY & imported("import harness.cli.guests")


@pytest.mark.parametrize("name", _COMMANDS)
def test_each_command_is_there_under_its_name(name):
    import click

    command = cli.get_command(click.Context(cli), name)
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.hidden == (not _COMMANDS[name][2])


def test_the_list_of_commands_fits_a_terminal():
    assert all(len(line) <= 66 for _, _, line in _COMMANDS.values())
