# SPDX-License-Identifier: MIT
"""A run's results as KCIDB's JSON, version 5.3: a checkout, its build, a test for each check.

The schema is kcidb-io's (kcidb_io.schema.LATEST), by which tests validate what this makes.  The
status is that of the candidate's kernel, whoever is to blame: `misc.change` says that.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.machine.crash import clean
from harness.model import PatchFile, Plan, Role, RunResult, Status, Subject
from harness.report.blame import Case, cases
from harness.report.stamp import digits

VERSION = {"major": 5, "minor": 3}
ORIGIN = "pmu_harness"
_STATUS = {
    Status.PASS: "PASS",
    Status.FAIL: "FAIL",
    Status.SKIP: "SKIP",
    Status.ERROR: "ERROR",
    Status.INCONCLUSIVE: "ERROR",
}
_COMMIT = re.compile(r"@([0-9a-f]{40})$")
_PATH = re.compile(r"[^a-zA-Z0-9_.-]")
_EXCERPT = 4096


def document(result: RunResult, plan: Plan, facts: Mapping[str, str]) -> dict[str, Any]:
    """The report of one run's candidate; `facts` are what its kernel was built from."""
    subject = plan.subjects[Role.CANDIDATE]
    checkout = _checkout(result, plan, subject)
    found: dict[str, Any] = {"version": VERSION, "checkouts": [checkout]}
    if checkout["valid"]:
        build = _build(result, plan, facts, checkout["id"])
        found["builds"] = [build]
        if build["status"] == "PASS":
            found["tests"] = [
                _test(case, plan, build["id"], result.started)
                for case in cases(result)
                if case.row.started
            ]
    return found


def merged(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The reports of several runs as one; what is in two of them is told once."""
    found: dict[str, Any] = {"version": VERSION}
    for kind in ("checkouts", "builds", "tests"):
        rows = {row["id"]: row for one in documents for row in one.get(kind, ())}
        if rows:
            found[kind] = list(rows.values())
    return found


def patchset_hash(patches: Sequence[PatchFile]) -> str:
    """As KCIDB has it: sha256 of the patches' own sums, each with its line's end."""
    if not patches:
        return ""
    sums = "".join(f"{hashlib.sha256(patch.data).hexdigest()}\n" for patch in patches)
    return hashlib.sha256(sums.encode()).hexdigest()


def _name(*parts: str) -> str:
    """An id: the origin, and what tells the thing from any other."""
    whole = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"{ORIGIN}:{whole[:32]}"


def _text(text: str) -> str:
    return clean(text.encode()).replace("\0", "")


def _checkout(result: RunResult, plan: Plan, subject: Subject) -> dict[str, Any]:
    """The source with its patches; not valid where one does not apply."""
    hashed = patchset_hash(subject.patches)
    last = subject.patches[-1] if subject.patches else None
    refused = any("does not apply" in text for text in result.failures)
    found: dict[str, Any] = {
        "id": _name(plan.source, subject.version, hashed),
        "origin": ORIGIN,
        "patchset_hash": hashed,
        "comment": _text(last.subject if last and last.subject else subject.name),
        "start_time": result.started,
        "valid": not refused,
        "misc": {"source": plan.source, "release": subject.version, "series": plan.series},
    }
    if commit := _COMMIT.search(plan.source):
        found["git_commit_hash"] = commit[1]
    if last and "@" in last.message_id:
        found["message_id"] = _text(last.message_id)
    return found


def _build(
    result: RunResult, plan: Plan, facts: Mapping[str, str], checkout: str
) -> dict[str, Any]:
    """The candidate's kernel; where there is none of the facts it was not built."""
    found: dict[str, Any] = {
        "id": _name(checkout, plan.machine.architecture),
        "checkout_id": checkout,
        "origin": ORIGIN,
        "architecture": plan.machine.architecture.lower().replace("-", "_"),
        "start_time": result.started,
        "status": "PASS" if facts else "FAIL" if result.status is Status.FAIL else "ERROR",
        "config_name": "allnoconfig with configs/kconfig",
    }
    if facts:
        found["compiler"] = facts["toolchain"]
        found["duration"] = float(facts["seconds"])
        found["misc"] = {"image_sha256": facts["image_sha256"]}
    elif result.failures:
        found["log_excerpt"] = _text("\n".join(result.failures))[:_EXCERPT]
    return found


def _test(case: Case, plan: Plan, build: str, started: str) -> dict[str, Any]:
    """A check in a scenario."""
    row, verdict = case.row, case.row.candidate
    misc = {
        "expected": verdict.expected,
        "change": row.change.value if row.change else "",
        "reference": row.reference.status.value if row.reference else "",
        "metrics": dict(verdict.metrics),
        "repeat": row.repeat,
    }
    found: dict[str, Any] = {
        "id": f"{_name(build, plan.machine.name, row.scenario, row.check)}-{digits(started)}",
        "build_id": build,
        "origin": ORIGIN,
        "path": _PATH.sub("-", f"{ORIGIN}.{row.scenario}.{row.check}"),
        "comment": _text(verdict.measured),
        "start_time": started,
        "status": _STATUS[verdict.status],
        "environment": {"comment": plan.machine.name},
        "misc": misc,
    }
    if verdict.evidence:
        found["log_excerpt"] = _text("\n".join(verdict.evidence))[:_EXCERPT]
    return found
