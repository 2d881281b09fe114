"""Back to what was good: a channel returns to a digest that passed its gate, and stays until someone says so."""

import time
from datetime import UTC, datetime

from pipeline.commands.status import resolve
from pipeline.config import Image
from pipeline.domain import Channel, Digest, Outcome
from pipeline.errors import PreconditionError
from pipeline.gates.evidence import verdict_on
from pipeline.policy.past import earlier
from pipeline.policy.plan import Desired
from pipeline.registry import ledger
from pipeline.report.model import Result
from pipeline.stages import promotion
from pipeline.stages.promotion import Promotion
from pipeline.world import World


async def rollback(world: World, channel: Channel, to: str, reason: str) -> list[Result]:
    """Move the channel of every image back, record why, and hold it there.

    Without `to`, to the digest before the present one that passed the channel's gate; said again, it changes nothing.
    All images or, after an error, the rest by the same command. Version tags stay.
    Automation leaves the channel alone until `release_hold`, or a promotion that overrides the hold.
    """
    start = time.monotonic()
    targets = {image.home(channel): await _target(world, image, channel, to) for image in world.images}
    moves = await promotion.plan(world, [Desired(place, channel.tag, target) for place, target in targets.items()])
    taken_back = Promotion(channel, [], {}, "rollback", reason, ledger.Kind.ROLLBACK)
    await promotion.carry_out(world, taken_back, moves)
    return [
        Result(
            command="rollback",
            outcome=Outcome.PASSED if mine else Outcome.UNCHANGED,
            reason=f"{channel} is at {target.short}"
            + (" and on hold there" if mine else " already; nothing to do. To go further back, name it with --to"),
            image=image.name,
            repository=str(image.home(channel)),
            digest=target,
            plan=mine,
            duration=time.monotonic() - start,
        )
        for image, target in zip(world.images, targets.values(), strict=True)
        for mine in [[move for move in moves if move.repository == str(image.home(channel))]]
    ]


async def hold(world: World, channel: Channel, reason: str) -> list[Result]:
    """Keep promotions away from a channel."""
    return [await _note(world, image, channel, ledger.Kind.HOLD, reason) for image in world.images]


async def release_hold(world: World, channel: Channel, reason: str) -> list[Result]:
    """Let promotions move the channel again, after a hold or a rollback."""
    return [await _note(world, image, channel, ledger.Kind.RELEASE, reason) for image in world.images]


async def _note(world: World, image: Image, channel: Channel, kind: ledger.Kind, reason: str) -> Result:
    registry = world.repository(image, channel)
    head = await ledger.head(registry, channel)
    held = promotion.is_hold(head.entry) if head else False
    wanted = kind is ledger.Kind.HOLD
    if held != wanted:
        entry = ledger.Entry(
            channel=channel,
            kind=kind,
            by=world.given.actor,
            at=datetime.now(UTC),
            reason=reason,
            command="hold" if wanted else "release-hold",
        )
        await ledger.append(registry, entry, expect=head.digest if head else None)
    state = "on hold" if wanted else "free to move"
    return Result(
        command="hold" if wanted else "release-hold",
        outcome=Outcome.UNCHANGED if held == wanted else Outcome.PASSED,
        reason=f"{channel} is {state}" + (" already" if held == wanted else ""),
        image=image.name,
        repository=str(image.home(channel)),
    )


async def _target(world: World, image: Image, channel: Channel, to: str) -> Digest:
    if to:
        digest = await resolve(world, image, to)
        await _passed(world, image, digest, channel)
        return digest
    head = await ledger.head(world.repository(image, channel), channel)
    if head and head.entry.kind is ledger.Kind.ROLLBACK:  # this command before: done, or to be finished
        return head.entry.moves[-1].new
    now = await world.repository(image, channel).digest(channel.tag)
    for before in earlier(await promotion.past(world, image.home(channel), channel), now):
        if await _has_passed(world, image, before, channel):
            return before
    raise PreconditionError(
        f"{image.home(channel)}:{channel} has no earlier digest with passed evidence in its ledger. "
        "Name one with --to (a version tag or a digest); `history` shows what the channel was."
    )


async def _has_passed(world: World, image: Image, digest: Digest, channel: Channel) -> bool:
    evidence = await verdict_on(world.repository(image, channel), digest, channel)
    return evidence is not None and evidence.result.exit_code == 0


async def _passed(world: World, image: Image, digest: Digest, channel: Channel) -> None:
    if not await _has_passed(world, image, digest, channel):
        raise PreconditionError(
            f"{image.home(channel).at(digest)} has no passed evidence of the {channel} gate: a channel only ever goes "
            "to what passed it. Nothing has moved."
        )
