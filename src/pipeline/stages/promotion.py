"""Where tags move. Version tags first, then channels; each by digest, each recorded, each read back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import anyio

from pipeline.config import Image
from pipeline.domain import Channel, Digest, Repository, Tag
from pipeline.each import each
from pipeline.errors import ConflictError, InfrastructureError, PartialError, PipelineError, PreconditionError
from pipeline.gates.evidence import verdict_on
from pipeline.policy.names import CREATED, Facts, Kind
from pipeline.policy.past import Step, above, explained
from pipeline.policy.plan import ORDER, Actual, Desired, tag_moves
from pipeline.registry import ledger, media
from pipeline.registry.client import RepositoryClient
from pipeline.registry.content import children
from pipeline.registry.retention import refuse_while_pruning, see_whole
from pipeline.registry.transfer import copy_attached
from pipeline.report.model import Move
from pipeline.stages.signing import sign_images
from pipeline.world import World

_PAUSES = (1.0, 5.0, 15.0)
"""Seconds before a copy that failed is tried again."""


@dataclass(frozen=True)
class Promotion:
    """What a command wants to be true at the end, and what the record says about it."""

    channel: Channel
    desired: Sequence[Desired]
    evidence: Mapping[str, Digest]
    """By image."""
    command: str
    reason: str
    version: Tag | None = None
    """The version tag that is promoted, as it is called in git."""
    kind: ledger.Kind = ledger.Kind.PROMOTION
    override_hold: bool = False
    allow_older: bool = False
    sources: Mapping[str, Repository] = field(default_factory=dict)
    """By image, where its digest comes from, when not from the repository that it moves in."""

    def wish(self, move: Move) -> Desired:
        """What a move is to bring about."""
        return self._wishes[move.repository, move.tag]

    @cached_property
    def _wishes(self) -> dict[tuple[str, str], Desired]:
        return {(str(wish.repository), wish.tag): wish for wish in self.desired}

    def source(self, move: Move) -> Repository:
        """Where the image of a move comes from."""
        wish = self.wish(move)
        return self.sources.get(wish.image, wish.repository)

    def of(self, kind: Kind, moves: Iterable[Move]) -> list[Move]:
        """The moves of one kind of tags."""
        return [move for move in moves if self.wish(move).kind is kind]


def channel_and_aliases(
    image: Image, channel: Channel, digest: Digest, facts: Facts, *, lenient: bool = False
) -> list[Desired]:
    """A channel at a digest, with the tags that follow it there.

    PreconditionError when an alias asks for the date of an image that does not say when it was built; when `lenient`,
    as on the way back to an older image, such an alias stays where it is.
    """
    home, names = image.home(channel), image.tags
    wishes = [Desired(image.name, home, names.channel(channel), Kind.CHANNEL, digest)]
    for template in names.aliases.get(channel, ()):
        tag = names.alias(template, facts)
        if tag is None and lenient:
            continue
        if tag is None:
            raise PreconditionError(
                f"The alias {template} of {image.name} needs a date, and {home.at(digest)} has no label {CREATED} with "
                "one. Build it with that label, or take the alias out of pipeline.toml. Nothing has moved."
            )
        wishes.append(Desired(image.name, home, tag, Kind.ALIAS, digest))
    return wishes


async def actual_tags(world: World, desired: Sequence[Desired]) -> Actual:
    """What the registry says now."""
    named = await each(desired, lambda wish: world.registry.repository(wish.repository).digest(wish.tag))
    return {(wish.repository, wish.tag): digest for wish, digest in zip(desired, named, strict=True)}


async def plan(world: World, desired: Sequence[Desired]) -> list[Move]:
    """The moves that are left to make, and nothing done."""
    return tag_moves(desired, await actual_tags(world, desired))


def moves_of(image: Image, promotion: Promotion, moves: Iterable[Move]) -> list[Move]:
    """Those of one image."""
    return [move for move in moves if promotion.wish(move).image == image.name]


async def respect_holds(world: World, channel: Channel, *, override: bool) -> None:
    """Raise PreconditionError when a channel of one of the images is on hold, unless told to override it."""

    async def respect(image: Image) -> None:
        standing = await ledger.standing(world.repository(image, channel), channel)
        if standing.holds and not override:
            raise PreconditionError(_on_hold(image, standing.holds))

    await each(world.images, respect)


def _on_hold(image: Image, holds: Sequence[ledger.Record]) -> str:
    first, *others = holds
    entry = first.entry
    channel = image.home(entry.channel).tagged(image.tags.channel(entry.channel))
    more = f" and {len(others)} more" if others else ""
    anyway = ", or pass --override-hold for this one promotion: the hold stays then"
    return (
        f"{channel} is on hold since {entry.at:%Y-%m-%d %H:%M} UTC: {first.who_and_why}"
        f"{more}. Run release-hold --channel={entry.channel} when it may move again"
        f"{'' if entry.channel is Channel.NEXT else anyway}."
    )


async def withdrawals(world: World, image: Image, digest: Digest) -> list[ledger.Record]:
    """The rollbacks, of any channel of the image, that took this digest back and were not overridden since."""
    homes = {channel: world.repository(image, channel) for channel in Channel}
    listed = {repo: await repo.tags() for repo in dict.fromkeys(homes.values())}
    standings = [await ledger.standing(repo, channel, listed[repo]) for channel, repo in homes.items()]
    retaken = frozenset[Digest]().union(*(standing.retaken for standing in standings))
    return [
        record
        for standing in standings
        for record in standing.withdrawals
        if record.digest not in retaken and any(move.old == digest for move in record.entry.moves)
    ]


async def refuse_withdrawn(world: World, image: Image, digest: Digest, *, override: bool) -> None:
    """PreconditionError for a digest that a channel of this image was taken back from, unless told to override it."""
    found = [] if override else await withdrawals(world, image, digest)
    if found:
        entry = found[0].entry
        raise PreconditionError(
            f"{digest} is withdrawn: {entry.channel} was taken back from it on {entry.at:%Y-%m-%d %H:%M} UTC "
            f"({entry.reason or 'no reason given'}). No channel takes it again; release another commit or "
            "candidate (build-next --refresh=always), or promote it with --override-hold if you mean it. Nothing has "
            "moved."
        )


async def recorded(world: World, image: Image, channel: Channel) -> list[Step]:
    """The entries of the ledger that were to move the channel, newest first."""
    records = await ledger.entries(world.repository(image, channel), channel)
    return [_step(image, record, move) for record in records if (move := record.entry.channel_move)]


async def past(world: World, image: Image, channel: Channel) -> list[Step]:
    """The same without the promotions that a hold keeps away: they were recorded beside it or after it."""
    held = (await ledger.standing(world.repository(image, channel), channel)).holds
    since = min((hold.entry.number for hold in held), default=None)
    steps = await recorded(world, image, channel)
    return [step for step in steps if since is None or step.number < since or not step.can_be_held]


def _step(image: Image, record: ledger.Record, move: Move) -> Step:
    entry = record.entry
    return Step(
        move.old,
        move.new,
        _version_of(image, entry),
        back=entry.kind is ledger.Kind.ROLLBACK,
        number=entry.number,
        can_be_held=entry.kind is ledger.Kind.PROMOTION,
    )


async def carry_out(world: World, promotion: Promotion, moves: Sequence[Move]) -> None:
    """Make the moves of a plan: version tags first, channels when all of them are written, then aliases.

    What is not in the plan is where the promotion wants it. The images, and what is recorded of the moves, are signed,
    where this command signs, before any tag is written. Raises ConflictError when a
    tag no longer names what the plan saw, PartialError when something fails after the first tag was written: the same
    command finishes it. Before that, errors come as they are.
    """
    done: list[Move] = []
    entries = await _signed_entries(world, promotion, moves)
    await sign_images(world, promotion.channel, promotion.desired, promotion.sources)

    async def make(move: Move) -> None:
        await _make(world, promotion, move, entries.get(move))
        done.append(move)

    try:
        await each(_stays(promotion, moves), lambda move: _record_version(world, promotion, move, entries[move]))
        for kind in ORDER:
            await each(promotion.of(kind, moves), make)
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


async def _signed_entries(world: World, promotion: Promotion, moves: Sequence[Move]) -> dict[Move, ledger.Entry]:
    """What will be recorded of each channel's move; signed, where this command signs, before the first tag moves."""

    async def signed(move: Move) -> ledger.Entry:
        image = world.config.images[promotion.wish(move).image]
        entry = await _entry(world, promotion, image, move)
        await ledger.sign_ahead(world.repository(image, promotion.channel), entry)
        return entry

    recorded = [*promotion.of(Kind.CHANNEL, moves), *_stays(promotion, moves)]
    return dict(zip(recorded, await each(recorded, signed), strict=True))


