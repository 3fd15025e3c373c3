# SPDX-License-Identifier: MIT
"""The data: all of it is valid, and what is wrong is named with its file and key."""

import re
import shutil
from pathlib import Path

import pytest

from harness.ask.catalog import Catalog
from harness.checks import ALWAYS, CHECKS
from harness.errors import PlanError
from harness.model import HEALTH, LLVM, VM_COUNTERS


def test_every_scenario_asks_known_checks_and_probes(catalog):
    from harness.build.recipe import PROBES

    for scenario in catalog.scenarios.values():
        assert set(scenario.checks) <= CHECKS.keys(), scenario.name
        assert set(scenario.probe[:1]) <= PROBES.keys(), scenario.name


def test_every_check_is_asked_somewhere(catalog):
    asked = {check for scenario in catalog.scenarios.values() for check in scenario.checks}
    assert asked | {*ALWAYS} == CHECKS.keys()
    assert not asked & {*ALWAYS}


def test_every_check_has_a_saboteur(catalog):
    broken = {check for series in catalog.series.values() for check in series.claim.breaks}
    assert broken == CHECKS.keys() | {HEALTH}


def test_every_claim_names_checks_and_scenarios_that_exist(catalog):
    known = CHECKS.keys() | {HEALTH}
    for series in catalog.series.values():
        claimed = {*series.claim.fixes, *series.claim.breaks}
        assert claimed <= known, series.name
        assert set(series.claim.scenarios) <= catalog.scenarios.keys(), series.name
        shown_by = series.claim.scenarios or catalog.scenarios
        asked = {check for name in shown_by for check in catalog.scenarios[name].checks}
        assert claimed <= asked | {HEALTH, *ALWAYS}, series.name


def test_every_series_stands_on_one_that_exists(catalog):
    for series in catalog.series.values():
        assert series.stands_on is None or series.stands_on in catalog.series, series.name


def test_every_series_mends_errata_that_exist(catalog):
    mended = {name for series in catalog.series.values() for name in series.mends}
    assert mended and mended <= catalog.errata.keys()


def test_every_erratum_excuses_what_is_asked(catalog):
    for erratum in catalog.errata.values():
        assert erratum.what and erratum.source, erratum.name
        assert re.compile(erratum.matching)
        assert not re.search(erratum.matching, ""), erratum.name
        for scenario, checks in erratum.excuses.items():
            asked = (
                catalog.scenarios.values() if scenario == "any" else [catalog.scenarios[scenario]]
            )
            named = {check for row in asked for check in (*ALWAYS, *row.checks)}
            assert checks and set(checks) <= named, erratum.name


def test_every_scenario_fits_every_machine(catalog):
    """It asks for no CPU that its guest does not have."""
    for scenario in catalog.scenarios.values():
        assert all(scenario.cpus <= machine.cpus for machine in catalog.machines.values())
        asked = [event.cpu for event in scenario.events.values() if event.cpu is not None]
        for steps in (scenario.steps, *scenario.tasks.values()):
            words = [step.split() for step in steps]
            asked += [int(w[1]) for w in words if w[0] in ("cpu", "offline", "online")]
        assert max(asked, default=0) < scenario.cpus, scenario.name


def test_every_scenario_becomes_a_batch_and_a_script(catalog):
    from harness.build.recipe import batch, script

    for scenario in catalog.scenarios.values():
        assert batch(scenario).isascii() and script(scenario).isascii()
        assert bool(script(scenario)) is bool(scenario.steps), scenario.name


def test_every_patch_exists_and_is_one(catalog):
    from harness.source.patches import read_patch

    for series in catalog.series.values():
        for patch in series.patches:
            assert read_patch(patch.file, Path(patch.file).read_bytes()).text


def test_every_limit_of_noise_says_why(catalog):
    assert set(catalog.noise_limits) == {"steal", "pressure", "load", "throttled", "counters"}
    assert all(limit.why for limit in catalog.noise_limits.values())


def test_every_machine_has_its_architecture(catalog):
    for machine in catalog.machines.values():
        architecture = catalog.architectures[machine.architecture]
        for fragment in architecture.kconfig:
            assert (catalog.configs / fragment.file).is_file()


