"""The image gate: an image is built, and looked at from the outside and the inside."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.config import Image
from pipeline.containers.base import Reach
from pipeline.containers.podman import BuiltImage
from pipeline.domain import Channel, Commit, Digest
from pipeline.errors import GateFailed
from pipeline.gates import evidence
from pipeline.gates.evidence import GateRun
from pipeline.gates.recipe import recipe_of
from pipeline.gates.subject import see_candidate
from pipeline.policy.gate import verdict
from pipeline.report.model import Check, CheckStatus, Result
from pipeline.world import World

Storage = Callable[[Reach, str, str], BuiltImage]
"""Where images are built: how to reach the outside, the volume, the local name."""


@dataclass(frozen=True)
class Reused:
    """The image of the commit is in the registry and passed this gate: nothing to build, nothing to look at."""

    image: Image
    digest: Digest
    evidence: Digest


@dataclass(frozen=True)
class Gated:
    """The image of the commit went through the gate just now."""

    image: Image
    local: BuiltImage
    run: GateRun
    digest: Digest | None
    """When it was in the registry, but without evidence: a crash came between push and evidence."""


async def image_gate(
    world: World, image: Image, commit: Commit, command: str, *, reuse: bool, storage: Storage = BuiltImage.storage
) -> Reused | Gated:
    """Build the image of a commit and look at it; one that is in the registry is never built again.

    Builds are not reproducible.
    """
    digest = await world.repository(image).digest(image.tags.candidate(commit)) if reuse else None
    if digest:  # whoever pushed it: it must be what it says
        await see_candidate(world, image, digest, commit)
    if digest and (proof := await evidence.passed(world, image, digest, Channel.NEXT)):
        return Reused(image, digest, proof.digest)
    local = storage(world.reach, f"bootc-pipeline-build-{image.name}", f"localhost/{image.name}:{commit}")
    try:
        if digest:
            local = await local.pull(image, digest)
        else:
            local = await local.build(image, world.given.source, await recipe_of(world, image, commit))
        known = world.config.waivers_in(Channel.NEXT)
        result, report = await local.gate(image, world.config.gates.next, world.given.source, known)
        folder = await evidence.exported(report)
    except GateFailed as error:
        checks = [Check(name="build", status=CheckStatus.FAILED, reason=str(error))]
        outcome, reason = verdict(checks)
        result = Result(command=command, outcome=outcome, reason=reason, checks=checks)
        folder = evidence.new_folder()
    found = {"command": command, "image": image.name, "repository": str(image.repository), "commit": commit}
    run = GateRun(result.model_copy(update=found), folder)
    return Gated(image, local, run, digest)
