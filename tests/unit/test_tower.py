"""Data goes down the tower: no part imports one above it, and what decides knows nothing of Dagger."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "src" / "pipeline"

TOWER = [
    {"main"},
    {"api"},
    {"ending"},
    {"commands", "lab"},
    {"stages"},
    {"gates"},
    {"world", "each"},
    {"containers"},
    {"config"},
    {"image", "registry", "openqa", "upload", "vm"},
    {"policy", "trust"},
    {"report"},
    {"domain", "errors", "quantities", "version"},
]
"""From the top down; the parts of a floor may know each other."""

WITHOUT_DAGGER = ["config", "each", "image", "openqa", "policy", "registry", "report", "trust", "upload", "vm"]

FLOORS = {part: number for number, parts in enumerate(TOWER) for part in parts}
MODULES = [file for file in sorted(SOURCES.rglob("*.py")) if file.parent != SOURCES or file.name != "__init__.py"]


def part(file: Path) -> str:
    return file.relative_to(SOURCES).parts[0].removesuffix(".py")


def imported(file: Path) -> Iterator[str]:
    """Every module that a file names in an import, wherever it stands."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: relative imports hide where they lead"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def test_every_part_has_a_floor():
    assert {part(file) for file in MODULES} == set(FLOORS)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(SOURCES)))
def test_no_import_runs_up(file: Path):
    parts = {name.split(".")[1] for name in imported(file) if name.startswith("pipeline.")}
    assert not [above for above in parts if FLOORS[above] < FLOORS[part(file)]]


@pytest.mark.parametrize("name", WITHOUT_DAGGER)
def test_what_decides_does_not_import_dagger(name: str):
    files = [file for file in MODULES if part(file) == name]
    assert files
    assert not [str(file) for file in files for used in imported(file) if used.split(".")[0] == "dagger"]
