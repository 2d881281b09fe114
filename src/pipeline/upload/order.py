"""What a prune of uploaded disks is told and what it answers, as JSON between the stage and the tool container."""

from pydantic import AwareDatetime, BaseModel, ConfigDict

from pipeline.domain import Digest, Outcome
from pipeline.policy.retention.rules import Rules


class Order(BaseModel):
    """What to prune by."""

    model_config = ConfigDict(extra="forbid")

    image: str
    kept: tuple[Digest, ...]
    """What stays in the image's repositories."""
    gone: tuple[Digest, ...] = ()
    """What was there, and is not any more: only disks of these go."""
    rules: Rules
    now: AwareDatetime


class DiskReport(BaseModel):
    """What was planned and done."""

    outcome: Outcome
    reason: str
    goes: list[str]
    deleted: list[str] = []
    stays: dict[str, str]
    """By key, with the reason."""
    freed: int
    """Bytes of all that goes."""
