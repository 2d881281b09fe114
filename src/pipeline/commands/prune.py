"""Retention: what nobody can need any more goes, after a plan, and nothing else."""

from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.config import Image
from pipeline.containers.disk_store import prune_uploads
from pipeline.domain import Channel, Digest, Repository
from pipeline.errors import UsageError
from pipeline.registry.retention import DriverKind, PruneReport, open_driver
from pipeline.registry.retention import prune as prune_repository
from pipeline.registry.retention import why_kept as why_kept_in
from pipeline.upload.order import DiskReport, Order
from pipeline.world import World


@dataclass(frozen=True)
class Pruned:
    """What goes, or went, of one image."""

    repositories: list[PruneReport]
    """That of next and testing, and that of stable where it is another one."""
    disks: DiskReport | None
    """Uploaded disks; None without an upload address or its secret."""

    @property
    def exit_code(self) -> int:
        """Of the first that did not go as it should."""
        outcomes = [report.outcome for report in (*self.repositories, self.disks) if report]
        return next((outcome.exit_code for outcome in outcomes if outcome.exit_code), 0)

    def text(self) -> str:
        """All of it for people."""
        manifests = "\n\n".join(report.text() for report in self.repositories)
        if self.disks is None:
            return manifests
        done = "\n".join(f"  {key}" for key in (self.disks.deleted or self.disks.goes))
        disks = f"Uploaded disks: {len(self.disks.goes)} may go, {self.disks.freed / 1e6:.0f} MB; {self.disks.reason}"
        return f"{manifests}\n\n{disks}" + (f"\n{done}" if done else "")


async def prune(world: World, *, confirm: bool, driver: str, token: str | None) -> list[Pruned]:
    """Plan for every image what may be deleted of it; with `confirm`, delete it.

    A repository of releases has roots of its own: what stays there need not stay where it was tested. Uploaded disks
    come after the manifests: they go with the images that they were made from.
    """
    pruned = []
    for image in world.images:
        now = datetime.now(UTC)
        rules, reports = world.config.retention, []
        for home in _homes(image):
            async with open_driver(world.registry, home, kind=_kind(driver), token=token) as opened:
                reports.append(
                    await prune_repository(world.registry, home, rules, confirm=confirm, now=now, driver=opened)
                )
        disks = None
        target = world.config.gates.stable.upload
        if target and world.given.upload_auth and not any(report.outcome.exit_code for report in reports):
            kept = tuple(dict.fromkeys(digest for report in reports for digest in report.kept))
            order = Order(image=image.name, kept=kept, rules=rules, now=now)
            disks = await prune_uploads(world.reach, target, world.given.upload_auth, order, confirm=confirm)
        pruned.append(Pruned(reports, disks))
    return pruned


async def why_kept(world: World, digest: str, *, driver: str, token: str | None) -> str:
    """Why a digest stays, step by step from a kept tag, or why it may go."""
    try:
        wanted = Digest(digest)
    except ValueError as error:
        raise UsageError(f"{error}. Give --why-kept a digest.") from error
    answers = []
    for image in world.images:
        homes = _homes(image)
        holding = [home for home in homes if await world.registry.repository(home).describe(wanted)]
        for home in holding or homes[:1]:
            async with open_driver(world.registry, home, kind=_kind(driver), token=token) as opened:
                reasons = await why_kept_in(
                    world.registry, home, world.config.retention, wanted, now=datetime.now(UTC), driver=opened
                )
                answers.append(f"{home}\n{reasons}" if len(holding) > 1 else reasons)
    return "\n\n".join(answers)


def _homes(image: Image) -> list[Repository]:
    return list(dict.fromkeys(image.home(channel) for channel in Channel))


def _kind(name: str) -> DriverKind:
    try:
        return DriverKind(name.lower())
    except ValueError:
        raise UsageError(f"There is no driver {name!r}; expected {', '.join(DriverKind)}.") from None
