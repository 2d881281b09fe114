"""What a promotion is about."""

from dataclasses import dataclass

from pipeline.config import Image
from pipeline.domain import Commit, Digest
from pipeline.each import each
from pipeline.errors import PreconditionError
from pipeline.policy.candidate import REVISION_LABEL, Candidate, Numbered
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
    found = await registry.platforms(digest)
    if set(found) != set(image.platforms):
        raise PreconditionError(
            f"{image.repository.at(digest)} is for {', '.join(sorted(found)) or 'no platform'}; expected exactly what "
            f"images.{image.name}.platforms says: {', '.join(sorted(image.platforms))}. Build the commit again, or "
            "correct pipeline.toml. Nothing has moved."
        )
    for platform in image.platforms:
        revision = (await registry.labels(digest, platform)).get(REVISION_LABEL)
        if revision != commit:
            raise PreconditionError(
                f"{image.repository.at(digest)} says of {platform} that it was built from "
                f"{revision or 'no commit at all'} (label {REVISION_LABEL}), expected {commit}. Who else pushes it? "
                "Nothing has moved."
            )
