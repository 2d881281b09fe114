"""The bills of material that the image gate made become referrers of the image, one for each platform."""

from pathlib import Path

from pipeline.config import Image
from pipeline.domain import Channel, Digest
from pipeline.errors import PreconditionError
from pipeline.gates import evidence
from pipeline.policy.platforms import short_name
from pipeline.policy.sbom import packages_listed, sbom_file
from pipeline.registry.sbom import attach_sbom
from pipeline.world import World


async def attach_sboms(world: World, image: Image, digest: Digest, report: Path) -> None:
    """Attach what lies in the folder of a gate's report, which is nothing where no generator is configured."""
    registry = world.repository(image)
    there = await registry.platforms(digest)
    for platform in image.platforms:
        file = report / sbom_file(short_name(platform))
        if file.is_file():
            await attach_sbom(registry, there[platform], _seen(file))


async def attach_missing_sboms(world: World, image: Image, digest: Digest) -> None:
    """The same out of the evidence: a crash, or a signer that was away, may have come between the two."""
    if world.config.gates.next.sbom and (proof := await evidence.passed(world, image, digest, Channel.NEXT)):
        run = await evidence.kept_run(world, image, digest, proof)
        await attach_sboms(world, image, digest, run.folder)


def _seen(file: Path) -> bytes:
    """PreconditionError for what is no SPDX document: anybody may push a report beside an image."""
    document = file.read_bytes()
    try:
        packages_listed(document)
    except ValueError as error:
        raise PreconditionError(
            f"{file.name} of the next gate's report is {error}. Find out who stored it, and run that gate again. "
            "Nothing has moved."
        ) from error
    return document
