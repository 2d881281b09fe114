"""How a candidate becomes one: pushed by its digest, its evidence beside it, and only then its name, written once.

A registry has no compare-and-swap, and builds of one commit may run at once. So a push writes no tag: the name is
written last, by the copy that moves channels, to a number that nobody has, and read back. Who comes second takes the
next number, or the result of who came first.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest
from pipeline.errors import ConflictError, InfrastructureError
from pipeline.gates import evidence
from pipeline.gates.evidence import GateRun
from pipeline.gates.image import Gated, Reused
from pipeline.gates.sbom import attach_missing_sboms, attach_sboms
from pipeline.gates.subject import candidates_of, see_candidate
from pipeline.policy.candidate import REVISION_LABEL, Numbered
from pipeline.registry.retention import see_whole
from pipeline.stages import promotion
from pipeline.world import World

_TRIES = 20
"""Names that are tried: so many others would have to be quicker."""


@dataclass(frozen=True)
class Published:
    """A candidate in the registry that has passed the next gate."""

    number: int
    digest: Digest
    evidence: Digest
    note: str = ""
    """Why it is none that was built just now, when that was asked for."""


async def publish(world: World, found: Reused | Gated, commit: Commit) -> Published:
    """Bring what passed its gate into the registry, as a candidate of the commit.

    Of two builds of a commit that run at once one is published, and both tell of that; what was submitted is a
    candidate of its own in any case. ConflictError when others are quicker again and again.
    """
    if isinstance(found, Reused):
        await attach_missing_sboms(world, found.image, found.digest)
        return Published(found.number, found.digest, found.evidence, found.note)
    digest, proof = found.digest, None
    for _ in range(_TRIES):
        known = [] if found.digest else await candidates_of(world, found.image, commit)
        if quicker := await _quicker(world, found, known):
            return quicker
        if digest is None:
            digest = await _push(world, found, commit)
        if proof is None:
            run = GateRun(found.run.result.model_copy(update={"digest": digest}), found.run.folder)
            proof = await evidence.keep(world, found.image, digest, Channel.NEXT, run)
        number = found.number if found.digest else await _name(world, found.image, commit, digest, known)
        if number:
            await attach_sboms(world, found.image, digest, found.run.folder)
            return Published(number, digest, proof.digest)
    raise _outrun(found.image, digest, commit)


async def keep_name(world: World, found: Reused | Gated, commit: Commit, published: Published) -> None:
    """Look once more, at the end: another build that looked before we wrote may have written after us."""
    if isinstance(found, Reused):
        return
    for _ in range(_TRIES):
        known = await candidates_of(world, found.image, commit)
        if await _name(world, found.image, commit, published.digest, known):
            return
    raise _outrun(found.image, published.digest, commit)


def _outrun(image: Image, digest: Digest | None, commit: Commit) -> ConflictError:
    return ConflictError(
        f"{digest} of {image.name} found no free name in {_TRIES} tries: each time another image of commit "
        f"{commit[:12]} was there first, or the name did not stay. Find out who else writes it, then run again."
    )


async def _quicker(world: World, found: Gated, known: Sequence[Numbered]) -> Published | None:
    """A candidate of the commit that was published while ours was built."""
    newest = known[-1] if known else None
    if found.handed_over or newest is None or newest.number < found.number:
        return None
    proof = await evidence.passed(world, found.image, newest.digest, Channel.NEXT)
    note = "another build of this commit was quicker"
    return Published(newest.number, newest.digest, proof.digest, note) if proof else None


async def _push(world: World, found: Gated, commit: Commit) -> Digest:
    """Push without a name, and look at what the registry has."""
    registry, digest = world.repository(found.image), await found.push()
    try:
        await see_whole(registry, digest)
    except ConflictError:
        name = found.image.repository.at(digest)
        raise InfrastructureError(f"{name} is not there after its push, or not all of it. Run again.") from None
    await see_candidate(world, found.image, digest, commit)
    return digest


async def _name(world: World, image: Image, commit: Commit, digest: Digest, known: Sequence[Numbered]) -> int:
    """The number by which the commit has this image from now on; 0 when somebody else took it."""
    if mine := next((one.number for one in known if one.digest == digest), 0):
        return mine
    number = known[-1].number + 1 if known else 1
    tag = image.tags.candidate(commit, number)
    try:
        await promotion.name(world, image.repository, tag, digest)
    except ConflictError:
        return 0
    if theirs := await _displaced(world, image, commit, digest, known):
        await promotion.name(world, image.repository, tag, theirs, instead=digest)
        return 0
    return number


async def _displaced(
    world: World, image: Image, commit: Commit, digest: Digest, known: Sequence[Numbered]
) -> Digest | None:
    """The image from which a write of ours that was long under way took the name: next is at it, and no name is."""
    registry = world.repository(image)
    current = await registry.digest(image.tags.channel(Channel.NEXT))
    if current is None or current == digest or current in {one.digest for one in known}:
        return None
    if (await registry.labels(current)).get(REVISION_LABEL) != commit:
        return None
    named = {one.digest for one in await candidates_of(world, image, commit)}
    return None if current in named else current
