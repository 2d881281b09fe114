"""One check again: what has no result has not passed."""

import pytest

from pipeline.commands.reproduce import not_made
from pipeline.report.model import Check, CheckStatus

MADE = [Check(name=name, status=CheckStatus.PASSED) for name in ("boot", "units", "user/journal", "stable/boot")]


@pytest.mark.parametrize(
    ("asked", "missing"),
    [
        (["units", "user"], []),
        (["user/journal", "stable/boot"], []),
        (["unit"], ["unit"]),
        (["user/jour", "units"], ["user/jour"]),
        (["upgrade"], ["upgrade"]),
    ],
)
def test_what_was_asked_for_and_not_made_is_named(asked, missing) -> None:
    assert not_made(asked, MADE) == missing
