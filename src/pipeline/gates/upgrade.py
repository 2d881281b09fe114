"""The upgrade that users will make: the very disk of the current stable boots, takes the candidate, and goes back."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import dagger

from pipeline.config import Image
from pipeline.containers import qemu
from pipeline.containers.disk_store import Candidate, fetch_disk
from pipeline.domain import Channel, Digest, Outcome
from pipeline.errors import PipelineError, PreconditionError
from pipeline.policy.platforms import short_name
from pipeline.policy.upgrade import NoUpgrade, UpgradeFacts, has_bootc, why_no_upgrade
from pipeline.registry.evidence import Evidence, find_evidence
from pipeline.report.model import Check, CheckStatus, Phase, Result
from pipeline.vm.spec import DISK_SHA256, Spec, Upgrade
from pipeline.vm.verdict import NOT_RUN, Skipped, Waivers, judge
from pipeline.world import World

CHECKS = ("upgrade", "rollback")
"""The checks that are made on the disk of the current stable."""

STABLE = "stable/"
"""What stands before the names of everything else about the machine with that disk."""


@dataclass(frozen=True)
class Upgraded:
    """What the machine with the current stable's disk found; without a report when it did not run."""

    checks: list[Check]
    timeline: list[Phase] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    report: dagger.Directory | None = None
    stopped: tuple[Outcome, str] | None = None
    """The verdict when it is not to pass, and why."""


async def fetch_base(world: World, image: Image, candidate: Digest, platform: str) -> None:
    """Have the engine fetch the disk that `upgrade_from_stable` boots, unless there is nothing to try; it keeps it."""
    stable, tested = await _base(world, image, platform)
    if tested and not _nothing_to_try(world, candidate, stable, tested, platform):
        await fetch_disk(world.reach, image.home(Channel.STABLE), tested.disks[platform])


async def upgrade_from_stable(
    world: World, image: Image, candidate: Candidate, platform: str, machine: Spec, *, candidate_has_bootc: bool = True
) -> Upgraded:
    """Boot the disk of the current stable in the candidate's `machine`, upgrade it to the candidate, roll back.

    Both checks are skipped, with the reason, where that cannot be. What keeps it from a verdict (the disk cannot be
    fetched, or is another) is a result, too: what the candidate's own boot found is to be kept.
    """
    try:
        return await _upgrade(world, image, candidate, platform, machine, candidate_has_bootc=candidate_has_bootc)
    except PipelineError as error:
        checks = [Check(name=name, status=CheckStatus.INFRA, reason=str(error)) for name in CHECKS]
        return Upgraded(checks, stopped=(error.outcome, str(error)))


async def _upgrade(
    world: World, image: Image, candidate: Candidate, platform: str, machine: Spec, *, candidate_has_bootc: bool
) -> Upgraded:
    stable, tested = await _base(world, image, platform)
    nothing = _nothing_to_try(
        world, candidate.digest, stable, tested, platform, candidate_has_bootc=candidate_has_bootc
    )
    if nothing or not stable or not tested:
        return not_tried(world, nothing)

    record = tested.disks[platform]
    disk = await fetch_disk(world.reach, image.home(Channel.STABLE), record)
    offered = Upgrade(reference=image.update_reference, layout=Path(qemu.CANDIDATE), digests=candidate.digests)
    told = {"image": f"{image.name} {stable.short}", "digest": stable, "upgrade": offered, "checks": None}
    result, report = await qemu.boot(
        world.reach, disk, machine.model_copy(update=told), None, candidate=candidate.layout
    )
    if result.inputs.get(DISK_SHA256, record.sha256.hex) != record.sha256.hex:
        raise PreconditionError(f"The disk of {stable} changed while it was upgraded; expected {record.sha256.hex}.")
    return Upgraded(
        checks=[check.model_copy(update={"name": _named(check.name)}) for check in result.checks],
        timeline=[phase.model_copy(update={"name": STABLE + phase.name}) for phase in result.timeline],
        inputs={"stable digest": stable, "stable disk sha256": record.sha256.hex},
        report=report,
        stopped=_stopped(result, stable),
    )


async def _base(world: World, image: Image, platform: str) -> tuple[Digest | None, Evidence | None]:
    """The current stable, and how it passed its testing gate with a disk that is still there."""
    stable = await world.repository(image, Channel.STABLE).digest(image.tags.channel(Channel.STABLE))
    return stable, await _tested(world, image, stable, platform) if stable else None


def _nothing_to_try(
    world: World,
    candidate: Digest,
    stable: Digest | None,
    tested: Evidence | None,
    platform: str,
    *,
    candidate_has_bootc: bool = True,
) -> NoUpgrade | None:
    had_bootc = tested is not None and has_bootc(tested.result.checks, short_name(platform))
    wanted = world.config.gates.testing.upgrade
    return why_no_upgrade(UpgradeFacts(wanted, candidate, candidate_has_bootc, stable, tested is not None, had_bootc))


async def _tested(world: World, image: Image, stable: Digest, platform: str) -> Evidence | None:
    """How the stable image passed its testing gate, if the registry still has the disk with which it did."""
    registry = world.repository(image, Channel.STABLE)
    for stored in await find_evidence(registry, stable, Channel.TESTING):
        record = stored.evidence.disks.get(platform)
        if record and stored.evidence.verdict is Outcome.PASSED and await registry.digest(record.manifest):
            return stored.evidence
    return None


def not_tried(world: World, nothing: NoUpgrade | None = None) -> Upgraded:
    """Both checks as skipped; without a reason as not run, which never lets them through."""
    nothing = nothing or NoUpgrade(NOT_RUN, "the candidate itself did not pass")
    skipped, today = Skipped(nothing.reason, nothing.why), datetime.now(UTC).date()
    allowed = frozenset[str](world.config.gates.testing.allowed_skips)
    return Upgraded([judge((name,), skipped, Waivers((), today), allowed) for name in CHECKS])


def _named(check: str) -> str:
    return check if check in CHECKS else STABLE + check


def _stopped(result: Result, stable: Digest) -> tuple[Outcome, str] | None:
    if not result.exit_code:
        return None
    return result.outcome, f"Upgrade of the current stable {stable.short}: {result.reason}"
