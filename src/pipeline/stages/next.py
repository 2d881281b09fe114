"""next: build the image of a commit, look at it from the outside and the inside, push it, move `:next`."""

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pipeline.config import Image
from pipeline.containers.git import is_branch, places
from pipeline.containers.podman import BuiltImage, Delivered
from pipeline.domain import Channel, Commit, Digest, Outcome, Refresh
from pipeline.each import each
from pipeline.errors import PreconditionError, UsageError
from pipeline.gates import evidence
from pipeline.gates.evidence import GateRun
from pipeline.gates.image import Gated, Reused, Storage, image_gate, submitted_gate
from pipeline.gates.recipe import Needed
from pipeline.gates.source import require_source
from pipeline.gates.subject import candidates_of
from pipeline.policy import fleet
from pipeline.policy.candidate import REVISION_LABEL
from pipeline.policy.names import CREATED, Facts, date_of
from pipeline.policy.plan import Desired
from pipeline.report.model import Result
from pipeline.report.wording import NOT_PUSHED
from pipeline.stages import promotion
from pipeline.stages.promotion import Promotion
from pipeline.stages.publishing import Published, keep_name, publish
from pipeline.world import World

COMMAND, SUBMIT = "build-next", "submit-next"


async def build_next(
    world: World, *, must_push: bool = False, refresh: Refresh = Refresh.NONE, storage: Storage = BuiltImage.storage
) -> list[Result]:
    """Build, gate, push, move `:next`; the images of one commit move all together or not at all.

    With `must_push`, PreconditionError before anything is built when this tree would not be pushed. `refresh` makes
    another candidate of a commit that has one.
    """
    start = time.monotonic()
    commit = await world.history.head()
    await require_source(world, *Channel)
    withheld = await _withheld(world, commit, must_push=must_push)
    candidates: list[Reused | Gated] = []
    published: dict[str, Published] = {}

    async def gated(image: Image) -> Reused | Gated:
        needed = await _needed(world, image, commit, published, withheld)
        return await image_gate(
            world, image, commit, COMMAND, reuse=not withheld, refresh=refresh, needed=needed, storage=storage
        )

    for group in world.config.in_order(world.images):
        if failed := _failed(candidates):
            return _in_order(world, [*_held(candidates, commit, failed), *_unbuilt(world, candidates, commit, failed)])
        found = await each(group, gated, at_once=world.given.jobs)
        candidates += found
        if not withheld and not _failed(candidates):
            published.update(await _publish_needed(world, found, commit))
    return _in_order(world, await _into_next(world, candidates, commit, COMMAND, withheld, start, published))


async def submit_next(
    world: World,
    delivered: Delivered,
    commit: str = "",
    *,
    must_push: bool = False,
    storage: Storage = BuiltImage.storage,
) -> list[Result]:
    """Take an image that was built elsewhere from `commit`, the one that is checked out, instead of building it."""
    start = time.monotonic()
    if len(world.images) > 1:
        raise UsageError(f"One image is submitted at a time: say which with --image ({_names(world.images)}).")
    if not (delivered.references or delivered.archives or delivered.layouts):
        raise UsageError("Nothing was handed over: give --reference, --archive, --layout or --container.")
    head = await world.history.head()
    await evidence.refuse_other_checkout(world, _commit(commit) if commit else head)
    await require_source(world, *Channel, built_here=False)
    withheld = await _withheld(world, head, must_push=must_push)
    (image,) = world.images
    found = await submitted_gate(world, image, head, SUBMIT, delivered, reuse=not withheld, storage=storage)
    return await _into_next(world, [found], head, SUBMIT, withheld, start)


