"""What the promotions to testing and stable have in common."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Outcome, Tag
from pipeline.errors import PreconditionError
from pipeline.policy.candidate import Candidate
from pipeline.policy.plan import Desired, is_channel
from pipeline.policy.tags import ReleaseTag, Version, release_tags
from pipeline.registry import ledger
from pipeline.report.model import Result
from pipeline.stages import promotion
from pipeline.stages.evidence import Proof
from pipeline.stages.promotion import Promotion
from pipeline.stages.world import World


@dataclass(frozen=True)
class Subject:
    """One image of a promotion, with the candidate that it is about."""

    image: Image
    candidate: Candidate


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
    registry = world.repository(image)
    stable = await registry.digest(Channel.STABLE.tag)
    if stable is None:
        return None
    for release in reversed(release_tags(await registry.tags())):
        if await registry.digest(release.tag) == stable:
            return release.version
    return None


def promotion_of(
    command: str,
    channel: Channel,
    tag: Tag,
    subjects: Sequence[Subject],
    proofs: Sequence[Proof],
    *,
    override_hold: bool = False,
) -> Promotion:
    """Every image's version tag and channel at its candidate; `proofs` are in the order of `subjects`."""
    pairs = zip(subjects, proofs, strict=False)
    return Promotion(
        channel=channel,
        desired=[
            Desired(subject.image.repository, name, subject.candidate.digest)
            for name in (tag, channel.tag)
            for subject in subjects
        ],
        evidence={subject.image.repository: proof.digest for subject, proof in pairs},
        command=command,
        reason=f"{tag} passed the {channel} gate",
        override_hold=override_hold,
    )


async def finished(world: World, wanted: Promotion, results: Sequence[Result], start: float) -> list[Result]:
    """Move what is left to move and say how it ended.

    A promotion that was carried out before, and after which the channel moved on, is superseded: a repeated
    command never takes a channel back.
    """
    moves = await promotion.plan(world, wanted.desired)
    outcome, reason = Outcome.PASSED, wanted.reason
    if moves and all(is_channel(move.tag) for move in moves) and await _moved_on(world, wanted):
        outcome, moves = Outcome.SUPERSEDED, []
        reason = f"{wanted.desired[0].tag} was promoted before, and {wanted.channel} has moved on since; it stays"
    elif not moves:
        outcome, reason = Outcome.UNCHANGED, f"{wanted.reason} before; nothing to do"
    await promotion.carry_out(world, wanted, moves)
    duration = time.monotonic() - start
    told = {
        "command": wanted.command,
        "outcome": outcome,
        "reason": reason,
        "tag": wanted.desired[0].tag,
        "started": datetime.now(UTC) - timedelta(seconds=duration),
        "duration": duration,
    }
    return [
        result.model_copy(update=told | {"plan": [move for move in moves if move.repository == result.repository]})
        for result in results
    ]


def held_back(results: Sequence[Result]) -> list[Result]:
    """The results when one gate said no: what passed is held back, and nothing moves."""
    failed = ", ".join(result.image for result in results if result.exit_code)
    return [
        result
        if result.exit_code
        else result.model_copy(update={"reason": f"{result.reason}; held back, because {failed} did not pass"})
        for result in results
    ]


async def _moved_on(world: World, wanted: Promotion) -> bool:
    """Whether the channel went further after this promotion was made, or began: it must not be taken back.

    That is so when the ledger has this very promotion and a later one after it, in every repository; and when
    stable has a higher version by now, although a crash kept this one from getting there.
    """
    if wanted.channel is Channel.STABLE:
        version = ReleaseTag.parse(wanted.desired[0].tag).version
        stable = [await stable_version(world, image) for image in world.images]
        if any(now and now > version for now in stable):
            return True
    for repository in {wish.repository for wish in wanted.desired}:
        mine = {(wish.tag, wish.digest) for wish in wanted.desired if wish.repository == repository}
        place = 0
        async for recorded in ledger.walk(world.registry.repository(repository), wanted.channel):
            if {(move.tag, move.new) for move in recorded.entry.moves} >= mine:
                break
            place += 1
        else:
            return False
        if place == 0:
            return False
    return True
