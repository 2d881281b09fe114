"""testing: the image of a tagged commit goes through the testing gate (`gates/boot.py`), then `:testing` moves."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import anyio

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest
from pipeline.each import AT_ONCE, each
from pipeline.errors import PreconditionError, UsageError
from pipeline.gates import evidence
from pipeline.gates.boot import at_once, testing_gate
from pipeline.gates.evidence import GateRun, Proof
from pipeline.gates.source import require_source
from pipeline.gates.subject import Subject, candidates_of, see_candidate
from pipeline.policy.candidate import (
    REVISION_LABEL,
    Candidate,
    Choice,
    NotBuiltYet,
    TestingFacts,
    choose,
    for_testing,
)
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
    world: World,
    name: str,
    *,
    digest: str = "",
    allow_older: bool = False,
    override_hold: bool = False,
    gated_before: bool = False,
    gate: Gate | None = None,
) -> list[Result]:
    """Which digest, its gate, its evidence, `:vX.Y.Z-test`, then `:testing`: all images or none.

    `digest` names another candidate of the tag's commit than the newest that passed.
    """
    start = time.monotonic()
    tag, named = TestTag.parse(name), asked_digest(world, digest)
    with world.registry.one_look():
        await promotion.respect_holds(world, Channel.TESTING, override=override_hold)
        await each(world.images, lambda image: _refuse_withdrawn(world, image, tag, override=override_hold))
        commit = await tag_commit(world, tag.tag)
        await evidence.refuse_other_checkout(world, commit)
        await require_source(world, Channel.TESTING, Channel.STABLE)
        await world.notary.ready(Channel.TESTING)
        subjects = await each(
            world.images, lambda image: find_subject(world, image, tag, commit, named, allow_older=allow_older)
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

    if gated_before:
        _refuse_ungated(tag, subjects, before)
    gated = await _all_gated(world, subjects, before, gate or _boots_and_keeps)
    results = [proof.evidence.result for proof in gated]
    if any(proof.failed for proof in gated):
        return held_back(results)

    wanted = replace(asked, evidence=proofs_of(subjects, gated))
    with world.registry.one_look():
        decision = await decided(world, wanted, planned)
    return await finished(world, wanted, decision, results, start)


async def _refuse_withdrawn(world: World, image: Image, tag: TestTag, *, override: bool) -> None:
    """Asked before the checkout is looked at: no other one makes a version that was taken back go anywhere."""
    if digest := await world.repository(image).digest(image.tags.version(tag.tag)):
        await promotion.refuse_withdrawn(world, image, digest, override=override)


async def gate_testing(world: World, reference: str, *, keep: bool = False, gate: Gate | None = None) -> list[GateRun]:
    """Build the disk and boot it, for a test tag or a digest, without promoting anything.

    With `keep`, report and disks are stored beside the image, passed or failed, where promote-testing finds them: so
    the gates of a release can run in many jobs. What passed as it is asked now is not run again.
    """
    await require_source(world, Channel.TESTING)
    subjects = [await _referred(world, image, reference) for image in world.images]
    if not keep:
        return [(await testing_gate(world, subject, COMMAND, keep_disks=False))[0] for subject in subjects]
    for subject in subjects:
        await evidence.refuse_other_checkout(world, subject.candidate.commit)
        await evidence.required(world, subject.image, subject.candidate.digest, Channel.NEXT)
    await world.notary.ready(Channel.TESTING)
    before = [await evidence.passed(world, one.image, one.candidate.digest, Channel.TESTING) for one in subjects]
    gated = await _all_gated(world, subjects, before, gate or _boots_and_keeps)
    return [
        await evidence.kept_run(world, one.image, one.candidate.digest, proof)
        for one, proof in zip(subjects, gated, strict=True)
    ]


async def _all_gated(
    world: World, subjects: Sequence[Subject], before: Sequence[Proof | None], gate: Gate
) -> list[Proof]:
    """Those that have no evidence yet go through the gate, as many side by side as were allowed and have room.

    What a gate found is kept while the next machine runs. After an error of one no other is begun.
    """
    machines = anyio.CapacityLimiter(await at_once(world))
    broken: list[Exception] = []

    async def run(subject: Subject) -> tuple[GateRun, dict[str, DiskRecord]]:
        async with machines:
            if broken:
                raise broken[0]
            try:
                return await gate(world, subject)
            except Exception as error:
                broken.append(error)
                raise

    async def one(found: tuple[Subject, Proof | None]) -> Proof:
        subject, proof = found
        if proof:
            return proof
        gated, disks = await run(subject)
        return await evidence.keep(world, subject.image, subject.candidate.digest, Channel.TESTING, gated, disks)

    return await each(zip(subjects, before, strict=True), one, at_once=max(AT_ONCE, int(machines.total_tokens)))


def _refuse_ungated(tag: TestTag, subjects: Sequence[Subject], before: Sequence[Proof | None]) -> None:
    """PreconditionError, naming them, when images of this release have not passed their gate elsewhere."""
    missing = [subject.image.name for subject, proof in zip(subjects, before, strict=True) if proof is None]
    if missing:
        raise PreconditionError(
            f"{tag.tag} was to be promoted on gates that ran before (--gated), and {', '.join(missing)} "
            f"{'has' if len(missing) == 1 else 'have'} no passed evidence of the testing gate as it is configured now. "
            "Run gate-testing --keep for them, then this again. Nothing has moved."
        )


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


def asked_digest(world: World, text: str) -> Digest | None:
    """What --digest names; UsageError for something else, or when it could be of several images."""
    if not text:
        return None
    if len(world.images) > 1:
        raise UsageError("--digest is of one image: say which with --image.")
    try:
        return Digest(text)
    except ValueError as error:
        raise UsageError(f"--digest: {error}. Expected a candidate of the tag's commit.") from None


async def find_subject(
    world: World, image: Image, tag: TestTag, commit: Commit, asked: Digest | None = None, *, allow_older: bool
) -> Subject:
    """The image of the tag's commit; a build in flight is waited for, up to the configured deadline."""
    registry = world.repository(image)
    waited = anyio.current_time() + world.config.gates.testing.wait_for_build
    while True:
        choice, tagged = await _choice(world, image, tag, commit, asked)
        digest = choice.digest
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
            why=choice.why,
        )
        try:
            return Subject(image, for_testing(facts, allow_older=allow_older))
        except NotBuiltYet:
            if anyio.current_time() >= waited:
                raise
        await anyio.sleep(_POLL)
        world.registry.look_again()


async def _choice(
    world: World, image: Image, tag: TestTag, commit: Commit, asked: Digest | None
) -> tuple[Choice, Digest | None]:
    """Which candidate of the commit, and what the version tag names; of several, the gate's word is asked for."""
    tagged = await world.repository(image).digest(image.tags.version(tag.tag))
    candidates = await candidates_of(world, image, commit)
    passed = []
    for one in reversed(candidates) if len(candidates) > 1 and not (asked or tagged) else ():
        if await evidence.passed(world, image, one.digest, Channel.NEXT):
            passed.append(one.digest)
            break
    return choose(tag.tag, tagged, asked, candidates, passed), tagged


async def _ahead(world: World, image: Image, commit: Commit, next_digest: Digest | None) -> int | None:
    if next_digest is None:
        return None
    revision = (await world.repository(image).labels(next_digest)).get(REVISION_LABEL, "")
    return await world.history.count(commit, revision) if revision else None


async def _boots_and_keeps(world: World, subject: Subject) -> tuple[GateRun, dict[str, DiskRecord]]:
    return await testing_gate(world, subject, COMMAND, keep_disks=True)
