"""Where tags move. Version tags first, then channels; each by digest, each recorded, each read back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import anyio

from pipeline.config import Image
from pipeline.domain import Channel, Digest, Repository, Tag
from pipeline.each import each
from pipeline.errors import ConflictError, InfrastructureError, PartialError, PipelineError, PreconditionError
from pipeline.policy.past import Step
from pipeline.policy.plan import Actual, Desired, is_channel, tag_moves
from pipeline.registry import ledger, media
from pipeline.registry.client import RepositoryClient
from pipeline.registry.retention import refuse_while_pruning, see_whole
from pipeline.registry.transfer import copy_attached
from pipeline.report.model import Move
from pipeline.world import World

_PAUSES = (1.0, 5.0, 15.0)
"""Seconds before a copy that failed is tried again."""


@dataclass(frozen=True)
class Promotion:
    """What a command wants to be true at the end, and what the record says about it."""

    channel: Channel
    desired: Sequence[Desired]
    evidence: dict[Repository, Digest]
    command: str
    reason: str
    kind: ledger.Kind = ledger.Kind.PROMOTION
    override_hold: bool = False
    allow_older: bool = False
    sources: Mapping[Repository, Repository] = field(default_factory=dict)
    """Where the images of a repository come from, when not from itself."""

    def source(self, repository: Repository) -> Repository:
        """Where the images of a repository come from."""
        return self.sources.get(repository, repository)


async def actual_tags(world: World, desired: Sequence[Desired]) -> Actual:
    """What the registry says now."""
    named = await each(desired, lambda wish: world.registry.repository(wish.repository).digest(wish.tag))
    return {(wish.repository, wish.tag): digest for wish, digest in zip(desired, named, strict=True)}


async def plan(world: World, desired: Sequence[Desired]) -> list[Move]:
    """The moves that are left to make, and nothing done."""
    return tag_moves(desired, await actual_tags(world, desired))


async def respect_holds(world: World, channel: Channel, *, override: bool) -> None:
    """Raise PreconditionError when a channel of one of the images is on hold, unless told to override it."""

    async def respect(image: Image) -> None:
        head = await ledger.head(world.repository(image, channel), channel)
        if head and not override:
            _refuse_when_held(image.home(channel), head.entry)

    await each(world.images, respect)


def _refuse_when_held(repository: Repository, entry: ledger.Entry) -> None:
    if is_hold(entry):
        raise PreconditionError(
            f"{repository}:{entry.channel} is on hold since {entry.at:%Y-%m-%d %H:%M} UTC "
            f"({entry.reason or 'no reason given'}). Run release-hold when it may move again, or pass "
            "--override-hold for this one promotion."
        )


def is_hold(entry: ledger.Entry) -> bool:
    """Whether an entry, as the newest of its channel, keeps promotions away: a hold, or a rollback."""
    return entry.kind in (ledger.Kind.HOLD, ledger.Kind.ROLLBACK)


async def past(world: World, repository: Repository, channel: Channel) -> list[Step]:
    """The entries of the ledger that were to move the channel, newest first."""
    steps = []
    async for record in ledger.walk(world.registry.repository(repository), channel):
        version = next((move.tag for move in record.entry.moves if not is_channel(move.tag)), None)
        back = record.entry.kind is ledger.Kind.ROLLBACK
        steps += [Step(move.old, move.new, version, back) for move in record.entry.moves if move.tag == channel.tag]
    return steps


async def carry_out(world: World, promotion: Promotion, moves: Sequence[Move]) -> None:
    """Make the moves of a plan: version tags first, and channels when all of them are written.

    Raises ConflictError when a tag no longer names what the plan saw, PartialError when something fails after
    the first tag was written: the same command finishes it. Before that, errors come as they are.
    """
    done: list[Move] = []

    async def make(move: Move) -> None:
        await _make(world, promotion, move)
        done.append(move)

    try:
        await each((move for move in moves if not is_channel(move.tag)), make)
        await each((move for move in moves if is_channel(move.tag)), make)
    except PipelineError as error:
        if not done:
            raise
        written = ", ".join(f"{move.repository}:{move.tag}" for move in done)
        if isinstance(error, ConflictError):
            raise ConflictError(f"{error} Written before that: {written}.") from error
        raise PartialError(
            f"{written} written, {len(moves) - len(done)} of {len(moves)} moves left. {error} "
            "Run the same command again: it finishes what is left."
        ) from error


async def _make(world: World, promotion: Promotion, move: Move) -> None:
    repository = Repository.parse(move.repository)
    registry, source = world.registry.repository(repository), promotion.source(repository)
    await _refuse_nested(world.registry.repository(source), move.new)
    if is_channel(move.tag):
        await _still_as_planned(world, repository, move)
        if source != repository:
            await _bring_along(world.registry.repository(source), registry, move.new)
        await _record(world, promotion, repository, move)
        # After the record, which a prune looks for: at least one of the two sees the other.
        await refuse_while_pruning(registry, move.new, datetime.now(UTC))
        if source != repository:  # else the copy reads the very manifests that must still be there
            await see_whole(registry, move.new)
    await _write(world, source, repository, move)
    await _read_back(world, repository, move.tag, move.new)


async def _bring_along(source: RepositoryClient, target: RepositoryClient, digest: Digest) -> None:
    """What is attached to an image follows it, verified, before the channel does: evidence, disks, signatures."""
    await copy_attached(source, target, digest)
    manifest = await source.known(digest)
    for child in manifest.manifests if manifest and manifest.is_index else ():
        await copy_attached(source, target, child.digest)


async def _refuse_nested(registry: RepositoryClient, digest: Digest) -> None:
    """skopeo copies no index that lists another one (seen with 1.9.3 and 1.18.0); better said than tried."""
    manifest = await registry.known(digest)
    if manifest and manifest.is_index and any(child.media_type in media.INDEXES for child in manifest.manifests):
        raise PreconditionError(
            f"{registry.repository.at(digest)} is an index that lists another index, which skopeo does not copy; "
            "expected one that lists images only. Push it flat (podman manifest push --all). This tag has not moved."
        )


async def _write(world: World, source: Repository, repository: Repository, move: Move) -> None:
    """Copy by digest; each try looks first, since the one before may have got through although its answer was lost."""
    for pause in (0.0, *_PAUSES):
        await anyio.sleep(pause)
        if await _still_as_planned(world, repository, move) == move.new:
            return
        try:
            await world.copy(source, move.new, repository, move.tag)
        except InfrastructureError as error:
            failure = error
            await see_whole(world.registry.repository(source), move.new)  # else no try will do better
        else:
            return
    if await _still_as_planned(world, repository, move) != move.new:
        raise failure


async def _still_as_planned(world: World, repository: Repository, move: Move) -> Digest | None:
    """What the tag names: as the plan saw it, or as it is to be; ConflictError for anything else."""
    now = await world.registry.repository(repository).digest(move.tag)
    if now not in (move.old, move.new):
        raise ConflictError(
            f"{repository.tagged(move.tag)} was {move.old or 'not there'} when this command looked and is "
            f"{now or 'not there'} now: somebody else moved it. It stays as it is; look at `plan`, then run again."
        )
    return now


async def _record(world: World, promotion: Promotion, repository: Repository, move: Move) -> None:
    """Write the promotion record ahead of the move: what is recorded and not yet done is finished by a rerun."""
    registry = world.registry.repository(repository)
    head = await ledger.head(registry, promotion.channel)
    if head and promotion.kind is ledger.Kind.PROMOTION and not promotion.override_hold:
        _refuse_when_held(repository, head.entry)  # somebody may have said so while the gate ran
    moves = [
        Move(repository=str(repository), tag=wish.tag, old=None, new=wish.digest)
        for wish in promotion.desired
        if wish.repository == repository and not is_channel(wish.tag)
    ]
    moves.append(move)
    if head and (head.entry.kind, head.entry.moves) == (promotion.kind, moves):
        return
    entry = ledger.Entry(
        channel=promotion.channel,
        kind=promotion.kind,
        moves=moves,
        evidence=[promotion.evidence[repository]] if repository in promotion.evidence else [],
        by=world.given.actor,
        at=datetime.now(UTC),
        reason=promotion.reason,
        command=promotion.command,
    )
    await ledger.append(registry, entry, expect=head.digest if head else None)


async def _read_back(world: World, repository: Repository, tag: Tag, digest: Digest) -> None:
    """After the move, the manifest behind the tag is byte for byte the tested one: the digest is that of its bytes."""
    moved = await world.registry.repository(repository).digest(tag)
    if moved != digest:
        raise ConflictError(
            f"{repository.tagged(tag)} reads back as {moved or 'nothing'}, expected {digest}. "
            "Somebody else may have written it in the same moment; run `status`, then this command again."
        )
