"""Data goes down the tower: no part imports one above it, and what decides knows nothing of Dagger."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "ci"))

from papers.tower import FLOORS, MODULES, SOURCES, imported, part, parts_imported

WITHOUT_DAGGER = ["config", "each", "image", "openqa", "policy", "registry", "report", "trust", "upload", "vm"]


def test_every_part_has_a_floor():
    assert {part(file) for file in MODULES} == set(FLOORS)


@pytest.mark.parametrize("file", MODULES, ids=lambda file: str(file.relative_to(SOURCES)))
def test_no_import_runs_up(file: Path):
    assert not [above for above in parts_imported(file) if FLOORS[above] < FLOORS[part(file)]]


@pytest.mark.parametrize("name", WITHOUT_DAGGER)
def test_what_decides_does_not_import_dagger(name: str):
    files = [file for file in MODULES if part(file) == name]
    assert files
    assert not [str(file) for file in files for used in imported(file) if used.split(".")[0] == "dagger"]
