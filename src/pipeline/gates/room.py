"""Room on the engine's disk: said before a step begins, and again when a tool found none."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from pipeline.config import Image
from pipeline.domain import Channel
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.gates.baseline import image_size
from pipeline.policy.blame import is_full
from pipeline.policy.room import Need, to_build, to_test
from pipeline.quantities import size_text
from pipeline.world import World


@asynccontextmanager
async def room_for(world: World, need: Need | None) -> AsyncIterator[dict[str, str]]:
    """Say what a step needs and what there is, for the report, too; InfrastructureError when it cannot be enough.

    A full disk inside it is an error that says how much is free.
    """
    if world.free is None or need is None:
        yield {}
        return
    free = await world.free()
    told = need.told(free)
    sys.stdout.write(f"{told}\n")
    sys.stdout.flush()
    if refusal := need.refusal(free):
        raise InfrastructureError(refusal)
    try:
        yield {"room": told}
    except InfrastructureError as error:
        if not is_full(str(error)):
            raise
        raise InfrastructureError(f"{error}\n{told} before it, {await _now(world.free)} now.") from error


async def _now(free: Callable[[], Awaitable[int]]) -> str:
    """A disk may be too full even for asking."""
    try:
        return size_text(await free())
    except InfrastructureError:
        return "nothing that could be asked for"


async def needs_of(world: World, image: Image) -> list[Need]:
    """What building and testing take, for an image as large as what next is at; none when there is nothing yet."""
    if world.free is None:
        return []
    registry = world.repository(image)
    digest = await registry.digest(image.tags.channel(Channel.NEXT))
    if digest is None:
        return []
    try:
        found = {platform: await image_size(registry, digest, platform) or 0 for platform in image.platforms}
    except PreconditionError:  # next is broken, which a new build is to mend
        return []
    tested = max((found[platform] for platform in world.config.booted(image)), default=0)
    return [to_build(image.name, sum(found.values())), to_test(image.name, tested, 0)]


async def build_need(world: World, image: Image) -> Need | None:
    """What building takes, or looking at what was built elsewhere; None when there is nothing to go by."""
    return next(iter(await needs_of(world, image)), None)
