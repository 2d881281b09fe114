"""import-from: an image with all that belongs to it, taken over from another repository, and verified there."""

import time
from collections.abc import Sequence
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


async def import_from(world: World, repository: str, stable_repository: str = "") -> list[Result]:
    """Copy every image's tags, evidence, disks, signatures and ledger from `repository`, then `verify`.

    Where releases have a repository of their own, theirs come from `stable_repository`, after the others.
    Nothing that is there is written over, and what is there already is not copied again: said once more, it finishes
    what was left. Raises UsageError for as many places as the images do not have, PreconditionError with `[trust]`,
    for a broken ledger and where there is nothing to take, ConflictError for a tag that names something else here.
    """
    old = [_place("--repository", repository)]
    if stable_repository:
        old.append(_place("--stable-repository", stable_repository))
    planned = [(image, await _planned(world, image, old)) for image in world.images]
    return [await _taken_over(world, image, places) for image, places in planned]


def _place(option: str, text: str) -> Repository:
    try:
        return Repository.parse(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}.") from error


@dataclass(frozen=True)
class _Planned:
    """What comes from one repository to one."""

    source: RepositoryClient
    target: RepositoryClient
    moves: list[Move]


async def _planned(world: World, image: Image, old: Sequence[Repository]) -> list[_Planned]:
    """Refuses what cannot come, before anything of any image is copied."""
    homes = image.homes
    if len(old) < len(homes):
        raise UsageError(
            f"{image.name} has its releases in {homes[1]}; expected --stable-repository with where they come from, "
            "beside --repository. Were all in one repository there, take stable_repository out of pipeline.toml."
        )
    if len(old) > len(homes):
        raise UsageError(
            f"{image.name} has all channels in {homes[0]}, and --stable-repository is given; expected "
            "stable_repository in pipeline.toml, for what comes from there."
        )
    if both := [str(home) for home in homes if home in old]:
        raise UsageError(f"{both[0]} is a repository of {image.name} itself; expected the one that it comes from.")
    if world.notary.trust.signers:
        raise PreconditionError(
            f"[trust] is in pipeline.toml, and what is signed in {old[0]} is signed as being there: it would not count "
            f"in {homes[0]}. Release there anew: build-next on the main branch, then the tags of the next version "
            "(test and release), each promoted. Keep the old repository for the versions that are in it. "
            "Nothing was copied."
        )
    planned = []
    for place, home in zip(old, homes, strict=True):
        source, target = (world.registry.repository(one).under(image.prefix) for one in (place, home))
        for channel in Channel:
            await ledger.entries(source, channel)  # a broken one is mended where it is
        planned.append(_Planned(source, target, await _missing(image, source, target)))
    return planned


async def _taken_over(world: World, image: Image, places: Sequence[_Planned]) -> Result:
    """All that is in each place is copied, then tagged, then the next one: releases come last."""
    start = time.monotonic()
    for place in places:
        await _copied(world, image, place)
    moves = [move for place in places for move in place.moves]
    (verified,) = await verify(replace(world, images=[image]), list(Channel))
    told = " and ".join(
        f"{len(one.moves)} tags of {one.source.repository} with all that belongs to them are in {one.target.repository}"
        for one in places
    )
    return verified.model_copy(
        update={
            "command": "import-from",
            "outcome": verified.outcome if moves or verified.outcome is not Outcome.PASSED else Outcome.UNCHANGED,
            "reason": f"{told}. {verified.reason}",
            "plan": moves,
            "duration": time.monotonic() - start,
        }
    )


async def _copied(world: World, image: Image, planned: _Planned) -> None:
    source, target, moves = planned.source, planned.target, planned.moves
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


async def _missing(image: Image, source: RepositoryClient, target: RepositoryClient) -> list[Move]:
    """The tags that are still to be written, in their order; ConflictError when one names something else here."""
    found: list[tuple[int, Move]] = []
    mine = False
    for tag in await source.tags():
        name = image.tags.read(tag)
        if not name or name.kind is Kind.LEDGER:
            continue
        mine = True
        new, there = (await source.listed(tag)).digest, await target.digest(tag)
        if there and there != new:
            raise ConflictError(
                f"{target.repository.tagged(tag)} is {there}, and {source.repository.tagged(tag)} is {new}: expected "
                "the same, or nothing. Nothing was copied; import into a repository of its own."
            )
        if not there:
            found.append((_ORDER.index(name.kind), Move(repository=str(target.repository), tag=tag, old=None, new=new)))
    if not mine:
        raise PreconditionError(f"{source.repository} has no tag of {image.name}; expected its channels and versions.")
    return [move for _, move in sorted(found, key=lambda one: one[0])]
