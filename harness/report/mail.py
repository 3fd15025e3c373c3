# SPDX-License-Identifier: MIT
"""A run's, or a series', results as the reply to a patch: a file, which nobody sends.

Plain text, threaded by the patch's message-id, the verdict first.  It has no sender and no date:
those are whose mail it becomes, as `git send-email` has them.
"""

import hashlib
import textwrap
from collections.abc import Iterable, Sequence
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from email.utils import parseaddr
from shlex import quote

from harness.machine.crash import clean
from harness.model import (
    Change,
    PatchInfo,
    Role,
    RunResult,
    SeriesResult,
    Status,
    Step,
    StepState,
)
from harness.report.outline import changed, remarks, some, unbuilt
from harness.report.stamp import digits
from harness.report.steps import did, title_of, where
from harness.report.table import rows

_WIDTH = 72
_EVIDENCE, _KINDS = 4, 4
_LORE = "https://lore.kernel.org/r/"
_DOMAIN = "pmu-harness.invalid"
# bytes, not base64, and no line of a diff or a log folded
_POLICY = default.clone(cte_type="8bit", max_line_length=900)


def render(result: RunResult, command: Sequence[str]) -> bytes:
    """The reply to a run's patch, of several to their cover letter, or the last one.

    `command` has the run's options but for its patches.
    """
    patch = result.patches[-1]
    above = result.cover if len(result.patches) > 1 else None
    body = [
        *_verdict(result.status, result.exercised, result.headline),
        *_about(_counted(result), remarks(result)),
        *_changes(result),
        *_evidence(result),
        *_unjudged(result),
        *_failures(result.failures),
        *_again(result.patches[-1:], command),
        *_tags(result, patch),
    ]
    return _message(above or patch, body, result.started, result.headline)


def render_series(result: SeriesResult) -> bytes:
    """The reply to a series: to its first bad patch, or its cover letter, or its first one."""
    bad = next((step for step in result.steps if step.number == result.first_bad), None)
    patch = bad.patch if bad else result.cover or result.steps[0].patch
    body = _verdict(result.status, True, result.headline)
    body += _about(result.plan, [("note", note) for note in result.notes])
    body.append("Patch by patch, each against the one before:")
    for step in result.steps:
        body += _step(step)
    body.append("")
    if bad and bad.broke:
        body.append(f"What patch {bad.number} breaks:")
        body += _wrapped((f"{where(turn)}" for turn in bad.broke), "  ")
        body.append("")
    body += _again([result.steps[0].patch], [result.again])
    if result.status is Status.PASS and any(step.state is StepState.PASS for step in result.steps):
        body += _tested()
    elif bad:
        body += _reported(_own_id(result.started, result.headline))
    return _message(patch, body, result.started, result.headline)


# --- the parts ---------------------------------------------------------------


def _words(text: str) -> str:
    return " ".join(clean(text.encode()).split())