async def record_written_versions(world: World, promotion: Promotion) -> None:
    """A version whose channel went elsewhere before it could follow is recorded, with the channel staying there.

    Else nobody could tell it from a version tag that was written past the pipeline. Where the ledger does not account
    for the channel, a stranger moved it: no entry of ours may say that it belongs there.
    """
    for wish in promotion.desired:
        if wish.kind is Kind.VERSION:
            await _record_written(world, promotion, wish)


async def _record_written(world: World, promotion: Promotion, wish: Desired) -> None:
    image, channel = world.config.images[wish.image], promotion.channel
    registry, tag = world.repository(image, channel), image.tags.channel(channel)
    named, now = await registry.digest(wish.tag), await registry.digest(tag)
    entries = await ledger.entries(registry, channel)
    if named != wish.digest or now is None or any(record.entry.version == wish.tag for record in entries):
        return
    if not explained(await past(world, image, channel), now):
        return
    stays = Move(repository=str(wish.repository), tag=tag, old=now, new=now)
    entry = await _entry(world, promotion, image, stays)
    only = {"kind": ledger.Kind.PROMOTION, "aliases": [], "retakes": []}
    await ledger.append(registry, entry.model_copy(update=only))


async def _make(world: World, promotion: Promotion, move: Move, entry: ledger.Entry | None) -> None:
    wish = promotion.wish(move)
    image, repository, source = world.config.images[wish.image], wish.repository, promotion.source(move)
    registry = world.repository(image, promotion.channel)
    await _refuse_nested(world.registry.repository(source), move.new)
    if entry:
        try:
            await _still_as_planned(world, repository, move)
        except ConflictError:
            await record_written_versions(world, promotion)
            raise
        if source != repository:
            await _bring_along(world.registry.repository(source), registry, move.new)
        recorded = await _record(registry, entry)
        # After the record, which others look for: at least one of the two sees the other.
        await _refuse_what_came_between(world, promotion, image, move)
        await refuse_while_pruning(registry, move.new, datetime.now(UTC))
        if source != repository:  # else the copy reads the very manifests that must still be there
            await see_whole(registry, move.new)
        await _write(world, source, repository, move)
        await _yield_to_later(world, image, recorded, move)
    elif wish.kind is Kind.ALIAS:
        recorded = await _recorded_alias(world, promotion, image, move)
        await _write(world, source, repository, move)
        await _yield_to_later(world, image, recorded, move)
    else:
        await _write(world, source, repository, move)
    await _read_back(world, repository, move.tag, move.new)


