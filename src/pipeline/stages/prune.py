"""Retention: what nobody can need any more goes, after a plan, and nothing else."""

from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.containers.disk_store import prune_uploads
from pipeline.domain import Digest
from pipeline.errors import UsageError
from pipeline.registry.retention import DriverKind, PruneReport, open_driver
from pipeline.registry.retention import prune as prune_repository
from pipeline.registry.retention import why_kept as why_kept_in
from pipeline.stages.world import World
from pipeline.upload.order import DiskReport, Order


@dataclass(frozen=True)
class Pruned:
    """What goes, or went, of one image."""

    manifests: PruneReport
    disks: DiskReport | None
    """Uploaded disks; None without an upload address or its secret."""

    @property
    def exit_code(self) -> int:
        """Of the worse of the two."""
        return self.manifests.outcome.exit_code or (self.disks.outcome.exit_code if self.disks else 0)

    def text(self) -> str:
        """Both for people."""
        if self.disks is None:
            return self.manifests.text()
        done = "\n".join(f"  {key}" for key in (self.disks.deleted or self.disks.goes))
        disks = f"Uploaded disks: {len(self.disks.goes)} may go, {self.disks.freed / 1e6:.0f} MB; {self.disks.reason}"
        return f"{self.manifests.text()}\n\n{disks}" + (f"\n{done}" if done else "")


async def prune(world: World, *, confirm: bool, driver: str, token: str | None) -> list[Pruned]:
    """Plan for every image what may be deleted of it; with `confirm`, delete it.

    Uploaded disks come after the manifests: they go with the images that they were made from.
    """
    pruned = []
    for image in world.images:
        now = datetime.now(UTC)
        async with open_driver(world.registry, image.repository, kind=_kind(driver), token=token) as opened:
            manifests = await prune_repository(
                world.registry, image.repository, world.config.retention, confirm=confirm, now=now, driver=opened
            )
        disks = None
        target = world.config.gates.stable.upload
        if target and world.given.upload_auth and not manifests.outcome.exit_code:
            order = Order(image=image.name, kept=manifests.kept, rules=world.config.retention, now=now)
            disks = await prune_uploads(world.reach, target, world.given.upload_auth, order, confirm=confirm)
        pruned.append(Pruned(manifests, disks))
    return pruned


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
