# SPDX-License-Identifier: MIT
"""Mutants of C: one plausible slip in one line, as a patch.

The operators are those of the field (Offutt et al., An experimental determination of
sufficient mutant operators, 1996), and the slips that perf's history shows: a call forgotten,
a flag left out, an argument swapped for its neighbour.  A line is looked at by itself, and
kernel style makes that enough: one statement in a line.
"""

import difflib
import random
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

_IDENTIFIER = r"[A-Za-z_]\w*"
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
# A statement of its own: a call, an assignment, a step; no declaration, no jump, no part of one.
_CALL = re.compile(rf"^\t+{_IDENTIFIER}(?:->{_IDENTIFIER})*\(.*\);$")
_ASSIGNMENT = re.compile(rf"^\t+[*]?{_IDENTIFIER}[\w.>\[\]-]* [-+|&^*]?=(?!=) .*;$")
_STEP = re.compile(r"^\t+(?:[\w.>\[\]-]+(?:\+\+|--)|(?:\+\+|--)[\w.>\[\]-]+);$")
# Words that tell nothing when they are gone, or that no kernel can do without.
_NO_SLIP = re.compile(
    r"\b(?:WARN\w*|BUG\w*|lockdep_\w+|pr_\w+|printk\w*|trace_\w+|might_\w+|_?raw_spin_\w+|spin_\w+"
    r"|mutex_\w+|rcu_\w+|local_irq_\w+|preempt_\w+|kfree\w*|EXPORT_\w+|DEFINE_\w+|module_\w+)\("
)
_ARGUMENTS = re.compile(rf"\(({_IDENTIFIER}), ({_IDENTIFIER})(?=[,)])")
_FLAGS = re.compile(r"\b([A-Z][A-Z0-9_]{3,}) \| ([A-Z][A-Z0-9_]{3,})\b")


@dataclass(frozen=True)
class Mutant:
    """A line as it is, and as it would be with a slip; `number` counts from 1."""

    path: str
    number: int
    operator: str
    before: str
    after: str

    @property
    def name(self) -> str:
        """Such as core.c-4021-negated."""
        return f"{self.path.rpartition('/')[2]}-{self.number}-{self.operator}"


def mutants(path: str, text: str, numbers: Collection[int]) -> list[Mutant]:
    """All mutants of some lines of a source, in its order."""
    lines = text.split("\n")
    found = []
    for number in sorted(numbers):
        line = lines[number - 1]
        if not _is_code(lines, number):
            continue
        for operator, change in _OPERATORS.items():
            found += [
                Mutant(path, number, operator, line, after)
                for after in dict.fromkeys(change(line))
                if after != line
            ]
    return found


def chosen(found: Sequence[Mutant], number: int, seed: int) -> list[Mutant]:
    """So many of them, the same for the same seed: a line first, then a slip in it.

    So a line with many operators is not looked at more often than one with few.
    """
    by_line: dict[tuple[str, int], list[Mutant]] = {}
    for mutant in found:
        by_line.setdefault((mutant.path, mutant.number), []).append(mutant)
    dice = random.Random(seed)
    places = sorted(by_line)
    dice.shuffle(places)
    return [dice.choice(by_line[place]) for place in places[:number]]


def as_diff(mutant: Mutant, text: str) -> str:
    """The mutant as a patch for the source."""
    lines = text.splitlines(keepends=True)
    changed = list(lines)
    end = "\n" if lines[mutant.number - 1].endswith("\n") else ""
    changed[mutant.number - 1] = mutant.after + end
    return "".join(
        difflib.unified_diff(lines, changed, f"a/{mutant.path}", f"b/{mutant.path}", n=3)
    )


def _is_code(lines: Sequence[str], number: int) -> bool:
    """True for a line that is whole by itself and may hold a slip that a guest can see."""
    line = lines[number - 1]
    return (
        line.startswith("\t")
        and not line.rstrip().endswith("\\")
        and not line.lstrip().startswith(("*", "/*", "//", "#", "case ", "default:"))
        and "/*" not in line
        and not _NO_SLIP.search(line)
    )


# --- the operators: a line with one slip, in all places ------------------------


def _replaced(pattern: str, by: str) -> Callable[[str], Iterator[str]]:
    """One of what matches outside strings, and no other, replaced."""
    compiled = re.compile(pattern)

    def change(line: str) -> Iterator[str]:
        strings = [match.span() for match in _STRING.finditer(line)]
        for match in compiled.finditer(line):
            if not any(start <= match.start() < end for start, end in strings):
                yield line[: match.start()] + match.expand(by) + line[match.end() :]

    return change


def _all(*changes: Callable[[str], Iterator[str]]) -> Callable[[str], Iterator[str]]:
    def change(line: str) -> Iterator[str]:
        for one in changes:
            yield from one(line)

    return change


def _negated(line: str) -> Iterator[str]:
    """An `if` or `while` whose condition ends in its line, the other way round."""
    match = re.match(r"^(.*\b(?:if|while) )\((.*)\)( \{|;|)$", line)
    if match and _balanced(match[2]):
        yield f"{match[1]}(!({match[2]})){match[3]}"


def _balanced(text: str) -> bool:
    depth = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if depth < 0:
            return False
    return depth == 0


def _dropped(line: str) -> Iterator[str]:
    """A statement forgotten; the one of an `if` as well, which then does nothing."""
    if _CALL.match(line) or _ASSIGNMENT.match(line) or _STEP.match(line):
        yield re.match(r"^\t+", line)[0] + ";"  # type: ignore[index]


_OPERATORS: dict[str, Callable[[str], Iterator[str]]] = {
    "negated": _negated,
    "dropped": _dropped,
    "bound": _all(
        _replaced(r" < ", " <= "),
        _replaced(r" <= ", " < "),
        _replaced(r" > ", " >= "),
        _replaced(r" >= ", " > "),
    ),
    "equality": _all(_replaced(r" == ", " != "), _replaced(r" != ", " == ")),
    "logic": _all(_replaced(r" && ", " || "), _replaced(r" \|\| ", " && ")),
    "arithmetic": _all(
        _replaced(r"(?<=[\w)\]]) \+ (?=[\w(])", " - "),
        _replaced(r"(?<=[\w)\]]) - (?=[\w(])", " + "),
        _replaced(r" \+= ", " -= "),
        _replaced(r" -= ", " += "),
    ),
    "step": _all(_replaced(r"\+\+", "--"), _replaced(r"(?<!-)--(?!-)", "++")),
    "bits": _all(
        _replaced(r"(?<=[\w)]) & (?=[\w(~])", " | "),
        _replaced(r" \|= ", " &= "),
        _replaced(r" &= ~", " |= "),
        _replaced(r"(?<=[\w)]) << (?=[\w(])", " >> "),
    ),
    "flag": _all(
        _replaced(_FLAGS.pattern, r"\1"),
        _replaced(_FLAGS.pattern, r"\2"),
    ),
    "argument": _replaced(_ARGUMENTS.pattern, r"(\2, \1"),
    "constant": _all(
        _replaced(r"(?<![\w.])0(?![\w.])", "1"), _replaced(r"(?<![\w.])1(?![\w.])", "0")
    ),
    "truth": _all(_replaced(r"\btrue\b", "false"), _replaced(r"\bfalse\b", "true")),
}
