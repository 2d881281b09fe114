"""What a promotion is about."""

from dataclasses import dataclass

from pipeline.config import Image
from pipeline.domain import Commit, Digest
from pipeline.each import each
from pipeline.errors import PreconditionError
from pipeline.policy.candidate import REVISION_LABEL, Candidate, Numbered, refuse_platforms
from pipeline.registry.client import RepositoryClient
from pipeline.world import World


@dataclass(frozen=True)
class Subject:
    """One image of a promotion, with the candidate that it is about."""

    image: Image
    candidate: Candidate


async def candidates_of(world: World, image: Image, commit: Commit) -> list[Numbered]:
    """The candidates of a commit, first one first; the first is asked for by name, whatever a list of tags says."""
    registry = world.repository(image)
    tags = {1: image.tags.candidate(commit)} | image.tags.candidates(await registry.tags(), commit)

    async def ask(number: int) -> Numbered | None:
        digest = await registry.digest(tags[number])
        return Numbered(number, digest) if digest else None

    return [found for found in await each(sorted(tags), ask) if found]


async def see_candidate(world: World, image: Image, digest: Digest, commit: Commit) -> None:
    """PreconditionError unless the image is of this commit on each platform, and of the configured platforms."""
    registry = world.repository(image)
    await see_platforms(registry, digest, image)
    for platform in image.platforms:
        revision = (await registry.labels(digest, platform)).get(REVISION_LABEL)
        if revision != commit:
            raise PreconditionError(
                f"{image.repository.at(digest)} says of {platform} that it was built from "
                f"{revision or 'no commit at all'} (label {REVISION_LABEL}), expected {commit}. Who else pushes it? "
                "Nothing has moved."
            )


async def see_platforms(registry: RepositoryClient, digest: Digest, image: Image) -> None:
    """PreconditionError unless what lies here is for each configured platform once, by its index and by itself."""
    found = await registry.images(digest)
    refuse_platforms(registry.repository.at(digest), [name for name, _ in found], image.platforms, image.name)
    for platform, part in found:
        said = [name for name, _ in await registry.images(part)]
        if [_processor(name) for name in said] != [_processor(platform)]:
            raise PreconditionError(
                f"{registry.repository.at(digest)} lists {part} for {platform}, and its configuration says "
                f"{', '.join(said)}: expected both to say the same (podman manifest annotate changes only the one). "
                "Build it again. Nothing has moved."
            )


def _processor(platform: str) -> list[str]:
    """Without the variant, which configurations leave out."""
    return platform.split("/")[:2]
