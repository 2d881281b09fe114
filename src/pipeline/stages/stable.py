"""stable: the very disk that booted goes through the full openQA run, then `:stable` moves."""

import time
from collections.abc import Awaitable, Callable

from pipeline.config import Image
from pipeline.domain import Channel, Commit
from pipeline.each import each
from pipeline.errors import ConflictError, PreconditionError, UsageError
from pipeline.gates import evidence
from pipeline.gates.evidence import GateRun, Proof
from pipeline.gates.openqa import openqa_gate
from pipeline.gates.subject import Subject, see_candidate
from pipeline.policy.candidate import REVISION_LABEL, StableFacts, for_stable
from pipeline.policy.tags import ReleaseTag, highest_test_tag
from pipeline.report.model import Result
from pipeline.stages import promotion
from pipeline.stages.release import (
    decided,
    finished,
    held_back,
    plan_of,
    promotion_of,
    stable_version,
    tag_commit,
)
from pipeline.world import World

COMMAND = "promote-stable"

Gate = Callable[[World, Subject, ReleaseTag, Proof], Awaitable[GateRun]]
"""What a subject goes through under a release tag, with the proof of its boot, which names the disks."""


async def promote_stable(
    world: World, name: str, *, allow_older: bool = False, override_hold: bool = False, gate: Gate | None = None
) -> list[Result]:
    """Which digest, its disk to where openQA finds it, the run, its evidence, `:vX.Y.Z`, then `:stable`."""
    start = time.monotonic()
    tag = ReleaseTag.parse(name)
    commit = await tag_commit(world, tag.tag)
    await evidence.refuse_other_checkout(world, commit)
    await promotion.respect_holds(world, Channel.STABLE, override=override_hold)
    await world.notary.ready(Channel.STABLE)
    with world.registry.one_look():
        subjects = await each(
            world.images, lambda image: find_subject(world, image, tag, commit, allow_older=allow_older)
        )
        tested = await each(
            subjects, lambda one: evidence.required(world, one.image, one.candidate.digest, Channel.TESTING)
        )
        before = await each(
            subjects, lambda one: evidence.passed(world, one.image, one.candidate.digest, Channel.STABLE)
        )
        await each(subjects, lambda one: see_candidate(world, one.image, one.candidate.digest, commit))
        await each(
            subjects,
            lambda one: promotion.refuse_withdrawn(world, one.image, one.candidate.digest, override=override_hold),
        )
        planned = await plan_of(world, Channel.STABLE, tag.tag, subjects)

    async def gated_one(found: tuple[Subject, Proof, Proof | None]) -> Proof:
        subject, boot, proof = found
        return proof or await _through_the_gate(world, subject, tag, boot, gate or _in_openqa)

    gated = await each(zip(subjects, tested, before, strict=True), gated_one)  # openQA has its own queue
    results = [proof.evidence.result for proof in gated]
    if any(proof.failed for proof in gated):
        return held_back(results)

    wanted = promotion_of(
        COMMAND, Channel.STABLE, tag.tag, subjects, gated, override_hold=override_hold, allow_older=allow_older
    )
    with world.registry.one_look():  # a run takes hours: the world may have moved
        await each(subjects, lambda one: _still_the_one(world, one, tag, commit, allow_older=allow_older))
        decision = await decided(world, wanted, planned)
    return await finished(world, wanted, decision, results, start)


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
    registry = world.repository(image)
    test_tag = highest_test_tag(await registry.tags(), tag.version)
    digest = await registry.digest(test_tag.tag) if test_tag else None
    facts = StableFacts(
        tag=tag,
        commit=commit,
        test_tag=test_tag,
        digest=digest,
        revision=(await registry.labels(digest)).get(REVISION_LABEL) if digest else None,
        test_commit=await world.history.commit_of_tag(test_tag.tag) if test_tag else None,
        stable=await stable_version(world, image),
        tagged=await world.repository(image, Channel.STABLE).digest(tag.tag),
    )
    return Subject(image, for_stable(facts, allow_older=allow_older))


async def _through_the_gate(world: World, subject: Subject, tag: ReleaseTag, tested: Proof, gate: Gate) -> Proof:
    """Evidence of a run right now, passed or failed."""
    run = await gate(world, subject, tag, tested)
    return await evidence.keep(
        world, subject.image, subject.candidate.digest, Channel.STABLE, run, tested.evidence.disks
    )


async def _in_openqa(world: World, subject: Subject, tag: ReleaseTag, tested: Proof) -> GateRun:
    return await openqa_gate(world, subject, tag, tested, COMMAND)
