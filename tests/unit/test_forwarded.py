# SPDX-License-Identifier: MIT
"""Reports that are forwarded: mail, KTAP, KCIDB, GitHub's summary, JSON and its schemas, traces."""

import email
import email.policy
import json
import re
from pathlib import Path

import jsonschema
import kcidb_io
import pytest
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent

from harness.ask.plan import make_plan
from harness.cli.results import SCHEMAS
from harness.model import (
    Cell,
    CellResult,
    Change,
    Changed,
    Claim,
    GuestEnd,
    Outcome,
    PatchFile,
    Role,
    RunResult,
    SeriesResult,
    Status,
    Subject,
    Verdict,
)
from harness.report import html, junit, kcidb, ktap, mail, perfetto, summary
from harness.verdict.steps import Done, Judging, first_bad, headline_of

SCHEMA = Path(__file__).parents[2] / "docs" / "schema"
DONE = Outcome(end=GuestEnd.DONE, stage="batch", summary="done")
RELEASE = "retention.release"
EVIL = "<script>alert(1)</script> | `x` \x1b[2J # SKIP %0A::error::x"
COMMAND = ["./pmu-harness run --source debian:6.12 --patch"]


def verdict(check, status, *evidence, measured="m", **metrics):
    return Verdict(
        check=check,
        status=status,
        measured=measured,
        expected="e",
        evidence=evidence,
        metrics=metrics,
    )


def cell(role, *verdicts, scenario="task"):
    name = "6.12" if role is Role.REFERENCE else "6.12+new"
    return CellResult(
        cell=Cell(subject=name, role=role, machine="aarch64-tcg", scenario=scenario),
        outcome=DONE,
        verdicts=verdicts,
        repeat="./pmu-harness run --scenario task --rerun",
        seconds=1.0,
    )


PATCH = PatchFile.of(
    "my.patch",
    b"diff --git a/x b/x\n",
    stem="my",
    subject="[PATCH v2 3/5] perf: Reload",
    author="J\u00f6rg M\u00fcller <j@example.org>",
    message_id="20260101.3@example.org",
)


def result_of(*changes, status=Status.PASS, cells=(), patches=(PATCH,), **more):
    return RunResult(
        command="./pmu-harness run",
        plan="no series on debian:6.12, aarch64-tcg",
        started="2026-01-01T00:00:00Z",
        seconds=1.5,
        status=status,
        headline=more.pop("headline", "6.12+new breaks retention.release"),
        claim={},
        changes=tuple(
            Changed(change=what, scenario="task", check=check, reference="pass: 0", candidate=said)
            for what, check, said in changes
        ),
        patches=tuple(patch.info for patch in patches),
        cells=cells,
        **more,
    )


@pytest.fixture
def broken():
    """One check broken, one failing as before, one skipped, one that passes."""
    before = (
        verdict(RELEASE, Status.PASS),
        verdict("a", Status.FAIL),
        verdict("b", Status.SKIP),
        verdict("c", Status.PASS),
    )
    after = (
        verdict(RELEASE, Status.FAIL, EVIL, "second line", measured=EVIL, releases=9),
        verdict("a", Status.FAIL),
        verdict("b", Status.SKIP),
        verdict("c", Status.PASS),
    )
    cells = (cell(Role.REFERENCE, *before), cell(Role.CANDIDATE, *after))
    changes = ((Change.BROKEN, RELEASE, EVIL), (Change.STILL_FAILING, "a", "fail: m"))
    return result_of(*changes, status=Status.FAIL, cells=cells)


@pytest.fixture
def good():
    cells = (cell(Role.REFERENCE, verdict("c", Status.PASS)),)
    cells += (cell(Role.CANDIDATE, verdict("c", Status.PASS)),)
    return result_of(cells=cells, headline="6.12+new passes every check")


def judged(*results):
    judging = Judging([PATCH.info.model_copy(update={"subject": f"part {n}"}) for n in range(1, 6)])
    judging.patches = judging.patches[: len(results)]
    results = [
        result.model_copy(update={"patches": (patch,)})
        for result, patch in zip(results, judging.patches, strict=True)
    ]
    for number, result in enumerate(results):
        folder = f"{number + 1:02d}-x"
        judging.add(Done(number, result, folder=folder, repeat="again"))
    return SeriesResult(
        command="c",
        again="./pmu-harness ci --source debian:6.12",
        plan=f"{len(results)} patches on debian:6.12, aarch64-tcg",
        base="6.12",
        started="2026-01-01T00:00:00Z",
        seconds=2.0,
        status=Status.FAIL if first_bad(judging.steps) else Status.PASS,
        headline=headline_of(judging.steps, judging.left),
        first_bad=first_bad(judging.steps),
        steps=tuple(judging.steps),
        left=judging.left,
    )


