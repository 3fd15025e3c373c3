# SPDX-License-Identifier: MIT
"""Variants: their rows, what a scenario becomes under one, and what is refused."""

from itertools import product
from pathlib import Path

import pytest

from harness.ask.plan import make_plan
from harness.ask.variants import under, variants_for
from harness.build.kconfig import fragments_for, parse
from harness.build.kernel import Configuration
from harness.checks import CHECKS
from harness.errors import PlanError
from harness.model import Claim, Fragment, Part, Subject, TouchedFile, Variant
from harness.run.request import Asked, repeat_command
from harness.verdict.exercise import in_any

MACHINE = "aarch64-tcg"
KERNELS = ("5.10.1", "6.1.1", "6.12.1", "7.2.1", "7.3.1")


@pytest.fixture
def ask(catalog):
    """Scenarios of these names under variants of these names."""

    def planned(names, scenarios, version="6.12.1", *, by_name=True):
        rows = [catalog.scenarios[name] for name in scenarios]
        wanted = variants_for(catalog, names)
        return under(wanted, rows, catalog.machines[MACHINE], version, by_name=by_name)

    return planned


def test_each_row_is_whole(catalog):
    families = {check.partition(".")[0] for check in CHECKS}
    for variant in catalog.variants.values():
        assert variant.kconfig or variant.llvm, variant.name
        assert set(variant.leaves_out) <= {*CHECKS, *families}, variant.name
        assert all(variant.leaves_out.values()), variant.name
        limited = variant.architectures or variant.versions.since != "0.0"
        assert bool(limited) == bool(variant.only), variant.name
        for row in variant.kconfig:
            assert parse((catalog.configs / row.file).read_text()), row.file


def test_no_fragment_is_left_over(catalog):
    named = {row.file for variant in catalog.variants.values() for row in variant.kconfig}
    folder = catalog.configs / "kconfig" / "variants"
    assert {str(path.relative_to(catalog.configs)) for path in folder.iterdir()} == named


def test_one_choice_is_made_of_those_that_exclude_each_other(catalog):
    """What the plain fragments choose, a variant that chooses otherwise takes back."""
    choices = [
        {"CONFIG_HZ_1000", "CONFIG_HZ_250"},
        {"CONFIG_NO_HZ_IDLE", "CONFIG_NO_HZ_FULL"},
        {"CONFIG_PREEMPT_NONE", "CONFIG_PREEMPT_LAZY", "CONFIG_PREEMPT"},
    ]
    rows = catalog.variants.values()
    for architecture, variant, version in product(catalog.architectures.values(), rows, KERNELS):
        files = fragments_for(architecture.kconfig, version)
        files += fragments_for(variant.kconfig, version)
        symbols = parse("".join((catalog.configs / file).read_text() for file in files))
        for choice in choices:
            chosen = [symbol for symbol in choice if symbols.get(symbol) == "y"]
            assert len(chosen) <= 1, (variant.name, version, chosen)


def test_a_scenario_is_named_by_its_variant(ask):
    (plain, locked) = ask(("plain", "lockdep"), ["cycles-task"]).scenarios
    assert (plain.name, plain.variant) == ("cycles-task", "")
    assert (locked.name, locked.variant) == ("cycles-task@lockdep", "lockdep")
    assert locked.plain_name == plain.plain_name == "cycles-task"
    assert locked.checks == plain.checks


def test_without_a_word_the_plain_one(ask):
    (scenario,) = ask((), ["cycles-task"]).scenarios
    assert scenario.variant == ""


def test_what_means_nothing_under_a_variant_is_left_out_and_said(ask):
    found = ask(("kasan",), ["cycles-task", "cost-cycles"], by_name=False)
    assert [scenario.name for scenario in found.scenarios] == ["cycles-task@kasan"]
    assert found.left_out == ("kasan leaves out cost-cycles (cost.adjustment left out)",)
    with pytest.raises(PlanError, match=r"not under variant kasan: cost-cycles"):
        ask(("kasan",), ["cost-cycles"])


