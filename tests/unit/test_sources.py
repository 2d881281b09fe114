"""What the sources must not use, because not every engine and runtime has it."""

import ast
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).parents[2] / "src" / "pipeline").rglob("*.py"))
PRIVATE = "ending.py"
ABSENT = {"Host", "Engine", "host", "engine", "connection", "Config"}
"""Of dagger and dag: what the bindings of upstream's module runtime lack."""


def _uses(file: Path) -> set[str]:
    return {
        node.attr
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("dagger", "dag")
    }


def _imports(file: Path) -> set[str]:
    return {
        f"{node.module}.{name.name}"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_nothing_is_used_that_upstreams_bindings_lack(file: Path) -> None:
    assert not _uses(file) & ABSENT
    assert not _imports(file) & {f"dagger.{name}" for name in ABSENT}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_private_names_of_the_sdk_stand_in_one_file(file: Path) -> None:
    private = {name for name in _imports(file) if name.startswith("dagger.") and "._" in name}
    assert not private or file.name == PRIVATE


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.name)
def test_a_secret_is_read_where_its_argument_is_named(file: Path) -> None:
    assert "plaintext()" not in file.read_text() or file.name == "secrets.py"
