# SPDX-License-Identifier: MIT
"""What a landing runs: what changed first, and of the others each in its turn."""

from tests.landing import MOST, chosen, touches

NAMES = [f"saboteurs/{number}" for number in range(200)]
COMMITS = [f"{number:040x}" for number in range(60)]
STILL = dict.fromkeys(NAMES, False)


def test_a_landing_runs_as_many_as_it_has_time_for():
    assert all(len(chosen(STILL, sha)) == MOST for sha in COMMITS)
    assert chosen({"a": False, "b": True}, COMMITS[0]) == {"a", "b"}


def test_what_changed_comes_first():
    changed = set(NAMES[: MOST // 2])
    for sha in COMMITS:
        assert changed <= chosen({name: name in changed for name in NAMES}, sha)


def test_the_same_commit_chooses_the_same_and_each_has_its_turn():
    assert chosen(STILL, COMMITS[0]) == chosen(dict(reversed(STILL.items())), COMMITS[0])
    assert set().union(*(chosen(STILL, sha) for sha in COMMITS)) == set(NAMES)


def test_of_more_changed_ones_than_there_is_time_for_each_has_its_turn():
    every = dict.fromkeys(NAMES, True)
    assert all(len(chosen(every, sha)) == MOST for sha in COMMITS)
    assert set().union(*(chosen(every, sha) for sha in COMMITS)) == set(NAMES)


def test_where_git_says_nothing_all_are_run():
    assert chosen(STILL, "") == set(NAMES)


def test_a_place_is_touched_by_what_is_below_it():
    changed = ("harness/checks/sampling.py", "kernel-patches/saboteurs/x/series.yaml")
    assert touches(changed, "harness/checks/sampling")
    assert touches(changed, "y", "kernel-patches/saboteurs/x/")
    assert not touches(changed, "kernel-patches/saboteurs/xy/", "checks")
