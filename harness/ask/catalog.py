# SPDX-License-Identifier: MIT
"""The data in configs/ and kernel-patches/, read from YAML and checked."""

import difflib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from harness.errors import PlanError
from harness.host.memory import Memory, code
from harness.host.store import Cache, digest
from harness.model import (
    Accelerator,
    Architecture,
    CachePolicy,
    Emulator,
    Erratum,
    Frozen,
    Machine,
    MeasuredSource,
    NoiseLimit,
    Outer,
    Package,
    PatchFile,
    Promises,
    Rung,
    Scenario,
    Series,
    Triaged,
    Variant,
)

try:
    from yaml import CSafeLoader as Loader
except ImportError:
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

Row = TypeVar("Row", bound=Frozen)

# What the name of a person's own scenario ends in: it is that of its file.
SCENARIO_FILE = ".yaml"
ROOT = Path(__file__).resolve().parents[2]


def nearest(word: str, known: list[str]) -> str:
    """` (did you mean X?)`, or nothing when no known word is near."""
    close = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that are allowed where a validation error occurred."""
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        if field is None:
            continue
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
        models = [kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if models:
            model = models[0]
    return list(model.model_fields)


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """A validation error as one line for each wrong key."""
    lines = []
    for fault in error.errors():
        location = fault["loc"]
        key = ".".join(str(part) for part in location)
        if fault["type"] == "extra_forbidden":
            hint = nearest(str(location[-1]), known_keys(model, location))
            lines.append(f"unknown key {key}{hint}")
        else:
            lines.append(": ".join(filter(None, [key, fault["msg"]])))
    return "\n".join(lines)


def load_yaml(path: Path) -> Any:
    """The document in a YAML file; raises PlanError that names the file and the line."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"cannot read {path}", why=str(error)) from error
    except yaml.YAMLError as error:
        raise PlanError(f"{path} is not YAML", why=str(error), evidence=path) from error


def load_all(paths: Sequence[Path]) -> dict[Path, Any]:
    """The documents of many files, which are remembered for as long as the files are the same.

    Raises PlanError as `load_yaml` does.
    """

    def find() -> list[Any]:
        return [load_yaml(path) for path in paths]

    key = digest(code("ask/catalog.py"), *map(_content, paths))
    return dict(zip(paths, Memory(Cache()).known("yaml", key, "configs", find), strict=True))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise PlanError(f"cannot read {path}", why=str(error)) from error


def as_yaml(data: Any) -> str:
    """Plain data as a YAML document, keys in their order, as the files of configs/ have it."""
    return yaml.safe_dump(data, sort_keys=False, width=100, default_flow_style=None)


def parse_row(model: type[Row], data: Any, path: Path, **extra: Any) -> Row:
    """One row as a model; raises PlanError that names the file, the key and the nearest one."""
    if not isinstance(data, dict):
        raise PlanError(f"{path} holds no mapping", evidence=path)
    try:
        return model.model_validate({**data, **extra})
    except ValidationError as error:
        raise PlanError(
            f"{path} is not a valid {model.__name__.lower()}",
            why=explain(error, model),
            evidence=path,
        ) from error


