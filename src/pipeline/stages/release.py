"""What the promotions to testing and stable have in common."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest, Outcome, Tag
from pipeline.each import each
from pipeline.errors import ConflictError, PreconditionError
from pipeline.gates import evidence
from pipeline.gates.evidence import Proof
from pipeline.gates.subject import Subject
from pipeline.policy.names import CREATED, Facts, Kind, date_of
from pipeline.policy.past import overtaken
from pipeline.policy.plan import Desired
from pipeline.policy.tags import ReleaseTag, TestTag, Version, release_tags, tags_for_testing
from pipeline.registry import ledger
from pipeline.registry.client import RepositoryClient
from pipeline.report.model import Move, Result
from pipeline.stages import promotion
from pipeline.stages.promotion import Promotion
from pipeline.world import World

T = TypeVar("T", TestTag, ReleaseTag)

GATES = {Channel.TESTING: (Channel.NEXT, Channel.TESTING), Channel.STABLE: (Channel.TESTING, Channel.STABLE)}
"""The evidence that a promotion rests on: what must be there before, and that of the gate itself."""


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
    release = await _highest(world, image, Channel.STABLE, release_tags)
    return release.version if release else None


async def testing_tag(world: World, image: Image) -> TestTag | None:
    """The highest test tag with the digest that `:testing` points at."""
    return await _highest(world, image, Channel.TESTING, tags_for_testing)


async def _highest(world: World, image: Image, channel: Channel, read: Callable[[Iterable[str]], list[T]]) -> T | None:
    registry = world.repository(image, channel)
    now = await registry.digest(image.tags.channel(channel))
    return await _version_of(world, image, channel, now, read) if now else None


async def version_at(world: World, image: Image, channel: Channel, digest: Digest) -> Version | None:
    """The version under which a digest was promoted to a channel; None for next, which has none."""
    if channel is Channel.NEXT:
        return None
    if channel is Channel.TESTING:
        tested = await _version_of(world, image, channel, digest, tags_for_testing)
        return tested.version if tested else None
    released = await _version_of(world, image, channel, digest, release_tags)
    return released.version if released else None


async def aliases_of(world: World, image: Image, channel: Channel, digest: Digest) -> list[Tag]:
    """The tags that follow a channel, as they have to be called while it is at a digest."""
    built = date_of((await world.repository(image, channel).labels(digest)).get(CREATED, ""))
    facts = Facts(await version_at(world, image, channel, digest), built)
    templates = image.tags.aliases.get(channel, ())
    return [tag for template in templates if (tag := image.tags.alias(template, facts))]


async def _version_of(
    world: World, image: Image, channel: Channel, digest: Digest, read: Callable[[Iterable[str]], list[T]]
) -> T | None:
    """The highest of an image's version tags that name a digest; `read` says which of them count.

    A list of tags may have been cut: what the ledger says is asked for in any case.
    """
    registry = world.repository(image, channel)
    listed = set(image.tags.versions(await registry.tags()))
    written = await written_for(registry, image, channel, digest)
    for version in reversed(read(listed.union(written))):
        tag = image.tags.version(version.tag)
        named = (await registry.listed(tag)).digest if version.tag in listed else await registry.digest(tag)
        if named == digest:
            return version
    return None


async def written_for(registry: RepositoryClient, image: Image, channel: Channel, digest: Digest) -> list[Tag]:
    """The versions as which a digest came to a channel last, by the ledger: a list of tags may have been cut."""
    last = await ledger.promotions_to(registry, channel, digest)
    return image.tags.versions(one.entry.version for one in last if one.entry.version)


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
    """Every image's version tag, channel and aliases at its candidate; `proofs` are in the order of `subjects`."""
    return Promotion(
        channel=channel,
        version=tag,
        desired=[wish for subject in subjects for wish in _desired(subject, channel, tag)],
        evidence=proofs_of(subjects, proofs),
        command=command,
        reason=f"{tag} passed the {channel} gate",
        override_hold=override_hold,
        allow_older=allow_older,
        sources={subject.image.name: subject.image.repository for subject in subjects},
    )


def proofs_of(subjects: Sequence[Subject], proofs: Sequence[Proof]) -> dict[str, Digest]:
    """The evidence by which each image moves; `proofs` are in the order of `subjects`, or not there yet."""
    return {subject.image.name: proof.digest for subject, proof in zip(subjects, proofs, strict=False)}


