"""board: where all channels stand, as a page to publish. Nothing is moved or judged."""

from datetime import UTC, datetime

from pipeline.commands.history import history
from pipeline.commands.status import channels
from pipeline.config import Image
from pipeline.domain import Channel
from pipeline.each import each
from pipeline.report import board as page
from pipeline.report.board import Ending, Standing, Step
from pipeline.world import World


async def board(world: World) -> dict[str, str]:
    """index.html and the badges, as text by path."""
    images = await each(world.images, lambda image: _standing(world, image))
    return page.board(images, [Ending(one.until, one.text) for one in world.config.waivers], datetime.now(UTC))


async def _standing(world: World, image: Image) -> Standing:
    limits = {channel.value: getattr(world.config.stale_after, channel.value) for channel in Channel}
    return Standing(
        name=image.name,
        place=image.place,
        lines=await channels(world, image),
        stale_after={name: limit for name, limit in limits.items() if limit is not None},
        steps=[
            Step(one.at, one.kind.value, one.tags, one.by, one.reason)
            for one in await history(world, image, Channel.STABLE)
        ],
    )
