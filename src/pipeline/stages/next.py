"""next: build the image of a commit, look at it from the outside and the inside, push it, move `:next`."""

import time

from pipeline.config import Image
from pipeline.containers.git import is_branch
from pipeline.containers.podman import BuiltImage
from pipeline.domain import Channel, Commit, Digest, Outcome
from pipeline.errors import ConflictError, InfrastructureError, PreconditionError, UsageError
from pipeline.gates import evidence
from pipeline.gates.evidence import GateRun
from pipeline.gates.image import Gated, Reused, Storage, image_gate
from pipeline.gates.source import require_source
from pipeline.gates.subject import see_candidate
from pipeline.policy.candidate import REVISION_LABEL
from pipeline.policy.names import CREATED, Facts, date_of
from pipeline.policy.plan import Desired
from pipeline.report.model import Result
from pipeline.stages import promotion
from pipeline.stages.promotion import Promotion
from pipeline.world import World

COMMAND = "build-next"


async def build_next(world: World, *, must_push: bool = False, storage: Storage = BuiltImage.storage) -> list[Result]:
    """Build, gate, push, move `:next`; the images of one commit move all together or not at all.

    With `must_push`, PreconditionError before anything is built when this tree would not be pushed.
    """
    start = time.monotonic()
    commit = await world.history.head()
    await require_source(world, *Channel)
    withheld = await why_not_pushed(world, commit)
    if withheld and must_push:
        raise PreconditionError(f"This run was to push, and would not: {withheld}. Nothing was built.")
    if not withheld:
        await _refuse_cut_history(world)
        for image in world.images:
            await _moves_forward(world, image, commit)
    candidates = [
        await image_gate(world, image, commit, COMMAND, reuse=not withheld, storage=storage) for image in world.images
    ]

    failed = [found.image.name for found in candidates if isinstance(found, Gated) and found.run.result.exit_code]
    if failed or withheld:
        reason = withheld or f"{', '.join(failed)} did not pass"
        return [_not_pushed(found, commit, reason) for found in candidates]

    await promotion.respect_holds(world, Channel.NEXT, override=False)
    published = {found.image.name: await _publish(world, found, commit) for found in candidates}
    for image in world.images:
        await promotion.refuse_withdrawn(world, image, published[image.name][0], override=False)
    behind = [image.name for image in world.images if not await _moves_forward(world, image, commit)]
    desired = [wish for image in world.images for wish in await _desired(world, image, published[image.name][0])]
    moves = [] if behind else await promotion.plan(world, desired)
    proof = {name: stored for name, (_, stored) in published.items()}
    wanted = Promotion(Channel.NEXT, desired, proof, COMMAND, f"commit {commit} passed the next gate")
    await promotion.carry_out(world, wanted, moves)
    if behind:
        outcome, reason = Outcome.SUPERSEDED, f":next of {', '.join(behind)} is newer than this commit; it stays"
    elif moves:
        outcome, reason = Outcome.PASSED, f":next is commit {commit[:12]}"
    else:
        outcome, reason = Outcome.UNCHANGED, f":next is commit {commit[:12]} already; nothing to do"
    return [
        Result(
            command=COMMAND,
            outcome=outcome,
            reason=reason,
            image=found.image.name,
            repository=str(found.image.repository),
            digest=published[found.image.name][0],
            commit=commit,
            checks=found.run.result.checks if isinstance(found, Gated) else [],
            plan=promotion.moves_of(found.image, wanted, moves),
            duration=time.monotonic() - start,
        )
        for found in candidates
    ]


async def gate_next(world: World) -> list[GateRun]:
    """Build and gate without pushing anything: the report of each image."""
    commit = await world.history.head()
    await require_source(world, *Channel)
    candidates = [await image_gate(world, image, commit, COMMAND, reuse=False) for image in world.images]
    return [found.run for found in candidates if isinstance(found, Gated)]


