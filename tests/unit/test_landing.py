# SPDX-License-Identifier: MIT
"""What a landing runs: each test in one part, each part in its turn."""

from tests.landing import PARTS, in_sample, part, touches

NAMES = [f"saboteurs/{number}" for number in range(300)]
COMMITS = [f"{number:x}" for number in range(PARTS)]


def test_each_test_is_in_the_sample_of_one_commit_of_three():
    for name in NAMES:
        assert sum(in_sample(name, sha) for sha in COMMITS) == 1


def test_the_parts_are_of_about_one_size():
    sizes = [sum(part(name) == number for name in NAMES) for number in range(PARTS)]
    assert min(sizes) > len(NAMES) / PARTS * 0.7


def test_where_git_says_nothing_all_are_run():
    assert all(in_sample(name, "") for name in NAMES)


def test_a_place_is_touched_by_what_is_below_it():
    changed = ("harness/checks/sampling.py", "kernel-patches/saboteurs/x/series.yaml")
    assert touches(changed, "harness/checks/sampling")
    assert touches(changed, "y", "kernel-patches/saboteurs/x/")
    assert not touches(changed, "kernel-patches/saboteurs/xy/", "checks")
