# SPDX-License-Identifier: MIT
"""How tests falsify captured records: find some by what they say, and change or drop them."""

import re
from collections.abc import Callable
from typing import Any

from harness.checks import CHECKS, Observation
from harness.guest.callback_records import Callback
from harness.guest.records import Record
from harness.model import Status, Verdict

Condition = Callable[[Record], bool]
Change = Callable[[list[Record]], list[Record]]


def a(kind: type, /, **wanted: Any) -> Condition:
    """True of a record of a kind whose fields have these values, or fulfil these functions."""

    def holds(record: Record) -> bool:
        return isinstance(record, kind) and all(
            value(getattr(record, name)) if callable(value) else getattr(record, name) == value
            for name, value in wanted.items()
        )

    return holds


def call(name: str, event: int, /, tick: bool = True, **wanted: Any) -> Condition:
    """True of a call on an event, made by a tick or not."""
    return a(Callback, call=name, id=event, tick=tick, **wanted)


def changed(record: Record, update: dict[str, Any]) -> Record:
    """A record with other values; a function gets the record and returns the value."""
    values = {name: new(record) if callable(new) else new for name, new in update.items()}
    assert values.keys() <= type(record).model_fields.keys()
    return record.model_copy(update=values)


def nth(number: int, condition: Condition, **update: Any) -> Change:
    """Change the nth record (from 0, or from -1 backwards) of those that fulfil a condition."""

    def change(records: list[Record]) -> list[Record]:
        place = [i for i, record in enumerate(records) if condition(record)][number]
        return [*records[:place], changed(records[place], update), *records[place + 1 :]]

    return change


def every(condition: Condition, **update: Any) -> Change:
    """Change all records that fulfil a condition."""

    def change(records: list[Record]) -> list[Record]:
        assert any(map(condition, records))
        return [changed(r, update) if condition(r) else r for r in records]

    return change


def without(condition: Condition, number: int | None = None) -> Change:
    """Drop all records that fulfil a condition, or the nth of them."""

    def change(records: list[Record]) -> list[Record]:
        places = [i for i, record in enumerate(records) if condition(record)]
        assert places
        gone = places if number is None else [places[number]]
        return [record for i, record in enumerate(records) if i not in gone]

    return change


def again(number: int, condition: Condition, **update: Any) -> Change:
    """Put a changed copy behind the nth record that fulfils a condition."""

    def change(records: list[Record]) -> list[Record]:
        place = [i for i, record in enumerate(records) if condition(record)][number]
        return [*records[: place + 1], changed(records[place], update), *records[place + 1 :]]

    return change


def shifted(field: str, event: int, by: int) -> Callable[[Any], tuple[tuple[int, int], ...]]:
    """For nth() and every(): an event's count in a record's `field`, changed by so many."""

    def counts(record: Any) -> tuple[tuple[int, int], ...]:
        pairs = getattr(record, field)
        assert event in dict(pairs)
        return tuple((i, count + by if i == event else count) for i, count in pairs)

    return counts


def judge(check: str, mine: Observation, reference: Observation | None = None) -> Verdict:
    """What a check says."""
    return CHECKS[check].judge(mine, reference)


def fault(check: str, mine: Observation, reference: Observation | None = None) -> str:
    """The evidence of a check that must fail, as one text.

    Times are written as TIME, so that a capture can be made again.
    """
    verdict = judge(check, mine, reference)
    assert verdict.status is Status.FAIL, verdict
    assert verdict.measured and verdict.expected
    return re.sub(r"\d+\.\d{3} ms", "TIME", "\n".join(verdict.evidence))


def undecided(check: str, mine: Observation, reference: Observation | None = None) -> str:
    """What a check says that does not decide."""
    verdict = judge(check, mine, reference)
    assert verdict.status is Status.INCONCLUSIVE, verdict
    assert not verdict.evidence
    return verdict.measured
