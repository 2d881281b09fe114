"""Back to what was good: a channel returns to a digest that passed its gate, and stays until someone says so."""

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import anyio

from pipeline.commands.status import resolve
from pipeline.config import Image
from pipeline.domain import Channel, Digest, Outcome, Tag, one_line
from pipeline.errors import ConflictError, PreconditionError, UsageError
from pipeline.gates.evidence import verdict_on
from pipeline.policy.names import CREATED, Facts, Kind, date_of
from pipeline.policy.past import Step, earlier
from pipeline.policy.plan import Desired
from pipeline.registry import ledger
from pipeline.registry.retention import see_whole
from pipeline.report.model import Move, Result
from pipeline.stages import promotion
from pipeline.stages.promotion import Promotion
from pipeline.stages.release import version_at
from pipeline.world import World

_LATER = 5.0
"""Seconds after which an answer that does not fit the ledger is asked for again."""


async def rollback(world: World, channel: Channel, to: str, reason: str) -> list[Result]:
    """Move the channel of every image back, record why, and hold it there.

    Without `to`, to the digest before the present one that passed the channel's gate and is whole; said again, it
    changes nothing. All images or, after an error, the rest by the same command. Version tags stay. What the channel
    was taken back from is withdrawn. Automation leaves the channel alone until `release_hold`.
    """
    start = time.monotonic()
    targets = {image.name: await _target(world, image, channel, to) for image in world.images}
    wanted = [wish for image in world.images for wish in await _desired(world, image, channel, targets[image.name])]
    moves = await promotion.plan(world, wanted)
    for image in world.images:
        _as_found(image, channel, targets[image.name], moves)
    taken_back = Promotion(channel, wanted, {}, "rollback", one_line(reason), kind=ledger.Kind.ROLLBACK)
    await promotion.carry_out(world, taken_back, moves)
    return [
        Result(
            command="rollback",
            outcome=Outcome.PASSED if mine else Outcome.UNCHANGED,
            reason=_told(channel, target, moved=bool(mine)),
            image=image.name,
            repository=str(image.home(channel)),
            digest=target.digest,
            plan=mine,
            duration=time.monotonic() - start,
        )
        for image in world.images
        for target in [targets[image.name]]
        for mine in [promotion.moves_of(image, taken_back, moves)]
    ]


async def hold(world: World, channel: Channel, reason: str) -> list[Result]:
    """Keep promotions away from a channel; several holds are several, the same one said again is one."""
    return [await _hold(world, image, channel, one_line(reason)) for image in world.images]


async def release_hold(world: World, channel: Channel, reason: str, holds: Sequence[str] = ()) -> list[Result]:
    """End holds, those of rollbacks too, so that promotions may move the channel again.

    `holds`: how the digests of their entries begin, as `status` shows them; needed where there are several.
    UsageError for one that is not in force.
    """
    ending = {image.name: await _named(world, image, channel, holds) for image in world.images}
    return [await _release(world, image, channel, one_line(reason), ending[image.name]) for image in world.images]


async def record_loss(world: World, channel: Channel, reason: str) -> list[Result]:
    """Say that entries of a channel's ledger are gone, and go on without them.

    Each gets an entry in its place, which holds the channel until `release_hold`: what is lost may have been a hold.
    """
    return [await _record_loss(world, image, channel, one_line(reason)) for image in world.images]


@dataclass(frozen=True)
class _Target:
    """Where a channel goes back to."""

    digest: Digest
    now: Digest | None
    """Where the channel was when this was decided."""
    passed_over: tuple[str, ...] = ()
    """Why not to one that came before it."""


async def _desired(world: World, image: Image, channel: Channel, target: _Target) -> list[Desired]:
    """The channel at its target, with the aliases that follow it there or have to leave what is taken back."""
    labels = await world.repository(image, channel).labels(target.digest)
    facts = Facts(await version_at(world, image, channel, target.digest), date_of(labels.get(CREATED, "")))
    wishes = promotion.channel_and_aliases(image, channel, target.digest, facts, lenient=True)
    return [*wishes, *await _left_behind(world, image, channel, target.digest, {wish.tag for wish in wishes})]