class Catalog:
    """All rows, read when first asked for."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.configs = root / "configs"
        self.patches = root / "kernel-patches"

    def _table(self, file: str, model: type[Row]) -> dict[str, Row]:
        path = self.configs / file
        rows = load_all([path])[path]
        if not isinstance(rows, dict):
            raise PlanError(f"{path} holds no mapping", evidence=path)
        return {name: parse_row(model, row, path, name=name) for name, row in rows.items()}

    @cached_property
    def architectures(self) -> dict[str, Architecture]:
        """Rows of architectures.yaml."""
        return self._table("architectures.yaml", Architecture)

    @cached_property
    def machines(self) -> dict[str, Machine]:
        """Rows of machines.yaml."""
        return self._table("machines.yaml", Machine)

    @cached_property
    def accelerators(self) -> dict[str, Accelerator]:
        """Rows of accelerators.yaml."""
        return self._table("accelerators.yaml", Accelerator)

    @cached_property
    def emulators(self) -> dict[str, Emulator]:
        """Rows of emulators.yaml."""
        return self._table("emulators.yaml", Emulator)

    @cached_property
    def outers(self) -> dict[str, Outer]:
        """Rows of outers.yaml."""
        return self._table("outers.yaml", Outer)

    @cached_property
    def ladder(self) -> dict[str, Rung]:
        """Rows of ladder.yaml."""
        return self._table("ladder.yaml", Rung)

    @cached_property
    def variants(self) -> dict[str, Variant]:
        """Rows of variants.yaml."""
        return self._table("variants.yaml", Variant)

    @cached_property
    def measured_sources(self) -> dict[str, MeasuredSource]:
        """Rows of coverage.yaml."""
        return self._table("coverage.yaml", MeasuredSource)

    @cached_property
    def promises(self) -> dict[str, Promises]:
        """Rows of promises.yaml."""
        return self._table("promises.yaml", Promises)

    def on_host(self, machine: Machine) -> Machine | Outer:
        """The row whose QEMU runs on this host: the outer system's, where there is one."""
        return machine if machine.outer is None else self.find("outers", machine.outer)

    def emulator_patches(self, emulator: Emulator) -> tuple[PatchFile, ...]:
        """The files *.patch in an emulator's folder, in the order of their names.

        Raises PlanError for a folder that holds none.
        """
        if emulator.patches is None:
            return ()
        folder = self.root / emulator.patches
        files = sorted(folder.glob("*.patch"))
        if not files:
            raise PlanError(
                f"the emulator {emulator.name} has no patches",
                why=f"there is no *.patch in {folder}",
                advice="add them, or take the key `patches` out of configs/emulators.yaml",
            )
        return tuple(
            PatchFile.of(str(file.relative_to(self.root)), file.read_bytes()) for file in files
        )

    @cached_property
    def scenarios(self) -> dict[str, Scenario]:
        """One file each in configs/scenarios."""
        paths = sorted((self.configs / "scenarios").glob("*.yaml"))
        return {
            path.stem: parse_row(Scenario, data, path, name=path.stem)
            for path, data in load_all(paths).items()
        }

    def scenario(self, name: str) -> Scenario:
        """A scenario by its name, or of a person's file; raises PlanError for neither."""
        if not name.endswith(SCENARIO_FILE):
            found: Scenario = self.find("scenarios", name)
            return found
        path = Path(name)
        return parse_row(Scenario, load_yaml(path), path, name=path.stem)

    @cached_property
    def series(self) -> dict[str, Series]:
        """One series.yaml in each folder of kernel-patches, saboteurs included."""
        found = {}
        for path, data in load_all(sorted(self.patches.glob("**/series.yaml"))).items():
            name = path.parent.relative_to(self.patches).as_posix()
            row = parse_row(Series, data, path, name=name)
            found[name] = row.model_copy(
                update={
                    "patches": tuple(
                        patch.model_copy(update={"file": str(path.parent / patch.file)})
                        for patch in row.patches
                    )
                }
            )
        return found

    @cached_property
    def errata(self) -> dict[str, Erratum]:
        """Rows of errata.yaml."""
        return self._table("errata.yaml", Erratum)

    @cached_property
    def noise_limits(self) -> dict[str, NoiseLimit]:
        """Rows of noise.yaml."""
        return self._table("noise.yaml", NoiseLimit)

    @cached_property
    def cache_policy(self) -> CachePolicy:
        """What cache.yaml says."""
        path = self.configs / "cache.yaml"
        return parse_row(CachePolicy, load_yaml(path), path)

    @cached_property
    def packages(self) -> tuple[Package, ...]:
        """Rows of packages.yaml: what the host needs."""
        path = self.configs / "packages.yaml"
        return tuple(parse_row(Package, row, path) for row in load_all([path])[path])

    @cached_property
    def triaged(self) -> tuple[Triaged, ...]:
        """Rows of mutation.yaml: what a person found of generated mutants."""
        path = self.configs / "mutation.yaml"
        return tuple(parse_row(Triaged, row, path) for row in load_yaml(path))

    def find(self, kind: str, name: str) -> Any:
        """A row by name: `kind` is series, machines, accelerators, emulators, outers,
        scenarios, variants, architectures, ladder or promises.

        Raises PlanError that names the nearest one.
        """
        rows: dict[str, Any] = getattr(self, kind)
        if name in rows:
            return rows[name]
        single = kind if kind == "series" else kind.removesuffix("s")
        raise PlanError(
            f"unknown {single} {name}{nearest(name, list(rows))}",
            advice=f"known: {', '.join(rows)}",
        )
