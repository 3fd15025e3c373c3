# SPDX-License-Identifier: MIT
"""Which lines of a patch guests executed."""

from fnmatch import fnmatchcase

from pydantic import Field

from harness.model.base import ALL_VERSIONS, Frozen, VersionRange

# From an address to one behind the last, both of the running kernel.
Span = tuple[int, int]


class Unreachable(Frozen):
    """Functions that no guest can enter, by patterns of their names, and why.

    On one `architecture` only, where it names one.
    """

    functions: tuple[str, ...] = Field(min_length=1)
    why: str
    architecture: str | None = None


class MeasuredSource(Frozen):
    """A source file that the suite is measured by: a row of configs/coverage.yaml."""

    name: str
    architecture: str | None = None
    versions: VersionRange = ALL_VERSIONS
    unreachable: tuple[Unreachable, ...] = ()

    def why_unreachable(self, function: str, architecture: str) -> str:
        """Why no guest can enter a function; empty where one may."""
        for row in self.unreachable:
            if row.architecture in (None, architecture) and any(
                fnmatchcase(function, pattern) for pattern in row.functions
            ):
                return row.why
        return ""

    def is_for(self, version: str, architecture: str) -> bool:
        """True if a kernel release has it in its image for an architecture."""
        return version in self.versions and self.architecture in (None, architecture)


class Function(Frozen):
    """A function of a source file, and where it lies in the image."""

    name: str
    span: Span


class LineTable(Frozen):
    """Where the code of some source files lies in an image.

    `spans` are whole sections; `lines` has for each file, by number, the code that a line became,
    inlined copies included.  `unknown` says of other files why nothing is known of them.
    """

    spans: tuple[Span, ...] = ()
    functions: dict[str, tuple[Function, ...]] = {}
    lines: dict[str, dict[int, tuple[Span, ...]]] = {}
    unknown: dict[str, str] = {}


class CoveredLine(Frozen):
    """A line that a patch adds or changes, and that became code.

    `first` is the first scenario whose guest executed any of it, empty where none did; `number`
    says how many did.
    """

    path: str
    line: int
    function: str
    first: str = ""
    number: int = 0

    @property
    def place(self) -> str:
        """As a compiler names it."""
        return f"{self.path}:{self.line}"


class Coverage(Frozen):
    """What guests executed of a patch.

    `scenarios` says how many executed any of its lines, `watched` in how many that was looked
    for; `diff` is the patch as git shows it, for reports that colour it.
    """

    lines: tuple[CoveredLine, ...] = ()
    unknown: dict[str, str] = {}
    scenarios: int = 0
    watched: int = 0
    diff: str = ""

    @property
    def never(self) -> list[CoveredLine]:
        """The lines that no guest executed."""
        return [line for line in self.lines if not line.first]

    @property
    def percent(self) -> float:
        """The share of the lines that ran; 100 of none, where there is nothing to miss."""
        if not self.lines:
            return 100.0
        return 100.0 * (len(self.lines) - len(self.never)) / len(self.lines)


class CoveredFunction(Frozen):
    """How many bytes of a function's code the suite executed, and which scenarios entered it.

    `unreachable` says why none can.
    """

    path: str
    name: str
    size: int
    ran: int
    scenarios: tuple[str, ...]
    unreachable: str = ""


class SuiteCoverage(Frozen):
    """What the whole suite executes of some sources: what coverage.json holds.

    `alone` has by scenario the bytes of code that no other one executes, `lines` by line the
    scenarios that execute it, and `places` the function that it is in.
    """

    kernel: str
    machine: str
    functions: tuple[CoveredFunction, ...]
    unknown: dict[str, str] = {}
    alone: dict[str, int] = {}
    lines: dict[str, dict[int, tuple[str, ...]]] = {}
    places: dict[str, dict[int, str]] = {}

    def function_at(self, path: str, line: int) -> str:
        """The function that a line's code is in; empty where that is not known."""
        return self.places.get(path, {}).get(line, "")

    def of(self, path: str) -> list[CoveredFunction]:
        """A file's functions that can be entered, in the order of the image."""
        return [one for one in self.functions if one.path == path and not one.unreachable]

    def percent(self, path: str) -> float:
        """The share of a file's reachable code that ran, by bytes."""
        mine = self.of(path)
        return 100.0 * sum(one.ran for one in mine) / max(1, sum(one.size for one in mine))