def _stays(promotion: Promotion, moves: Sequence[Move]) -> list[Move]:
    """The channels that are at the digest of a further version already, as moves that change nothing."""
    moving = {promotion.wish(move).image for move in promotion.of(Kind.CHANNEL, moves)}
    further = {promotion.wish(move).image for move in promotion.of(Kind.VERSION, moves)} - moving
    return [
        Move(repository=str(wish.repository), tag=wish.tag, old=wish.digest, new=wish.digest)
        for wish in promotion.desired
        if wish.kind is Kind.CHANNEL and wish.image in further
    ]


async def _record_version(world: World, promotion: Promotion, stays: Move, entry: ledger.Entry) -> None:
    """A version of what the channel names already has an entry, too: nobody but a promotion writes a version tag."""
    image = world.config.images[promotion.wish(stays).image]
    await _record(world.repository(image, promotion.channel), entry)


async def _bring_along(source: RepositoryClient, target: RepositoryClient, digest: Digest) -> None:
    """What is attached to an image follows it, verified, before the channel does: evidence, disks, signatures."""
    await copy_attached(source, target, digest)
    for gate in Channel:
        if await verdict_on(source, digest, gate) != await verdict_on(target, digest, gate):
            raise InfrastructureError(
                f"{target.repository} does not give back the {gate} evidence of {digest}, which was copied there from "
                f"{source.repository}. Nothing has moved; run the command again."
            )