async def _into_next(
    world: World,
    candidates: Sequence[Reused | Gated],
    commit: Commit,
    command: str,
    withheld: str,
    start: float,
    already: Mapping[str, Published] = MappingProxyType({}),
) -> list[Result]:
    """When all of them passed: push what is new, each to a tag of its own, and move `:next`.

    `already`: what other images were built on, and was therefore pushed before.
    """
    failed = _failed(candidates)
    if failed or withheld:
        reason = withheld or f"{', '.join(failed)} did not pass"
        return [_not_pushed(found, commit, command, reason) for found in candidates]

    await promotion.respect_holds(world, Channel.NEXT, override=False)
    published = {
        found.image.name: already.get(found.image.name) or await publish(world, found, commit) for found in candidates
    }
    for image in world.images:
        await promotion.refuse_withdrawn(world, image, published[image.name].digest, override=False)
    behind = [
        image.name
        for image in world.images
        if not await _moves_forward(world, image, commit, published[image.name].number)
    ]
    desired = [wish for image in world.images for wish in await _desired(world, image, published[image.name].digest)]
    moves = [] if behind else await promotion.plan(world, desired)
    proof = {name: one.evidence for name, one in published.items()}
    wanted = Promotion(Channel.NEXT, desired, proof, command, f"commit {commit} passed the next gate")
    if not behind:
        await promotion.carry_out(world, wanted, moves)
    for found in candidates:
        await keep_name(world, found, commit, published[found.image.name])
    if behind:
        outcome, reason = Outcome.SUPERSEDED, f":next of {', '.join(behind)} is newer than this candidate; it stays"
    elif moves:
        outcome, reason = Outcome.PASSED, f":next is commit {commit[:12]}"
    else:
        outcome, reason = Outcome.UNCHANGED, f":next is commit {commit[:12]} already; nothing to do"
    return [
        Result(
            command=command,
            outcome=outcome,
            reason=reason + _more(published[found.image.name]),
            image=found.image.name,
            repository=str(found.image.repository),
            digest=published[found.image.name].digest,
            commit=commit,
            checks=found.run.result.checks if isinstance(found, Gated) else [],
            plan=promotion.moves_of(found.image, wanted, moves),
            duration=time.monotonic() - start,
        )
        for found in candidates
    ]


def _failed(candidates: Sequence[Reused | Gated]) -> list[str]:
    return [found.image.name for found in candidates if isinstance(found, Gated) and found.run.result.exit_code]


def _held(candidates: Sequence[Reused | Gated], commit: Commit, failed: Sequence[str]) -> list[Result]:
    return [_not_pushed(found, commit, COMMAND, f"{', '.join(failed)} did not pass") for found in candidates]


def _unbuilt(world: World, candidates: Sequence[Reused | Gated], commit: Commit, failed: Sequence[str]) -> list[Result]:
    """Of the images whose turn did not come."""
    begun = {found.image.name for found in candidates}
    return [
        Result(
            command=COMMAND,
            outcome=Outcome.GATE_FAILED,
            reason=f"Not built, because {', '.join(failed)} did not pass",
            image=image.name,
            repository=str(image.repository),
            commit=commit,
        )
        for image in world.images
        if image.name not in begun
    ]


def _in_order(world: World, results: Sequence[Result]) -> list[Result]:
    """As the images were named."""
    places = [image.name for image in world.images]
    return sorted(results, key=lambda result: places.index(result.image))


async def _publish_needed(world: World, found: Sequence[Reused | Gated], commit: Commit) -> dict[str, Published]:
    """Push those that other images are built on: a candidate that passed its gate may be there, `:next` stays."""
    needed = {name for image in world.images for name in image.needs}
    ready = [one for one in found if one.image.name in needed]
    if ready:
        await promotion.respect_holds(world, Channel.NEXT, override=False)
    return {one.image.name: await publish(world, one, commit) for one in ready}


async def _needed(
    world: World, image: Image, commit: Commit, published: Mapping[str, Published], withheld: str
) -> Needed:
    """The references by digest of what an image is built on, as build arguments.

    That is this commit's candidate, pushed just now or before. A run that pushes nothing takes what next is at.
    PreconditionError when there is none.
    """
    found = {}
    for name in image.needs:
        other = world.config.images[name]
        digest = published[name].digest if name in published else await _passed_candidate(world, other, commit)
        if digest is None and withheld:
            digest = await world.repository(other).digest(other.tags.channel(Channel.NEXT))
        if digest is None:
            raise PreconditionError(
                f"{image.name} is built on {name}, which has no candidate of commit {commit[:12]} that passed its gate"
                f"{', and no next' if withheld else ''}. Build both at once, or {name} first. Nothing was pushed."
            )
        found[fleet.argument(name)] = other.repository.at(digest)
    return found


