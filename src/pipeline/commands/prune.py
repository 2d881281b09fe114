"""Retention: what nobody can need any more goes, after a plan, and nothing else; and how it comes back."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.config import Image
from pipeline.containers.disk_store import prune_uploads
from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import PipelineError, PreconditionError, UsageError
from pipeline.policy.retention import Rules
from pipeline.registry.retention import (
    DriverKind,
    PruneReport,
    Restored,
    RestoreList,
    list_tags,
    open_driver,
    pruned_before,
    read_list,
)
from pipeline.registry.retention import prune as prune_repository
from pipeline.registry.retention import restore as restore_manifests
from pipeline.registry.retention import why_kept as why_kept_in
from pipeline.upload.order import DiskReport, Order
from pipeline.world import World


@dataclass(frozen=True)
class Pruned:
    """What goes, or went, of one image."""

    repositories: list[PruneReport]
    """That of next and testing, and that of stable where it is another one; told once for images that share it."""
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
        manifests = manifests + "\n\n" if manifests else ""
        done = "\n".join(f"  {key}" for key in (self.disks.deleted or self.disks.goes))
        disks = f"Uploaded disks: {len(self.disks.goes)} may go, {self.disks.freed / 1e6:.0f} MB; {self.disks.reason}"
        return f"{manifests}{disks}" + (f"\n{done}" if done else "")


async def prune(world: World, *, confirm: bool, driver: DriverKind, token: str | None) -> list[Pruned]:
    """Plan for every image what may be deleted of it; with `confirm`, delete it.

    Each repository is gone through once, for those of the images that are there; whatever is another image's stays,
    with all that it needs. A repository of releases has roots of its own: what stays there need not stay where it was
    tested. Uploaded disks come after the manifests: they go with the images that they were made from.
    An error ends one repository's part and is in its report: what was done elsewhere is still told.
    """
    pruned = []
    done: dict[Repository, PruneReport] = {}
    for image in world.images:
        fresh = [home for home in image.homes if home not in done]
        done |= {home: await _prune_one(world, home, driver, token, confirm=confirm) for home in fresh}
        reports = [done[home] for home in image.homes]
        disks = await _prune_disks(world, image, reports, confirm=confirm)
        pruned.append(Pruned([done[home] for home in fresh], disks))
    return pruned


async def restore(world: World, tag: str = "") -> str:
    """Push back what a prune deleted, from its restore list `tag`; without one, tell which lists there are.

    Blobs that the registry has collected stay gone, with all that needs them. PreconditionError when no repository has
    such a list, or when not everything is back: then with the report.
    """
    homes = dict.fromkeys(home for image in world.images for home in image.homes)
    if not tag:
        return await _lists(world, homes)
    try:
        wanted = Tag(tag)
    except ValueError as error:
        raise UsageError(f"{error}. Give --tag the tag of a restore list, as prune printed it.") from error
    restored: list[Restored] = []
    for home in homes:
        registry = world.registry.repository(home)
        if wanted in await list_tags(registry):
            noted = await read_list(registry, wanted)
            _refuse_tags_of_others(world, home, noted)
            restored.append(await restore_manifests(registry, noted.manifests, noted.untagged))
    if not restored:
        raise PreconditionError(f"There is no restore list {wanted}. {await _lists(world, homes)}")
    told = "\n\n".join(one.text() for one in restored)
    for one in restored:
        if one.outcome.exit_code:
            raise next(kind for kind in PipelineError.__subclasses__() if kind.outcome is one.outcome)(told)
    return told


async def why_kept(world: World, digest: str, *, driver: DriverKind, token: str | None) -> str:
    """Why a digest stays, step by step from a kept tag, or why it may go."""
    try:
        wanted = Digest(digest)
    except ValueError as error:
        raise UsageError(f"{error}. Give --why-kept a digest.") from error
    answers = []
    for image in world.images:
        homes = image.homes
        holding = [home for home in homes if await world.registry.repository(home).describe(wanted)]
        for home in holding or homes[:1]:
            rules = _rules(world, home)
            async with open_driver(world.registry, home, kind=driver, token=token) as opened:
                now = datetime.now(UTC)
                reasons = await why_kept_in(world.registry, home, rules, wanted, now=now, driver=opened)
                answers.append(f"{home}\n{reasons}" if len(holding) > 1 else reasons)
    return "\n\n".join(dict.fromkeys(answers))


def _rules(world: World, home: Repository) -> Rules:
    """The rules for the images of this command in a repository, where all of the others' stays."""
    mine = {image.name for image in world.images}
    sharing = world.config.sharing(home)
    return world.config.retention.for_images(
        [image.tags for image in sharing if image.name in mine],
        [image.tags for image in sharing if image.name not in mine],
    )


def _refuse_tags_of_others(world: World, home: Repository, noted: RestoreList) -> None:
    """UsageError for a list with tags of images that this command is not about."""
    tags = [tag for one in noted.manifests for tag in one.tags] + [one.tag for one in noted.untagged]
    mine = {image.name for image in world.images}
    others = [image for image in world.config.sharing(home) if image.name not in mine]
    if meant := [image.name for image in others if any(image.tags.read(tag) for tag in tags)]:
        raise UsageError(
            f"The restore list has tags of {', '.join(meant)}, too, which --image leaves out: expected all whose tags "
            "it would write. Nothing was pushed; name these as well, or none."
        )


async def _prune_one(
    world: World, home: Repository, kind: DriverKind, token: str | None, *, confirm: bool
) -> PruneReport:
    """One repository; what ends it before anything was deleted is a report, too."""
    rules, now = _rules(world, home), datetime.now(UTC)
    try:
        async with (
            open_driver(world.registry, home, kind=kind, token=token) as driver,
            world.remembered(home) as kept,
        ):
            return await prune_repository(
                world.registry, home, rules, confirm=confirm, now=now, driver=driver, kept=kept
            )
    except PipelineError as error:
        return PruneReport(
            repository=str(home),
            driver=kind.value,
            at=now,
            confirmed=confirm,
            outcome=error.outcome,
            reason=f"{error} Nothing was deleted here.",
        )


async def _prune_disks(world: World, image: Image, reports: list[PruneReport], *, confirm: bool) -> DiskReport | None:
    target = world.config.gates.stable.upload
    if not target or not world.given.upload_auth or any(report.outcome.exit_code for report in reports):
        return None
    kept = tuple(dict.fromkeys(digest for report in reports for digest in report.kept))
    try:
        gone = {digest for report in reports for digest in report.named}
        for home in image.homes:
            gone |= await pruned_before(world.registry.repository(home))
        left, rules = tuple(gone - set(kept)), world.config.retention
        order = Order(image=image.name, kept=kept, gone=left, rules=rules, now=datetime.now(UTC))
        return await prune_uploads(world.reach, target, world.given.upload_auth, order, confirm=confirm)
    except PipelineError as error:
        return DiskReport(outcome=error.outcome, reason=str(error), goes=[], stays={}, freed=0)


async def _lists(world: World, homes: Iterable[Repository]) -> str:
    lines = []
    for home in homes:
        registry = world.registry.repository(home)
        for tag in await list_tags(registry):
            noted = await read_list(registry, tag)
            lines.append(f"{noted.at:%Y-%m-%d %H:%M} {home}:{tag}: {len(noted.manifests)} manifests")
    return "Restore lists:\n" + "\n".join(sorted(lines)) if lines else "No prune has deleted anything yet."