def test_a_check_goes_and_its_scenario_stays(catalog):
    scenario = catalog.scenarios["cycles-task"]
    gone = scenario.checks[0]
    variant = Variant(name="v", title="V", leaves_out={gone: "a reason"})
    left = variant.of(scenario)
    assert left is not None
    assert gone not in left.checks
    assert len(left.checks) == len(scenario.checks) - 1


@pytest.mark.parametrize(
    ("names", "version", "said"),
    [
        (("lockdepp",), "6.12.1", r"unknown variant lockdepp \(did you mean lockdep\?\)"),
        (("rt",), "6.1.1", r"no variant rt of kernel 6.1.1 on arm64"),
    ],
)
def test_a_variant_that_is_none_is_said(ask, names, version, said):
    with pytest.raises(PlanError, match=said):
        ask(names, ["cycles-task"], version)


def test_a_machine_is_what_its_variant_makes_of_it(catalog):
    plain = catalog.machines[MACHINE]
    variant = Variant(
        name="v",
        title="V",
        memory_mib=4096,
        slower=3,
        kernel_arguments=("x=1",),
        lacks=("steady-speed",),
    )
    machine = variant.on(plain)
    assert machine.memory_mib == 4096
    assert machine.timeout_s == 3 * plain.timeout_s
    assert machine.kernel_arguments == (*plain.kernel_arguments, "x=1")
    assert set(plain.offers) - set(machine.offers) == {"steady-speed"}
    assert Variant(name="w", title="W").on(plain) == plain


@pytest.fixture
def plan(ask, catalog):
    subject = Subject(name="6.12", source="debian:6.12", version="6.12.1", patches=())
    return make_plan(
        source="debian:6.12",
        series="",
        claim=Claim(),
        candidate=subject,
        reference=None,
        machine=catalog.machines[MACHINE],
        scenarios=ask(("plain", "kasan"), ["cycles-task"]).scenarios,
        variants=(catalog.variants["kasan"],),
        kconfig=("/tmp/mine.config",),
    )


def test_a_plan_knows_the_machine_of_each_scenario(plan):
    plain, kasan = map(plan.machine_for, plan.scenarios)
    assert plain == plan.machine
    assert kasan.memory_mib > plain.memory_mib
    assert type(plan).model_validate_json(plan.model_dump_json()) == plan


def test_a_repeat_command_names_variant_and_fragments(plan):
    asked = Asked(kconfig=(Path("/tmp/mine.config"),))
    plain, kasan = (repeat_command(plan, asked, cell) for cell in plan.cells)
    assert "--scenario cycles-task --rerun --kconfig /tmp/mine.config" in plain
    assert "--scenario cycles-task --variant kasan --rerun" in kasan


def test_each_configuration_has_a_build_folder_of_its_own(catalog):
    mine = (Fragment(path="a", text="CONFIG_A=y\n"),)
    other = (Fragment(path="a", text="CONFIG_B=y\n"),)
    kasan = catalog.variants["kasan"]
    made = [
        *(Configuration(), Configuration(debug=True), Configuration(kasan)),
        *(Configuration(added=mine), Configuration(added=other), Configuration(kasan, mine)),
    ]
    suffixes = [configuration.suffix for configuration in made]
    assert suffixes[:3] == ["", "-gdb", "-kasan"]
    assert len(set(suffixes)) == len(suffixes)
    # The same lines in another file are the same configuration.
    moved = (Fragment(path="b", text="CONFIG_A=y\n"),)
    assert Configuration(added=moved).suffix == Configuration(added=mine).suffix


def test_what_any_configuration_has_of_a_file_the_run_has():
    def file(part):
        return TouchedFile(path="kernel/locking/lockdep.c", part=part)

    plain, locked = (file(Part.NOT_BUILT),), (file(Part.IMAGE),)
    assert in_any([plain, locked]) == in_any([locked, plain]) == locked
    assert in_any([plain]) == plain