@pytest.fixture
def series(good, broken):
    """Five patches: the third breaks, the fifth repairs."""
    fixed = result_of((Change.FIXED, RELEASE, "pass: 0"), cells=good.cells)
    return judged(good, good, broken, good, fixed)


# --- mail --------------------------------------------------------------------


def parsed(data):
    return email.message_from_bytes(data, policy=email.policy.default)


def test_a_reply_is_threaded_and_says_the_verdict_first(broken):
    data = mail.render(broken, COMMAND)
    message = parsed(data)
    assert message["Subject"] == "Re: [PATCH v2 3/5] perf: Reload"
    assert message["In-Reply-To"] == message["References"] == "<20260101.3@example.org>"
    assert message["To"] == "J\u00f6rg M\u00fcller <j@example.org>"
    assert message["From"] is None and message["Date"] is None
    assert message.get_content_type() == "text/plain"
    body = message.get_content()
    assert body.startswith("FAIL: 6.12+new breaks retention.release\n")
    assert "broken: retention.release, in task" in body
    assert "second line" in body and "\x1b" not in body
    command = "b4 am -o - 20260101.3@example.org | ./pmu-harness run --source debian:6.12 --patch -"
    assert f"  {command}\n" in body
    own = message["Message-Id"].strip("<>")
    assert f"  Closes: https://lore.kernel.org/r/{own}\n" in body
    assert "Reported-by" in body and "Tested-by" not in body
    assert mail.render(broken, COMMAND) == data


def test_a_pass_may_be_called_tested_and_nothing_else(good):
    body = parsed(mail.render(good, COMMAND)).get_content()
    assert body.startswith("PASS: 6.12+new passes every check\n")
    assert "Tested-by" in body and "Reported-by" not in body and "Closes" not in body


@pytest.mark.parametrize(
    "more", [{"exercised": False}, {"status": Status.ERROR}, {"cells": ()}, {"headline": "x"}]
)
def test_what_was_not_tested_is_not_called_so(good, more):
    alone = good.cells[1:] if more == {"headline": "x"} else good.cells
    result = good.model_copy(update={"cells": alone, **more})
    assert "Tested-by" not in parsed(mail.render(result, COMMAND)).get_content()


def test_a_mail_adds_no_header_and_no_command_of_a_strangers(good):
    evil = PATCH.info.model_copy(
        update={
            "subject": "x\r\nBcc: all@example.org",
            "author": "a\nBcc: b@c <j@example.org>",
            "message_id": "1@x; rm -rf /",
        }
    )
    message = parsed(mail.render(good.model_copy(update={"patches": (evil,)}), COMMAND))
    assert message["Bcc"] is None
    assert "b4 am -o - '1@x; rm -rf /' |" in message.get_content()


def test_a_patch_without_headers_is_answered_as_well(good):
    plain = PatchFile.of("my.patch", b"x", stem="my").info
    message = parsed(mail.render(good.model_copy(update={"patches": (plain,)}), COMMAND))
    assert (message["Subject"], message["To"], message["In-Reply-To"]) == ("Re: my", None, None)
    assert "--patch PATCHES" in message.get_content()


def test_a_series_is_answered_at_its_first_bad_patch(series):
    message = parsed(mail.render_series(series))
    assert message["Subject"] == "Re: part 3"
    body = message.get_content()
    assert body.startswith("FAIL: patch 3 of 5 (part 3) breaks retention.release; patch 5")
    assert re.search(r"3\. FAIL +part 3\n +breaks retention.release", body)
    assert "repairs patch 3's retention.release" in body
    assert max(map(len, body.splitlines())) <= 90
    assert "| ./pmu-harness ci --source debian:6.12 -\n" in body


def test_what_has_a_cover_letter_is_answered_there_where_no_patch_is_bad(good, broken):
    cover = PATCH.info.model_copy(update={"subject": "[PATCH 0/2] all", "message_id": "0@x"})
    series = judged(good, good).model_copy(update={"cover": cover})
    assert parsed(mail.render_series(series))["In-Reply-To"] == "<0@x>"
    series = judged(good, broken).model_copy(update={"cover": cover})
    assert parsed(mail.render_series(series))["Subject"] == "Re: part 2"
    both = good.model_copy(update={"cover": cover, "patches": (PATCH.info, PATCH.info)})
    assert parsed(mail.render(both, COMMAND))["In-Reply-To"] == "<0@x>"
    one = good.model_copy(update={"cover": cover})
    assert parsed(mail.render(one, COMMAND))["In-Reply-To"] == "<20260101.3@example.org>"


