# SPDX-License-Identifier: MIT
"""How the documents' outputs are found, compared and made anew."""

import pytest

from tests.documented import DOCUMENTS, made_anew, rewrite, shown_in, stale

TEXT = """\
# Title

    $ ./pmu-harness run --scenario x
    ...
    a  fail 1565 times  pass 2797 times
        evidence of 6 at 1.000 ms
    ...
    time: 1.5 s in /tmp/runs/1

<!-- of one host -->
    $ ./pmu-harness doctor
    no

    ./pmu-harness list
"""
OUTPUT = [
    "b  fail 1 times",
    "a        fail 2605 times       pass 3380 times   ",
    "    evidence of 7 at 2.000 ms",
    "time: 99 s in /var/runs/2",
]


@pytest.fixture
def shown(tmp_path):
    document = tmp_path / "x.md"
    document.write_text(TEXT)
    (found,) = shown_in(document)
    return found


def test_an_output_is_found_with_its_command(shown):
    assert (shown.command, shown.begin) == ("./pmu-harness run --scenario x", 2)
    assert shown.lines[1] == "a  fail 1565 times  pass 2797 times"
    assert len(shown.lines) == 5


def test_other_numbers_are_stale_and_other_times_and_places_are_not(shown):
    assert stale(shown, OUTPUT) == [shown.lines[1], shown.lines[2]]
    assert stale(shown, [*shown.lines, "more"]) == []


def test_other_numbers_are_none_where_numbers_are_not_compared(shown):
    assert stale(shown, OUTPUT, exactly=False) == []
    assert stale(shown, ["something else"], exactly=False) != []


def test_lines_in_another_order_are_stale(shown):
    assert stale(shown, list(reversed(shown.lines))) != []


def test_an_output_is_made_anew_with_todays_numbers(shown):
    lines = made_anew(shown, OUTPUT)
    assert lines == (
        "...",
        "a  fail 2605 times  pass 3380 times",
        "    evidence of 7 at 2.000 ms",
        "...",
        "time: 1.5 s in /tmp/runs/1",
    )
    rewrite(shown, lines)
    (again,) = shown_in(shown.document)
    assert again.lines == lines
    assert stale(again, OUTPUT) == []
    assert shown.document.read_text().splitlines()[9:] == TEXT.splitlines()[9:]


def test_what_nothing_printed_is_like_is_left_to_a_person(shown):
    assert made_anew(shown, ["something else"]) == shown.lines
    assert len(stale(shown, ["something else"])) == 3


def test_the_documents_show_outputs():
    shown = [one for document in DOCUMENTS for one in shown_in(document)]
    assert len(shown) >= 4
    assert {one.command.split()[1] for one in shown} == {"run"}
