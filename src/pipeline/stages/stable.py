"""stable: the very disk that booted goes through the full openQA run, then `:stable` moves."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from pipeline.config import Image, Upload, architecture
from pipeline.config import OpenQA as Server
from pipeline.containers.disk_store import fetch_disk, upload_disk
from pipeline.containers.openqa_cli import key_and_secret, schedule
from pipeline.domain import Channel, Commit, Digest
from pipeline.errors import ConflictError, PreconditionError, UsageError
from pipeline.openqa.client import OpenQA
from pipeline.openqa.gate import GateOutcome, Limits, Submission, find_run, run_gate, still_passed
from pipeline.openqa.submission import Order
from pipeline.openqa.verdict import Expectation
from pipeline.policy.candidate import REVISION_LABEL, StableFacts, for_stable
from pipeline.policy.tags import ReleaseTag, highest_test_tag
from pipeline.registry.evidence import DiskRecord
from pipeline.report.model import Check, Result
from pipeline.stages import evidence, promotion
from pipeline.stages.each import each
from pipeline.stages.evidence import GateRun, Proof
from pipeline.stages.release import (
    Subject,
    decided,
    finished,
    held_back,
    plan_of,
    promotion_of,
    stable_version,
    tag_commit,
)
from pipeline.stages.world import World
from pipeline.upload.key import object_key

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
    await promotion.respect_holds(world, Channel.STABLE, override=override_hold)
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
        planned = await plan_of(world, Channel.STABLE, tag.tag, subjects)

    async def gated_one(found: tuple[Subject, Proof, Proof | None]) -> Proof:
        subject, boot, proof = found
        return proof or await _through_the_gate(world, subject, tag, boot, gate or _gate)

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


async def _gate(world: World, subject: Subject, tag: ReleaseTag, tested: Proof) -> GateRun:
    """For each platform: the tested disk, uploaded, through one openQA run; all of them must pass."""
    server, target = _configured(world)
    image, digest = subject.image, subject.candidate.digest
    start, folder = time.monotonic(), evidence.new_folder()
    checks, inputs = list[Check](), dict[str, str]()
    outcome = None
    for platform in image.platforms:
        record = _disk(tested, image, digest, platform)
        disk = await fetch_disk(world.reach, image.repository, record)
        key = object_key(image.name, str(tag.version), architecture(platform), digest)
        uploaded = await upload_disk(world.reach, target, world.given.upload_auth, disk, key)
        order = await _order(world, server, subject, tag, platform, f"{target.public_url}/{key}")
        outcome = await _run(world, server, order, folder / f"openqa-{architecture(platform)}")
        several = f"{architecture(platform)}/" if len(image.platforms) > 1 else ""
        checks += [check.model_copy(update={"name": several + check.name}) for check in outcome.checks]
        inputs |= {several + name: value for name, value in (uploaded | outcome.inputs).items()}
        inputs[f"{several}disk sha256"] = record.sha256.hex
        if outcome.outcome.exit_code:
            break
    if outcome is None:
        raise UsageError(f"images.{image.name} has no platform; expected at least one.")
    result = Result(
        command=COMMAND,
        outcome=outcome.outcome,
        reason=outcome.reason,
        image=image.name,
        repository=str(image.repository),
        digest=digest,
        commit=subject.candidate.commit,
        tag=tag.tag,
        checks=checks,
        inputs=inputs,
        duration=time.monotonic() - start,
    )
    return GateRun(result, folder)


async def _run(world: World, server: Server, order: Order, folder: Path) -> GateOutcome:
    """Adopt the run of this BUILD when there is one, else submit; then wait for the verdict."""
    auth = await key_and_secret(world.given.openqa_auth, "openqa-auth")
    expected = Expectation.of(order, jobs=server.expect_jobs, accept_softfailed=server.accept_softfailed)
    key, secret = auth or ("", "")
    async with OpenQA(server.url, key, secret, address=world.address(server.url)) as client:
        submission = await find_run(client, order, expected)
        if submission is None:
            submission = Submission(await schedule(world.reach, server.url, auth, order), expected)
        outcome = await run_gate(client, submission, folder, Limits(server.timeout, server.pickup_timeout, server.poll))
        if not outcome.outcome.exit_code and not await still_passed(client, submission, outcome):
            raise PreconditionError("openQA's jobs changed after they had passed; run again to judge them anew.")
        return outcome


def _configured(world: World) -> tuple[Server, Upload]:
    gate = world.config.gates.stable
    if gate.openqa is None or gate.upload is None:
        missing = "openqa" if gate.openqa is None else "upload"
        raise UsageError(
            f"pipeline.toml has no gates.stable.{missing}: expected openqa = {{ url = … }} and upload = {{ url = …, "
            "public_url = … }. Without its gate no image becomes stable."
        )
    return gate.openqa, gate.upload


def _disk(tested: Proof, image: Image, digest: Digest, platform: str) -> DiskRecord:
    record = tested.evidence.disks.get(platform)
    if record is None:
        raise PreconditionError(
            f"The testing evidence of {image.repository.at(digest)} names no disk for {platform}; it has "
            f"{', '.join(tested.evidence.disks) or 'none'}. Run promote-testing again for this commit."
        )
    return record


async def _order(world: World, server: Server, subject: Subject, tag: ReleaseTag, platform: str, url: str) -> Order:
    version = str(tag.version)
    scenarios = await world.given.source.file(server.scenarios).contents() if server.scenarios else ""
    return Order(
        distri=server.distri,
        flavor=server.flavor,
        version=server.version.format(version=version),
        arch=server.arch.get(platform, architecture(platform)),
        release=version,
        digest=subject.candidate.digest,
        disk_url=url,
        scenarios=scenarios,
        test=server.test or "",
        extra=server.settings,
    )
