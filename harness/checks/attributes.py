# SPDX-License-Identifier: MIT
"""Attributes: what sysfs says of a PMU, by which tools name its events."""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, pairwise

from harness.checks.base import FEW, Check, Observation, Property, inconclusive, verdict
from harness.checks.points import main_phases
from harness.guest.pmu_records import Attribute
from harness.guest.records import Phase
from harness.model import Verdict

ATTRIBUTES = "kernel.attributes"

# The bits of a word of perf_event_attr: perf_pmu__format_parse() in tools/perf/util/pmu.c.
_FORMAT = re.compile(r"(config\d?):(\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*)")
_TERM = re.compile(r"(\w+)(?:=(0x[0-9a-f]+|\d+))?")
# Files of an event's that are no event: its scale, its unit, whether it is an amount.
_BESIDE = (".scale", ".unit", ".snapshot", ".per-pkg")
# Words whose bits mean one thing or another by the event: Intel's ldlat and offcore_rsp.
_SHARED = re.compile(r"config[1-9]")
# A range of addresses, of a file or not: if_tokens in kernel/events/core.c.
_RANGE = re.compile(r"(?:filter|start|stop),(0x[0-9a-f]+)(?:/(0x[0-9a-f]+))?(@[^,]+)?")
_PAGE = 4096


def _attributes(observation: Observation) -> dict[str, list[str]]:
    """What each attribute held at each look, by `PMU/FILE`."""
    found: dict[str, list[str]] = {}
    for record in observation.records.of(Attribute):
        found.setdefault(f"{record.pmu}/{record.name}", []).append(record.value)
    return found


def _below(shown: Mapping[str, list[str]], folder: str) -> dict[str, dict[str, str]]:
    """{PMU: {name: value}} of one folder's files, as they were first."""
    found: dict[str, dict[str, str]] = {}
    for place, values in shown.items():
        pmu, _, file = place.partition("/")
        kind, _, name = file.partition("/")
        if kind == folder and not name.endswith(_BESIDE):
            found.setdefault(pmu, {})[name] = values[0]
    return found


def _bits(ranges: str) -> set[int]:
    """The bits of `0-7,32-35`."""
    found: set[int] = set()
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def _wrong_formats(pmu: str, formats: Mapping[str, str]) -> Iterator[str]:
    """Formats that are none, or that have a bit of config which another one has."""
    taken: dict[int, str] = {}
    for name, value in formats.items():
        match = _FORMAT.fullmatch(value)
        if match is None:
            yield f"{pmu}/format/{name} is no format: {value}"
        elif not _SHARED.fullmatch(match[1]):
            for bit in sorted(_bits(match[2]) & taken.keys()):
                yield f"{pmu}/format/{name} has bit {bit} of config, which {taken[bit]} has"
            taken |= dict.fromkeys(_bits(match[2]), name)


def _wrong_events(pmu: str, events: Mapping[str, str], formats: Mapping[str, str]) -> Iterator[str]:
    """Events that are not made of formats, or whose terms do not fit into them."""
    for name, value in events.items():
        for term in value.split(","):
            match = _TERM.fullmatch(term)
            form = _FORMAT.fullmatch(formats.get(match[1], "")) if match else None
            if match is None or (formats and form is None):
                yield f"{pmu}/events/{name}: {term} is of no format"
            elif form and int(match[2] or "1", 0) >> len(_bits(form[2])):
                yield f"{pmu}/events/{name}: {term} does not fit into {form[0]}"


def _wrong_range(wanted: tuple[str, str, str], told: str) -> bool:
    """True if a range is not what was asked for: of a file, nor at that place in a page of it."""
    start, size = (int(number, 16) for number in told.split("+"))
    offset = int(wanted[0], 16)
    if not wanted[2]:
        return (start, size) != (offset, int(wanted[1] or "0", 16))
    # 0 where it is not mapped.
    return start != 0 and (start - offset) % _PAGE != 0


def _wrong_ranges(observation: Observation) -> Iterator[str]:
    """What a test PMU was told by a step, as the step behind it shows."""
    for step, look in pairwise(main_phases(observation)):
        words = step.name.split()
        if words[0] != "filter" or look.name.split()[::2] != ["show", "ranges"]:
            continue
        shown = (r for r in observation.records.of(Attribute) if r.time >= look.time)
        told = next((record.value.split() for record in shown), [])
        wanted = _RANGE.findall(words[2])
        if len(wanted) != len(told) or any(map(_wrong_range, wanted, told)):
            yield f"{step.name}: the PMU was told {' '.join(told) or 'nothing'}"


def _asked(observation: Observation) -> set[str]:
    """Those that a step asks for by name: to see them change is the question."""
    steps = (phase.name.split() for phase in observation.records.of(Phase))
    return {"/".join(words[1:3]) for words in steps if words[0] in ("show", "set")}


def _in_turn(values: Iterable[str]) -> str:
    return ", then ".join(value for value, _ in groupby(values))


def _unlike(mine: Mapping[str, list[str]], theirs: Mapping[str, list[str]]) -> Iterator[str]:
    """What the reference's kernel says otherwise; what it does not have is new."""
    for place, values in theirs.items():
        said = mine.get(place, ["not there"])
        if said != values:
            yield f"{place} is {_in_turn(said)}, of the reference {_in_turn(values)}"


def judge_attributes(observation: Observation, reference: Observation | None) -> Verdict:
    """Formats and events are well-formed, stay what they are, and have what the reference's have.

    Documentation/ABI/testing/sysfs-bus-event_source-devices-events and -format.
    """
    expected = "events made of formats, no bit twice, the same at each look and by the reference"
    shown = _attributes(observation)
    if not shown:
        return inconclusive(ATTRIBUTES, "no attribute was looked at", expected)
    asked = _asked(observation)
    faults = [
        f"{place} was {values[0]}, and later {other}"
        for place, values in shown.items()
        if place not in asked
        for other in dict.fromkeys(values[1:])
        if other != values[0]
    ]
    formats, events = _below(shown, "format"), _below(shown, "events")
    for pmu, mine in formats.items():
        faults += _wrong_formats(pmu, mine)
    for pmu, mine in events.items():
        faults += _wrong_events(pmu, mine, formats.get(pmu, {}))
    faults += _wrong_ranges(observation)
    if reference and reference.records.of(Attribute):
        faults += _unlike(shown, _attributes(reference))
    number = sum(map(len, events.values()))
    return verdict(
        ATTRIBUTES,
        faults,
        measured=f"{len(shown)} attributes, {number} of them events; {len(faults)} faults",
        expected=expected,
        metrics={"attributes": len(shown), "events": number, "faults": len(faults)},
    )


CHECKS = (
    Check(
        ATTRIBUTES,
        "Does sysfs name the PMU's formats and events rightly?",
        judge_attributes,
        Property("attributes", most=FEW),
    ),
)