async def why_not_pushed(world: World, commit: Commit) -> str:
    """The reason why this tree is built and tested but never pushed; empty when it may be pushed.

    Raises UsageError where no commit could ever be pushed, because the branch is called otherwise.
    """
    changed = await world.history.uncommitted()
    if changed:
        return f"the tree differs from commit {commit[:12]} in {len(changed)} places ({changed[0].strip()}, ...)"
    branches = world.config.main_branch
    if not await world.history.on_branch(commit, branches):
        await _refuse_unknown_branch(world)
        return f"commit {commit[:12]} is not on {' or '.join(branches)} (main_branch in pipeline.toml)"
    return ""


async def _refuse_unknown_branch(world: World) -> None:
    """A history that was cut off, or has no branch at all, may lack the main branch for that reason."""
    there, branches = await world.history.branches(), world.config.main_branch
    if not there or await world.history.shallow() or any(is_branch(one, branches) for one in there):
        return
    names = sorted({one.removeprefix("refs/heads/").removeprefix("refs/remotes/origin/") for one in there})
    raise UsageError(
        f"main_branch in pipeline.toml is {' or '.join(branches)}, and there is no such branch; there are "
        f"{', '.join(names[:10])}. Correct the key, or fetch the branch. Nothing was built (gate-next builds any tree)."
    )


async def _refuse_cut_history(world: World) -> None:
    """Whether `:next` would move forward cannot be told then."""
    if await world.history.shallow():
        raise UsageError(
            "The history is cut off, so nobody can tell whether :next would move forward; nothing was built. "
            "Fetch all of it (actions/checkout: fetch-depth: 0; git fetch --unshallow)."
        )


async def _publish(world: World, found: Reused | Gated, commit: Commit) -> tuple[Digest, Digest]:
    """The image's digest in the registry, and that of its evidence there."""
    if isinstance(found, Reused):
        return found.digest, found.evidence
    digest = found.digest or await _push(world, found, commit)
    run = GateRun(found.run.result.model_copy(update={"digest": digest}), found.run.folder)
    return digest, (await evidence.keep(world, found.image, digest, Channel.NEXT, run)).digest


async def _push(world: World, found: Gated, commit: Commit) -> Digest:
    """Push to `:<commit>`, which is written once, and read the digest back."""
    registry, tag = world.repository(found.image), found.image.tags.candidate(commit)
    name = found.image.repository.tagged(tag)
    if await registry.digest(tag):
        raise ConflictError(
            f"{name} appeared while this command was building it: another build of the same commit runs. "
            "Run again: it takes that image."
        )
    pushed = await found.local.push(found.image, tag)
    digest = await registry.digest(tag)
    if digest is None:
        raise InfrastructureError(f"{name} is not there after its push. Run again.")
    if digest != pushed:
        raise ConflictError(
            f"{name} reads back as {digest}, but {pushed} was pushed, which went through the gate: somebody else wrote "
            "it in the same moment. No evidence was stored and nothing has moved. Find out who else pushes it."
        )
    await see_candidate(world, found.image, digest, commit)
    return digest


async def _desired(world: World, image: Image, digest: Digest) -> list[Desired]:
    built = date_of((await world.repository(image).labels(digest)).get(CREATED, ""))
    return promotion.channel_and_aliases(image, Channel.NEXT, digest, Facts(date=built))


async def _moves_forward(world: World, image: Image, commit: Commit) -> bool:
    """`:next` goes from a commit to one that contains it, never back or aside."""
    current = await world.repository(image).digest(image.tags.channel(Channel.NEXT))
    if current is None:
        return True
    revision = (await world.repository(image).labels(current)).get(REVISION_LABEL, "")
    if not await world.history.knows(revision):
        raise PreconditionError(
            f":next of {image.name} was built from {revision or 'no commit at all'}, which is not in this history; "
            f"expected an ancestor of {commit}. Fetch that commit, or look who wrote :next."
        )
    return await world.history.is_ancestor(revision, commit)


def _not_pushed(found: Reused | Gated, commit: Commit, reason: str) -> Result:
    if isinstance(found, Reused):
        return Result(
            command=COMMAND,
            outcome=Outcome.UNCHANGED,
            reason=f"It passed before; :next stays, because {reason}",
            image=found.image.name,
            repository=str(found.image.repository),
            digest=found.digest,
            commit=commit,
        )
    result = found.run.result
    return (
        result if result.exit_code else result.model_copy(update={"reason": f"{result.reason}; not pushed: {reason}"})
    )
