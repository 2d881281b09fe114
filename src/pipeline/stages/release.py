"""What the promotions to testing and stable have in common."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Outcome, Repository, Tag
from pipeline.each import each
from pipeline.errors import ConflictError, PreconditionError
from pipeline.gates import evidence
from pipeline.gates.evidence import Proof
from pipeline.gates.subject import Subject
from pipeline.policy.past import overtaken
from pipeline.policy.plan import Desired, is_channel
from pipeline.policy.tags import ReleaseTag, TestTag, Version, release_tags, tags_for_testing
from pipeline.registry import ledger
from pipeline.registry.client import RepositoryClient
from pipeline.report.model import Move, Result
from pipeline.stages import promotion
from pipeline.stages.promotion import Promotion
from pipeline.world import World

T = TypeVar("T", TestTag, ReleaseTag)


async def tag_commit(world: World, tag: Tag) -> Commit:
    """The commit of a pushed git tag; PreconditionError when the history handed over has it not."""
    commit = await world.history.commit_of_tag(tag)
    if commit is None:
        raise PreconditionError(
            f"There is no git tag {tag} in the source: push it, and fetch tags (actions/checkout: fetch-depth: 0). "
            "Nothing has moved."
        )
    return commit


async def stable_version(world: World, image: Image) -> Version | None:
    """The version that `:stable` points at: that of the highest release tag with the same digest."""
    release = await _highest(world.repository(image, Channel.STABLE), Channel.STABLE, release_tags)
    return release.version if release else None


async def testing_tag(world: World, image: Image) -> TestTag | None:
    """The highest test tag with the digest that `:testing` points at."""
    return await _highest(world.repository(image, Channel.TESTING), Channel.TESTING, tags_for_testing)


async def _highest(registry: RepositoryClient, channel: Channel, read: Callable[[Iterable[str]], list[T]]) -> T | None:
    """A list of tags may have been cut: what the ledger's newest entry wrote is asked for in any case."""
    now = await registry.digest(channel.tag)
    if now is None:
        return None
    written: list[Tag] = [move.tag for head in await ledger.heads(registry, channel) for move in head.entry.moves]
    for version in reversed(read({*await registry.tags(), *written})):
        if await registry.digest(version.tag) == now:
            return version
    return None


def promotion_of(
    command: str,
    channel: Channel,
    tag: Tag,
    subjects: Sequence[Subject],
    proofs: Sequence[Proof],
    *,
    override_hold: bool = False,
    allow_older: bool = False,
) -> Promotion:
    """Every image's version tag and channel at its candidate; `proofs` are in the order of `subjects`."""
    pairs = zip(subjects, proofs, strict=False)
    return Promotion(
        channel=channel,
        desired=[
            Desired(subject.image.home(channel), name, subject.candidate.digest)
            for name in (tag, channel.tag)
            for subject in subjects
        ],
        evidence={subject.image.home(channel): proof.digest for subject, proof in pairs},
        command=command,
        reason=f"{tag} passed the {channel} gate",
        override_hold=override_hold,
        allow_older=allow_older,
        sources={subject.image.home(channel): subject.image.repository for subject in subjects},
    )


async def plan_of(world: World, channel: Channel, tag: Tag, subjects: Sequence[Subject]) -> list[Move]:
    """The moves that a promotion of these subjects would make now."""
    return await promotion.plan(world, promotion_of("plan", channel, tag, subjects, []).desired)


@dataclass(frozen=True)
class Decision:
    """What is left to do after the gate."""

    outcome: Outcome
    reason: str
    moves: list[Move] = field(default_factory=list)


