"""How a call ends that did not pass: with its summary as the only text and its outcome's exit code.

The one place that touches private names of the Python SDK; tests/unit/test_ending.py looks whether they still fit.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

import dagger
from dagger._exceptions import QueryErrorValue
from dagger.mod._exceptions import FunctionError
from gql import GraphQLRequest

from pipeline.domain import Outcome
from pipeline.errors import InfrastructureError, heard
from pipeline.program import place
from pipeline.report.model import Result
from pipeline.report.release import merge
from pipeline.report.text import result_text

_ENGINE_SAID = 2000
"""Characters of an engine's error that are shown."""


class CallFailed(FunctionError, dagger.QueryError):
    """Ends the call.

    The SDK logs no traceback for a FunctionError, and hands the extensions of a QueryError through to the caller. The
    command line exits with the code of what looks like a failed exec; a module that depends on this one catches a
    `dagger.ExecError` with that `exit_code`, and finds `outcome` in its extensions.
    """

    def __new__(cls, *_: object) -> Self:
        """The SDK's own looks for a kind of error in the first argument, and would return another class."""
        return Exception.__new__(cls)

    def __init__(self, command: str, outcome: Outcome, text: str):
        extensions = {
            "_type": "EXEC_ERROR",
            "cmd": [command],
            "exitCode": outcome.exit_code,
            "stdout": "",
            "stderr": "",
            "outcome": outcome.value,
        }
        value = QueryErrorValue(text, extensions=extensions)
        dagger.QueryError.__init__(self, [value], GraphQLRequest("{ __typename }"))
        self.extra = None

    @classmethod
    def of(cls, results: Sequence[Result]) -> Self:
        """The end of a command over these images, not all of which passed."""
        told = merge(results)
        return cls(told.command, told.outcome, result_text(told))


def broken_off(command: str, started: datetime, error: Exception) -> CallFailed:
    """The end of a call that an error stopped."""
    return CallFailed.of([stopped(command, started, error)])


def stopped(command: str, started: datetime, error: Exception) -> Result:
    """The result of a command that an error stopped; what nobody thought of is an outage of this pipeline."""
    known = heard(error, _unthought_of)
    duration = (datetime.now(UTC) - started).total_seconds()
    return Result(command=command, outcome=known.outcome, reason=str(known), started=started, duration=duration)


def _unthought_of(error: BaseException) -> InfrastructureError:
    """The engine's own words are free of secrets; those of any other exception may hold anything, and stay here."""
    if isinstance(error, dagger.QueryError):
        return InfrastructureError(f"The engine answered: {str(error)[:_ENGINE_SAID]}")
    if isinstance(error, dagger.DaggerError):
        return InfrastructureError(f"The engine does not answer ({type(error).__name__}).")
    return InfrastructureError(
        f"The pipeline met a {type(error).__name__} that nobody thought of, {place(error)}. This says nothing about "
        "the image. Please report it to the module's authors with this text and the command; look at status before "
        "you run the command again."
    )
