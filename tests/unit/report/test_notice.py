"""What people are told of a command, and of what they are not."""

from datetime import date
from typing import Any

import pytest

from pipeline.domain import Outcome
from pipeline.report.board import Ending
from pipeline.report.model import Check, CheckStatus, Result
from pipeline.report.notice import Event, Notice, notices

TODAY = date(2026, 6, 1)
WEEK = 7 * 86400.0


def told(result: Result, *on: Event, waivers: Any = ()) -> list[Notice]:
    return notices([result], on or tuple(Event), waivers, today=TODAY, ahead=WEEK)


@pytest.mark.parametrize(
    ("command", "outcome", "subject"),
    [
        ("build-next", Outcome.PASSED, "os: built"),
        ("promote-testing", Outcome.PASSED, "os: promoted v1.0.0 to testing"),
        ("promote-stable", Outcome.PASSED, "os: promoted v1.0.0 to stable"),
        ("promote-stable", Outcome.GATE_FAILED, "os: promote-stable failed"),
        ("rollback", Outcome.PASSED, "os: rolled-back"),
        ("promote-stable", Outcome.UNCHANGED, None),
        ("promote-stable", Outcome.INFRA, None),
        ("status", Outcome.PASSED, None),
    ],
)
def test_a_command_is_told_by_what_it_brought_about(command: str, outcome: Outcome, subject: str | None) -> None:
    tag: Any = "v1.0.0" if command.startswith("promote") else None
    result = Result(command=command, outcome=outcome, reason="as it is", image="os", tag=tag)
    found = told(result)
    assert [notice.subject for notice in found] == ([subject] if subject else [])
    assert all("as it is" in notice.text for notice in found)


def test_what_nobody_asked_for_is_not_told() -> None:
    assert not told(Result(command="build-next", outcome=Outcome.PASSED, reason="", image="os"), Event.PROMOTED)


def test_a_stale_channel_is_told_by_verify() -> None:
    age = Check(name="stable/age", status=CheckStatus.FAILED, reason="its image is 60 d old")
    found = told(Result(command="verify", outcome=Outcome.PRECONDITION, reason="", image="os", checks=[age]))
    assert found == [Notice(Event.STALE, "os: stable is stale", "its image is 60 d old")]


@pytest.mark.parametrize(
    ("until", "is_told"), [("2026-05-31", False), ("2026-06-01", True), ("2026-06-08", True), ("2026-06-09", False)]
)
def test_a_waiver_that_ends_soon_is_told_by_verify(until: str, is_told: bool) -> None:
    waiver = Ending(date.fromisoformat(until), "ready 'x'")
    result = Result(command="verify", outcome=Outcome.PASSED, reason="", image="os")
    assert bool(told(result, waivers=[waiver])) is is_told
    assert not told(result.model_copy(update={"command": "promote-stable"}), Event.WAIVER_ENDS, waivers=[waiver])