# --- all say the same --------------------------------------------------------


def test_page_mail_junit_and_summary_name_the_same_patches(series):
    page, text = html.render_series(series), summary.render_series(series)
    body = parsed(mail.render_series(series)).get_content()
    xml = junit.render_series(series)
    said = "patch 3 of 5 (part 3) breaks retention.release"
    for shown in (page, text, " ".join(body.split()), xml):
        assert said in shown.replace("&#95;", "_")
    assert 'href="03-x/report.html"' in page
    assert '<tr class="bad"><td>3</td>' in page
    assert "broken by patch 3" in page
    assert xml.count("<failure") == 1


# --- KTAP --------------------------------------------------------------------

LINE = re.compile(r"(ok|not ok) (\d+) ([^#]*?)(?: # (.*))?$")


def read_ktap(text):
    """[(level, ok, number, name, directive)] and the plans, checked for what KTAP asks."""
    found, plans = [], []
    for line in text.splitlines():
        level, rest = (len(line) - len(line.lstrip())) // 2, line.strip()
        if rest.startswith(("# ", "KTAP version 1")):
            continue
        if rest.startswith("1.."):
            plans.append((level, int(rest[3:])))
            continue
        match = LINE.match(rest)
        assert match, line
        found.append((level, match[1] == "ok", int(match[2]), match[3], match[4] or ""))
    return found, plans


def test_ktap_has_a_test_for_each_scenario_and_a_subtest_for_each_check(broken):
    text = ktap.render(broken)
    assert text.startswith("KTAP version 1\n1..1\n")
    found, plans = read_ktap(text)
    assert plans == [(0, 1), (1, 4)]
    assert [(level, ok, number, name) for level, ok, number, name, _ in found] == [
        (1, False, 1, RELEASE),
        (1, True, 2, "a"),
        (1, True, 3, "b"),
        (1, True, 4, "c"),
        (0, False, 1, "task"),
    ]
    directives = [directive.split(" ")[0] for *_, directive in found]
    assert directives[1:3] == ["XFAIL", "SKIP"]
    # What a guest says begins no directive.
    assert found[0][4].startswith("<script>") and "# SKIP" not in found[0][4]


def test_ktap_of_a_kernel_that_does_not_build():
    result = result_of(status=Status.FAIL, headline="does not build", failures=("error: x",))
    assert read_ktap(ktap.render(result))[0] == [(0, False, 1, "run", "does not build")]


# --- KCIDB -------------------------------------------------------------------

FACTS = {"toolchain": "gcc 12", "seconds": "12.5", "image_sha256": "ab"}


@pytest.fixture
def plan(catalog):
    subject = Subject(name="6.12+new", source="debian:6.12", version="6.12.1", patches=(PATCH,))
    return make_plan(
        source="git:/linux@" + "a" * 40,
        series="",
        claim=Claim(),
        candidate=subject,
        reference=None,
        machine=catalog.machines["aarch64-tcg"],
        scenarios=(catalog.scenarios["cycles-task"],),
    )


def valid(document):
    """The document, by KCIDB's own schema and as it would be sent."""
    again = json.loads(json.dumps(document))
    assert kcidb_io.schema.LATEST.validate(again) is again
    assert kcidb_io.schema.LATEST.is_compatible(again)
    return again


def test_kcidb_takes_what_a_run_says(broken, plan):
    document = valid(kcidb.document(broken, plan, FACTS))
    (checkout,), (build,) = document["checkouts"], document["builds"]
    assert checkout["git_commit_hash"] == "a" * 40 and checkout["valid"]
    assert checkout["message_id"] == "20260101.3@example.org"
    assert build["checkout_id"] == checkout["id"] and build["status"] == "PASS"
    tests = {test["path"]: test for test in document["tests"]}
    assert tests["pmu_harness.task.retention.release"]["status"] == "FAIL"
    assert tests["pmu_harness.task.a"]["misc"]["change"] == "still failing"
    assert tests["pmu_harness.task.b"]["status"] == "SKIP"
    assert "\x1b" not in json.dumps(document).replace("\\u001b", "\x1b")


def test_kcidb_knows_patches_by_their_hash(plan):
    """As `sha256sum *.patch | cut -c-64 | sha256sum` has it."""
    assert kcidb.patchset_hash([]) == ""
    assert kcidb.patchset_hash([PATCH]) == (
        "00864d4719e8b9f8449deb1de44400c0726bc8125c8d51b947b7a8b662fd611f"
    )


