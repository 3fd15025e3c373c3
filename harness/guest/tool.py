# SPDX-License-Identifier: MIT
"""What perf stat, record, report and test and the kernel's selftests print, as records.

Their output is a guest's: what does not have the form of a result is passed over,
and that a result is missing is for the checks to say.
"""

import re
from collections.abc import Iterable, Mapping

from harness.guest.records import Event
from harness.guest.tool_records import Count, Period, Subtest, Totals, ending
from harness.machine.crash import clean

SEPARATOR = "|"
SAID_LINES = 8
_REASON_BYTES = 200

_UNCOUNTED = {"<not counted>": "not counted", "<not supported>": "not supported"}

# perf script --header: `# event : name = cycles:u, , id = { 5, 6 }, size = 136, ...`.
_EVENT = re.compile(
    r"^# event : name = (?P<name>.*?), ,? ?id = \{ (?P<ids>[\d, ]+) \}(?P<attr>.*)$"
)
_ATTRIBUTE = re.compile(r"\b(\w+) = (0x[0-9a-f]+|\d+)")
_FREQUENCY = re.compile(r"\{ sample_period, sample_freq \} = (\d+)")
# perf script --ns -F time,event,period: `    0.459714256:          1 cycles:u: `.
_SAMPLE = re.compile(r"^\s*(\d+)\.(\d{9}):\s+(\d+)\s+(\S.*?):\s*$")

_SAMPLES = re.compile(r"^\s*SAMPLE events:\s+(\d+)", re.MULTILINE)
_LOST = re.compile(r"^\s*LOST(?:_SAMPLES)? events:\s+(\d+)", re.MULTILINE)

# perf test: ` 17: Setup struct perf_event_attr          : FAILED!`; subtests are 4.1 or 4:1.
_TESTED = re.compile(r"^\s*(\d+(?:[.:]\d+)?): (.*?)\s*: (Ok|Skip|FAILED!)(?: \((.*)\))?\s*$")
_TESTED_AS = {"Ok": "ok", "Skip": "skip", "FAILED!": "fail"}
_PARENT = re.compile(r"^\s*(\d+): (.*?)\s*:\s*$")
_CHILD_ENDS = re.compile(r"test child finished with -?\d+")

# Documentation/dev-tools/ktap.rst; selftests say why they skip behind SKIP.
_PLAN = re.compile(r"^1\.\.(\d{1,6})$")
_TAP = re.compile(r"^(?P<bad>not )?ok \d+ (?:- )?(?P<name>\S+)(?:\s+# (?P<rest>.*))?$")


def _text(raw: bytes) -> str:
    return clean(raw)


def last_lines(raw: bytes) -> tuple[str, ...]:
    """The last lines that a command said, bounded."""
    lines = [line[:_REASON_BYTES] for line in _text(raw).splitlines() if line.strip()]
    return tuple(lines[-SAID_LINES:])


def counts(stat: bytes) -> list[Count]:
    """The lines of `perf stat -x '|'`: value|unit|event|runtime|running|..."""
    found = []
    for line in _text(stat).splitlines():
        fields = line.split(SEPARATOR)
        if line.startswith("#") or len(fields) < 5:
            continue
        value, _, event, runtime, running = fields[:5]
        if value in _UNCOUNTED:
            found.append(Count.model_validate({"event": event, "state": _UNCOUNTED[value]}))
            continue
        try:
            number = float(value) if "." in value else int(value)
            found.append(
                Count(
                    event=event,
                    state="counted",
                    value=number,
                    runtime=int(runtime),
                    running=float(running),
                )
            )
        except ValueError:
            continue
    return found


def events(script: bytes) -> list[Event]:
    """The events that perf opened, by the header of `perf script --header`: one for each id."""
    found = []
    for line in _text(script).splitlines():
        if match := _EVENT.match(line):
            attr = {key: int(value, 0) for key, value in _ATTRIBUTE.findall(match["attr"])}
            asked = _FREQUENCY.search(match["attr"])
            frequency = int(asked[1]) if asked and attr.get("freq") else 0
            found += [
                Event(
                    kind="event",
                    name=match["name"],
                    id=int(number),
                    leader=int(number),
                    task="self",
                    cpu=-1,
                    cgroup="",
                    type=attr.get("type", 0),
                    config=attr.get("config", 0),
                    period=0 if frequency else int(asked[1]) if asked else 0,
                    frequency=frequency,
                    exclude_kernel=bool(attr.get("exclude_kernel")),
                    exclude_user=bool(attr.get("exclude_user")),
                    pinned=bool(attr.get("pinned")),
                    exclusive=bool(attr.get("exclusive")),
                    inherit=bool(attr.get("inherit")),
                )
                for number in match["ids"].split(", ")
            ]
    return found


