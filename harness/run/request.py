# SPDX-License-Identifier: MIT
"""From what a person asked for to a plan, with its kernel source resolved."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.ask.catalog import ROOT, SCENARIO_FILE, Catalog, nearest
from harness.ask.plan import make_plan, newest_fitting, stack, subject_of_series
from harness.ask.variants import under, variants_for
from harness.build import kconfig
from harness.build.reproducer import Made
from harness.errors import PatchError, PlanError
from harness.host.debian import Archive, own_architecture
from harness.host.store import Cache
from harness.model import (
    Architecture,
    Cell,
    Claim,
    Erratum,
    Fragment,
    Machine,
    NoiseLimit,
    PatchFile,
    Plan,
    Regime,
    Scenario,
    Series,
    Subject,
    Variant,
)
from harness.run.known import known_issues
from harness.run.reproducers import DEFAULT_SECONDS, made_of, resolved, scenario_name, scenarios_of
from harness.source.apply import apply_all
from harness.source.clone import Clone
from harness.source.commits import Range, commits
from harness.source.intake import STANDARD_INPUT, Intake, take_in
from harness.source.kernel import Request, kind_of, local_repository, offered_versions, resolve
from harness.source.patches import LIMIT, read_patch
from harness.source.paths import printable, short
from harness.source.tree import Source

# In a command that is run again from any folder.
LAUNCHER = str(ROOT / "pmu-harness")
DEFAULT_SERIES = "start-stop-callbacks"
DEFAULT_SOURCE = "debian:auto"
DEFAULT_MACHINE = "aarch64-tcg"


@dataclass(frozen=True)
class Asked:
    """The options of `run` that say what is to be judged."""

    series: str | None = None
    patches: tuple[Path, ...] = ()
    commits: str | None = None
    source: str = DEFAULT_SOURCE
    machine: str = DEFAULT_MACHINE
    scenarios: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    alone: bool = False
    bare: bool = False
    refresh: bool = False
    repetitions: int | None = None
    strict: bool = False
    allow_unbuilt: bool = False
    reproducers: tuple[Path, ...] = ()
    seconds: int = DEFAULT_SECONDS
    variants: tuple[str, ...] = ()
    kconfig: tuple[Path, ...] = ()
    fail_under: float | None = None
    known: tuple[Path, ...] = ()
    # So many of the patches are the reference's as well.
    upon: int = 0

    @property
    def whole(self) -> bool:
        """True for the whole suite: some of its scenarios do not decide what it does."""
        return not (self.scenarios or self.checks or self.reproducers or self.variants)


@dataclass(frozen=True)
class Prepared:
    """A plan, and what it takes to carry it out.

    With a range, that by its commits' names; `reproducers` are by their scenarios' names;
    `added` is what a person adds to the configuration.
    """

    plan: Plan
    source: Source
    archive: Archive
    commits: str | None = None
    reproducers: Mapping[str, Made] = field(default_factory=dict)
    added: tuple[Fragment, ...] = ()


@dataclass(frozen=True)
class Ground:
    """What all steps of a series have in common: what was asked, resolved, and the patches."""

    asked: Asked
    series: Series | None
    machine: Machine
    scenarios: tuple[Scenario, ...]
    reproducers: Mapping[str, Made]
    archive: Archive
    source: Source
    given: Intake
    commits: str | None
    known: tuple[Erratum, ...]
    variants: tuple[Variant | None, ...]
    added: tuple[Fragment, ...]


def prepare(catalog: Catalog, cache: Cache, asked: Asked, say: Callable[[str], None]) -> Prepared:
    """The plan for what was asked; raises PlanError for what does not exist."""
    ground = settle(catalog, cache, asked, say)
    return planned(catalog, cache, ground, say, upon=asked.upon)


def kernel_archive(cache: Cache, architecture: Architecture) -> Archive:
    """The packages of the host's own suite, for kernel sources, which are for any architecture."""
    return Archive(cache, own_architecture() if architecture.suite else architecture.debian)