async def _passed_candidate(world: World, image: Image, commit: Commit) -> Digest | None:
    for one in reversed(await candidates_of(world, image, commit)):
        if await evidence.passed(world, image, one.digest, Channel.NEXT):
            return one.digest
    return None


def _commit(text: str) -> Commit:
    try:
        return Commit(text)
    except ValueError as error:
        raise UsageError(f"--commit: {error}. Expected what the image was built from, all of it.") from None


def _more(found: Published) -> str:
    """Which of several candidates it is, and why there is no new one."""
    number = f", candidate {found.number}" if found.number > 1 else ""
    return number + (f" ({found.note})" if found.note else "")


def _names(images: Sequence[Image]) -> str:
    return ", ".join(image.name for image in images)


async def gate_next(world: World) -> list[GateRun]:
    """Build and gate without pushing anything: the report of each image."""
    commit = await world.history.head()
    await require_source(world, *Channel)

    async def gated(image: Image) -> Reused | Gated:
        needed = await _needed(world, image, commit, {}, "nothing is pushed")
        return await image_gate(world, image, commit, COMMAND, reuse=False, needed=needed)

    candidates = await each(world.images, gated, at_once=world.given.jobs)
    return [found.run for found in candidates if isinstance(found, Gated)]


async def _withheld(world: World, commit: Commit, *, must_push: bool) -> str:
    """Why nothing will be pushed; what would stop a push at its end is looked at before anything is built."""
    withheld = await why_not_pushed(world, commit)
    if withheld and must_push:
        raise PreconditionError(f"This run was to push, and would not: {withheld}. Nothing was built.")
    if not withheld:
        await _refuse_cut_history(world)
        for image in world.images:
            await _revision_of_next(world, image, commit)
        await world.notary.ready(Channel.NEXT)
    return withheld


async def why_not_pushed(world: World, commit: Commit) -> str:
    """The reason why this tree is built and tested but never pushed; empty when it may be pushed.

    Raises UsageError where no commit could ever be pushed, because the branch is called otherwise.
    """
    changed = await world.history.uncommitted()
    if changed:
        return f"the tree differs from commit {commit[:12]} in {places(changed)}"
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


async def _desired(world: World, image: Image, digest: Digest) -> list[Desired]:
    built = date_of((await world.repository(image).labels(digest)).get(CREATED, ""))
    return promotion.channel_and_aliases(image, Channel.NEXT, digest, Facts(date=built))


async def _moves_forward(world: World, image: Image, commit: Commit, number: int) -> bool:
    """`:next` goes from a commit to one that contains it, and among the candidates of a commit to a later one."""
    current, revision = await _revision_of_next(world, image, commit)
    if current is None:
        return True
    if revision == commit:
        numbers = {one.digest: one.number for one in await candidates_of(world, image, commit)}
        return numbers.get(current, 0) <= number
    return await world.history.is_ancestor(revision, commit)


async def _revision_of_next(world: World, image: Image, commit: Commit) -> tuple[Digest | None, str]:
    """Where `:next` is, and of which commit of this history; PreconditionError for one that is not in it."""
    current = await world.repository(image).digest(image.tags.channel(Channel.NEXT))
    if current is None:
        return None, ""
    revision = (await world.repository(image).labels(current)).get(REVISION_LABEL, "")
    if not await world.history.knows(revision):
        raise PreconditionError(
            f":next of {image.name} was built from {revision or 'no commit at all'}, which is not in this history; "
            f"expected an ancestor of {commit}. Fetch that commit, or look who wrote :next."
        )
    return current, revision


def _not_pushed(found: Reused | Gated, commit: Commit, command: str, reason: str) -> Result:
    if isinstance(found, Reused):
        return Result(
            command=command,
            outcome=Outcome.UNCHANGED,
            reason=f"It passed before; :next stays, because {reason}",
            image=found.image.name,
            repository=str(found.image.repository),
            digest=found.digest,
            commit=commit,
        )
    result = found.run.result
    return result if result.exit_code else result.model_copy(update={"reason": f"{result.reason}{NOT_PUSHED}{reason}"})
