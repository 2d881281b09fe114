"""stable: the very disk that booted goes through the full openQA run, then `:stable` moves."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest, Outcome
from pipeline.each import each
from pipeline.errors import ConflictError, PreconditionError, UsageError
from pipeline.gates import evidence
from pipeline.gates.evidence import GateRun, Proof
from pipeline.gates.openqa import keep_openqa_results, openqa_gate
from pipeline.gates.source import require_source
from pipeline.gates.subject import Subject, see_candidate
from pipeline.policy.candidate import REVISION_LABEL, StableFacts, for_stable
from pipeline.policy.names import CREATED, date_of
from pipeline.policy.tags import ReleaseTag, TestTag, highest_test_tag
from pipeline.report.model import Check, CheckStatus, Result
from pipeline.stages import promotion
from pipeline.stages.release import (
    decided,
    finished,
    held_back,
    plan_of,
    promotion_of,
    proofs_of,
    stable_version,
    superseded,
    tag_commit,
)
from pipeline.world import World

COMMAND = "promote-stable"
KEPT = "openqa: kept"
"""The check that says what openQA may clean up although the release rests on it."""

Gate = Callable[[World, Subject, ReleaseTag, Proof], Awaitable[GateRun]]
"""What a subject goes through under a release tag, with the proof of its boot, which names the disks."""


async def promote_stable(
    world: World, name: str, *, allow_older: bool = False, override_hold: bool = False, gate: Gate | None = None
) -> list[Result]:
    """Which digest, its disk to where openQA finds it, the run, its evidence, `:vX.Y.Z`, then `:stable`."""
    start = time.monotonic()
    tag = ReleaseTag.parse(name)
    with world.registry.one_look():
        await promotion.respect_holds(world, Channel.STABLE, override=override_hold)
        await each(world.images, lambda image: _refuse_withdrawn(world, image, tag, override=override_hold))
        commit = await tag_commit(world, tag.tag)
        await evidence.refuse_other_checkout(world, commit)
        await require_source(world, Channel.STABLE)
        await world.notary.ready(Channel.STABLE)
        subjects = await each(
            world.images, lambda image: find_subject(world, image, tag, commit, allow_older=allow_older)
        )
        planned = await plan_of(world, Channel.STABLE, tag.tag, subjects)
        asked = promotion_of(
            COMMAND, Channel.STABLE, tag.tag, subjects, [], override_hold=override_hold, allow_older=allow_older
        )
        if over := await superseded(world, asked, planned, subjects):
            return over
        tested = await each(
            subjects, lambda one: evidence.required(world, one.image, one.candidate.digest, Channel.TESTING)
        )
        before = await each(
            subjects, lambda one: evidence.passed(world, one.image, one.candidate.digest, Channel.STABLE)
        )
        await each(subjects, lambda one: see_candidate(world, one.image, one.candidate.digest, commit))

    async def gated_one(found: tuple[Subject, Proof, Proof | None]) -> Proof:
        subject, boot, proof = found
        return proof or await _through_the_gate(world, subject, tag, boot, gate or _in_openqa)

    gated = await each(zip(subjects, tested, before, strict=True), gated_one)  # openQA has its own queue
    results = [proof.evidence.result for proof in gated]
    if any(proof.failed for proof in gated):
        return held_back(results)

    wanted = replace(asked, evidence=proofs_of(subjects, gated))
    with world.registry.one_look():  # a run takes hours: the world may have moved
        await each(subjects, lambda one: _still_the_one(world, one, tag, commit, allow_older=allow_older))
        decision = await decided(world, wanted, planned)
    released = await finished(world, wanted, decision, results, start)
    return released if decision.outcome is Outcome.SUPERSEDED else await _kept_by_openqa(world, released, tag)


async def _kept_by_openqa(world: World, released: list[Result], tag: ReleaseTag) -> list[Result]:
    """Have openQA keep the runs as long as the release. What it does not do is said, and changes no outcome."""
    first, *others = released
    notes = await keep_openqa_results(world, released, tag)
    checks = [Check(name=KEPT, status=CheckStatus.INFRA, required=False, reason=note) for note in notes]
    return [first.model_copy(update={"checks": [*first.checks, *checks]}), *others]


async def _still_the_one(world: World, subject: Subject, tag: ReleaseTag, commit: Commit, *, allow_older: bool) -> None:
    """Look again after the gate, before anything moves; ConflictError when the answer would be another one now."""
    try:
        now = await find_subject(world, subject.image, tag, commit, allow_older=allow_older)
    except (PreconditionError, UsageError) as error:
        raise ConflictError(f"While the gate ran, the world moved: {error}") from error
    if now.candidate.digest != subject.candidate.digest:
        raise ConflictError(
            f"While the gate ran, another attempt was promoted: {tag.tag}-test is {now.candidate.digest} now, "
            f"{subject.candidate.digest} was tested. Run again: it tests that one."
        )


async def find_subject(world: World, image: Image, tag: ReleaseTag, commit: Commit, *, allow_older: bool) -> Subject:
    """What the highest test tag of this version names; the floating `:testing` plays no part."""
    test_tag, digest = await _tested(world, image, tag)
    labels = await world.repository(image).labels(digest) if digest else {}
    facts = StableFacts(
        tag=tag,
        commit=commit,
        test_tag=test_tag,
        digest=digest,
        revision=labels.get(REVISION_LABEL),
        test_commit=await world.history.commit_of_tag(test_tag.tag) if test_tag else None,
        stable=await stable_version(world, image),
        tagged=await world.repository(image, Channel.STABLE).digest(image.tags.version(tag.tag)),
        built=date_of(labels.get(CREATED, "")),
    )
    return Subject(image, for_stable(facts, allow_older=allow_older))


async def _refuse_withdrawn(world: World, image: Image, tag: ReleaseTag, *, override: bool) -> None:
    """Asked before the checkout is looked at: no other one makes a version that was taken back go anywhere."""
    _, digest = await _tested(world, image, tag)
    if digest:
        await promotion.refuse_withdrawn(world, image, digest, override=override)


async def _tested(world: World, image: Image, tag: ReleaseTag) -> tuple[TestTag | None, Digest | None]:
    """The highest test tag of this version, and what it names."""
    attempt = await _highest_attempt(world, image, tag)
    return attempt, await world.repository(image).digest(image.tags.version(attempt.tag)) if attempt else None


async def _highest_attempt(world: World, image: Image, tag: ReleaseTag) -> TestTag | None:
    """A list of tags may have been cut: the attempt after the last one is asked for by name."""
    registry = world.repository(image)
    highest = highest_test_tag(image.tags.versions(await registry.tags()), tag.version)
    if highest:
        await registry.listed(image.tags.version(highest.tag))
    following = highest.following if highest else TestTag(tag.version)
    while await registry.digest(image.tags.version(following.tag)):
        highest, following = following, following.following
    return highest


async def _through_the_gate(world: World, subject: Subject, tag: ReleaseTag, tested: Proof, gate: Gate) -> Proof:
    """Evidence of a run right now, passed or failed."""
    run = await gate(world, subject, tag, tested)
    return await evidence.keep(
        world, subject.image, subject.candidate.digest, Channel.STABLE, run, tested.evidence.disks
    )


async def _in_openqa(world: World, subject: Subject, tag: ReleaseTag, tested: Proof) -> GateRun:
    return await openqa_gate(world, subject, tag, tested, COMMAND)
