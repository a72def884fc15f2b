"""The house: which room may import which, no circles, every module in docs/architecture.md and tested."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("trainables", "analysis", "sweep")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def _name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {_name(file): file for file in FILES}


def _imports(file: Path, *, typing: bool) -> set[str]:
    """What a module imports, inside functions too: of our own its modules, of others their top-level names.

    ``typing`` adds imports for type checking alone.
    """
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and not typing:
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(name if name in MODULES else node.module for name in inner)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(file.read_text(encoding="utf-8")))
    return found


EVERYTHING = {name: _imports(file, typing=False) for name, file in MODULES.items()}


def _importers(wanted: str) -> set[str]:
    return {
        name
        for name, imports in EVERYTHING.items()
        if any(found == wanted or found.startswith(f"{wanted}.") for found in imports)
    }


def _in(package: str) -> set[str]:
    return {name for name in MODULES if name == package or name.startswith(f"{package}.")}


def test_packages_import_downhill() -> None:
    assert not _importers("sweep") - _in("sweep")
    assert not _importers("analysis") - _in("analysis") - _in("sweep")


def test_only_the_trial_knows_ray_below_sweep() -> None:
    assert _importers("ray") - _in("sweep") == {"trainables.trial"}


def test_the_studies_are_on_top() -> None:
    assert not {name for name in _importers("analysis.studies") if not name.startswith("analysis.studies")}


def test_no_circle_of_imports() -> None:
    graph = {name: _imports(file, typing=True) & set(MODULES) - {name} for name, file in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_architecture_has_a_line_for_every_module() -> None:
    rows = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## The modules")[2]
    room, named = "", set()
    for line in rows.splitlines():
        if line.startswith("### `"):
            room = line.split("`")[1]
        if line.startswith("| `"):
            named.add(room + line.split("`")[1])
    there = {str(file.relative_to(ROOT)) for file in FILES if file.name != "__init__.py"}
    assert named == there, "python docs/modules.py writes the list anew"


TESTS = ROOT / "tests"
# Modules whose tests stand elsewhere, and where: commands are tried as a user types them, outcomes by what
# fills them.
TESTED_IN = {
    "sweep/commands": TESTS / "sweep" / "test_cli.py",
    "analysis/audit/outcome.py": TESTS / "analysis" / "audit" / "test_ensemble_audit.py",
    "sweep/runner/outcome.py": TESTS / "sweep" / "runner" / "test_launch.py",
}
WHOLE = ("docs", "end_to_end", "gpu", "helpers")  # of whole sweeps, documents and devices


def _mirror(path: Path) -> Path:
    """The test file of a module or a package, at the same place below ``tests``."""
    return TESTS / path.parent / f"test_{path.stem}.py"


def _has_logic(file: Path) -> bool:
    """Whether a module defines a function or a class; others hold constants."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in body)


def test_every_module_has_a_test_file_of_its_name() -> None:
    untested = []
    for file in (file for file in FILES if file.name != "__init__.py" and _has_logic(file)):
        path = file.relative_to(ROOT)
        elsewhere = [TESTED_IN[str(place)] for place in (path, path.parent) if str(place) in TESTED_IN]
        if not any(test.is_file() for test in [_mirror(path), *elsewhere]):
            untested.append(f"{path} has no {_mirror(path).relative_to(ROOT)}")
    assert not untested, "\n".join(untested)


def test_every_test_file_is_of_a_module_or_a_package() -> None:
    packages = {file.parent for file in FILES if file.name == "__init__.py"}
    mirrored = {_mirror(path.relative_to(ROOT)) for path in {*FILES, *packages}}
    own = [file for file in TESTS.rglob("test_*.py") if file.relative_to(TESTS).parts[0] not in WHOLE]
    strange = {str(file.relative_to(ROOT)) for file in own if file.parent != TESTS} - {
        str(file.relative_to(ROOT)) for file in mirrored
    }
    assert not strange, f"no module or package of that name: {', '.join(sorted(strange))}"
