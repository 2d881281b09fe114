"""Results to render."""

from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from pipeline.domain import Commit, Digest, Outcome, Tag
from pipeline.report.model import Check, CheckStatus, Move, Phase, Result

REPOSITORY = "ghcr.io/tuna-os/yellowfin"
NEW = Digest("sha256:" + "a" * 64)
OLD = Digest("sha256:" + "b" * 64)


class Make(Protocol):
    def __call__(self, outcome: Outcome = ..., *checks: Check, **more: Any) -> Result: ...


@pytest.fixture
def make() -> Make:
    """A promotion of one image to testing, with this outcome and these checks."""

    def make(outcome: Outcome = Outcome.PASSED, *checks: Check, **more: Any) -> Result:
        values = {
            "command": "promote-testing",
            "reason": "All checks passed.",
            "image": "yellowfin",
            "repository": REPOSITORY,
            "digest": NEW,
            "commit": Commit("1" * 40),
            "tag": Tag("v1.2.3-test"),
            "checks": list(checks),
            "plan": [
                Move(repository=REPOSITORY, tag=Tag("v1.2.3-test"), old=None, new=NEW),
                Move(repository=REPOSITORY, tag=Tag("testing"), old=OLD, new=NEW),
            ],
            "timeline": [Phase(name="kernel", start=0, end=5), Phase(name="userspace", start=5, end=20)],
            "inputs": {"disk sha256": "d" * 64},
            "started": datetime(2026, 9, 1, 12, tzinfo=UTC),
            "duration": 64.2,
        } | more
        return Result(outcome=outcome, **values)

    return make


@pytest.fixture
def advice() -> Check:
    """A finding that stops nothing."""
    return Check(name="size-change", status=CheckStatus.FAILED, required=False, reason="grew by 9 %", output="9 %")


@pytest.fixture
def failed() -> Check:
    return Check(
        name="units",
        status=CheckStatus.FAILED,
        reason="greeting.service failed. Expected no failed unit.",
        duration=2.3,
        output="greeting.service: exited, status=1",
    )
