"""The record that a prune is running: it keeps a second one away, tells promotions what is about to go, and remembers
after an interruption what nothing leads to any more.

Its tag is written again and never deleted: what is read must not be what was deleted, which a registry may answer in
ways of its own.
"""

import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Self

import anyio
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from pipeline.domain import Digest
from pipeline.errors import ConflictError, PreconditionError
from pipeline.policy.names import PRUNING
from pipeline.registry.client import RepositoryClient
from pipeline.registry.clock import SKEW
from pipeline.registry.content import children
from pipeline.registry.retention.driver import Driver

RECORD = "application/vnd.bootc-pipeline.pruning.v1+json"

_LASTS = timedelta(hours=1)
_LATEST = _LASTS + 2 * SKEW
"""No prune writes an end that is later than this from now: it begins only where its clock is the registry's."""
_RENEWED_AFTER = 600.0
"""Seconds of work after which the record is written again, well before it runs out."""
_SETTLE = 0.25
"""Seconds in which another's write that had begun before ours shows."""


class State(StrEnum):
    """What the prune that wrote the record was doing."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    ENDED = "ended"


class PruneRecord(BaseModel):
    """What is behind the tag."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    owner: str
    """Random, one for each run."""
    state: State
    until: AwareDatetime
    """A running prune renews its record before; after this time it is taken for dead."""
    digests: tuple[Digest, ...]
    """What has not been deleted yet."""

    def holds(self, now: datetime) -> bool:
        """Whether somebody may be deleting right now."""
        return self.state is State.RUNNING and now < self.until

    def may_still_take(self, digest: Digest, now: datetime) -> bool:
        """Whether a deletion may be under way: also the last one of a prune that gave up waiting for its answer."""
        return self.state is not State.ENDED and now < self.until and digest in self.digests


async def find_record(repository: RepositoryClient) -> PruneRecord | None:
    """The record of a running or interrupted prune; PreconditionError for one that cannot be read."""
    manifest = await repository.manifest(PRUNING)
    if manifest is None:
        return None
    try:
        layers = manifest.layers
        if len(layers) != 1:
            raise ValueError(f"it has {len(layers)} layers, expected one")
        (layer,) = layers
        return _honest(repository, PruneRecord.model_validate_json(await repository.content(layer)))
    except (ValueError, ValidationError) as error:
        raise PreconditionError(
            f"{repository.repository}:{PRUNING} is not a record of a prune: {error}. "
            "Somebody else wrote to this tag; find out who, then delete it."
        ) from error


def _honest(repository: RepositoryClient, record: PruneRecord) -> PruneRecord:
    """A record that ends later than any prune writes it counts as one of a prune that died: it has run out.

    Else whoever may push here, or a clock that was wrong once, kept promotions and prunes away until the year that it
    names. The registry's clock decides, which prunes are held to before they begin: by a clock of ours that is behind,
    the record of a prune that deletes right now would seem to be such a one. Where the registry tells no time nobody's
    clock was compared with anything, and every record holds as long as it says.
    """
    off = repository.clock_is_ahead_by()
    if off is None or record.until <= datetime.now(UTC) - off + _LATEST:
        return record
    return record.model_copy(update={"until": datetime.min.replace(tzinfo=UTC)})


async def refuse_while_pruning(repository: RepositoryClient, digest: Digest, now: datetime) -> None:
    """ConflictError when a prune that runs, or was interrupted a moment ago, has `digest` on its list.

    For promotions, to be called *after* their version tag is written and before a channel moves: prune looks for new
    tags after it has written its record, so that at least one of the two sees the other. What a prune took that has
    ended by now shows in the copy, or by `see_whole`.
    """
    record = await find_record(repository)
    if record and record.may_still_take(digest, now):
        raise ConflictError(
            f"a prune that is {record.state} has {digest} of {repository.repository} on its list: expected an image "
            "that stays. No channel has moved; run again when a prune has ended, or after "
            f"{record.until:%Y-%m-%d %H:%M} UTC."
        )


async def see_whole(repository: RepositoryClient, digest: Digest) -> None:
    """ConflictError when a manifest of the image is gone."""
    manifest = await repository.manifest(digest)
    if manifest is None:
        raise ConflictError(
            f"{repository.repository} has no {digest} any more, or a part of it went: expected an image that stays. "
            "No channel has moved; if the image is gone, push it again from the restore list of the last prune."
        )
    for child in children(manifest):
        await see_whole(repository, child.digest)


class RecordKeeper:
    """Writes the record of one run; time is the given `now` and a monotonic clock from there on."""

    def __init__(self, repository: RepositoryClient, driver: Driver, now: datetime) -> None:
        self._repository = repository
        self._driver = driver
        self._now, self._started = now, anyio.current_time()
        self._owner = secrets.token_hex(8)
        self._written: Digest | None = None
        self._at = self._started

    async def open(self, digests: Iterable[Digest]) -> Self:
        """Write the record; ConflictError when another run holds one or writes at the same moment."""
        found = await find_record(self._repository)
        if found and found.holds(self._now):
            raise ConflictError(
                f"another prune of {self._repository.repository} is running (its record holds until "
                f"{found.until:%Y-%m-%d %H:%M} UTC). Nothing is deleted; run again when it has ended."
            )
        before = await self._repository.raw_manifest(PRUNING)
        await self._write(State.RUNNING, digests)
        if before:
            await self._driver.delete(before.digest, ())
        await anyio.sleep(_SETTLE)
        await self.check()
        return self

    async def check(self) -> None:
        """ConflictError when the record is no longer ours."""
        found = await self._repository.raw_manifest(PRUNING)
        if found is None or found.digest != self._written:
            raise ConflictError(
                f"another prune of {self._repository.repository} took over: expected our own record behind {PRUNING}. "
                "Run again when it has ended."
            )

    async def renew(self, digests: Iterable[Digest]) -> None:
        """Write it again when it is getting old."""
        if anyio.current_time() - self._at > _RENEWED_AFTER:
            await self._write(State.RUNNING, digests)

    async def close(self, digests: Iterable[Digest]) -> None:
        """Note that this run has ended, and for the next one which `digests` were not deleted."""
        await self.check()
        left = tuple(digests)
        await self._write(State.INTERRUPTED if left else State.ENDED, left)

    async def _write(self, state: State, digests: Iterable[Digest]) -> None:
        elapsed = timedelta(seconds=anyio.current_time() - self._started)
        record = PruneRecord(owner=self._owner, state=state, until=self._now + elapsed + _LASTS, digests=tuple(digests))
        layer = await self._repository.push_blob(record.model_dump_json().encode(), RECORD)
        stored = await self._repository.push_artifact(RECORD, [layer], tag=PRUNING)
        before, self._written, self._at = self._written, stored.digest, anyio.current_time()
        if before and before != stored.digest:
            await self._driver.delete(before, ())
