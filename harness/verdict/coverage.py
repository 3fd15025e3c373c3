# SPDX-License-Identifier: MIT
"""What guests executed of a patch, and of whole sources: line tables and QEMU's log of blocks."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

from harness.model import (
    Coverage,
    CoveredFunction,
    CoveredLine,
    Function,
    LineTable,
    MeasuredSource,
    SuiteCoverage,
)
from harness.model.coverage import Span

# As many lines that never ran are named, and the rest counted.
_NAMED = 3


def covered(
    table: LineTable,
    changed: Mapping[str, Sequence[int]],
    executed: Mapping[str, Sequence[Span]],
    diff: str = "",
) -> Coverage:
    """What ran of the changed lines of each file.

    `executed` has, by scenario in the order of the plan, where the code lies that ran, in
    ascending order and apart.  A line that became no code (a declaration, a comment) is not among
    those that could run.
    """
    found, busy = [], set()
    for path, numbers in changed.items():
        for number in numbers:
            spans = table.lines.get(path, {}).get(number, ())
            if not spans:
                continue
            ran = [name for name, code in executed.items() if _meets(spans, code)]
            busy.update(ran)
            line = CoveredLine(
                path=path,
                line=number,
                function=_function(table, path, spans[0]),
                first=ran[0] if ran else "",
                number=len(ran),
            )
            found.append(line)
    return Coverage(
        lines=tuple(found),
        unknown=table.unknown,
        scenarios=len(busy),
        watched=len(executed),
        diff=diff,
    )


def in_any(found: Sequence[Coverage]) -> Coverage:
    """Of several kernels of one patch, in other configurations, what ran in any of them."""
    first = found[0]
    lines: dict[str, CoveredLine] = {}
    for line in (line for one in found for line in one.lines):
        known = lines.setdefault(line.place, line)
        if known is not line:
            update = {"first": known.first or line.first, "number": known.number + line.number}
            lines[line.place] = known.model_copy(update=update)
    update = {
        "lines": tuple(lines.values()),
        "scenarios": sum(one.scenarios for one in found),
        "watched": sum(one.watched for one in found),
    }
    return first.model_copy(update=update)


def entered(table: LineTable, executed: Sequence[Span]) -> frozenset[str]:
    """The functions of which any code lies in what was executed."""
    return frozenset(
        function.name
        for functions in table.functions.values()
        for function in functions
        if _meets((function.span,), executed)
    )


def _meets(spans: Sequence[Span], executed: Sequence[Span]) -> bool:
    """True if one of the spans has code that was executed."""
    for start, end in spans:
        place = bisect_right(executed, start, key=lambda span: span[1])
        if place < len(executed) and executed[place][0] < end:
            return True
    return False


def _function(table: LineTable, path: str, span: Span) -> str:
    """The function that code lies in."""
    functions = table.functions.get(path, ())
    return next((f.name for f in functions if f.span[0] <= span[0] < f.span[1]), "")


def summary(coverage: Coverage) -> str:
    """`11 of 12 changed lines ran, in 34 scenarios; kernel/events/core.c:4021 never`."""
    lines, never = coverage.lines, coverage.never
    if not lines:
        return "no changed line is code of its own" + _unknown(coverage)
    ran = len(lines) - len(never)
    plural = "s" if len(lines) > 1 else ""
    text = f"{ran} of {len(lines)} changed line{plural} ran"
    if ran:
        several = "s" if coverage.scenarios > 1 else ""
        text += f", in {coverage.scenarios} scenario{several}"
    if never and ran:
        places = ", ".join(line.place for line in never[:_NAMED])
        more = f" and {len(never) - _NAMED} more" if len(never) > _NAMED else ""
        text += f"; {places}{more} never"
    return text + _unknown(coverage)


def _unknown(coverage: Coverage) -> str:
    return "".join(f"; {path}: {why}" for path, why in coverage.unknown.items())


def short_of(coverage: Coverage | None, percent: float) -> str:
    """Why less of a patch ran than was asked for, as far as anyone knows; or nothing."""
    if coverage is None:
        return "nobody knows what ran of its patch"
    if coverage.unknown and not coverage.lines:
        return summary(coverage)
    if coverage.percent >= percent:
        return ""
    asked = f"{coverage.percent:.0f} % of it, less than the {percent:g} % asked for"
    return f"{summary(coverage)}: {asked}"


def unseen(coverage: Coverage | None) -> str:
    """What a pass that executed nothing of its patch has to say; or nothing."""
    if coverage is None or not coverage.lines or len(coverage.never) < len(coverage.lines):
        return ""
    return f"; no guest executed any of its {len(coverage.lines)} changed lines"


# --- the suite ---------------------------------------------------------------


def of_suite(
    table: LineTable,
    executed: Mapping[str, Sequence[Span]],
    sources: Sequence[MeasuredSource],
    *,
    kernel: str,
    machine: str,
    architecture: str,
) -> SuiteCoverage:
    """What scenarios execute of some sources; `executed` is as for `covered`.

    A function that ran can be entered, whatever is said of it.
    """
    pieces = list(_pieces(executed))
    rows = {source.name: source for source in sources}
    functions = [
        _covered_function(path, function, pieces, rows, architecture)
        for path, found in table.functions.items()
        for function in found
    ]
    alone: dict[str, int] = {}
    for (start, end), names in pieces:
        if len(names) == 1:
            (name,) = names
            alone[name] = alone.get(name, 0) + end - start
    return SuiteCoverage(
        kernel=kernel,
        machine=machine,
        functions=tuple(functions),
        unknown=table.unknown,
        alone=dict(sorted(alone.items(), key=lambda item: -item[1])),
        lines={path: _lines(spans, pieces) for path, spans in table.lines.items()},
        places={
            path: {line: _function(table, path, spans[0]) for line, spans in found.items()}
            for path, found in table.lines.items()
        },
    )


def _pieces(executed: Mapping[str, Sequence[Span]]) -> Iterator[tuple[Span, frozenset[str]]]:
    """The code that ran, cut where the scenarios that executed it change, in ascending order."""
    edges: dict[int, list[str]] = {}
    for name, spans in executed.items():
        for span in spans:
            for edge in span:
                edges.setdefault(edge, []).append(name)
    active: frozenset[str] = frozenset()
    start = 0
    for edge, names in sorted(edges.items()):
        if active:
            yield (start, edge), active
        # Spans of one scenario do not touch: each edge of its own begins or ends one.
        active, start = active.symmetric_difference(names), edge


def _within(
    span: Span, pieces: Sequence[tuple[Span, frozenset[str]]]
) -> Iterator[tuple[int, frozenset[str]]]:
    """(bytes, scenarios) of what ran within a span."""
    place = bisect_right(pieces, span[0], key=lambda piece: piece[0][1])
    for (start, end), names in pieces[place:]:
        if start >= span[1]:
            return
        yield min(end, span[1]) - max(start, span[0]), names


def _covered_function(
    path: str,
    function: Function,
    pieces: Sequence[tuple[Span, frozenset[str]]],
    sources: Mapping[str, MeasuredSource],
    architecture: str,
) -> CoveredFunction:
    found = list(_within(function.span, pieces))
    source = sources.get(path)
    return CoveredFunction(
        path=path,
        name=function.name,
        size=function.span[1] - function.span[0],
        ran=sum(length for length, _ in found),
        scenarios=tuple(sorted({name for _, names in found for name in names})),
        unreachable=(
            source.why_unreachable(function.name, architecture) if source and not found else ""
        ),
    )


def _lines(
    rows: Mapping[int, Sequence[Span]], pieces: Sequence[tuple[Span, frozenset[str]]]
) -> dict[int, tuple[str, ...]]:
    """By line, the scenarios that executed any of its code."""
    return {
        line: tuple(
            sorted({name for span in spans for _, names in _within(span, pieces) for name in names})
        )
        for line, spans in rows.items()
    }
