# SPDX-License-Identifier: MIT
"""The recipes of docs/ci: they name commands and options that there are, and the loop loops."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from harness.cli import cli

CI = Path(__file__).parents[2] / "docs" / "ci"
# A harness that exits as the mailbox's first line says, and notes what it was given.
FAKE = """\
#!/bin/bash
echo "$@" >>"$(dirname "$0")/calls"
while [ "$1" != --output ]; do shift; done
mkdir -p "$2"
echo "To: list" >"$2/reply.eml"
exit "$(head -n 1 "$3")"
"""


def commands(text):
    """[(command, its options)] of the harness in a recipe."""
    joined = text.replace("\\\n", " ")
    joined = re.sub(r"\n +(?=--)", " ", joined)
    for line in joined.splitlines():
        found = re.search(r"(?:pmu-harness/pmu-harness|\"\$harness\") (.*)", line)
        if found:
            name, *words = shlex.split(found[1].partition(" >")[0], comments=True)
            yield name, [word for word in words if word.startswith("--")]


@pytest.mark.parametrize(
    "name", ["github.yml", "gitlab.yml", "weekly.yml", "mailbox.sh", "README.md"]
)
def test_a_recipe_names_what_there_is(name):
    found = list(commands((CI / name).read_text()))
    assert found or name == "README.md"
    for command, options in found:
        known = cli.get_command(click.Context(cli), command)
        subs = getattr(known, "commands", {}).values()
        given = {opt for one in (known, *subs) for param in one.params for opt in param.opts}
        assert set(options) <= given, (command, options)


@pytest.mark.parametrize("name", ["github.yml", "gitlab.yml", "weekly.yml"])
def test_a_recipe_is_yaml(name):
    assert isinstance(yaml.safe_load((CI / name).read_text()), dict)


@pytest.fixture
def loop(tmp_path):
    """Run the loop over a folder of mailboxes: (its status, the calls so far)."""
    fake, inbox = tmp_path / "fake", tmp_path / "in box"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    inbox.mkdir()

    def run(**boxes):
        for name, status in boxes.items():
            (inbox / f"{name}.mbx").write_text(f"{status}\n")
        done = subprocess.run(
            ["bash", CI / "mailbox.sh", inbox, tmp_path / "done", "--source", "debian:6.12"],
            env={"PATH": "/usr/bin:/bin", "PMU_HARNESS": str(fake)},
            check=False,
            capture_output=True,
            text=True,
        )
        calls = (tmp_path / "calls").read_text().splitlines()
        return done.returncode, [Path(call).stem for call in calls]

    run.done = tmp_path / "done"
    return run


def test_the_loop_judges_each_mailbox_once_and_has_a_reply_for_it(loop):
    assert loop(good=0, bad=1) == (0, ["bad", "good"])
    assert {file.parent.name for file in loop.done.glob("*/reply.eml")} == {"good", "bad"}
    assert loop(new=0) == (0, ["bad", "good", "new"])


def test_the_loop_tries_again_what_got_no_verdict(loop):
    assert loop(torn=3)[1] == ["torn"]
    assert not (loop.done / "torn" / "reply.eml").exists()
    assert loop(torn=0) == (0, ["torn", "torn"])
    assert (loop.done / "torn" / "reply.eml").exists()