async def _refuse_nested(registry: RepositoryClient, digest: Digest) -> None:
    """skopeo copies no index that lists another one (seen with 1.9.3 and 1.18.0); better said than tried."""
    if any(child.media_type in media.INDEXES for child in children(await registry.known(digest))):
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


async def name(world: World, repository: Repository, tag: Tag, digest: Digest, instead: Digest | None = None) -> None:
    """Let a tag that is written once name an image of its repository; ConflictError when it names another.

    `instead`: what a write of ours let it name, and is to be no more.
    """
    await _write(world, repository, repository, Move(repository=str(repository), tag=tag, old=instead, new=digest))
    await _read_back(world, repository, tag, digest)


async def _still_as_planned(world: World, repository: Repository, move: Move) -> Digest | None:
    """What the tag names: as the plan saw it, or as it is to be; ConflictError for anything else."""
    now = await world.registry.repository(repository).digest(move.tag)
    if now not in (move.old, move.new):
        raise ConflictError(
            f"{repository.tagged(move.tag)} was {move.old or 'not there'} when this command looked and is "
            f"{now or 'not there'} now: somebody else moved it. It stays as it is; look at `plan`, then run again."
        )
    return now


async def _record(registry: RepositoryClient, entry: ledger.Entry) -> ledger.Record:
    """Write the promotion record ahead of the move: what is recorded and not yet done is finished by a rerun."""
    heads = await ledger.heads(registry, entry.channel)
    if len(heads) == 1 and _says_the_same(heads[0].entry, entry):
        return heads[0]
    return await ledger.append(registry, entry)


async def _recorded_alias(world: World, promotion: Promotion, image: Image, move: Move) -> ledger.Record:
    """The entry by which an alias moves: that of its channel, or one of its own when the channel is there already."""
    registry, channel = world.repository(image, promotion.channel), promotion.channel
    for record in await ledger.entries(registry, channel):
        if any((one.tag, one.new) == (move.tag, move.new) for one in record.entry.aliases):
            return record
    entry = ledger.Entry(
        channel=channel,
        kind=ledger.Kind.PROMOTION,
        aliases=[move],
        by=world.given.actor,
        at=datetime.now(UTC),
        reason=promotion.reason,
        command=promotion.command,
    )
    return await ledger.append(registry, entry)


def _says_the_same(written: ledger.Entry, wanted: ledger.Entry) -> bool:
    """Whether a command before, perhaps the same one, recorded all that this one has to."""
    kinds = (wanted.kind, ledger.Kind.OVERRIDE) if wanted.kind is ledger.Kind.PROMOTION else (wanted.kind,)
    return written.kind in kinds and written.moves == wanted.moves and set(wanted.retakes) <= set(written.retakes)