async def _left_behind(
    world: World, image: Image, channel: Channel, target: Digest, following: Collection[Tag]
) -> list[Desired]:
    """Aliases of what the channel is taken back from that do not follow it: back to where they were before.

    So `44` goes back to the last release of 44 when stable goes back to one of 43. Dated ones stay, as version tags do.
    """
    home = world.repository(image, channel)
    taken_back = await home.digest(image.tags.channel(channel))
    records = await ledger.entries(home, channel)
    if taken_back == target:  # this command before: done, or to be finished
        last = records[0].entry if records else None
        wanted = {move.tag: move.new for move in last.aliases} if last and last.kind is ledger.Kind.ROLLBACK else {}
    else:
        wanted = {tag: good for tag, good in _before(records, taken_back) if await home.digest(tag) == taken_back}
    return [
        Desired(image.name, image.home(channel), tag, Kind.ALIAS, digest)
        for tag, digest in wanted.items()
        if tag not in following and (name := image.tags.read(tag)) and name.kind is Kind.ALIAS and not name.is_dated
    ]


def _before(records: Sequence[ledger.Record], taken_back: Digest | None) -> Iterator[tuple[Tag, Digest]]:
    """Where each alias was last, by a ledger that is newest first, before it came to what is withdrawn."""
    rollbacks = [record.entry for record in records if record.entry.kind is ledger.Kind.ROLLBACK]
    withdrawn = {taken_back, *(move.old for entry in rollbacks for move in entry.moves)}
    moves = [move for record in records for move in record.entry.aliases]
    for tag in dict.fromkeys(move.tag for move in moves):
        before = (move.old for move in moves if move.tag == tag)
        if good := next((digest for digest in before if digest and digest not in withdrawn), None):
            yield tag, good


def _as_found(image: Image, channel: Channel, target: _Target, moves: Sequence[Move]) -> None:
    """ConflictError when the channel is not any more where it was when its target was found."""
    mine = [
        move for move in moves if (move.repository, move.tag) == (str(image.home(channel)), image.tags.channel(channel))
    ]
    now = mine[0].old if mine else target.digest
    if now != target.now:
        raise ConflictError(
            f"{_place(image, channel)} was {target.now or 'not there'} when this command looked and is "
            f"{now or 'not there'} now: somebody else moved it. Nothing has moved here; run again."
        )


def _told(channel: Channel, target: _Target, *, moved: bool) -> str:
    over = "".join(f"; {why}" for why in target.passed_over)
    if moved:
        return f"{channel} is at {target.digest.short} and on hold there{over}"
    return f"{channel} is at {target.digest.short} already; nothing to do. To go further back, name it with --to{over}"


async def _hold(world: World, image: Image, channel: Channel, reason: str) -> Result:
    registry, by = world.repository(image, channel), world.given.actor
    standing = await ledger.standing(registry, channel)
    again = [
        one
        for one in standing.holds
        if (one.entry.kind, one.entry.by, one.entry.reason) == (ledger.Kind.HOLD, by, reason)
    ]
    if again:
        return _noted("hold", image, channel, Outcome.UNCHANGED, f"{channel} is on hold already: {_short(again)}")
    written = await ledger.append(registry, _entry(ledger.Kind.HOLD, channel, by, reason, "hold"))
    under_way = await _under_way(world, image, channel)
    return _noted("hold", image, channel, Outcome.PASSED, f"{channel} is on hold: {written.digest.short}{under_way}")


async def _record_loss(world: World, image: Image, channel: Channel, reason: str) -> Result:
    command, registry = "record-loss", world.repository(image, channel)
    told = _entry(ledger.Kind.LOSS, channel, world.given.actor, reason, command)
    written = await ledger.record_loss(registry, told)
    if not written:
        return _noted(command, image, channel, Outcome.UNCHANGED, f"the {channel} ledger has every entry")
    numbers = ", ".join(str(one.entry.number) for one in written)
    said = f"the {channel} ledger goes on without {numbers}; on hold ({_short(written)}) until release-hold"
    return _noted(command, image, channel, Outcome.PASSED, said)


async def _under_way(world: World, image: Image, channel: Channel) -> str:
    """A promotion that was recorded before the hold may still arrive: a registry cannot compare and swap."""
    steps = await promotion.recorded(world, image, channel)
    now = await world.repository(image, channel).digest(image.tags.channel(channel))
    if not steps or steps[0].back or now in (steps[0].new, None):
        return ""
    return f"; a promotion to {steps[0].new.short} was recorded before and is not there yet: it may still arrive"


async def _named(world: World, image: Image, channel: Channel, wanted: Sequence[str]) -> list[ledger.Record]:
    """The holds in force that are meant."""
    there = (await ledger.standing(world.repository(image, channel), channel)).holds
    if not wanted and len(there) > 1:
        listed = "\n".join(
            f"  {one.digest.short}  {one.entry.kind} by {one.entry.by or '-'}: {one.entry.reason}" for one in there
        )
        raise UsageError(
            f"{_place(image, channel)} has {len(there)} holds; expected --hold with those that end:\n{listed}\n"
            "Nothing was released."
        )
    for text in wanted:
        if sum(_is_meant(one, text) for one in there) != 1:
            raise UsageError(
                f"{_place(image, channel)} has no hold {text}, or several of that name; in force: "
                f"{_short(there) or 'none'}. Nothing was released."
            )
    return [one for one in there if not wanted or any(_is_meant(one, text) for text in wanted)]


