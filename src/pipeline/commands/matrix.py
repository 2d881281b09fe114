"""Images and platforms as a matrix for CI: a job for each."""

from typing import Any

from pipeline.config import Image
from pipeline.policy.platforms import short_name
from pipeline.world import World


def matrix(world: World, *, each_platform: bool = False) -> dict[str, Any]:
    """`{"include": [...]}`, as a workflow's `strategy.matrix` takes it; a cell for each image, or for each platform.

    A cell has the image's name, what it needs, in which group it is built (0 first), and its platforms: all and those
    that the testing gate boots, or the one with its machine's name.
    """
    cells = []
    for number, group in enumerate(world.config.in_order(world.images)):
        for image in group:
            common = {"image": image.name, "place": image.place, "needs": list(image.needs), "group": number}
            cells += [common | cell for cell in _cells(world, image, each_platform)]
    return {"include": cells}


def _cells(world: World, image: Image, each_platform: bool) -> list[dict[str, Any]]:
    booted = world.config.booted(image)
    if not each_platform:
        return [{"platforms": list(image.platforms), "booted": booted}]
    return [{"platform": one, "machine": short_name(one), "booted": one in booted} for one in image.platforms]
