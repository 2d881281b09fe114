"""Who moved a channel, when and on what evidence: a chain of entries in the registry, each naming the one before.

An entry is an artifact manifest; the newest is behind the tag `pipeline-ledger-<channel>`. The digest of an entry
covers that of the one before it: rewriting one changes the head, removing one leaves a hole that shows.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from typing import Annotated

import anyio
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError

from pipeline.domain import Channel, Digest, Tag
from pipeline.errors import ConflictError, PreconditionError
from pipeline.registry import media
from pipeline.registry.artifacts import artifact
from pipeline.registry.client import RepositoryClient
from pipeline.registry.content import Manifest
from pipeline.registry.transport import Transient
from pipeline.report.model import Move


class Kind(StrEnum):
    """What happened."""

    PROMOTION = "promotion"
    ROLLBACK = "rollback"
    HOLD = "hold"
    RELEASE = "release"


class Entry(BaseModel):
    """One line of a channel's history."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: Channel
    kind: Kind
    moves: list[Move] = []
    evidence: list[Digest] = []
    """Manifests of the evidence that allowed it."""
    by: str
    at: Annotated[AwareDatetime, AfterValidator(lambda at: at.astimezone(UTC))]
    reason: str
    command: str
    number: int = 1
    """Counts from 1; filled by `append`."""
    previous: Digest | None = None
    """The entry before this one; filled by `append`."""


@dataclass(frozen=True)
class Record:
    """An entry with its place in the registry."""

    digest: Digest
    entry: Entry


def head_tag(channel: Channel) -> Tag:
    """The tag behind which the newest entry lies."""
    return Tag(f"pipeline-ledger-{channel.value}")


async def head(repo: RepositoryClient, channel: Channel) -> Record | None:
    """The newest entry, None for a channel without history."""
    manifest = await repo.manifest(head_tag(channel))
    return await _record(repo, manifest, channel) if manifest else None


async def walk(repo: RepositoryClient, channel: Channel) -> AsyncIterator[Record]:
    """The entries, newest first. PreconditionError, naming the entry, where the chain is broken."""
    record = await head(repo, channel)
    while record:
        yield record
        record = await _before(repo, record)


async def append(repo: RepositoryClient, entry: Entry, *, expect: Digest | None) -> Digest:
    """Put `entry` on top of the chain if its head still is `expect` (None: no entry yet); the new head's digest.

    ConflictError when another entry is or was written there first: the chain then holds that one and not this.
    After an InfrastructureError the same call may be repeated: an entry that got through is recognised, not doubled.
    """
    here = f"the {entry.channel.value} ledger of {repo.repository}"
    number = 1
    if expect:
        top = await repo.known(expect)
        if top is None:
            raise PreconditionError(f"{here} has no entry {expect}; expected the head that was read before")
        number = (await _record(repo, top, entry.channel)).entry.number + 1
    entry = entry.model_copy(update={"previous": expect, "number": number})
    layer = await repo.push_blob(entry.model_dump_json().encode(), media.LEDGER_ENTRY)
    await repo.push_empty()
    written = artifact(media.LEDGER, [layer])
    tag = head_tag(entry.channel)

    async def attempt() -> Digest | None:
        """The head after trying, ours or another's. Each attempt looks first: the last may have taken effect."""
        start = anyio.current_time()
        found = await repo.read_once(tag)
        if found is None if expect is None else found is not None and found.digest == expect:
            await repo.put_manifest(written, tag)
            await repo.settle(start)
            found = await repo.read_once(tag)
            if found is None or found.digest == expect:
                raise Transient(f"a head that still is {expect} after a write")
        return found.digest if found else None

    top_digest = await repo.persist(f"append to {here}", attempt)
    if top_digest == written.digest or await _contains(repo, entry.channel, written.digest, number):
        return written.digest
    raise ConflictError(
        f"{here} is at {top_digest or 'no entry'}, expected {expect or 'no entry'}: somebody else wrote to it. "
        "Theirs stands and this entry is not in it; look at the history, then run the command again."
    )


async def _contains(repo: RepositoryClient, channel: Channel, digest: Digest, number: int) -> bool:
    """Whether the chain holds `digest`, which would be entry `number`: others may have come on top already."""
    async for record in walk(repo, channel):
        if record.digest == digest:
            return True
        if record.entry.number <= number:
            return False
    return False


async def _before(repo: RepositoryClient, record: Record) -> Record | None:
    entry, expected = record.entry, record.entry.number - 1
    if entry.previous is None:
        if expected:
            raise PreconditionError(
                _broken(
                    repo, entry.channel, f"entry {record.digest} is number {entry.number}, yet names none before it"
                )
            )
        return None
    manifest = await repo.known(entry.previous)
    if manifest is None:
        raise PreconditionError(_broken(repo, entry.channel, f"entry {expected} ({entry.previous}) is missing"))
    before = await _record(repo, manifest, entry.channel)
    if before.entry.number != expected:
        raise PreconditionError(
            _broken(repo, entry.channel, f"entry {before.digest} is number {before.entry.number}, expected {expected}")
        )
    return before


async def _record(repo: RepositoryClient, manifest: Manifest, channel: Channel) -> Record:
    try:
        if manifest.artifact_type != media.LEDGER:
            raise ValueError(f"it is a {manifest.artifact_type}")
        (layer,) = manifest.layers
        entry = Entry.model_validate_json(await repo.content(layer))
        if entry.channel != channel:
            raise ValueError(f"it is about {entry.channel.value}")
    except (ValueError, ValidationError) as error:
        raise PreconditionError(_broken(repo, channel, f"entry {manifest.digest} is not one of it: {error}")) from error
    return Record(manifest.digest, entry)


def _broken(repo: RepositoryClient, channel: Channel, found: str) -> str:
    return (
        f"the {channel.value} ledger of {repo.repository} is broken: {found}. Expected an unbroken chain of entries; "
        "somebody rewrote or deleted history, so find out who before anything moves."
    )
