"""The result of a command, as it is written to result.json."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from pipeline.domain import Commit, Digest, Outcome, Tag, writable

Seconds = Annotated[float, PlainSerializer(lambda value: round(value, 3), return_type=float)]
"""A duration in seconds, written with milliseconds."""

Told = Annotated[str, AfterValidator(writable)]
"""What a check or a command says, which may hold words of others."""


class CheckStatus(StrEnum):
    """What became of one check. Only `passed` and `waived` let a required check through."""

    PASSED = "passed"
    FAILED = "failed"
    WAIVED = "waived"
    SKIPPED = "skipped"
    INFRA = "infra"


class Check(BaseModel):
    """One thing that a gate looked at."""

    model_config = ConfigDict(extra="forbid")

    name: Told
    status: CheckStatus
    required: bool = True
    reason: Told = ""
    """What was found and what was expected; for a skipped check, why it did not run."""
    duration: Seconds = 0.0
    output: Told = ""
    """The end of what the check printed, bounded; whole logs are files beside the result."""

    @property
    def lets_through(self) -> bool:
        """Whether a gate may pass with this check as it is: skipped or broken is not passed."""
        return not self.required or self.status in (CheckStatus.PASSED, CheckStatus.WAIVED)


class Move(BaseModel):
    """One tag that goes from one digest to another; `old` is None for a tag that is created."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    repository: str
    tag: Tag
    old: Digest | None
    new: Digest


class Phase(BaseModel):
    """A stretch of the timeline: seconds since the start of the command or of the machine."""

    name: str
    start: Seconds
    end: Seconds


class Result(BaseModel):
    """The one document that says how a command ended and why."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    command: str
    outcome: Outcome
    reason: Told
    image: str = ""
    repository: str = ""
    digest: Digest | None = None
    commit: Commit | None = None
    tag: Tag | None = None
    checks: list[Check] = []
    plan: list[Move] = []
    timeline: list[Phase] = []
    inputs: dict[str, str] = {}
    """What went in, for whoever asks later: digests and versions of tools, sha256 and size of the disk."""
    started: datetime = Field(default_factory=lambda: datetime.now(UTC))
    duration: Seconds = 0.0
    exit_code: int = 0

    def model_post_init(self, _context: object, /) -> None:
        """The exit code follows from the outcome; a result made at the end started `duration` ago."""
        self.exit_code = self.outcome.exit_code
        if "started" not in self.model_fields_set:
            self.started -= timedelta(seconds=self.duration)