def settle(catalog: Catalog, cache: Cache, asked: Asked, say: Callable[[str], None]) -> Ground:
    """The source, the machine, the scenarios and the patches that were asked for.

    Raises PlanError for what does not exist.
    """
    series = _series(catalog, asked)
    machine = repeated(catalog.find("machines", asked.machine), asked.repetitions)
    architecture = catalog.architectures[machine.architecture]
    added = tuple(map(_fragment, asked.kconfig))
    variants = variants_for(catalog, asked.variants)
    persons = scenarios_of(asked.reproducers, asked.seconds, machine)
    scenarios = (*(row for row, _ in persons.values()), *scenarios_for(catalog, asked, machine))
    reproducers = made_of(scenarios, persons, catalog, cache, architecture)
    archive = Archive(cache, architecture.debian, architecture.suite)
    request = Request(cache, kernel_archive(cache, architecture), asked.refresh, say)
    chosen = _commits(asked, say) if asked.commits else None
    given = chosen.intake if chosen else take_in(asked.patches)
    spec = chosen.source if chosen else _spec(catalog, series, machine, request, asked)
    source = resolve(spec, request)
    scenarios = for_kernel(scenarios, machine, source.version, say)
    commits = chosen.text if chosen else None
    known = known_issues(asked.known, say, taken=catalog.errata)
    return Ground(
        asked=asked,
        series=series,
        machine=machine,
        scenarios=scenarios,
        reproducers=reproducers,
        archive=archive,
        source=source,
        given=given,
        commits=commits,
        known=known,
        variants=variants,
        added=added,
    )


def planned(
    catalog: Catalog,
    cache: Cache,
    ground: Ground,
    say: Callable[[str], None],
    *,
    upon: int = 0,
    upto: int | None = None,
) -> Prepared:
    """The plan for the first `upto` patches, or all, against the first `upon` of them.

    Raises PlanError where there are not so many.
    """
    asked, series, machine, source = ground.asked, ground.series, ground.machine, ground.source
    given = replace(ground.given, patches=ground.given.patches[:upto])
    _see_that_there_are(upon, given, asked)
    candidate, reference = _subjects(catalog, series, source, machine, given)
    if given.patches:
        candidate = _as_applied(candidate, source, cache, say)
    if upon and reference:
        reference = _below(reference, candidate, upon)
    rows = [
        resolved(scenario, dict(ground.reproducers))
        .for_kernel(source.version, machine.architecture)
        .for_machine(machine)
        for scenario in ground.scenarios
    ]
    named = bool(asked.scenarios)
    varied = under(ground.variants, rows, machine, source.version, by_name=named)
    for left in varied.left_out:
        say(left)
    plan = make_plan(
        source=source.spec,
        series=series.name if series else "",
        # A claim is about the whole suite.
        claim=series.claim if series and asked.whole else Claim(),
        candidate=candidate,
        reference=None if asked.alone else reference,
        machine=machine,
        scenarios=varied.scenarios,
        variants=tuple(variant for variant in ground.variants if variant),
        kconfig=tuple(fragment.path for fragment in ground.added),
        errata=(*_errata(catalog, series), *ground.known),
        noise_limits=_noise_limits(catalog, machine),
        strict=asked.strict,
        allow_unbuilt=asked.allow_unbuilt,
        fail_under=asked.fail_under,
    )
    return Prepared(plan, source, ground.archive, ground.commits, ground.reproducers, ground.added)


def _see_that_there_are(upon: int, given: Intake, asked: Asked) -> None:
    """Raise PlanError where no patch is left that is the candidate's alone."""
    if upon and asked.alone:
        raise PlanError("--alone is without a reference, and --upon says what that is")
    if upon and upon >= len(given.patches):
        raise PlanError(
            f"--upon {upon} leaves no patch to judge",
            why=f"{len(given.patches)} were given",
        )


def _below(bare: Subject, candidate: Subject, upon: int) -> Subject:
    """The source with the first patches of a candidate."""
    patches = candidate.patches[:upon]
    name = f"{bare.name}+{_called(Intake(patches))}"
    return bare.model_copy(update={"name": name, "patches": patches})


def _errata(catalog: Catalog, series: Series | None) -> tuple[Erratum, ...]:
    """The known defects, without those that the series or what it stands on mends."""
    layers = stack(series, catalog.series) if series else []
    mended = {name for layer in layers for name in layer.mends}
    return tuple(erratum for name, erratum in catalog.errata.items() if name not in mended)


def _spec(
    catalog: Catalog, series: Series | None, machine: Machine, request: Request, asked: Asked
) -> str:
    """The source that was asked for, the newest that the series fit for debian:auto."""
    kind, rest = kind_of(asked.source)
    version, at, suite = rest.partition("@")
    if (kind, version) != ("debian", "auto"):
        return asked.source
    offered = offered_versions(request, suite)
    newest = newest_fitting(offered, series, machine.architecture, catalog.series)
    return f"debian:{newest}{at}{suite}"


def repeated(machine: Machine, repetitions: int | None) -> Machine:
    """The machine with as many repetitions as were asked for.

    Raises PlanError where the machine does the same each time.
    """
    if repetitions is None:
        return machine
    if machine.regime is Regime.EXACT and repetitions > 1:
        raise PlanError(
            f"{machine.name} has nothing to repeat",
            why="on an instruction clock each repetition gives the same bytes",
            advice="--rerun boots again and compares; --machine names a statistical one",
        )
    return machine.model_copy(update={"repetitions": repetitions})


