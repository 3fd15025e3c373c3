# SPDX-License-Identifier: MIT
"""A series, patch by patch, with a tiny tree and a QEMU that is a script."""

import io
import json

import pytest
from rich.console import Console

from harness.errors import PlanError
from harness.host.progress import Progress
from harness.model import Status, StepState
from harness.report.table import repeats
from harness.run.folder import RunFolder
from harness.run.pipeline import Run, Settings
from harness.run.request import Asked, repeat_command, repeatable, settle
from harness.run.steps import SERIES_RESULT, Walk, begin
from tests.component.fakes import BEFORE, CLEAN, added, diff

pytestmark = pytest.mark.needs("git", "make", "cpio", "setpriv", "aarch64-linux-gnu-gcc")

HELLO = f"print hello~{CLEAN}"
PANIC = "print Kernel panic - not syncing: saboteur"


@pytest.fixture
def series(world, tmp_path):
    """Walk through patches, each of which makes the one line of the tree's kernel another one."""
    (world.tree / "kernel" / "core.c").write_text(CLEAN + "\n")
    folder = tmp_path / "series"
    folder.mkdir()

    def walk(*lines, **more):
        files, before = [], CLEAN
        for number, line in enumerate(lines, 1):
            file = tmp_path / f"{number}.patch"
            whole = line.startswith("diff ")
            file.write_text(line if whole else diff("kernel/core.c", before, line))
            before = before if whole else line
            files.append(file)
        asked = Asked(source=f"path:{world.tree}", patches=tuple(files), **more)
        ground = settle(world.catalog, world.cache, asked, lambda _: None)
        ran = walk.ran = []

        def carry_out(prepared, step, place):
            kept = RunFolder(place)
            again = repeatable(step, prepared, kept.patches)
            result = Run(
                prepared=prepared,
                catalog=world.catalog,
                cache=world.cache,
                folder=kept,
                progress=Progress(Console(file=io.StringIO())),
                settings=Settings(),
                command="test",
                repeat=lambda cell: repeat_command(prepared.plan, again, cell),
            ).execute()
            ran.append(result)
            return result, repeats(result)

        begin(folder)
        walked = Walk(world.catalog, world.cache, ground, folder, carry_out, lambda _: None)
        result = walked.walk("test")
        (folder / SERIES_RESULT).write_text(result.model_dump_json())
        return result

    walk.folder = folder
    return walk


def states(result):
    return [step.state for step in result.steps]


def test_the_third_breaks_and_the_fifth_repairs(series):
    again = f"print hello~{BEFORE}"
    result = series(HELLO, CLEAN, BEFORE, again, HELLO)
    assert states(result) == [
        *(StepState.PASS, StepState.PASS, StepState.FAIL, StepState.PASS, StepState.PASS),
    ]
    assert (result.status, result.first_bad, result.left) == (Status.FAIL, 3, ())
    assert "breaks retention.release" in result.headline
    assert result.headline.endswith("; patch 5 repairs that")
    # The base and the steps, each once: the reference is the step before, the fifth the first.
    assert sum(step.guests for step in result.steps) == 4
    bad = result.steps[2]
    assert f"--patch {series.folder / bad.folder / 'patches'} " in bad.repeat
    assert "--upon 2" in bad.repeat


def test_a_step_of_the_same_image_is_not_run(series):
    result = series(added("Documentation/x.rst"), HELLO)
    assert states(result) == [StepState.NOT_RUN, StepState.PASS]
    assert result.status is Status.PASS
    # The base's; of the second step only the candidate's.
    assert [step.guests for step in result.steps] == [1, 1]
    assert result.headline == "none of 2 patches breaks anything; 1 not run"


def test_what_does_not_build_is_passed_over(series):
    result = series(HELLO, "error: no C", BEFORE, CLEAN)
    assert states(result) == [StepState.PASS, StepState.FAIL, StepState.FAIL, StepState.PASS]
    assert [step.upon for step in result.steps] == [0, 1, 1, 3]
    assert "does not build" in result.headline
    assert result.steps[2].repaired[0].broken_by == 2


def test_what_does_not_boot_is_passed_over(series):
    result = series(PANIC, HELLO)
    assert states(result) == [StepState.FAIL, StepState.PASS]
    assert result.steps[1].upon == 0
    assert result.headline.endswith("breaks kernel.health; patch 2 repairs that")


def test_nothing_is_reached_behind_a_patch_that_does_not_apply(series):
    other = diff("kernel/core.c", "what is not there", "x")
    result = series(HELLO, other, added("Documentation/x.rst"))
    assert states(result) == [StepState.PASS, StepState.FAIL, StepState.NOT_REACHED]
    assert "does not apply" in result.headline
    assert result.status is Status.FAIL


def test_an_earlier_series_in_the_folder_is_replaced(series):
    series(HELLO, BEFORE)
    series(HELLO)
    assert [path.name for path in sorted(series.folder.iterdir())] == ["01-1", SERIES_RESULT]
    stored = json.loads((series.folder / SERIES_RESULT).read_text())
    assert len(stored["steps"]) == 1


def test_a_folder_with_anything_else_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(PlanError, match="holds no series"):
        begin(tmp_path)