def periods(script: bytes) -> list[Period]:
    """The samples of `perf script --ns -F time,event,period`."""
    found = []
    for line in _text(script).splitlines():
        if match := _SAMPLE.match(line):
            time = int(match[1]) * 1_000_000_000 + int(match[2])
            found.append(Period(event=match[4], time=time, period=int(match[3])))
    return found


def totals(stats: bytes) -> list[Totals]:
    """What `perf report --stats` says of the whole; nothing where it says nothing."""
    _, _, whole = _text(stats).partition("Aggregated stats:\n")
    whole = whole.split(" stats:\n")[0]  # What follows is the same for each event.
    seen = _SAMPLES.search(whole)
    if not seen:
        return []
    return [Totals(samples=int(seen[1]), lost=sum(map(int, _LOST.findall(whole))))]


def subtests(test: bytes) -> list[Subtest]:
    """The results of `perf test`; a test that has subtests is told by them."""
    found, parent = [], ""
    for line in _text(test).splitlines():
        if match := _PARENT.match(line):
            parent = match[2]
        elif match := _TESTED.match(line):
            number = match[1].replace(":", ".")
            name = f"{parent}: {match[2]}" if "." in number and parent else match[2]
            row = {"name": name, "number": number, "result": _TESTED_AS[match[3]]}
            found.append(Subtest.model_validate({**row, "reason": match[4] or ""}))
    return found


def unmatched(arguments: Iterable[str], results: list[Subtest]) -> list[Subtest]:
    """A skip for each entry that this release of perf does not know, as perf matches names."""
    names = [result.name.lower() for result in results]
    return [
        Subtest(name=wanted, number="", result="skip", reason="this perf has no such test")
        for wanted in arguments
        if not any(wanted.lower() in name for name in names)
    ]


def ended_badly(program: str, status: int, results: list[Subtest]) -> list[Subtest]:
    """A failure for a program whose exit status no result of its own explains."""
    if status == 0 or any(result.result == "fail" for result in results):
        return []
    return [Subtest(name=program, number="", result="fail", reason=ending(status))]


def unexplained(results: Iterable[Subtest]) -> list[str]:
    """Numbers of the tests whose `perf test -v` may tell why they did not pass."""
    numbers = [
        result.number.split(".")[0]
        for result in results
        if result.result != "ok" and not result.reason
    ]
    return list(dict.fromkeys(numbers))


def explained(results: Iterable[Subtest], verbose: Mapping[str, bytes]) -> list[Subtest]:
    """Results with the reason that `perf test -v` gave, by the test's number."""

    def with_reason(result: Subtest) -> Subtest:
        said = verbose.get(result.number.split(".")[0])
        if result.result == "ok" or result.reason or said is None:
            return result
        return result.model_copy(update={"reason": _last_words(said)})

    return [with_reason(result) for result in results]


def _last_words(verbose: bytes) -> str:
    """What a test said last before its child ended."""
    text = _CHILD_ENDS.sub("\n", _text(verbose).split("---- end ----")[0])
    lines = [line.strip() for line in text.splitlines()]
    said = [line for line in lines if line and not line.startswith(("--- start", "test child"))]
    return said[-1][:_REASON_BYTES] if said else ""


def _expectation(name: str, errors: bytes) -> str:
    """The first expectation of a test that was not met."""
    function = f":{name.rpartition('.')[2]}:"
    lines = (line.strip("# ") for line in _text(errors).splitlines())
    return next((line for line in lines if function in line), "")


def kselftest(program: str, output: bytes, errors: bytes = b"") -> list[Subtest]:
    """The results of one selftest program, which speaks TAP; fewer than planned is a failure.

    What a test expected is on standard error, behind its function's name.
    """
    found: list[Subtest] = []
    planned = 0
    for line in _text(output).splitlines():
        if match := _PLAN.match(line):
            planned = int(match[1])
        if not (match := _TAP.match(line)):
            continue
        word, _, reason = (match["rest"] or "").partition(" ")
        skipped = word.upper() == "SKIP" and not match["bad"]
        result = "skip" if skipped else "fail" if match["bad"] else "ok"
        row = {"name": f"{program}: {match['name']}", "number": "", "result": result}
        if not skipped:
            reason = _expectation(match["name"], errors) if match["bad"] else ""
        found.append(Subtest.model_validate({**row, "reason": reason[:_REASON_BYTES]}))
    if len(found) < planned:
        reason = f"{len(found)} of {planned} planned results"
        found.append(Subtest(name=program, number="", result="fail", reason=reason))
    return found