async def decided(world: World, wanted: Promotion, planned: Sequence[Move]) -> Decision:
    """What a promotion whose gates passed has to move; ConflictError when that is not what was `planned` ahead.

    A promotion that was carried out before, and after which the channel moved on, is superseded: a repeated
    command never takes a channel back.
    """
    moves = await promotion.plan(world, wanted.desired)
    if await _moved_on(world, wanted, moves):
        reason = f"{wanted.desired[0].tag} was promoted before, and {wanted.channel} has moved on since; it stays"
        return Decision(Outcome.SUPERSEDED, reason)
    if not moves:
        return Decision(Outcome.UNCHANGED, f"{wanted.reason} before; nothing to do")
    _as_planned(planned, moves)
    await _still_allowed(world, wanted)
    return Decision(Outcome.PASSED, wanted.reason, moves)


async def finished(
    world: World, wanted: Promotion, decision: Decision, results: Sequence[Result], start: float
) -> list[Result]:
    """Make the moves and say how it ended."""
    moves = decision.moves
    await promotion.carry_out(world, wanted, moves)
    duration = time.monotonic() - start
    told = {
        "command": wanted.command,
        "outcome": decision.outcome,
        "reason": decision.reason,
        "tag": wanted.desired[0].tag,
        "started": datetime.now(UTC) - timedelta(seconds=duration),
        "duration": duration,
    }
    homes = {image.name: str(image.home(wanted.channel)) for image in world.images}
    return [
        result.model_copy(update=told | {"plan": [move for move in moves if move.repository == homes[result.image]]})
        for result in results
    ]


def _as_planned(planned: Sequence[Move], moves: Sequence[Move]) -> None:
    """Less to do than planned is fine, somebody else asked for the same; anything else is a conflict."""
    for move in moves:
        if move not in planned:
            raise ConflictError(
                f"While the gate ran, {move.repository}:{move.tag} became {move.old or 'nothing'}: somebody else moved "
                "it. Nothing has moved here. Look at `plan`, then run again; the evidence is kept."
            )


async def _still_allowed(world: World, wanted: Promotion) -> None:
    """A gate takes hours: look once more, before the first tag is written, for holds and for the evidence."""
    await promotion.respect_holds(world, wanted.channel, override=wanted.override_hold)
    candidates = {wish.repository: wish.digest for wish in wanted.desired}
    await each(
        world.images,
        lambda image: promotion.refuse_withdrawn(
            world, image, candidates[image.home(wanted.channel)], override=wanted.override_hold
        ),
    )
    await each(
        world.images,
        lambda image: evidence.required(world, image, candidates[image.home(wanted.channel)], wanted.channel),
    )


def held_back(results: Sequence[Result]) -> list[Result]:
    """The results when one gate said no: what passed is held back, and nothing moves."""
    failed = ", ".join(result.image for result in results if result.exit_code)
    return [
        result
        if result.exit_code
        else result.model_copy(update={"reason": f"{result.reason}; held back, because {failed} did not pass"})
        for result in results
    ]


async def _moved_on(world: World, wanted: Promotion, moves: Sequence[Move]) -> bool:
    """Whether a channel of one of the images went further after this promotion was made, or began.

    That is so when its ledger says so; and when the channel has a higher version by now, although a crash kept this
    one from getting there. A version tag that is still to be written shows that nothing began.
    """
    tag = wanted.desired[0].tag
    fresh = {move.repository for move in moves if not is_channel(move.tag)}
    for move in moves:
        if move.repository in fresh:
            continue
        steps = await promotion.past(world, Repository.parse(move.repository), wanted.channel)
        if overtaken(steps, tag, move.new, move.old, over_rollback=wanted.override_hold):
            return True
        (image,) = (image for image in world.images if str(image.home(wanted.channel)) == move.repository)
        if not wanted.allow_older and await _is_higher(world, image, wanted.channel, tag):
            return True
    return False


async def _is_higher(world: World, image: Image, channel: Channel, tag: Tag) -> bool:
    """Whether a channel has a higher version than that of a version tag."""
    if channel is Channel.TESTING:
        tested = await testing_tag(world, image)
        return tested is not None and tested > TestTag.parse(tag)
    released = await stable_version(world, image)
    return released is not None and released > ReleaseTag.parse(tag).version