def _noise_limits(catalog: Catalog, machine: Machine) -> tuple[NoiseLimit, ...]:
    """Those that a machine's guests are held to: none where a host cannot reach into them."""
    if machine.regime is Regime.EXACT:
        return ()
    return tuple(catalog.noise_limits.values())


def _series(catalog: Catalog, asked: Asked) -> Series | None:
    """The series that was asked for; none for a patch, or for a tree as it is."""
    given = {"--patch": asked.patches, "--range": asked.commits, "--series": asked.series}
    options = [option for option, value in given.items() if value]
    if len(options) > 1:
        raise PlanError(f"{' and '.join(options)} exclude each other")
    if asked.bare and options:
        raise PlanError(f"--bare is the kernel without {options[0]}")
    if (
        asked.patches
        or asked.commits
        or asked.bare
        or (asked.series is None and kind_of(asked.source)[0] != "debian")
    ):
        return None
    found: Series = catalog.find("series", asked.series or DEFAULT_SERIES)
    return found


def scenarios_for(catalog: Catalog, asked: Asked, machine: Machine) -> tuple[Scenario, ...]:
    """Those that were asked for, or all that the machine has what it takes for."""
    if asked.scenarios and asked.checks:
        raise PlanError("--scenario and --check exclude each other")
    if asked.scenarios:
        return tuple(map(catalog.scenario, asked.scenarios))
    if asked.reproducers and not asked.checks:
        return ()
    able = tuple(row for row in catalog.scenarios.values() if not row.lacks(machine))
    return _asking(able, asked.checks) if asked.checks else able


def for_kernel(
    rows: Sequence[Scenario], machine: Machine, version: str, say: Callable[[str], None]
) -> tuple[Scenario, ...]:
    """Those that are for a kernel release; the others are told of.

    Raises PlanError where none is left.
    """
    lacking = {row.name: row.lacks(machine, version) for row in rows if version not in row.versions}
    told = "; ".join(f"{name} takes {what}" for name, what in lacking.items())
    if rows and len(lacking) == len(rows):
        raise PlanError(
            f"no scenario that was asked for is for kernel {version}",
            why=told,
            advice="choose another kernel with --source, or another --scenario",
        )
    if lacking:
        say(f"left out on kernel {version}: {told}")
    return tuple(row for row in rows if row.name not in lacking)


def _asking(rows: Sequence[Scenario], checks: Sequence[str]) -> tuple[Scenario, ...]:
    """Those that ask one of these checks, or of their families."""
    from harness.checks import ALWAYS  # noqa: PLC0415 (takes long)

    wanted = {name for check in checks for name in _family(check)}
    return tuple(row for row in rows if wanted & {*ALWAYS, *row.checks})


def _family(name: str) -> list[str]:
    """The check of a name, or all of a family's; raises PlanError where there is none."""
    from harness.checks import CHECKS  # noqa: PLC0415 (takes long)

    found = [check for check in CHECKS if check == name or check.startswith(f"{name}.")]
    if not found:
        known = [*CHECKS, *dict.fromkeys(check.partition(".")[0] for check in CHECKS)]
        raise PlanError(
            f"unknown check {name}{nearest(name, known)}",
            advice="./pmu-harness list names them",
        )
    return found


@dataclass(frozen=True)
class _Commits:
    """A range of commits: the source below it, and its patches."""

    source: str
    text: str
    intake: Intake


def _commits(asked: Asked, say: Callable[[str], None]) -> _Commits:
    """What --range names of the source's repository; raises PlanError where that has none."""
    folder, ref = local_repository(asked.source)
    clone = Clone(folder)
    found: Range = commits(clone, str(asked.commits), ref)
    number = len(found.patches)
    say(f"{number} commit{'s' if number > 1 else ''} on {found.base[:12]}; nothing uncommitted")
    return _Commits(f"git:{folder}@{found.base}", found.text, Intake(found.patches))


def _subjects(
    catalog: Catalog, series: Series | None, source: Source, machine: Machine, given: Intake
) -> tuple[Subject, Subject | None]:
    """(candidate, reference); a tree as it is has no reference."""
    layers = stack(series, catalog.series) if series else []
    target = (source.version, machine.architecture)
    names = {name for layer in layers for name in layer.patches_for(*target)}
    files = {name: _patch(Path(name)) for name in names}

    def subject(of: Series | None) -> Subject:
        return subject_of_series(of, source.spec, *target, catalog=catalog.series, files=files)

    if given.patches:
        bare = subject(None)
        kept = ("patches", "title", "cover", "notes")
        known = {name: getattr(given, name) for name in kept}
        return bare.model_copy(update={"name": f"{bare.name}+{_called(given)}", **known}), bare
    if series is None:
        return subject(None), None
    below = catalog.series[series.stands_on] if series.stands_on else None
    return subject(series), subject(below)


