"""configuration: what pipeline.toml asks of each image, in a line each, when all that it names is there."""

from pipeline.config import Config, Image
from pipeline.domain import Channel
from pipeline.gates.source import require_source
from pipeline.report.text import table
from pipeline.world import World


async def configuration(world: World) -> str:
    """The images; UsageError, as before a build, for a file that pipeline.toml names and the source lacks."""
    await require_source(world, *Channel)
    return told(world.config)


def told(config: Config) -> str:
    """The images with where they live, for what machines they are, and which gates can be run for them."""
    rows = [_row(config, image) for image in config.images.values()]
    return table(("image", "tags", "platforms", "releases"), rows)


def _row(config: Config, image: Image) -> tuple[str, str, str, str]:
    stable = config.gates.stable
    missing = [name for name, given in (("openqa", stable.openqa), ("upload", stable.upload)) if not given]
    releases = f"none: gates.stable has no {' and no '.join(missing)}" if missing else str(image.home(Channel.STABLE))
    return image.name, image.place, ", ".join(image.platforms), releases
