"""The very disk of a digest again, on whatever machine the engine is: to look around in, or for single checks."""

import time
from dataclasses import dataclass

import dagger

from pipeline.commands.status import resolve
from pipeline.config import Image
from pipeline.containers import qemu
from pipeline.containers.disk_store import fetch_disk, fetch_image
from pipeline.domain import Channel, Digest
from pipeline.errors import PreconditionError, UsageError
from pipeline.gates import upgrade
from pipeline.gates.baseline import compared_with_stable
from pipeline.gates.boot import machine_of
from pipeline.policy.gate import verdict
from pipeline.policy.platforms import short_name
from pipeline.registry.evidence import DiskRecord, find_evidence
from pipeline.report.model import Check, Result
from pipeline.vm.spec import Spec
from pipeline.world import World


@dataclass(frozen=True)
class Found:
    """The disk that a testing gate booted."""

    image: Image
    digest: Digest
    platform: str
    disk: dagger.File


async def reproduce(world: World, reference: str, platform: str, public_key: dagger.File) -> dagger.Service:
    """Boot the disk as its gate did and keep it running: SSH on port 2222, serial console on port 2223."""
    found = await _find(world, reference, platform)
    return qemu.kept_running(world.reach, found.disk, await _machine(world, found), public_key)


async def check_again(world: World, reference: str, platform: str, checks: list[str]) -> Result:
    """Boot the disk as its gate did and make only these checks, named as in the report.

    Upgrade and rollback belong together and start from the current stable, as it is now.
    """
    found = await _find(world, reference, platform)
    start = time.monotonic()
    plain = await _machine(world, found)
    machine = await compared_with_stable(world, found.image, found.digest, found.platform, plain)
    asked = [check.removeprefix(f"{short_name(found.platform)}/") for check in checks]
    older = [check for check in asked if check in upgrade.CHECKS or check.startswith(upgrade.STABLE)]
    made, stopped = list[Check](), None
    if len(asked) > len(older):
        folder = world.config.gates.testing.checks
        own = world.given.source.directory(folder) if folder else None
        only = [check for check in asked if check not in older]
        result, _ = await qemu.boot(world.reach, found.disk, machine, own, only)
        made, stopped = result.checks, (result.outcome, result.reason) if result.exit_code else None
    if older:
        name = found.image.update_reference
        candidate = await fetch_image(world.reach, found.image.repository, found.digest, found.platform, name)
        upgraded = await upgrade.upgrade_from_stable(world, found.image, candidate, found.platform, machine)
        made, stopped = made + upgraded.checks, stopped or upgraded.stopped
    if not stopped and (missing := not_made(asked, made)):
        raise UsageError(f"there is no check {', '.join(missing)}; there were {', '.join(one.name for one in made)}")
    outcome, reason = stopped or verdict(made)
    return Result(
        command="check-again",
        outcome=outcome,
        reason=reason,
        image=found.image.name,
        repository=str(found.image.repository),
        digest=found.digest,
        checks=made,
        duration=time.monotonic() - start,
    )


def not_made(asked: list[str], made: list[Check]) -> list[str]:
    """What was asked for and has no result: it must not look as if it had passed. `user` asks for `user/…`."""
    names = [check.name for check in made]
    return [check for check in asked if not any(f"{name}/".startswith(f"{check}/") for name in names)]


async def _find(world: World, reference: str, platform: str) -> Found:
    if len(world.images) > 1:
        raise UsageError(f"One machine at a time: say which of {', '.join(image.name for image in world.images)}.")
    (image,) = world.images
    digest = await resolve(world, image, reference)
    wanted = platform_of(world, image, platform)
    record = await disk_record(world, image, digest, wanted)
    return Found(image, digest, wanted, await fetch_disk(world.reach, image.repository, record))


def platform_of(world: World, image: Image, platform: str) -> str:
    """The platform that is asked for, the first that is booted when none is; UsageError for one without a disk."""
    booted = world.config.booted(image)
    wanted = platform or next(iter(booted), "")
    if wanted not in booted:
        asked, there = platform or "any platform", ", ".join(booted) or "none"
        raise UsageError(f"{image.name} has no disk for {asked}; its testing gate boots {there}.")
    return wanted


async def disk_record(world: World, image: Image, digest: Digest, platform: str) -> DiskRecord:
    """Of the newest testing gate that kept a disk, whether it passed or failed."""
    for stored in await find_evidence(world.repository(image), digest, Channel.TESTING):
        if record := stored.evidence.disks.get(platform):
            return record
    raise PreconditionError(
        f"No testing gate left a disk of {image.repository.at(digest)} for {platform}. "
        "gate-testing builds one from the image and boots it."
    )


async def _machine(world: World, found: Found) -> Spec:
    return await machine_of(world, found.image, found.digest, found.platform)
