"""The module's types can be registered, seen without an engine."""

import inspect

import dagger
import pytest

import pipeline
from pipeline.api.calls import json_of
from pipeline.api.results import Answer
from pipeline.main import BootcPipeline

RESERVED = {"web", "mod", "silent", "debug", "quiet", "verbose", "progress", "help"}
"""Flags of the command line itself: an argument of that name does not load."""
GO = {
    "default",
    "func",
    "for",
    "go",
    "import",
    "interface",
    "map",
    "package",
    "range",
    "select",
    "switch",
    "type",
    "var",
}
"""Words of the language: an argument of that name that must be given makes bindings that do not compile."""
CORE = {"secret", "container", "directory", "file", "git", "http", "host", "address"}
"""Functions of the main object take the place of core fields of the same name."""


TEXT_ONLY = {"as_json", "fail", "why_kept"}
"""How a person wants it told; a module reads the object."""


ONLY_TEXT = {"restore", "next_gate", "configuration"}
"""No other module needs their answer, or it is that of another command."""


def _types():
    return BootcPipeline.__dagger_module__._objects


def _functions():
    main = BootcPipeline.__dagger_module__.get_object("BootcPipeline")
    return {name: function for name, function in main.functions.items() if name}


def _everywhere():
    return {
        f"{kind}.{name}": function
        for kind, found in _types().items()
        for name, function in found.functions.items()
        if name
    }


def test_every_type_and_function_has_a_sentence():
    for kind, found in _types().items():
        assert inspect.getdoc(found.cls), kind
    for name, function in _everywhere().items():
        assert function.doc, name


def test_every_command_has_a_twin_with_the_same_arguments():
    twins = _types()["Commands"].functions
    for name, function in _functions().items():
        if str(function.return_type) in ("<class 'str'>", "str") and name not in ONLY_TEXT:
            assert name in twins, name
    for name, twin in twins.items():
        command = _functions()[name]
        assert set(twin.parameters) == set(command.parameters) - TEXT_ONLY, name


def test_no_name_hides_one_of_dagger():
    names = set(_functions())
    assert len(names) >= 19
    assert not names & CORE


def test_no_type_has_the_name_of_one_of_dagger():
    module = BootcPipeline.__dagger_module__
    assert not {*module._objects, *module._enums} & set(dir(dagger))


def test_no_argument_is_a_flag_of_the_command_line():
    for name, function in _everywhere().items():
        assert not set(function.parameters) & RESERVED, name


def test_no_argument_is_a_word_of_go():
    for name, function in _everywhere().items():
        assert not {parameter.name for parameter in function.parameters.values()} & GO, name


def test_every_argument_has_a_sentence():
    for name, function in _everywhere().items():
        for argument, parameter in function.parameters.items():
            assert parameter.doc, f"{name} {argument}"


def test_the_source_is_the_callers_and_never_that_of_the_module():
    parameters = inspect.signature(BootcPipeline.create).parameters
    assert parameters["source"].default is None
    assert "DefaultPath" not in str(parameters["source"].annotation)
    assert "Workspace" in str(parameters["workspace"].annotation)


@pytest.mark.parametrize("text", ["a", "a\n", "a\nb\n\n"])
def test_what_is_printed_ends_its_last_line(text: str):
    answer = Answer.of(text, json_of({"a": 1}))
    assert answer.text == text.rstrip() + "\n"
    assert answer.json == '{\n  "a": 1\n}\n'


def test_the_description_is_for_users():
    described = inspect.getdoc(pipeline) or ""
    assert "doctor" in described
    assert "stages" not in described


async def test_the_types_can_be_registered(monkeypatch: pytest.MonkeyPatch):
    """Every argument and result is of a type that Dagger knows; the engine itself is not asked."""

    async def no_engine(_: dagger.Module) -> str:
        return "module"

    module = BootcPipeline.__dagger_module__
    monkeypatch.setattr(module, "_main_name", "BootcPipeline")
    monkeypatch.setattr(module, "_main", module.get_object("BootcPipeline"))
    monkeypatch.setattr(dagger.Module, "id", no_engine)
    assert await module._typedefs()