def test_every_machines_emulator_exists(catalog):
    named = {machine.emulator for machine in catalog.machines.values()} - {None}
    assert named <= catalog.emulators.keys()


@pytest.fixture
def copy(tmp_path, catalog):
    shutil.copytree(catalog.configs, tmp_path / "configs")
    shutil.copytree(catalog.patches, tmp_path / "kernel-patches")
    shutil.copytree(catalog.root / "qemu-patches", tmp_path / "qemu-patches")
    return tmp_path


def test_a_misspelt_key_names_the_file_and_the_nearest_key(copy):
    path = copy / "configs" / "machines.yaml"
    path.write_text(path.read_text().replace("memory_mib", "memory_mbi"))
    with pytest.raises(PlanError) as raised:
        _ = Catalog(copy).machines
    assert str(path) in raised.value.what
    assert "memory_mbi (did you mean memory_mib?)" in raised.value.why


def test_a_misspelt_key_inside_a_list_too(copy):
    path = copy / "kernel-patches" / "pre-callbacks" / "series.yaml"
    path.write_text(path.read_text().replace("- file: 6.12", "- fiel: 6.12"))
    with pytest.raises(PlanError) as raised:
        _ = Catalog(copy).series
    assert "patches.1.fiel (did you mean file?)" in raised.value.why


@pytest.mark.parametrize("both", [True, False])
def test_a_scenario_does_one_thing(copy, both):
    path = copy / "configs" / "scenarios" / "perf-stat.yaml"
    text = path.read_text()
    path.write_text(
        text + "probe: [adjust]\n" if both else text.split("tool:")[0] + "checks: [tool.stat]\n"
    )
    with pytest.raises(PlanError) as raised:
        _ = Catalog(copy).scenarios
    assert "either events and steps, or a probe, or a tool" in raised.value.why
    assert str(path) in raised.value.what


def test_what_is_not_yaml_is_refused_with_its_line(copy):
    path = copy / "configs" / "scenarios" / "broken.yaml"
    path.write_text("title: [unclosed\nprobe: x\n")
    with pytest.raises(PlanError) as raised:
        _ = Catalog(copy).scenarios
    assert "broken.yaml is not YAML" in raised.value.what
    assert "line 2" in raised.value.why


def test_an_unknown_name_gets_the_nearest(catalog):
    with pytest.raises(
        PlanError, match=r"unknown series pre-callback \(did you mean pre-callbacks"
    ):
        catalog.find("series", "pre-callback")


def test_packages_are_asked_for_where_they_are_needed(catalog):
    known = {LLVM, *catalog.architectures, *catalog.emulators, *catalog.accelerators}
    assert {name for row in catalog.packages for name in row.only} <= known

    def needed(machine):
        row = catalog.machines[machine]
        names = (row.architecture, row.emulator)
        return {p.provides for p in catalog.packages if p.needed_for(*names)}

    arm, x86 = needed("aarch64-tcg"), needed("x86_64-tcg")
    assert "git" in arm & x86
    assert arm - x86 >= {"qemu-system-aarch64", "aarch64-linux-gnu-gcc"}
    assert x86 - arm >= {"ninja", "x86_64-linux-gnu-gcc"}
    assert "shellcheck" not in arm | x86


def test_a_kernel_that_is_to_virtualize_is_built_so(catalog):
    for machine in catalog.machines.values():
        if "virtualization" in machine.offers:
            fragments = catalog.architectures[machine.architecture].kconfig
            text = "".join((catalog.configs / fragment.file).read_text() for fragment in fragments)
            assert "CONFIG_KVM=y" in text, machine.name
            assert ("CONFIG_KVM_AMD=y" in text) is (machine.architecture == "x86_64")


def test_a_virtual_machine_uses_as_many_counters_as_scenarios_leave_it(catalog):
    header = (catalog.root / "guest-images/accelerator/probe.h").read_text()
    assert f"#define COUNTERS\t{VM_COUNTERS}\n" in header
