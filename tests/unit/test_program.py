"""A program in a tool container ends with its outcome's exit code: 1 is a verdict, and never a crash."""

import errno

import pytest

from pipeline.domain import Outcome
from pipeline.errors import GateFailed, InfrastructureError, PreconditionError, UsageError
from pipeline.policy.blame import is_full
from pipeline.program import ended


def ends(error: BaseException) -> int:
    def work() -> str:
        raise error

    return ended(work)


def test_what_it_answers_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(lambda: "{}") == 0
    assert ended(str) == 0
    assert capsys.readouterr().out == "{}\n"


@pytest.mark.parametrize("kind", [GateFailed, UsageError, PreconditionError, InfrastructureError])
def test_an_error_of_ours_is_its_outcome(kind: type[GateFailed], capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(ExceptionGroup("", [kind("Because.")])) == kind.outcome.exit_code
    assert capsys.readouterr().err == "Because.\n"


@pytest.mark.parametrize(
    "error",
    [
        KeyError("s3cret"),
        MemoryError(),
        RecursionError(),
        ExceptionGroup("", [OSError(errno.EIO, "Input/output error")]),
    ],
)
def test_what_nobody_thought_of_is_an_outage(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    assert ends(error) == Outcome.INFRA.exit_code
    assert "s3cret" not in capsys.readouterr().err


def test_a_full_disk_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "/image/blobs")
    assert ends(ExceptionGroup("", [full])) == Outcome.INFRA.exit_code
    said = capsys.readouterr().err
    assert is_full(said)
    assert "/image/blobs" in said