async def _entry(world: World, promotion: Promotion, image: Image, move: Move) -> ledger.Entry:
    mine = [wish for wish in promotion.desired if wish.image == image.name]
    moves = [
        Move(repository=str(wish.repository), tag=wish.tag, old=None, new=wish.digest)
        for wish in mine
        if wish.kind is Kind.VERSION
    ]
    actual = await actual_tags(world, [wish for wish in mine if wish.kind is Kind.ALIAS])
    kind, retakes = promotion.kind, list[Digest]()
    if promotion.override_hold:
        retakes = [record.digest for record in await withdrawals(world, image, move.new)]
        held = (await ledger.standing(world.repository(image, promotion.channel), promotion.channel)).holds
        kind = ledger.Kind.OVERRIDE if held or retakes else kind
    return ledger.Entry(
        channel=promotion.channel,
        kind=kind,
        moves=[*moves, move],
        aliases=tag_moves((wish for wish in mine if wish.kind is Kind.ALIAS), actual),
        evidence=[promotion.evidence[image.name]] if image.name in promotion.evidence else [],
        retakes=retakes,
        by=world.given.actor,
        at=datetime.now(UTC),
        reason=promotion.reason,
        command=promotion.command,
    )


async def _refuse_what_came_between(world: World, promotion: Promotion, image: Image, move: Move) -> None:
    """Somebody may have put the channel on hold, or withdrawn the image, while the gate ran or the record was written.

    The list that is read here has our own record, so it has every hold that was acknowledged before.
    """
    if promotion.kind is ledger.Kind.ROLLBACK or promotion.override_hold:
        return
    standing = await ledger.standing(world.repository(image, promotion.channel), promotion.channel)
    if standing.holds:
        raise PreconditionError(_on_hold(image, standing.holds))
    await refuse_withdrawn(world, image, move.new, override=False)


async def _yield_to_later(world: World, image: Image, recorded: ledger.Record, move: Move) -> None:
    """A registry cannot compare and swap: a slow write of ours may have undone what was recorded after it.

    Then that is put in force again, and ConflictError says so.
    """
    channel = recorded.entry.channel
    repository = image.home(channel)
    for record in await ledger.since(world.repository(image, channel), channel, recorded.entry.number):
        those = (*record.entry.moves, *record.entry.aliases)
        theirs = next((one for one in those if one.tag == move.tag), None)
        if record == recorded or not theirs or theirs.new == move.new or record.entry.leaves_channel:
            continue
        if not _goes_further(image, recorded, record) or await _was_refused(world, image, record, theirs.new):
            continue
        told = {"repository": str(repository), "old": move.new}
        await _write(world, repository, repository, theirs.model_copy(update=told))
        raise ConflictError(
            f"While this command wrote {repository.tagged(move.tag)}, another was recorded: {record.entry.kind} to "
            f"{theirs.new} ({record.entry.reason or 'no reason given'}). The tag is there again."
        )


async def _was_refused(world: World, image: Image, record: ledger.Record, digest: Digest) -> bool:
    """Whether a promotion was recorded that a hold or a withdrawal keeps from being carried out."""
    if record.entry.kind is not ledger.Kind.PROMOTION:
        return False
    channel = record.entry.channel
    standing = await ledger.standing(world.repository(image, channel), channel)
    return bool(standing.holds or await withdrawals(world, image, digest))


def _goes_further(image: Image, ours: ledger.Record, theirs: ledger.Record) -> bool:
    """Whether a channel belongs where an entry took it that was written at the same time as ours, or after it."""
    mine, other = _version_of(image, ours.entry), _version_of(image, theirs.entry)
    if theirs.entry.kind is ledger.Kind.ROLLBACK:
        return True
    if ours.entry.kind is ledger.Kind.ROLLBACK:
        return theirs.entry.kind is ledger.Kind.OVERRIDE and theirs.entry.number > ours.entry.number
    if mine and other:
        return above(other, mine)
    return theirs.entry.number > ours.entry.number


def _version_of(image: Image, entry: ledger.Entry) -> Tag | None:
    """As it is called in git."""
    return next(iter(image.tags.versions([entry.version])), None) if entry.version else None


async def _read_back(world: World, repository: Repository, tag: Tag, digest: Digest) -> None:
    """After the move, the manifest behind the tag is byte for byte the tested one: the digest is that of its bytes."""
    moved = await world.registry.repository(repository).digest(tag)
    if moved != digest:
        raise ConflictError(
            f"{repository.tagged(tag)} reads back as {moved or 'nothing'}, expected {digest}. "
            "Somebody else may have written it in the same moment; run `status`, then this command again."
        )
