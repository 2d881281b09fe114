"""Retention: what nobody can need any more goes, after a plan, and nothing else."""

from datetime import UTC, datetime

from pipeline.domain import Digest
from pipeline.errors import UsageError
from pipeline.registry.retention import DriverKind, PruneReport, open_driver
from pipeline.registry.retention import prune as prune_repository
from pipeline.registry.retention import why_kept as why_kept_in
from pipeline.stages.world import World


async def prune(world: World, *, confirm: bool, driver: str, token: str | None) -> list[PruneReport]:
    """Plan for every image what may be deleted from its repository; with `confirm`, delete it."""
    reports = []
    for image in world.images:
        async with open_driver(world.registry, image.repository, kind=_kind(driver), token=token) as opened:
            reports.append(
                await prune_repository(
                    world.registry,
                    image.repository,
                    world.config.retention,
                    confirm=confirm,
                    now=datetime.now(UTC),
                    driver=opened,
                )
            )
    return reports


async def why_kept(world: World, digest: str, *, driver: str, token: str | None) -> str:
    """Why a digest stays, step by step from a kept tag, or why it may go."""
    try:
        wanted = Digest(digest)
    except ValueError as error:
        raise UsageError(f"{error}. Give --why-kept a digest.") from error
    answers = []
    for image in world.images:
        async with open_driver(world.registry, image.repository, kind=_kind(driver), token=token) as opened:
            answers.append(
                await why_kept_in(
                    world.registry,
                    image.repository,
                    world.config.retention,
                    wanted,
                    now=datetime.now(UTC),
                    driver=opened,
                )
            )
    return "\n\n".join(answers)


def _kind(name: str) -> DriverKind:
    try:
        return DriverKind(name.lower())
    except ValueError:
        raise UsageError(f"There is no driver {name!r}; expected {', '.join(DriverKind)}.") from None