def _called(given: Intake) -> str:
    """The last patch, and how many there are."""
    number = len(given.patches)
    return short(given.patches[-1].stem) + (f" ({number} patches)" if number > 1 else "")


def _patch(path: Path) -> PatchFile:
    """A patch of a series from its file; raises PlanError."""
    name = printable(str(path))
    try:
        with path.open("rb") as file:
            return read_patch(name, file.read(LIMIT + 1))
    except OSError as error:
        raise PlanError(f"cannot read {name}", why=str(error)) from error


def _fragment(path: Path) -> Fragment:
    """A person's file of Kconfig lines; raises PlanError for one that has none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"cannot read {path}", why=str(error)) from error
    if not kconfig.parse(text):
        raise PlanError(
            f"{path} adds nothing to a configuration",
            why="it has no line CONFIG_...=... and none `# CONFIG_... is not set`",
            advice="write it as a .config is written; a line for each symbol",
        )
    return Fragment(path=str(path), text=text)


def _as_applied(
    subject: Subject, source: Source, cache: Cache, say: Callable[[str], None]
) -> Subject:
    """The subject, its patches with what has to be done to have them apply.

    Raises PlanError for a file that is no patch, or a damaged one.  That a sound one does not
    apply is for the run to say: it is a verdict.
    """
    for note in subject.notes:
        say(note)
    try:
        with source.locked(cache, say):
            applied = apply_all(source.tree, source.pristine, subject.patches)
    except PatchError:
        return subject
    for patch in applied.patches:
        for said in (*patch.notes, *patch.warnings):
            say(f"{patch.path}: {said}")
    return subject.model_copy(update={"patches": applied.patches})


def short_name(patch: Path) -> str:
    """A patch's name as it may be in a subject's, which is a folder's in a run."""
    return short(patch.stem if patch.stem.strip(".") else patch.name)


def command_line(words: Sequence[str]) -> str:
    """Words as a shell takes them; bytes that are no UTF-8 as bash writes them."""
    return " ".join(
        shlex.quote(word) if word.isprintable() else f"$'{_escaped(word)}'" for word in words
    )


def _escaped(word: str) -> str:
    return printable(word.replace("\\", r"\\").replace("'", r"\'"))


def repeatable(asked: Asked, prepared: Prepared, kept: Path) -> Asked:
    """What was asked, as it can be asked again from any folder.

    `kept` is where the run keeps its patches: what came on standard input is there.
    """
    asked = replace(asked, known=tuple(path.absolute() for path in asked.known))
    if prepared.commits:
        asked = replace(asked, commits=prepared.commits)
    places = [kept if path == STANDARD_INPUT else path.absolute() for path in asked.patches]
    fragments = tuple(path.absolute() for path in asked.kconfig)
    scenarios = tuple(
        str(Path(name).absolute()) if name.endswith(SCENARIO_FILE) else name
        for name in asked.scenarios
    )
    return replace(asked, patches=tuple(places), kconfig=fragments, scenarios=scenarios)


def _which(asked: Asked, scenario: str) -> list[str]:
    """The options that ask for one scenario, a person's reproducer being one."""
    name, _, variant = scenario.partition("@")
    under = ["--variant", variant] if variant else []
    for path in asked.reproducers:
        if scenario_name(path) == name:
            return ["--reproducer", str(path), "--seconds", str(asked.seconds), *under]
    files = {Path(given).stem: given for given in asked.scenarios if given.endswith(SCENARIO_FILE)}
    return ["--scenario", files.get(name, name), *under]


def repeat_command(plan: Plan, asked: Asked, cell: Cell) -> str:
    """The command that repeats one cell, all its repetitions and its reference included."""
    words = [LAUNCHER, "run", "--source", plan.source]
    for patch in asked.patches:
        words += ["--patch", str(patch)]
    if asked.commits:
        words += ["--range", asked.commits]
    if plan.series:
        words += ["--series", plan.series]
    words += ["--machine", cell.machine, *_which(asked, cell.scenario), "--rerun"]
    for path in asked.kconfig:
        words += ["--kconfig", str(path)]
    for file in asked.known:
        words += ["--known", str(file)]
    if asked.upon:
        words += ["--upon", str(asked.upon)]
    if asked.repetitions is not None:
        words += ["--repetitions", str(asked.repetitions)]
    flags = {"--alone": asked.alone, "--bare": asked.bare, "--strict": asked.strict}
    return command_line([*words, *(flag for flag, given in flags.items() if given)])
