"""The testing gate: an image becomes a disk, the disk boots and is checked, and stable's disk is upgraded to it."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import dagger
from dagger import dag

from pipeline.config import Image, architecture
from pipeline.containers import qemu
from pipeline.containers.disk_builder import NotBuilt, build_disk, formed
from pipeline.containers.disk_store import Candidate, Disk, attach_disk, send_disk, store_disk
from pipeline.containers.machine import room, spares
from pipeline.domain import Channel, Digest, Outcome, worst
from pipeline.each import each, meanwhile
from pipeline.errors import GateFailed, InfrastructureError, PipelineError, PreconditionError
from pipeline.gates import evidence
from pipeline.gates.baseline import compared_with_stable
from pipeline.gates.evidence import GateRun
from pipeline.gates.outputs import other_outputs
from pipeline.gates.room import room_for
from pipeline.gates.subject import Subject
from pipeline.gates.upgrade import fetch_base, not_tried, upgrade_from_stable
from pipeline.image.disk_config import Shipped, shipped_by
from pipeline.policy.fleet import fitting
from pipeline.policy.gate import verdict
from pipeline.policy.platforms import short_name
from pipeline.policy.room import to_test
from pipeline.policy.upgrade import has_bootc
from pipeline.registry.evidence import DiskRecord
from pipeline.report.model import Check, CheckStatus, Phase, Result
from pipeline.report.wording import DISK
from pipeline.vm.spec import DISK_SHA256, Arch, Bus, Firmware, Spec
from pipeline.world import World

_MEMORY_OVERHEAD = 1.5
"""What a machine and its tools take beside the guest's memory, as a factor."""


@dataclass(frozen=True)
class Tried:
    """What the machines of one platform found."""

    checks: list[Check]
    timeline: list[Phase] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    files: dagger.Directory | None = None
    """Reports of the machines and the disk builder's log."""
    disks: dict[str, DiskRecord] = field(default_factory=dict)
    """Those that were stored, by platform and kind."""
    candidate: Candidate | None = None
    """What was fetched for it."""
    stopped: tuple[Outcome, str] | None = None
    """What a machine itself made of its run, when that was not to pass."""

    @property
    def verdict(self) -> tuple[Outcome, str]:
        """Whether this platform may be promoted, and why."""
        return self.stopped or verdict(self.checks)


async def at_once(world: World) -> int:
    """How many machines may run side by side: `--jobs`, within what the engine's machine has room for."""
    gate, jobs = world.config.gates.testing, world.given.jobs
    if jobs <= 1:
        return 1
    memory, processors = await room(world.reach)
    return fitting(jobs, [(memory, gate.memory * _MEMORY_OVERHEAD), (processors, gate.cpus)])


