# SPDX-License-Identifier: MIT
"""The white space of new lines of C, as the lines around them have it: the kernel's style."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TAB = 8
# How far up and down a line is looked for that shows the columns.
_NEAR = 4

# As far up as anything is looked for.
_ABOVE = 300

_COMMENT = ("/*", "*")
_CONTROL = re.compile(r"^(?:\} )?(?:if|for|while|switch|else|do|list_for_each\w*|for_each\w*)\b")
_LABEL = re.compile(r"^(?!default\b)\w+:$")
_CASE = re.compile(r"^(?:case\b.*|default):")
_GAP = re.compile(r"\S+(\s*)")


def normal(line: str) -> str:
    """A line with each run of white space as one blank, and none around it."""
    return " ".join(line.split())


class Layout:
    """A file as it becomes: lines of `source`, and new ones that get their white space."""

    def __init__(self, source: Sequence[str]) -> None:
        self.source = source
        self.lines: list[str] = []
        self._at = 0
        self._gone: list[str] = []

    def keep(self, until: int) -> None:
        """Have all lines of the source up to one."""
        self.lines += self.source[self._at : until]
        self._at = until
        self._gone = []

    def take(self, mark: str, text: str) -> str:
        """One line of a hunk, with its mark and its white space."""
        if mark == "+":
            line = self._new(normal(text))
            self.lines.append(line)
            return f"+{line}"
        line = self.source[self._at]
        self._at += 1
        if mark == "-":
            self._gone.append(line)
            return f"-{line}"
        self._gone = []
        self.lines.append(line)
        return f" {line}"

    def _new(self, text: str) -> str:
        """A line that the source does not have."""
        if not text:
            return ""
        indent = self._replaced(text)
        if indent is None or opens(self.lines):
            indent = indentation(self.lines, text)
        after = self.source[self._at : self._at + _NEAR]
        return indent + in_columns(indent, text, [*self.lines[: -_NEAR - 1 : -1], *after])

    def _replaced(self, text: str) -> str | None:
        """The indentation of a line that went, if this one stands for it."""
        first = re.match(r"\W*\w*", text)
        for number, line in enumerate(self._gone):
            if first and line.strip().startswith(first[0]):
                del self._gone[: number + 1]
                return _indent(line)
        return None


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


@dataclass(frozen=True)
class _Statement:
    """A statement, or the head of one, from its first line to its last."""

    indent: str
    text: str

    @property
    def opens_one(self) -> bool:
        """True for an `if (...)` and the like without a brace: one statement follows."""
        return bool(_CONTROL.match(self.text)) and not self.text.endswith(("{", ";", "}"))


def _statements(lines: Sequence[str]) -> list[_Statement]:
    """What the lines say, without comments; a line with an open bracket goes on in the next."""
    found: list[_Statement] = []
    for line in lines:
        text = line.strip()
        if text.startswith(_COMMENT):
            continue
        before = found[-1].text if found else ""
        if before.count("(") > before.count(")"):
            found[-1] = _Statement(found[-1].indent, f"{before} {text}")
        else:
            found.append(_Statement(_indent(line), text))
    return found


def opens(lines: Sequence[str]) -> bool:
    """True where the next line stands further in than what these end with."""
    statements = _statements([line for line in lines[-_ABOVE:] if line.strip()])
    return bool(statements) and (statements[-1].opens_one or statements[-1].text.endswith("{"))


def indentation(lines: Sequence[str], text: str) -> str:
    """How far in a line of C begins, after these lines."""
    above = [line for line in lines[-_ABOVE:] if line.strip()]
    statements = _statements(above)
    if not above or text.startswith("#") or _LABEL.match(text):
        return ""
    last = above[-1].strip()
    if last.startswith(_COMMENT) or not statements:
        return _after_comment(_indent(above[-1]), last, text)
    if text.startswith("}"):
        return _closing(statements)
    open_at = _open_bracket(above[-1])
    if open_at is not None:
        return "\t" * (open_at // _TAB) + " " * (open_at % _TAB)
    return _after_statement(statements, text)


def _after_comment(indent: str, said: str, text: str) -> str:
    """Where a line begins that is a part of a comment, or what the comment is about."""
    if said.startswith("/*"):
        return indent + (" " if text.startswith("*") and "*/" not in said else "")
    return indent.removesuffix(" ") if said.endswith("*/") else indent


def _after_statement(statements: Sequence[_Statement], text: str) -> str:
    """Where a line begins that follows a statement or the head of one."""
    last = statements[-1]
    if last.text.endswith("{") or last.opens_one:
        # A case stands below its switch, not further in; a brace of its own line likewise.
        flat = (_CASE.match(text) and last.text.startswith("switch")) or text == "{"
        return last.indent if flat else f"{last.indent}\t"
    if _CASE.match(last.text):
        return last.indent if _CASE.match(text) else f"{last.indent}\t"
    indent = last.indent
    for one in reversed(statements[:-1]):
        if not (one.opens_one and len(one.indent) < len(indent)):
            break
        indent = one.indent
    return indent[:-1] if _CASE.match(text) else indent


def _closing(statements: Sequence[_Statement]) -> str:
    """The indentation of the statement whose brace is closed."""
    depth = 1
    for one in reversed(statements):
        depth += one.text.count("}") - one.text.count("{")
        if depth <= 0:
            return one.indent
    return ""


def _open_bracket(line: str) -> int | None:
    """The column behind the last bracket that a line leaves open; None where it leaves none."""
    column, found = 0, []
    for char in line:
        column = (column // _TAB + 1) * _TAB if char == "\t" else column + 1
        if char == "(":
            found.append(column)
        elif char == ")" and found:
            found.pop()
    return found[-1] if found else None


def in_columns(indent: str, text: str, near: Sequence[str]) -> str:
    """A line's words in the columns of a line near by, where that has some."""
    words = text.split(" ")
    for other in near:
        gaps = _GAP.findall(other)
        wide = [number for number, gap in enumerate(gaps) if "\t" in gap or len(gap) > 1]
        theirs = other.split()
        if _indent(other) != indent or not wide or max(wide) + 1 >= len(words):
            continue
        if all(words[number + 1][0] == theirs[number + 1][0] for number in wide):
            return _spread(indent, words, other, wide)
    return text


def _spread(indent: str, words: Sequence[str], other: str, wide: Sequence[int]) -> str:
    """Words with tabs before those that begin where another line's do."""
    columns = _columns(other)
    line = indent + words[0]
    for number, word in enumerate(words[1:]):
        if number in wide and _width(line) < columns[number + 1]:
            while _width(line) < columns[number + 1]:
                line += "\t"
            line += word
        else:
            line += f" {word}"
    return line.removeprefix(indent)


def _width(text: str) -> int:
    return len(text.expandtabs(_TAB))


def _columns(line: str) -> list[int]:
    """The columns in which a line's words begin."""
    return [_width(line[: word.start()]) for word in re.finditer(r"\S+", line)]
