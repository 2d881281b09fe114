"""The README promises nothing that the code does not keep."""

import ast
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = {path.stem: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
SHELL = re.findall(r"```sh\n(.*?)```", "\n".join([README, *PAGES.values()]), re.DOTALL)
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
    return [(name, re.findall(r"--([a-z-]+)", re.split(r" export | \| ", rest)[0])) for name, rest in lines]


def _workflow_calls() -> list[tuple[str, list[str]]]:
    """The functions that the workflows call, with their options."""
    (job,) = yaml.safe_load((WORKFLOWS / "stage.yml").read_text())["jobs"].values()
    return _calls("\n".join(step.get("run", "") for step in job["steps"]))


@pytest.mark.parametrize(("name", "options"), _calls("\n".join(SHELL)))
def test_every_command_of_the_papers_exists(name: str, options: list[str]) -> None:
    assert set(options) <= _api()[name]


@pytest.mark.parametrize("name", sorted(_api().keys() - {CONSTRUCTOR}))
def test_every_command_is_in_the_papers(name: str) -> None:
    assert re.search(rf"[`\s]{name}[`\s]", "\n".join(PAGES.values())), f"no page of docs/ names {name}"


def test_every_secret_of_the_papers_is_an_argument() -> None:
    assert set(re.findall(r"`--([a-z]+-auth)`", PAGES["commands"])) <= _api()[CONSTRUCTOR]


@pytest.mark.parametrize(("name", "options"), _workflow_calls())
def test_every_call_of_the_workflows_exists(name: str, options: list[str]) -> None:
    assert set(options) <= _api()[name]


def test_every_login_of_the_workflows_is_an_argument() -> None:
    text = (WORKFLOWS / "stage.yml").read_text()
    assert set(re.findall(r"given[+]?=\(--([a-z-]+)", text)) <= _api()[CONSTRUCTOR]


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!https?:)[^)]+)\)", README))
def test_every_link_into_the_tree_leads_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


RECIPES = (ROOT / "CONTRIBUTING.md").read_text()
FILES = [path for top in ("ci", "docs", "src", "tests") for path in (ROOT / top).rglob("*")]


@pytest.mark.parametrize(
    "path",
    sorted(set(re.findall(r"(?:ci|docs|src|tests)/[\w/.-]*\w|(?<![\w/.])[\w/.]+\.(?:py|md|toml|json)", RECIPES))),
)
def test_every_path_of_the_recipes_exists(path: str) -> None:
    assert (ROOT / path).exists() or any(str(file).endswith(f"/{path}") for file in FILES)


@pytest.mark.parametrize("command", ["ci/demo", "ci/test"])
def test_the_two_commands_can_be_run(command: str) -> None:
    assert (ROOT / command).stat().st_mode & 0o111


def test_the_version_is_the_newest_of_the_changelog():
    named = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    newest = re.search(r"^## (\d\S*) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert named
    assert newest
    assert named[1] == newest[1]
