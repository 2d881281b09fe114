"""testing: the image of a tagged commit becomes a disk, the disk boots and is checked, then `:testing` moves.

Part of the gate is the way there: the disk of the current stable is upgraded to the candidate, and taken back.
"""

import time
from collections.abc import Awaitable, Callable

import anyio
from dagger import dag

from pipeline.config import Image, architecture
from pipeline.containers import qemu
from pipeline.containers.disk_builder import build_disk, examine
from pipeline.containers.disk_store import store_disk
from pipeline.domain import Channel, Commit, Digest, Tag
from pipeline.errors import GateFailed, PreconditionError, UsageError
from pipeline.policy.candidate import REVISION_LABEL, Candidate, NotBuiltYet, TestingFacts, for_testing
from pipeline.policy.gate import verdict
from pipeline.policy.tags import TestTag
from pipeline.policy.upgrade import has_bootc
from pipeline.registry.evidence import DiskRecord
from pipeline.report.model import Check, CheckStatus, Phase, Result
from pipeline.stages import evidence, promotion
from pipeline.stages.baseline import compared_with_stable
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
    testing_tag,
)
from pipeline.stages.upgrade import not_tried, upgrade_from_stable
from pipeline.stages.world import World
from pipeline.vm.spec import Arch, Bus, Firmware, Spec

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
    await promotion.respect_holds(world, Channel.TESTING, override=override_hold)
    with world.registry.one_look():
        subjects = await each(
            world.images, lambda image: find_subject(world, image, tag, commit, allow_older=allow_older)
        )
        await each(subjects, lambda one: evidence.required(world, one.image, one.candidate.digest, Channel.NEXT))
        before = await each(
            subjects, lambda one: evidence.passed(world, one.image, one.candidate.digest, Channel.TESTING)
        )
        planned = await plan_of(world, Channel.TESTING, tag.tag, subjects)

    gated = [
        proof or await _through_the_gate(world, subject, gate or _boots_and_keeps)
        for subject, proof in zip(subjects, before, strict=True)
    ]
    results = [proof.evidence.result for proof in gated]
    if any(proof.failed for proof in gated):
        return held_back(results)

    wanted = promotion_of(
        COMMAND, Channel.TESTING, tag.tag, subjects, gated, override_hold=override_hold, allow_older=allow_older
    )
    with world.registry.one_look():
        decision = await decided(world, wanted, planned)
    return await finished(world, wanted, decision, results, start)


async def gate_testing(world: World, reference: str) -> list[GateRun]:
    """Build the disk and boot it, for a test tag or a digest, without promoting or storing anything."""
    subjects = [await _referred(world, image, reference) for image in world.images]
    return [(await _gate(world, subject, keep_disks=False))[0] for subject in subjects]


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
        digest = await registry.digest(Tag(commit))
        next_digest = await registry.digest(Channel.NEXT.tag)
        facts = TestingFacts(
            tag=tag,
            commit=commit,
            digest=digest,
            revision=(await registry.labels(digest)).get(REVISION_LABEL) if digest else None,
            next_digest=next_digest,
            ahead=await _ahead(world, image, commit, next_digest) if next_digest != digest else 0,
            stable=await stable_version(world, image),
            testing=await testing_tag(world, image),
            tagged=await registry.digest(tag.tag),
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
    return await _gate(world, subject, keep_disks=True)


async def _gate(world: World, subject: Subject, *, keep_disks: bool) -> tuple[GateRun, dict[str, DiskRecord]]:
    """For each platform a disk, its boot, and the upgrade to it from the current stable; all of them must pass."""
    gate, image, digest = world.config.gates.testing, subject.image, subject.candidate.digest
    start = time.monotonic()
    artefacts, checks, timeline, inputs = dag.directory(), list[Check](), [], dict[str, str]()
    disks = dict[str, DiskRecord]()
    broken = None
    for platform in image.platforms:
        arch = architecture(platform)
        several = f"{arch}/" if len(image.platforms) > 1 else ""
        try:
            disk = await build_disk(
                world.reach, gate.builder, image.repository, digest, platform, image.update_reference
            )
            made = await examine(disk.file)
        except GateFailed as error:
            checks.append(Check(name=f"{several}disk-image", status=CheckStatus.FAILED, reason=str(error)))
            break
        machine = machine_of(world, image, digest, arch)
        result, report = await qemu.boot(
            world.reach,
            disk.file,
            await compared_with_stable(world, image, digest, platform, machine),
            world.given.source.directory(gate.checks) if gate.checks else None,
        )
        _same_disk(result, made["disk sha256"])
        if keep_disks:  # also a disk that failed: whoever looks for the cause boots that very file
            disks[platform] = await store_disk(world.reach, image.repository, digest, platform, disk, made)
        upgraded = (
            not_tried(world)
            if result.exit_code
            else await upgrade_from_stable(
                world, image, digest, platform, machine, candidate_has_bootc=has_bootc(result.checks)
            )
        )
        seen = result.inputs | made | {"builder": disk.builder} | upgraded.inputs
        checks += [
            check.model_copy(update={"name": several + check.name}) for check in (*result.checks, *upgraded.checks)
        ]
        timeline += [
            phase.model_copy(update={"name": several + phase.name})
            for phase in (*result.timeline, *_after(result.timeline, upgraded.timeline))
        ]
        inputs |= {several + key: value for key, value in seen.items()}
        artefacts = artefacts.with_directory(f"vm-{arch}", report).with_new_file(f"disk-{arch}.log", disk.log)
        if upgraded.report:
            artefacts = artefacts.with_directory(f"vm-{arch}-upgrade", upgraded.report)
        broken = (result.outcome, result.reason) if result.exit_code else upgraded.stopped
        if broken:
            break
    outcome, reason = broken or verdict(checks)
    found = Result(
        command=COMMAND,
        outcome=outcome,
        reason=reason,
        image=image.name,
        repository=str(image.repository),
        digest=digest,
        commit=subject.candidate.commit,
        checks=checks,
        timeline=timeline,
        inputs=inputs,
        duration=time.monotonic() - start,
    )
    return GateRun(found, await evidence.exported(artefacts)), disks


def _after(first: list[Phase], then: list[Phase]) -> list[Phase]:
    """The phases of a machine that was started when the first one was off."""
    off = max((phase.end for phase in first), default=0.0)
    return [phase.model_copy(update={"start": phase.start + off, "end": phase.end + off}) for phase in then]


def _same_disk(result: Result, sha256: str) -> None:
    """The file that booted is the file that was built, before and after: nothing was baked in for the test."""
    seen = {value for name, value in result.inputs.items() if name.startswith("disk_sha256")}
    if seen - {sha256}:
        raise PreconditionError(f"The disk changed while it was tested: {sha256} became {', '.join(sorted(seen))}.")


def machine_of(world: World, image: Image, digest: Digest, arch: str) -> Spec:
    """The machine that the gate builds around a disk, and what it asks of it."""
    gate = world.config.gates.testing
    return Spec(
        image=f"{image.name} {digest.short}",
        digest=digest,
        update_ref=image.update_reference,
        arch=Arch(arch),
        firmware=Firmware(gate.firmware),
        bus=Bus(gate.bus),
        memory_mib=gate.memory // 1024**2,
        cpus=gate.cpus,
        require_kvm=gate.require_kvm,
        services=list(gate.services),
        boot_budget=gate.boot_budget,
        listen=list(gate.listen) if gate.listen is not None else None,
        checks=qemu.CHECKS if gate.checks else None,
        waivers=list(world.config.waivers),
        allowed_skips=frozenset(gate.allowed_skips),
    )
