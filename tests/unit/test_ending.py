"""A call that does not pass ends with its outcome's exit code and its summary, and never with a traceback."""

from datetime import UTC, datetime
from typing import Any

import anyio
import dagger
import pytest
from dagger._exceptions import QueryErrorValue
from dagger.mod._exceptions import FunctionError, ModuleError
from gql import GraphQLRequest

from pipeline.containers.secrets import read_secret, readable
from pipeline.domain import Outcome
from pipeline.ending import CallFailed, broken_off
from pipeline.errors import ConflictError, InfrastructureError, PartialError, PipelineError, UsageError
from pipeline.report.model import Result

NOW = datetime.now(UTC)


def _engine(text: str) -> dagger.QueryError:
    return dagger.QueryError([QueryErrorValue(text)], GraphQLRequest("{ __typename }"))


class Secret:
    """Stands in for `dagger.Secret`."""

    def __init__(self, text: str | Exception):
        self.text = text

    async def plaintext(self) -> str:
        if isinstance(self.text, Exception):
            raise self.text
        return self.text


def _read(text: str | Exception) -> str:
    secret: Any = Secret(text)
    return anyio.run(read_secret, secret, "openqa-auth")


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome.exit_code])
def test_the_caller_gets_the_exit_code_and_the_outcome_as_of_a_failed_exec(outcome: Outcome) -> None:
    failed = CallFailed.of([Result(command="promote-stable", outcome=outcome, reason="Because.")])
    assert failed.error.extensions == {
        "_type": "EXEC_ERROR",
        "cmd": ["promote-stable"],
        "exitCode": outcome.exit_code,
        "stdout": "",
        "stderr": "",
        "outcome": outcome.value,
    }
    assert str(failed).startswith(f"{outcome.value.replace('_', ' ')} · promote-stable: Because")


def test_the_sdk_logs_no_traceback_and_hands_the_extensions_on() -> None:
    # FunctionError is let through unlogged, ModuleError ends the module cleanly, QueryError's extensions are passed on.
    assert {FunctionError, ModuleError, dagger.QueryError} <= set(CallFailed.__mro__)


@pytest.mark.parametrize("error", [ConflictError("Somebody moved it."), ExceptionGroup("", [ConflictError("Moved.")])])
def test_an_error_of_ours_keeps_its_outcome(error: Exception) -> None:
    assert broken_off("hold", NOW, error).error.extensions["exitCode"] == Outcome.CONFLICT.exit_code


def test_of_several_errors_the_half_moved_tags_are_told_first() -> None:
    both = ExceptionGroup("", [InfrastructureError("Away."), ExceptionGroup("", [PartialError("One tag moved.")])])
    assert "One tag moved" in str(broken_off("promote-stable", NOW, both))


@pytest.mark.parametrize("error", [KeyError("layers"), RecursionError("deep"), ExceptionGroup("", [ValueError("hm")])])
def test_what_nobody_thought_of_is_an_outage_with_its_kind_and_a_request_to_report_it(error: Exception) -> None:
    failed = broken_off("status", NOW, error)
    kind = type(error.exceptions[0] if isinstance(error, ExceptionGroup) else error).__name__
    assert failed.error.extensions["outcome"] == "infra"
    assert kind in str(failed)
    assert "report it" in str(failed)


def test_the_place_of_what_nobody_thought_of_is_named_and_its_text_is_not() -> None:
    try:
        Result(command="x", outcome="no such outcome", reason="the-password")  # type: ignore[arg-type]
    except ValueError as error:
        said = str(broken_off("status", NOW, error))
    assert "outside its own code" in said
    assert "the-password" not in said


def test_half_a_character_of_somebody_elses_is_no_second_error() -> None:
    assert "in 'a?b'" in str(broken_off("status", NOW, ConflictError("in 'a\ud800b'")))


def test_the_engines_own_words_are_told() -> None:
    assert "no space left" in str(broken_off("build-next", NOW, _engine("copy: no space left on device")))


def test_every_kind_of_error_has_an_exit_code_of_its_own() -> None:
    codes = [kind.outcome.exit_code for kind in PipelineError.__subclasses__()]
    assert sorted(codes) == [1, 2, 3, 4, 5, 6]


def test_a_secret_that_cannot_be_read_names_the_argument() -> None:
    with pytest.raises(UsageError, match=r"--openqa-auth cannot be read: .*env://NAME"):
        _read(_engine('failed to read secret:\nsecret env var not found: "NOT..."'))


def test_the_wrapping_of_the_engines_transport_is_left_out() -> None:
    with pytest.raises(UsageError, match="cannot be read: failed to read secret file"):
        _read(_engine('rpc error: code = Unknown desc = failed to read secret file "/x": no such file or directory'))


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_secret_names_the_argument(text: str) -> None:
    with pytest.raises(UsageError, match="--openqa-auth is empty"):
        _read(text)


def test_a_secret_that_is_not_given_is_none() -> None:
    assert anyio.run(readable, None, "upload-auth") is None
