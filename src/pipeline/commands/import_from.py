"""import-from: an image with all that belongs to it, taken over from another repository, and verified there."""

import time
from dataclasses import dataclass, replace

from pipeline.commands.verify import verify
from pipeline.config import Image
from pipeline.domain import Channel, Outcome, Repository
from pipeline.errors import ConflictError, PreconditionError, UsageError
from pipeline.policy.names import Kind
from pipeline.registry import ledger
from pipeline.registry.client import RepositoryClient
from pipeline.registry.transfer import copy_attached, copy_tagged
from pipeline.report.model import Move, Result
from pipeline.stages import promotion
from pipeline.world import World

_ORDER = (Kind.CANDIDATE, Kind.VERSION, Kind.ALIAS, Kind.CHANNEL)
"""A tag comes when what it rests on is there; those that users follow come last."""


async def import_from(world: World, repository: str) -> list[Result]:
    """Copy every image's tags, evidence, disks, signatures and ledger from `repository`, then `verify`.

    Nothing that is there is written over, and what is there already is not copied again: said once more, it finishes
    what was left. Raises UsageError where an image has two repositories, PreconditionError with `[trust]`, for a broken
    ledger and where there is nothing to take, ConflictError for a tag that names something else here.
    """
    try:
        old = Repository.parse(repository)
    except ValueError as error:
        raise UsageError(f"--repository: {error}.") from error
    planned = [await _planned(world, image, old) for image in world.images]
    return [await _taken_over(world, one) for one in planned]


@dataclass(frozen=True)
class _Planned:
    image: Image
    source: RepositoryClient
    target: RepositoryClient
    moves: list[Move]


async def _planned(world: World, image: Image, old: Repository) -> _Planned:
    """Refuses what cannot come, before anything of any image is copied."""
    source, target = world.registry.repository(old).under(image.prefix), world.repository(image)
    if others := {str(image.home(channel)) for channel in Channel} - {str(target.repository)}:
        raise UsageError(
            f"{image.name} has its releases in {', '.join(others)}; expected one repository for all channels. Take "
            "stable_repository out of pipeline.toml for the import, or copy the two with it one after the other."
        )
    if old == target.repository:
        raise UsageError(f"{old} is the repository of {image.name} itself; expected the one that it comes from.")
    if world.notary.trust.signers:
        raise PreconditionError(
            f"[trust] is in pipeline.toml, and what is signed in {old} is signed as being there: it would not count in "
            f"{target.repository}. Release from there anew, or import before [trust] is on the main branch."
        )
    for channel in Channel:
        await ledger.entries(source, channel)  # a broken one is mended where it is
    return _Planned(image, source, target, await _missing(image, source, target))


async def _taken_over(world: World, planned: _Planned) -> Result:
    start = time.monotonic()
    image, source, target, moves = planned.image, planned.source, planned.target, planned.moves
    for digest in dict.fromkeys(move.new for move in moves):
        await world.copy(source.repository, digest, target.repository, None)
        await copy_attached(source, target, digest)
    for tag in await source.tags():
        if (name := image.tags.read(tag)) and name.kind is Kind.LEDGER:
            await copy_tagged(source, target, tag, await source.listed(tag))
    if await _missing(image, source, target) != moves:
        raise ConflictError(
            f"The tags of {image.name} changed in {source.repository} while they were copied; none of them was written "
            f"to {target.repository}. Run import-from again when nothing is promoted there."
        )
    for move in moves:
        await promotion.name(world, target.repository, move.tag, move.new)
    (verified,) = await verify(replace(world, images=[image]), list(Channel))
    told = f"{len(moves)} tags of {source.repository} with all that belongs to them are in {target.repository}"
    return verified.model_copy(
        update={
            "command": "import-from",
            "outcome": verified.outcome if moves or verified.outcome is not Outcome.PASSED else Outcome.UNCHANGED,
            "reason": f"{told}. {verified.reason}",
            "plan": moves,
            "duration": time.monotonic() - start,
        }
    )


async def _missing(image: Image, source: RepositoryClient, target: RepositoryClient) -> list[Move]:
    """The tags that are still to be written, in their order; ConflictError when one names something else here."""
    found: list[tuple[int, Move]] = []
    for tag in await source.tags():
        name = image.tags.read(tag)
        if not name or name.kind is Kind.LEDGER:
            continue
        new, there = (await source.listed(tag)).digest, await target.digest(tag)
        if there and there != new:
            raise ConflictError(
                f"{target.repository.tagged(tag)} is {there}, and {source.repository.tagged(tag)} is {new}: expected "
                "the same, or nothing. Nothing was copied; import into a repository of its own."
            )
        if not there:
            found.append((_ORDER.index(name.kind), Move(repository=str(target.repository), tag=tag, old=None, new=new)))
    if not await target.tags() and not found:
        raise PreconditionError(f"{source.repository} has no tag of {image.name}; expected its channels and versions.")
    return [move for _, move in sorted(found, key=lambda one: one[0])]