def _place(image: Image, channel: Channel) -> str:
    return image.home(channel).tagged(image.tags.channel(channel))


def _is_meant(record: ledger.Record, text: str) -> bool:
    return len(text) >= 4 and record.digest.hex.startswith(text.removeprefix("sha256:"))


async def _release(
    world: World, image: Image, channel: Channel, reason: str, ending: Sequence[ledger.Record]
) -> Result:
    command, registry = "release-hold", world.repository(image, channel)
    if not ending:
        return _noted(command, image, channel, Outcome.UNCHANGED, f"{channel} is free to move already")
    entry = _entry(ledger.Kind.RELEASE, channel, world.given.actor, reason, command)
    await ledger.append(registry, entry.model_copy(update={"releases": [one.digest for one in ending]}))
    left = (await ledger.standing(registry, channel)).holds
    state = f"still on hold: {_short(left)}" if left else "free to move"
    return _noted(command, image, channel, Outcome.PASSED, f"{channel} is {state}")


def _short(records: Sequence[ledger.Record]) -> str:
    return ", ".join(record.digest.short for record in records)


def _entry(kind: ledger.Kind, channel: Channel, by: str, reason: str, command: str) -> ledger.Entry:
    return ledger.Entry(channel=channel, kind=kind, by=by, at=datetime.now(UTC), reason=reason, command=command)


def _noted(command: str, image: Image, channel: Channel, outcome: Outcome, reason: str) -> Result:
    repository = str(image.home(channel))
    return Result(command=command, outcome=outcome, reason=reason, image=image.name, repository=repository)


async def _target(world: World, image: Image, channel: Channel, to: str) -> _Target:
    steps = await promotion.past(world, image, channel)
    if to:
        digest = await resolve(world, image, to)
        if why := await _unfit(world, image, digest, channel):
            raise PreconditionError(f"{image.home(channel).at(digest)} {why}. Nothing has moved.")
        return _Target(digest, await _where(world, image, channel, steps))
    standing = await ledger.standing(world.repository(image, channel), channel)
    if steps and steps[0].back and any(one.entry.moves for one in standing.holds):
        # this command before: done, or to be finished
        return _Target(steps[0].new, await _where(world, image, channel, steps))
    now = await _where(world, image, channel, steps)
    passed_over: list[str] = []
    for before in earlier(steps, now):
        why = await _unfit(world, image, before, channel)
        if not why:
            return _Target(before, now, tuple(passed_over))
        passed_over.append(f"not {before.short}: it {why}")
    if steps and now != steps[0].new:
        raise ConflictError(
            f"{_place(image, channel)} is at {now or 'nothing'}, and its ledger says {steps[0].new}: expected both to "
            "agree. The answer may be an old one: run again. If it stays, `verify` tells more, and --to says "
            "where to go. Nothing has moved."
        )
    raise PreconditionError(
        f"{_place(image, channel)} has no earlier digest to go back to in its ledger"
        + "".join(f"; {why}" for why in passed_over)
        + ". Name one with --to (a version tag or a digest); `history` shows what the channel was. After a first "
        f"release there is none: `hold --channel={channel}` keeps promotions away until a mended version is there. "
        "Nothing has moved."
    )


async def _where(world: World, image: Image, channel: Channel, steps: Sequence[Step]) -> Digest | None:
    """What the channel names; looked at again where the ledger says otherwise: an old answer leads too far back."""
    registry, tag = world.repository(image, channel), image.tags.channel(channel)
    now = await registry.digest(tag)
    if steps and now != steps[0].new:
        await anyio.sleep(_LATER)
        now = await registry.digest(tag)
    return now


async def _unfit(world: World, image: Image, digest: Digest, channel: Channel) -> str:
    """Why a channel cannot go back to a digest; empty when it can."""
    registry = world.repository(image, channel)
    if await promotion.withdrawals(world, image, digest):
        return "is withdrawn itself: a channel was taken back from it"
    evidence = await verdict_on(registry, digest, channel)
    if evidence is None or evidence.verdict is not Outcome.PASSED:
        return f"has no passed evidence of the {channel} gate: a channel only ever goes to what passed it"
    try:
        await see_whole(registry, digest)
    except ConflictError:
        return "is not whole any more: a part of it was deleted"
    return ""