async def testing_gate(
    world: World, subject: Subject, command: str, *, keep_disks: bool
) -> tuple[GateRun, dict[str, DiskRecord]]:
    """Its platforms until one does not pass; the disks, by platform, are those that were stored.

    One after the other, or as many side by side as were allowed and have room, when there is no other image.
    """
    start = time.monotonic()
    image, digest = subject.image, subject.candidate.digest
    platforms = _booted(world, image)
    held_back, errors = list[str](), dict[str, PipelineError]()

    async def through(platform: str) -> Tried | None:
        if held_back:
            return None
        try:
            tried = await _through(world, image, digest, platform, keep_disks=keep_disks)
        except PipelineError as error:
            errors[platform] = error
            tried = Tried([Check(name="boot", status=CheckStatus.INFRA, reason=str(error))])
        if tried.verdict[0] is not Outcome.PASSED:
            held_back.append(platform)
        return tried

    alone = len(platforms) > 1 and len(world.images) == 1
    ended = await each(platforms, through, at_once=await at_once(world) if alone else 1)
    if errors and not any(tried and tried.verdict[0] is Outcome.GATE_FAILED for tried in ended):
        raise next(errors[platform] for platform in platforms if platform in errors)
    files, disks = dag.directory(), dict[str, DiskRecord]()
    checks, timeline, inputs = list[Check](), list[Phase](), dict[str, str]()
    stopped, others = list[tuple[Outcome, str]](), list[Check]()
    for platform, tried in zip(platforms, ended, strict=True):
        if tried is None:
            continue
        several = f"{short_name(platform)}/" if len(image.platforms) > 1 else ""
        found = [check.model_copy(update={"name": several + check.name}) for check in tried.checks]
        checks += found
        if tried.stopped:
            stopped.append(tried.stopped)
        else:
            others += found
        timeline += [phase.model_copy(update={"name": several + phase.name}) for phase in tried.timeline]
        inputs |= {several + key: value for key, value in tried.inputs.items()}
        files = files.with_directory("/", tried.files) if tried.files else files
        disks |= tried.disks
    outcome, reason = concluded([*stopped, *([verdict(others)] if others else [])])
    checks += not_booted(world.config.unbooted(image))
    result = Result(
        command=command,
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
    return GateRun(result, await evidence.exported(files)), disks


def concluded(verdicts: Sequence[tuple[Outcome, str]]) -> tuple[Outcome, str]:
    """The verdict over several platforms: a no outweighs what kept another from one."""
    first = worst([outcome for outcome, _ in verdicts])
    return next(one for one in verdicts if one[0] is first)


def _booted(world: World, image: Image) -> list[str]:
    """The platforms that the gate is about; PreconditionError when there are none."""
    found = world.config.booted(image)
    if not found:
        raise PreconditionError(
            f"No platform of {image.name} is booted (gates.testing.unbooted names all of them): nothing would be "
            "proven. Expected one at least. Nothing has moved."
        )
    return found


def not_booted(reasons: Mapping[str, str]) -> list[Check]:
    """What the evidence says of platforms that are promoted without a boot."""
    return [
        Check(
            name=f"{short_name(platform)}/boot",
            status=CheckStatus.SKIPPED,
            required=False,
            reason=f"not-booted: {platform} goes along without a disk and a boot, because {why}",
        )
        for platform, why in sorted(reasons.items())
    ]


async def _through(world: World, image: Image, digest: Digest, platform: str, *, keep_disks: bool) -> Tried:
    """The machines of one platform, and what else is built for it when they let it pass."""
    tried = await _try(world, image, digest, platform, keep_disk=keep_disks)
    if tried.verdict[0] is not Outcome.PASSED:
        return tried
    machine = await machine_of(world, image, digest, platform)
    others = await other_outputs(world, image, digest, platform, machine, tried.candidate, keep=keep_disks)
    return replace(
        tried,
        checks=[*tried.checks, *others.checks],
        inputs=tried.inputs | others.inputs,
        files=others.files.with_directory("/", tried.files) if tried.files else others.files,
        disks=tried.disks | {f"{platform} {kind}": record for kind, record in others.records.items()},
    )


async def _try(world: World, image: Image, digest: Digest, platform: str, *, keep_disk: bool) -> Tried:
    """What the machines of one platform found, if the engine has room for its disk."""
    machine = await machine_of(world, image, digest, platform)
    compared = await compared_with_stable(world, image, digest, platform, machine)
    stable_disk = (compared.stable and compared.stable.disk_size) or 0
    async with room_for(world, to_test(image.name, compared.image_size or 0, stable_disk)) as room:
        tried = await _disk_and_machines(world, image, digest, platform, machine, compared, keep_disk=keep_disk)
    return replace(tried, inputs=room | tried.inputs)


async def _disk_and_machines(
    world: World, image: Image, digest: Digest, platform: str, machine: Spec, compared: Spec, *, keep_disk: bool
) -> Tried:
    """A disk of the image, its boot, and the upgrade to it from the current stable.

    `compared`: the machine, with what is known of stable.
    """
    gate, arch = world.config.gates.testing, short_name(platform)
    config = world.given.source.file(gate.builder.config) if gate.builder.config else None
    shipped = shipped_by(gate.builder.config, await config.contents()) if gate.builder.config and config else Shipped()
    try:
        disk = await build_disk(
            world.reach, gate.builder, image.repository, digest, platform, image.update_reference, config
        )
        disk, form = await formed(disk, gate.builder, Arch(architecture(platform)))
    except GateFailed as error:
        log = error.log if isinstance(error, NotBuilt) else ""
        return Tried(
            [Check(name="disk-image", status=CheckStatus.FAILED, reason=str(error), output=log[-4000:])],
            inputs=shipped.inputs,
            files=dag.directory().with_new_file(f"disk-{arch}.log", log) if log else None,
        )

    async def slows_none() -> bool:
        return await spares(world.reach, gate.cpus * max(world.given.jobs, 1))

    async def based() -> None:
        if await slows_none():
            await fetch_base(world, image, digest, platform)

    async def sent() -> dagger.File | None:
        return await send_disk(world.reach, image.repository, disk) if keep_disk and await slows_none() else None

    own_checks = world.given.source.directory(gate.checks) if gate.checks else None
    async with meanwhile(based), meanwhile(sent) as chunks:
        result, report = await qemu.boot(world.reach, disk.file, compared, own_checks, within=gate.timeout)
        if result.exit_code:
            upgraded = not_tried(world)
        else:
            bootc = has_bootc(result.checks)
            upgraded = await upgrade_from_stable(
                world, image, disk.candidate, platform, machine, candidate_has_bootc=bootc
            )
        booted = result.inputs.get(DISK_SHA256)
        stored, kept = None, {"disk sha256": booted} if booted else dict[str, str]()
        stopped = (result.outcome, result.reason) if result.exit_code else upgraded.stopped
        # also a disk that failed: whoever looks for the cause boots that very file
        if keep_disk and booted:
            try:
                stored = await _stored(world, image, digest, platform, disk, await chunks(), booted)
                kept[DISK] = stored.manifest
            except PipelineError:
                if not stopped:
                    raise
    files = dag.directory().with_directory(f"vm-{arch}", report).with_new_file(f"disk-{arch}.log", disk.log)
    return Tried(
        checks=[*shipped.checks, *result.checks, *upgraded.checks],
        timeline=[*result.timeline, *after(result.timeline, upgraded.timeline)],
        inputs=result.inputs | form.inputs() | shipped.inputs | {"builder": disk.builder} | kept | upgraded.inputs,
        files=files.with_directory(f"vm-{arch}-upgrade", upgraded.report) if upgraded.report else files,
        disks={platform: stored} if stored else {},
        candidate=disk.candidate,
        stopped=stopped,
    )


async def _stored(
    world: World, image: Image, digest: Digest, platform: str, disk: Disk, sent: dagger.File | None, sha256: str
) -> DiskRecord:
    """The disk that was sent beside the boot, attached to the image.

    Sent once more when that fails: nothing named the chunks meanwhile, so that a registry may have let go of them.
    """
    if sent:
        with suppress(InfrastructureError):
            return await attach_disk(world.reach, image.repository, digest, platform, disk, sent, sha256)
    return await store_disk(world.reach, image.repository, digest, platform, disk, sha256)


def after(first: list[Phase], then: list[Phase]) -> list[Phase]:
    """The phases of a machine that was started when the first one was off."""
    off = max((phase.end for phase in first), default=0.0)
    return [phase.model_copy(update={"start": phase.start + off, "end": phase.end + off}) for phase in then]


async def machine_of(world: World, image: Image, digest: Digest, platform: str) -> Spec:
    """The machine that the gate builds around a disk, and what it asks of it."""
    gate = world.config.gates.testing
    return Spec(
        image=f"{image.name} {digest.short}",
        digest=digest,
        platform_digest=(await world.repository(image).platforms(digest)).get(platform),
        update_ref=image.update_reference,
        arch=Arch(architecture(platform)),
        firmware=Firmware(gate.firmware),
        bus=Bus(gate.bus),
        memory_mib=gate.memory // 1024**2,
        cpus=gate.cpus,
        require_kvm=gate.require_kvm,
        ways=gate.access,
        network=gate.network,
        services=list(gate.services),
        boot_budget=gate.boot_budget,
        listen=list(gate.listen) if gate.listen is not None else None,
        checks=qemu.CHECKS if gate.checks else None,
        waivers=world.config.waivers_in(Channel.TESTING),
        allowed_skips=frozenset(gate.allowed_skips),
    )