def _wrapped(lines: Iterable[str], indent: str = "") -> list[str]:
    """Lines no longer than a mail's, their continuation further in."""
    found = []
    for text in lines:
        found += textwrap.wrap(
            _words(text),
            _WIDTH,
            initial_indent=indent,
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return found


def _verdict(status: Status, exercised: bool, headline: str) -> list[str]:
    word = status.value.upper() if exercised else "NOT EXERCISED"
    return [*_wrapped([f"{word}: {headline}"]), ""]


def _counted(result: RunResult) -> str:
    """What was judged, and of how many patches."""
    number = len(result.patches)
    return f"{number} patches, {result.plan}" if number > 1 else result.plan


def _about(plan: str, notes: Iterable[tuple[str, str]]) -> list[str]:
    told = [f"pmu-harness judged {plan}."]
    return [*_wrapped(told), *_wrapped((f"{kind}: {text}" for kind, text in notes), "  "), ""]


def _changes(result: RunResult) -> list[str]:
    """What changed, each check once."""
    lines = []
    for told in changed(result):
        place = some(told.scenarios)
        lines += _wrapped([f"{told.change.value}: {told.check}, in {place}"], "  ")
        lines += _wrapped([f"before: {told.reference}", f"after:  {told.candidate}"], "    ")
    return ["What the patch changes:", *lines, ""] if lines else []


def _evidence(result: RunResult) -> list[str]:
    """What was seen where the candidate broke something, of each check once."""
    broken = {(one.scenario, one.check) for one in result.changes if one.change is Change.BROKEN}
    if not result.changes:
        broken = {
            (row.scenario, row.check)
            for row in rows(result)
            if row.candidate.status is Status.FAIL and row.change is None
        }
    lines: list[str] = []
    told: set[str] = set()
    for row in rows(result):
        fresh = row.check not in told and len(told) < _KINDS
        if fresh and (row.scenario, row.check) in broken and row.candidate.evidence:
            told.add(row.check)
            lines.append(f"  {row.check} in {row.scenario}:")
            lines += [f"    {_words(text)}" for text in row.candidate.evidence[:_EVIDENCE]]
    return ["What was seen:", *lines, ""] if lines else []


def _unjudged(result: RunResult) -> list[str]:
    left = [f"{file.path}: {file.part.value}: {file.why}".rstrip(": ") for file in unbuilt(result)]
    return ["Not judged:", *_wrapped(left, "  "), ""] if left else []


def _failures(failures: Sequence[str]) -> list[str]:
    lines = [f"  {clean(line.encode())}" for text in failures for line in text.splitlines()]
    return [*lines, ""] if lines else []


def _step(step: Step) -> list[str]:
    """A patch's line, and what it did below."""
    first = f"{step.number:3d}. {step.state.value.upper()}  {title_of(step)}"
    return [*_wrapped([first], "  "), *_wrapped(did(step), " " * 7)]


def _again(patches: Sequence[PatchInfo], command: Sequence[str]) -> list[str]:
    """One command that anybody can give: the patches come from the list, where they are there."""
    known = next((patch.message_id for patch in patches if patch.message_id), "")
    how = " ".join(command)
    how = f"b4 am -o - {quote(_words(known))} | {how} -" if known else f"{how} PATCHES"
    return ["To reproduce:", f"  {how}", ""]


def _tags(result: RunResult, patch: PatchInfo) -> list[str]:
    """Tags that are true: tested is what a guest had, reported what is broken."""
    if result.status is Status.PASS and result.exercised and result.cells:
        compared = any(cell.cell.role is Role.REFERENCE for cell in result.cells)
        return _tested() if compared else []
    blamed = result.status is Status.FAIL and bool(patch.message_id)
    return _reported(_own_id(result.started, result.headline)) if blamed else []


def _tested() -> list[str]:
    return ["If you send this as yours, you may add:", "  Tested-by: YOUR NAME <YOUR ADDRESS>", ""]


def _reported(own: str) -> list[str]:
    """What a separate fix may say; a new version of the patch needs neither."""
    return [
        *_wrapped(["A fix that is a patch of its own, and no new version of this one, may say:"]),
        "  Reported-by: YOUR NAME <YOUR ADDRESS>",
        f"  Closes: {_LORE}{own}",
        "",
    ]


# --- the message -------------------------------------------------------------


def _own_id(started: str, headline: str) -> str:
    """The reply's own message-id, the same each time that it is made of a run."""
    return f"{hashlib.sha256(headline.encode()).hexdigest()[:10]}.{digits(started)}@{_DOMAIN}"


def _message(patch: PatchInfo, body: Sequence[str], started: str, headline: str) -> bytes:
    """The mail, to the patch's author, in its thread."""
    message = EmailMessage(policy=_POLICY)
    subject = _words(patch.subject or patch.stem or patch.path)
    message["Subject"] = subject if subject.lower().startswith("re:") else f"Re: {subject}"
    message["Message-Id"] = f"<{_own_id(started, headline)}>"
    if patch.message_id:
        thread = f"<{''.join(_words(patch.message_id).split())}>"
        message["In-Reply-To"] = thread
        message["References"] = thread
    address = _address(patch.author)
    if address:
        message["To"] = address
    message.set_content("\n".join(body), charset="utf-8", cte="8bit")
    return message.as_bytes()


def _address(author: str) -> Address | None:
    """Whose patch it is; None for what is no address."""
    name, place = parseaddr(_words(author))
    try:
        return Address(name, addr_spec=place) if "@" in place else None
    except (MessageError, ValueError, IndexError):
        return None
