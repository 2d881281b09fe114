"""A message that cannot be sent, for whatever reason, fails nothing."""

from typing import Any

import pytest

from pipeline.containers.apprise import tell
from pipeline.containers.base import Reach
from pipeline.report.notice import Event, Notice

NOTICE = Notice(Event.PROMOTED, "os: promoted v1.0.0 to stable", "It is there.")


class Away:
    """A secret that the engine cannot give, in a way that nobody thought of."""

    async def plaintext(self) -> str:
        raise RuntimeError("the engine is gone")


async def test_what_goes_wrong_is_said_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    away: Any = Away()
    assert await tell(Reach(), away, [NOTICE]) == ["RuntimeError: the engine is gone"]
    assert "Nobody was told: RuntimeError: the engine is gone" in capsys.readouterr().err


async def test_nothing_to_tell_asks_for_no_address() -> None:
    away: Any = Away()
    assert await tell(Reach(), away, []) == []
