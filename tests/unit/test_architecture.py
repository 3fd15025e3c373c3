# SPDX-License-Identifier: MIT
"""The layers, read from the imports: one direction, a pure core, an owner for each library."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "harness").rglob("*.py"))

PURE = (
    "errors",
    "model",
    "ask.plan",
    "ask.variants",
    "explore",
    "host.keeping",
    "source.flattened",
    "source.layout",
    "source.mail",
    "source.mutate",
    "source.patches",
    "source.paths",
    "build.kconfig",
    "build.recipe",
    "machine.argv",
    "machine.crash",
    "machine.ending",
    "machine.reports",
    "doctor.findings",
    "guest.blocks",
    "guest.callback_records",
    "guest.pmu_records",
    "guest.records",
    "guest.tool",
    "guest.tool_records",
    "guest.trace",
    "guest.trace_records",
    "checks",
    "verdict",
    "run.order",
    "report",
)
OUTSIDE = {"subprocess", "socket", "os", "shutil", "tempfile", "time", "signal", "threading"}
OUTSIDE |= {"yaml", "pexpect", "paramiko", "qemu", "click", "platformdirs"}
OWNERS = {
    "subprocess": {"host.process", "host.setup", "machine.qemu"},
    "yaml": {"ask.catalog"},
    "pexpect": {"machine.console"},
    "paramiko": {"guest.sftp", "guest.ssh"},
    "cryptography": {"guest.ssh"},
    "qemu": {"machine.qemu"},
    "fcntl": {"doctor.device", "host.register", "host.store"},
    "click": {
        "cli",
        "cli.bisect",
        "cli.cache",
        "cli.compare",
        "cli.coverage",
        "cli.explore",
        "cli.guests",
        "cli.host",
        "cli.ladder",
        "cli.mutants",
        "cli.needs",
        "cli.options",
        "cli.results",
        "cli.shell",
        "cli.steps",
        "cli.streams",
    },
    "platformdirs": {"host.store"},
    "unidiff": {"source.patches"},
    "hypothesis": {"explore.draw"},
    "elftools": {"build.dwarf"},
    "email": {"report.mail", "source.intake"},
    "perfetto": {"report.perfetto"},
    "junitparser": {"report.junit"},
    "jinja2": {"report.history", "report.html", "report.suite_coverage"},
    "urllib": {"host.download"},
    "http": {"host.download"},
    "pytest": {"pytest_plugin"},
    "sqlite3": {"run.history"},
    "scipy": {"verdict.statistics"},
    "numpy": {"verdict.statistics"},
}
# The rooms, from what knows least to what knows most; an import goes to an earlier one or stays.
LAYERS = (
    ("errors", "model"),
    ("host",),
    ("ask",),
    ("explore",),
    ("source",),
    ("machine",),
    ("build",),
    ("doctor",),
    ("guest",),
    ("checks",),
    ("verdict",),
    ("run",),
    ("report",),
    ("cli",),
    ("pytest_plugin",),
    ("__main__",),
)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "harness").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(module: str) -> int:
    for number, names in enumerate(LAYERS):
        if any(module == name or module.startswith(name + ".") for name in names):
            return number
    raise AssertionError(f"{module} is in no layer: name its place in LAYERS")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    module = name_of(path)
    if not module:
        return
    known = {name_of(other) for other in MODULES}
    for target in imports(path):
        inner = target.removeprefix("harness.")
        if target.startswith("harness.") and inner in known:
            assert layer(inner) <= layer(module), f"{module} imports {inner}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_core_is_pure(path: Path) -> None:
    module = name_of(path)
    if any(module == name or module.startswith(name + ".") for name in PURE):
        roots = {target.split(".")[0] for target in imports(path)}
        assert not roots & OUTSIDE, f"{module} imports {roots & OUTSIDE}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_one_module_owns_each_outside_thing(path: Path) -> None:
    module = name_of(path)
    for target in imports(path):
        owners = OWNERS.get(target.split(".")[0])
        assert owners is None or module in owners, f"{module} imports {target}"


def test_only_the_command_line_exits() -> None:
    for path in MODULES:
        if name_of(path).split(".")[0] != "cli":
            text = path.read_text()
            assert "sys.exit" not in text and "raise SystemExit" not in text, path


def test_no_architecture_is_asked_for_in_code() -> None:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                text = ast.unparse(node)
                assert not any(word in text for word in ("'arm64'", "'aarch64", "'x86")), text
