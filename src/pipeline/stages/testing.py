"""testing: the image of a tagged commit goes through the testing gate (`gates/boot.py`), then `:testing` moves."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import anyio

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest
from pipeline.each import each
from pipeline.errors import UsageError
from pipeline.gates import evidence
from pipeline.gates.boot import testing_gate
from pipeline.gates.evidence import GateRun, Proof
from pipeline.gates.source import require_source
from pipeline.gates.subject import Subject, see_candidate
from pipeline.policy.candidate import REVISION_LABEL, Candidate, NotBuiltYet, TestingFacts, for_testing
from pipeline.policy.names import CREATED, date_of
from pipeline.policy.tags import TestTag
from pipeline.registry.evidence import DiskRecord
from pipeline.report.model import Result
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
    testing_tag,
)
from pipeline.world import World

COMMAND = "promote-testing"

Gate = Callable[[World, Subject], Awaitable[tuple[GateRun, dict[str, DiskRecord]]]]
"""What a subject goes through, and the disks that it leaves in the registry, by platform."""

_POLL = 10.0


async def promote_testing(
    world: World, name: str, *, allow_older: bool = False, override_hold: bool = False, gate: Gate | None = None
) -> list[Result]:
    """Which digest, its gate, its evidence, `:vX.Y.Z-test`, then `:testing`: all images or none."""
    start = time.monotonic()
    tag = TestTag.parse(name)
    commit = await tag_commit(world, tag.tag)
    await evidence.refuse_other_checkout(world, commit)
    await require_source(world, Channel.TESTING, Channel.STABLE)
    await promotion.respect_holds(world, Channel.TESTING, override=override_hold)
    with world.registry.one_look():
        subjects = await each(
            world.images, lambda image: find_subject(world, image, tag, commit, allow_older=allow_older)
        )
        await each(
            subjects,
            lambda one: promotion.refuse_withdrawn(world, one.image, one.candidate.digest, override=override_hold),
        )
        planned = await plan_of(world, Channel.TESTING, tag.tag, subjects)
        asked = promotion_of(
            COMMAND, Channel.TESTING, tag.tag, subjects, [], override_hold=override_hold, allow_older=allow_older
        )
        if over := await superseded(world, asked, planned, subjects):
            return over
        await each(subjects, lambda one: evidence.required(world, one.image, one.candidate.digest, Channel.NEXT))
        before = await each(
            subjects, lambda one: evidence.passed(world, one.image, one.candidate.digest, Channel.TESTING)
        )
        await each(subjects, lambda one: see_candidate(world, one.image, one.candidate.digest, commit))

    gated = [
        proof or await _through_the_gate(world, subject, gate or _boots_and_keeps)
        for subject, proof in zip(subjects, before, strict=True)
    ]
    results = [proof.evidence.result for proof in gated]
    if any(proof.failed for proof in gated):
        return held_back(results)

    wanted = replace(asked, evidence=proofs_of(subjects, gated))
    with world.registry.one_look():
        decision = await decided(world, wanted, planned)
    return await finished(world, wanted, decision, results, start)


async def gate_testing(world: World, reference: str) -> list[GateRun]:
    """Build the disk and boot it, for a test tag or a digest, without promoting or storing anything."""
    await require_source(world, Channel.TESTING)
    subjects = [await _referred(world, image, reference) for image in world.images]
    return [(await testing_gate(world, subject, COMMAND, keep_disks=False))[0] for subject in subjects]


async def _referred(world: World, image: Image, reference: str) -> Subject:
    if not reference.startswith("sha256:"):
        tag = TestTag.parse(reference)
        return await find_subject(world, image, tag, await tag_commit(world, tag.tag), allow_older=True)
    try:
        digest = Digest(reference)
        revision = (await world.repository(image).labels(digest)).get(REVISION_LABEL, "")
        return Subject(image, Candidate(digest, Commit(revision)))
    except ValueError as error:
        raise UsageError(f"{reference} cannot be tested: {error}. Expected a test tag or an image's digest.") from error


async def find_subject(world: World, image: Image, tag: TestTag, commit: Commit, *, allow_older: bool) -> Subject:
    """The image of the tag's commit; a build in flight is waited for, up to the configured deadline."""
    registry = world.repository(image)
    waited = anyio.current_time() + world.config.gates.testing.wait_for_build
    while True:
        tagged = await registry.digest(image.tags.version(tag.tag))
        digest = tagged or await registry.digest(image.tags.candidate(commit))
        next_digest = await registry.digest(image.tags.channel(Channel.NEXT))
        labels = await registry.labels(digest) if digest else {}
        facts = TestingFacts(
            tag=tag,
            commit=commit,
            digest=digest,
            revision=labels.get(REVISION_LABEL),
            next_digest=next_digest,
            ahead=await _ahead(world, image, commit, next_digest) if next_digest != digest else 0,
            stable=await stable_version(world, image),
            testing=await testing_tag(world, image),
            tagged=tagged,
            built=date_of(labels.get(CREATED, "")),
        )
        try:
            return Subject(image, for_testing(facts, allow_older=allow_older))
        except NotBuiltYet:
            if anyio.current_time() >= waited:
                raise
        await anyio.sleep(_POLL)
        world.registry.look_again()


async def _ahead(world: World, image: Image, commit: Commit, next_digest: Digest | None) -> int | None:
    if next_digest is None:
        return None
    revision = (await world.repository(image).labels(next_digest)).get(REVISION_LABEL, "")
    return await world.history.count(commit, revision) if revision else None


async def _through_the_gate(world: World, subject: Subject, gate: Gate) -> Proof:
    """Evidence of a run right now, passed or failed."""
    run, disks = await gate(world, subject)
    return await evidence.keep(world, subject.image, subject.candidate.digest, Channel.TESTING, run, disks)


async def _boots_and_keeps(world: World, subject: Subject) -> tuple[GateRun, dict[str, DiskRecord]]:
    return await testing_gate(world, subject, COMMAND, keep_disks=True)
