# SPDX-License-Identifier: MIT
"""Stored runs beside each other, by the commands: compare, baseline, history, judge, report."""

import json
import shutil

import pytest
from click.testing import CliRunner
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace

from harness.cli import cli
from harness.cli.results import remember
from harness.errors import PlanError
from harness.run.folder import RunFolder

pytestmark = pytest.mark.needs("git", "make", "cpio", "setpriv", "aarch64-linux-gnu-gcc")

RELEASE = "retention.release"


def call(*words):
    """(exit status, what is printed)."""
    done = CliRunner().invoke(cli, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def test_compare_exits_by_what_got_worse(runs):
    good, bad = runs
    status, said = call("compare", good, bad)
    assert status == 1 and f"broken  {RELEASE}" in said
    status, said = call("compare", bad, good)
    assert status == 0 and f"fixed  {RELEASE}" in said
    status, said = call("compare", good, good, "--json")
    assert (status, json.loads(said)["changes"]) == (0, [])


def test_a_baseline_outlives_its_run(runs):
    good, bad = runs
    with pytest.raises(PlanError, match="no baseline"):
        call("compare", bad)
    assert call("baseline", "save", good)[0] == 0
    shutil.rmtree(good)
    assert call("compare", bad)[0] == 1
    rows = json.loads(call("baseline", "show", "--json")[1])
    assert [(row["kernel"], row["machine"]) for row in rows] == [("6.12", "aarch64-tcg")]
    assert call("baseline", "save", bad, "--reference", "--as", "ours")[0] == 0
    assert call("compare", bad, "--baseline", "ours")[0] == 1


def test_each_run_is_in_the_history(runs, tmp_path):
    status, said = call("history", RELEASE, "--html", tmp_path / "page.html")
    assert status == 0
    rows = [line.split() for line in said.splitlines() if line.startswith("6.12")]
    assert {row[0] for row in rows} == {"6.12", "6.12+hello", "6.12+bad"}
    assert (tmp_path / "page.html").read_text().count("<h2>") == 3
    with pytest.raises(PlanError, match=r"did you mean retention\.release"):
        call("history", "retention.relase")


def test_a_known_issue_excuses_a_stored_run(runs, tmp_path):
    _, bad = runs
    check = "retention.counter"
    file = tmp_path / "known.yaml"
    head = "ours:\n  reason: we know\n  link: https://example.org/1\n"
    file.write_text(
        f"{head}  expires: 2999-01-01\n  by_chance: true\n  excuses: {{any: [{check}]}}\n"
    )
    assert check in headline(bad, call("judge", bad))
    status, said = call("judge", bad, "--known", file)
    assert check not in headline(bad, (status, said))
    assert "known until 2999-01-01: we know" in said and "https://example.org/1" in said
    file.write_text(file.read_text().replace("2999", "2020"))
    assert check in headline(bad, call("judge", bad, "--known", file))


def headline(folder, judged):
    """A run's, that is judged and fails."""
    assert judged[0] == 1, judged[1]
    return json.loads((folder / "results.json").read_text())["headline"]


def test_a_runs_folder_has_what_is_forwarded(runs):
    _, bad = runs
    names = {path.name for path in bad.iterdir()}
    assert {"junit.xml", "results.ktap", "kcidb.json", "summary.md", "report.html"} <= names
    document = json.loads((bad / "kcidb.json").read_text())
    assert document["builds"][0]["status"] == "PASS" and document["builds"][0]["compiler"]
    assert "FAIL" in {test["status"] for test in document["tests"]}


def test_a_trace_is_written(runs, tmp_path):
    _, bad = runs
    call("report", bad, "--trace", tmp_path / "x.pftrace")
    trace = Trace.FromString((tmp_path / "x.pftrace").read_bytes())
    processes = [
        packet.track_descriptor.process.process_name
        for packet in trace.packet
        if packet.track_descriptor.HasField("process")
    ]
    assert processes == [f"{name}/aarch64-tcg/cycles-task" for name in ("6.12", "6.12+bad")]
    with pytest.raises(PlanError, match="no guest"):
        call("report", bad, "--trace", tmp_path / "y", "--scenario", "other")


def test_a_job_of_githubs_gets_its_summary(runs, tmp_path, monkeypatch):
    _, bad = runs
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    _, said = call("report", bad)
    assert f"::error title=broken {RELEASE}::" in said
    assert (tmp_path / "summary").read_text() == (bad / "summary.md").read_text()


def test_a_history_that_cannot_be_written_is_no_failure_of_the_run(runs, tmp_path, capsys):
    good, _ = runs
    database = tmp_path / "state" / "pmu-harness" / "history.sqlite"
    database.write_text("no database, as is seen by its beginning " * 100)
    remember(RunFolder(good).read_results(), good)
    assert "cannot be used" in capsys.readouterr().err