async def superseded(
    world: World, wanted: Promotion, planned: Sequence[Move], subjects: Sequence[Subject]
) -> list[Result]:
    """The results of a promotion after which its channel moved on; empty for any other.

    Asked before the gate: what it found may be pruned by now, and nothing would come of finding it again.
    """
    if not await moved_on(world, wanted, planned):
        return []
    with world.registry.no_look():
        await promotion.record_written_versions(world, wanted)
    return [
        Result(
            command=wanted.command,
            outcome=Outcome.SUPERSEDED,
            reason=went_on(wanted),
            image=subject.image.name,
            repository=str(subject.image.repository),
            digest=subject.candidate.digest,
            commit=subject.candidate.commit,
            tag=wanted.version,
        )
        for subject in subjects
    ]


def went_on(wanted: Promotion) -> str:
    """What is said of a promotion that is superseded."""
    return f"{wanted.version} was promoted before, and {wanted.channel} has moved on since; it stays"


def _desired(subject: Subject, channel: Channel, tag: Tag) -> list[Desired]:
    image, digest = subject.image, subject.candidate.digest
    released = TestTag.parse(tag).version if channel is Channel.TESTING else ReleaseTag.parse(tag).version
    version = Desired(image.name, image.home(channel), image.tags.version(tag), Kind.VERSION, digest)
    facts = Facts(released, subject.candidate.built)
    return [version, *promotion.channel_and_aliases(image, channel, digest, facts)]


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
    if await moved_on(world, wanted, moves):
        return Decision(Outcome.SUPERSEDED, went_on(wanted))
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
    if decision.outcome is not Outcome.SUPERSEDED:
        await promotion.carry_out(world, wanted, moves)
    duration = time.monotonic() - start
    told = {
        "command": wanted.command,
        "outcome": decision.outcome,
        "reason": decision.reason,
        "tag": wanted.version,
        "started": datetime.now(UTC) - timedelta(seconds=duration),
        "duration": duration,
    }
    mine = {image.name: promotion.moves_of(image, wanted, moves) for image in world.images}
    return [result.model_copy(update=told | {"plan": mine[result.image]}) for result in results]


def _as_planned(planned: Sequence[Move], moves: Sequence[Move]) -> None:
    """Less to do than planned is fine, somebody else asked for the same; anything else is a conflict."""
    for move in moves:
        if move not in planned:
            raise ConflictError(
                f"While the gate ran, {move.repository}:{move.tag} became {move.old or 'nothing'}: somebody else moved "
                "it. Nothing has moved here. Look at `plan`, then run again; the evidence is kept."
            )


async def _still_allowed(world: World, wanted: Promotion) -> None:
    """A gate takes hours: look once more, before the first tag is written, for holds and for all of the evidence.

    Another run of the gate before it may have come to a no meanwhile.
    """
    await promotion.respect_holds(world, wanted.channel, override=wanted.override_hold)
    candidates = {wish.image: wish.digest for wish in wanted.desired}
    await each(
        world.images,
        lambda image: promotion.refuse_withdrawn(world, image, candidates[image.name], override=wanted.override_hold),
    )
    rests_on = [(image, gate) for image in world.images for gate in GATES[wanted.channel]]
    await each(rests_on, lambda one: evidence.required(world, one[0], candidates[one[0].name], one[1]))


def held_back(results: Sequence[Result]) -> list[Result]:
    """The results when one gate said no: what passed is held back, and nothing moves."""
    failed = ", ".join(result.image for result in results if result.exit_code)
    return [
        result
        if result.exit_code
        else result.model_copy(update={"reason": f"{result.reason}; held back, because {failed} did not pass"})
        for result in results
    ]


async def moved_on(world: World, wanted: Promotion, moves: Sequence[Move]) -> bool:
    """Whether a channel of one of the images went further after this promotion was made, or began.

    That is so when its ledger says so; and when the channel has a higher version by now, although a crash kept this
    one from getting there. A version tag that is still to be written shows that nothing began.
    """
    return any([await _one_moved_on(world, wanted, image, moves) for image in world.images])


async def _one_moved_on(world: World, wanted: Promotion, image: Image, moves: Sequence[Move]) -> bool:
    mine = promotion.moves_of(image, wanted, moves)
    if not mine or not wanted.version or wanted.of(Kind.VERSION, mine):
        return False
    channel = next(iter(wanted.of(Kind.CHANNEL, mine)), None)
    digest = mine[0].new
    steps = await promotion.past(world, image, wanted.channel)
    now = channel.old if channel else digest
    if overtaken(steps, wanted.version, digest, now, over_rollback=wanted.override_hold):
        return True
    return not wanted.allow_older and await _is_higher(world, image, wanted.channel, wanted.version)


async def _is_higher(world: World, image: Image, channel: Channel, tag: Tag) -> bool:
    """Whether a channel has a higher version than that of a version tag."""
    if channel is Channel.TESTING:
        tested = await testing_tag(world, image)
        return tested is not None and tested > TestTag.parse(tag)
    released = await stable_version(world, image)
    return released is not None and released > ReleaseTag.parse(tag).version
