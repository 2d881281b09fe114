"""Editors and readers are told the same as what the models take."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

sys.path.insert(0, str(Path(__file__).parents[2] / "ci"))

from papers import reference
from papers.reference import ROOT
from rehearsal.repository import _CONFIGURATION

from pipeline.config import parse
from pipeline.errors import UsageError

FIRST_RUN = '[images.os]\nrepository = "ghcr.io/owner/os"\n'


def _examples() -> dict[str, str]:
    """Every pipeline.toml that this repository shows; a piece of one is completed."""
    found = {
        "pipeline": (ROOT / "pipeline.toml").read_text(),
        "rehearsal": _CONFIGURATION.format(repository="r.test/os"),
    }
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for number, block in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL)):
            found[f"{page.stem}-{number}"] = _whole(block)
    return found


def _whole(block: str) -> str:
    shown = block.replace("REGISTRY/OWNER/NAME", "ghcr.io/owner/os")
    return shown if "[images." in shown else shown + FIRST_RUN


def _checked(folder: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    command = [str(Path(sys.executable).with_name("check-jsonschema")), "--schemafile", str(reference.SCHEMA)]
    return subprocess.run([*command, *sorted(folder.glob("*.toml"))], capture_output=True, text=True, check=False)


def test_schema_and_page_are_what_the_models_say() -> None:
    assert reference.outdated() == [], f"write them again with {reference.AGAIN}"


@pytest.mark.parametrize("name", _examples())
def test_every_example_is_read(name: str) -> None:
    assert parse(_examples()[name]).images


def test_every_example_is_valid_by_the_schema(tmp_path: Path) -> None:
    found = _checked(tmp_path, _examples())
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    "wrong",
    [
        'contianerfile = "x"',
        'containerfile = "/etc/x"',
        'platforms = ["linux/amd46"]',
        '[gates.testing]\nboot_budget = "90"',
        '[gates.testing]\nfirmware = "efi"',
        '[gates.testing]\nmemory = "2 gigs"',
        '[gates.next]\nlint = "no"',
        '[gates.stable.openqa]\nscenarios = "x"',
        '[[waivers]]\ncheck = "units"',
    ],
)
def test_what_the_models_refuse_an_editor_marks(wrong: str) -> None:
    with pytest.raises(UsageError):
        parse(FIRST_RUN + wrong)
    assert not Draft202012Validator(reference.schema()).is_valid(tomllib.loads(FIRST_RUN + wrong))


def test_every_key_says_what_it_means() -> None:
    tables = [reference.schema(), *reference.schema()["$defs"].values()]
    missing = [
        f"{table['title']}.{key}"
        for table in tables
        for key, field in table.get("properties", {}).items()
        if not field.get("description")
    ]
    assert not missing, f"a docstring below the field in src/pipeline/config is missing: {missing}"