@pytest.mark.parametrize(
    ("failure", "is_valid", "builds"),
    [
        ("error: my.patch does not apply", False, None),
        ("error: the kernel does not build", True, "FAIL"),
    ],
)
def test_kcidb_of_what_was_not_built(plan, failure, is_valid, builds):
    result = result_of(status=Status.FAIL, headline="x", failures=(failure,))
    document = valid(kcidb.document(result, plan, {}))
    assert document["checkouts"][0]["valid"] is is_valid
    assert [build["status"] for build in document.get("builds", ())] == ([builds] if builds else [])
    assert "tests" not in document


def test_kcidb_of_a_series_tells_each_thing_once(broken, good, plan):
    one = kcidb.document(broken, plan, FACTS)
    document = valid(kcidb.merged([one, one, kcidb.document(good, plan, FACTS)]))
    assert len(document["builds"]) == 1
    assert len(document["tests"]) == 4


# --- GitHub ------------------------------------------------------------------


def test_a_summary_has_no_markup_of_a_guests(broken):
    text = summary.render(broken)
    assert text.startswith("## ❌ FAIL: 6.12+new breaks retention.release\n")
    assert "<script>" not in text and "\x1b" not in text
    rows = [line for line in text.splitlines() if line.startswith("| broken")]
    assert len(rows) == 1 and rows[0].count("|") == 6


def test_an_annotation_is_one_line_and_no_command_of_a_guests(broken):
    (line,) = summary.annotations(broken)
    assert line.startswith("::error title=broken retention.release::task: ")
    assert "%250A" in line and "\n" not in line


def test_annotations_of_a_series_name_the_bad_patch(series):
    (line,) = summary.annotations_of_series(series)
    assert line == "::error title=patch 3%3A part 3::breaks retention.release"


def test_a_pass_is_no_annotation(good):
    assert list(summary.annotations(good)) == []


# --- JSON --------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_published_schema_is_todays(name):
    """`./pmu-harness schema NAME >docs/schema/NAME.json` writes it."""
    published = json.loads((SCHEMA / f"{name}.json").read_text())
    assert published == SCHEMAS[name].model_json_schema(mode="serialization")
    jsonschema.Draft202012Validator.check_schema(published)


def test_what_is_written_is_valid_by_the_published_schema(broken, series):
    for name, value in (("results", broken), ("series", series)):
        published = json.loads((SCHEMA / f"{name}.json").read_text())
        jsonschema.validate(json.loads(value.model_dump_json()), published)


# --- the trace ---------------------------------------------------------------

BEFORE = "6.12+pre-callbacks/cycles-task"


def test_a_trace_has_the_ticks_the_calls_and_the_counters(load):
    records = load(BEFORE)
    trace = Trace.FromString(perfetto.render({"old/aarch64-tcg/cycles-task": records}, set()))
    tracks = {
        packet.track_descriptor.uuid: packet.track_descriptor
        for packet in trace.packet
        if packet.HasField("track_descriptor")
    }
    names = [track.name or track.process.process_name for track in tracks.values()]
    assert names[0] == "old/aarch64-tcg/cycles-task"
    assert "CPU 0" in names and any(name.startswith("CPU 0 counter ") for name in names)
    assert any(name.startswith("period of target") for name in names)
    events = [(p.timestamp, p.track_event) for p in trace.packet if p.HasField("track_event")]
    assert all(event.track_uuid in tracks for _, event in events)
    instants = [event for _, event in events if event.type == TrackEvent.TYPE_INSTANT]
    calls = [call for call in records.calls if call.call not in ("tick", "tick-end")]
    assert len(instants) == len(calls)
    released = [e for e in instants if e.name == "del target" and "tick" in e.categories]
    assert len(released) == sum(call.call == "del" and call.tick for call in calls)


def test_slices_of_a_track_nest(load):
    trace = Trace.FromString(perfetto.render({"x": load(BEFORE)}, set()))
    depth, last = {}, {}
    for packet in trace.packet:
        event = packet.track_event
        if packet.HasField("track_event") and event.type in (1, 2):
            step = 1 if event.type == TrackEvent.TYPE_SLICE_BEGIN else -1
            depth[event.track_uuid] = depth.get(event.track_uuid, 0) + step
            assert depth[event.track_uuid] in (0, 1)
            assert packet.timestamp >= last.get(event.track_uuid, 0)
            last[event.track_uuid] = packet.timestamp
    assert depth and not any(depth.values())
