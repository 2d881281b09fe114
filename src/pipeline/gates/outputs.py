"""What else is built of an image beside the disk that is tested: stored with it, and never said to be more tested."""

from dataclasses import dataclass, field

import dagger
from dagger import dag

from pipeline.config import Image
from pipeline.containers import qemu
from pipeline.containers.disk_builder import NotBuilt, build_disk, facts
from pipeline.containers.disk_store import Candidate, Disk, store_disk
from pipeline.domain import Digest, Outcome
from pipeline.errors import InfrastructureError
from pipeline.policy.platforms import short_name
from pipeline.registry.evidence import DiskRecord
from pipeline.report.model import Check, CheckStatus
from pipeline.vm.spec import Spec
from pipeline.world import World

ISOS = ("iso", "anaconda-iso")
NOT_BOOTED = "not-booted"
"""Why the check of an output is skipped: it was made of the image that was tested, and nobody ran it."""


@dataclass
class Outputs:
    """What was made for one platform."""

    checks: list[Check] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    files: dagger.Directory = field(default_factory=lambda: dag.directory())
    records: dict[str, DiskRecord] = field(default_factory=dict)


async def other_outputs(
    world: World,
    image: Image,
    digest: Digest,
    platform: str,
    machine: Spec,
    candidate: Candidate | None,
    *,
    keep: bool,
) -> Outputs:
    """Build each by the same builder, boot an ISO to its installer, and store what did not fail."""
    builder, made = world.config.gates.testing.builder, Outputs()
    config = world.given.source.file(builder.config) if builder.config else None
    what = image.repository, digest, platform, image.update_reference
    for kind in builder.others:
        where = f"{kind}-{machine.arch}"
        try:
            built = await build_disk(world.reach, builder, *what, config, kind, candidate)
        except NotBuilt as error:
            made.checks.append(Check(name=f"output/{kind}", status=CheckStatus.FAILED, reason=str(error)))
            made.files = made.files.with_new_file(f"{where}.log", error.log)
            continue
        made.inputs |= await facts(kind, built.file)
        made.files = made.files.with_new_file(f"{where}.log", built.log)
        check = await _looked_at(world, kind, built, machine, made, where)
        made.checks.append(check)
        if keep and check.lets_through:
            sha256 = made.inputs[f"{kind} sha256"]
            record = await store_disk(world.reach, image.repository, digest, platform, built, sha256, kind)
            made.records[kind] = record
            made.inputs[f"{kind} artifact"] = record.manifest
    return made


async def _looked_at(world: World, kind: str, built: Disk, machine: Spec, made: Outputs, where: str) -> Check:
    if kind not in ISOS:
        return not_booted(kind)
    result, report = await qemu.boot_installer(world.reach, built.file, machine)
    made.files = made.files.with_directory(f"vm-{where}", report)
    if result.outcome not in (Outcome.PASSED, Outcome.GATE_FAILED):
        raise InfrastructureError(f"The {kind} could not be booted: {result.reason}")
    (check,) = result.checks
    untested = "" if check.status is CheckStatus.FAILED else ". Nothing was installed from it"
    return check.model_copy(update={"name": f"output/{kind}", "reason": f"{check.reason}{untested}"})


def not_booted(kind: str) -> Check:
    """What is known of a file that nobody ran: skipped, and required of no release."""
    why = f"{NOT_BOOTED}: made of the image whose qcow2 was tested, by the same builder; this {kind} was not run"
    return Check(name=f"output/{kind}", status=CheckStatus.SKIPPED, required=False, reason=why)


def platform_and_kind(key: str) -> tuple[str, str]:
    """What a disk in the evidence is: `linux/amd64 iso` is the ISO for that platform, `linux/amd64` the qcow2."""
    platform, _, kind = key.partition(" ")
    return platform, kind or "qcow2"


def named(platform: str, kind: str) -> str:
    """How the inputs of an upload are called."""
    return f"{short_name(platform)} {kind}"
