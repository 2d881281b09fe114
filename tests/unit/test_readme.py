"""The README promises nothing that the code does not keep."""

import ast
import re
from pathlib import Path

import pytest
import yaml

from pipeline.config import parse

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CANDIDATES = (ROOT / "docs" / "candidates.md").read_text()
WORKFLOWS = ROOT / ".github" / "workflows"
CONSTRUCTOR = "constructor"


def _api() -> dict[str, set[str]]:
    """The functions of the module with their arguments, as the command line names them."""
    (tree,) = [
        node
        for node in ast.parse((ROOT / "src" / "pipeline" / "main.py").read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "BootcPipeline"
    ]
    functions = [node for node in tree.body if isinstance(node, ast.AsyncFunctionDef) and node.name[0] != "_"]
    (constructor,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "create"]
    arguments = {node.name: _arguments(node) for node in functions} | {CONSTRUCTOR: _arguments(constructor)}
    return {name.replace("_", "-"): {word.replace("_", "-") for word in words} for name, words in arguments.items()}


def _arguments(node: ast.AsyncFunctionDef | ast.FunctionDef) -> list[str]:
    return [argument.arg for argument in node.args.args]


def _calls(text: str) -> list[tuple[str, list[str]]]:
    """The functions that the README's shell lines call, with their options."""
    commands = re.sub(r"#.*", "", text)
    lines = re.findall(r"\bpipeline (?P<name>[a-z]+(?:-[a-z]+)*)(?P<rest>.*)", commands)
    return [(name, re.findall(r"--([a-z-]+)", rest.split(" export ")[0])) for name, rest in lines]


def _workflow_calls(path: Path) -> list[str]:
    (job,) = yaml.safe_load(path.read_text())["jobs"].values()
    return [step["with"]["call"] for step in job["steps"] if "call" in step.get("with", {})]


@pytest.mark.parametrize("block", re.findall(r"```toml\n(.*?)```", README + CANDIDATES, re.DOTALL))
def test_every_pipeline_toml_of_the_readme_is_accepted(block: str) -> None:
    assert parse(block).images["yellowfin"]


@pytest.mark.parametrize(
    ("name", "options"), _calls("\n".join(re.findall(r"```sh\n(.*?)```", README + CANDIDATES, re.DOTALL)))
)
def test_every_command_of_the_readme_exists(name: str, options: list[str]) -> None:
    assert set(options) <= _api()[name]


def test_every_secret_of_the_readme_is_an_argument() -> None:
    assert set(re.findall(r"`--([a-z]+-auth)`", README)) <= _api()[CONSTRUCTOR]


@pytest.mark.parametrize("call", [call for path in WORKFLOWS.glob("*.yml") for call in _workflow_calls(path)])
def test_every_call_of_a_workflow_exists(call: str) -> None:
    words = call.split(" export ")[0].split()
    (name,) = [word for word in words if not word.startswith("--")]
    place = words.index(name)
    given, options = ({word[2:].partition("=")[0] for word in part} for part in (words[:place], words[place + 1 :]))
    assert given <= _api()[CONSTRUCTOR]
    assert options <= _api()[name]


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!https?:)[^)]+)\)", README))
def test_every_link_into_the_tree_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("command", ["ci/demo", "ci/test"])
def test_the_two_commands_can_be_run(command: str) -> None:
    assert (ROOT / command).stat().st_mode & 0o111
