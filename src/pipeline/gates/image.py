"""The image gate: an image is built, or taken as it was built elsewhere, and looked at from outside and inside."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.config import Image
from pipeline.containers.base import Reach
from pipeline.containers.podman import BuiltImage, Delivered
from pipeline.domain import Channel, Commit, Digest, Refresh, Repository
from pipeline.errors import GateFailed, UsageError
from pipeline.gates import evidence
from pipeline.gates.evidence import GateRun
from pipeline.gates.recipe import NOTHING, Needed, bases_of, moved, recipe_of
from pipeline.gates.room import build_need, room_for
from pipeline.gates.subject import candidates_of, see_candidate, see_platforms
from pipeline.policy.candidate import Numbered, refuse_unfit
from pipeline.policy.gate import verdict
from pipeline.report.model import Check, CheckStatus, Result
from pipeline.world import World

Storage = Callable[[Reach, str, str], BuiltImage]
"""Where images are built: how to reach the outside, the volume, the local name."""

Push = Callable[[], Awaitable[Digest]]
"""Bring the candidate into its repository, with no tag; what the tool says that it pushed."""


@dataclass(frozen=True)
class Reused:
    """A candidate of the commit that is in the registry and passed this gate: nothing to build or to look at."""

    image: Image
    number: int
    digest: Digest
    evidence: Digest
    note: str = ""
    """Why there is no new one, when that was asked for."""


@dataclass(frozen=True)
class Gated:
    """A candidate of the commit that went through the gate just now."""

    image: Image
    number: int
    run: GateRun
    push: Push
    digest: Digest | None
    """When it was a candidate already, but without evidence for this gate."""
    handed_over: bool = False
    """Whether this very image is to be a candidate, whatever others build of the commit meanwhile."""


async def image_gate(
    world: World,
    image: Image,
    commit: Commit,
    command: str,
    *,
    reuse: bool,
    refresh: Refresh = Refresh.NONE,
    needed: Needed = NOTHING,
    storage: Storage = BuiltImage.storage,
) -> Reused | Gated:
    """Build the image of a commit and look at it; without `refresh`, one that is in the registry is never built again.

    Builds are not reproducible. One that is in the registry and was never judged is judged first, whatever is asked.
    """
    known = await candidates_of(world, image, commit) if reuse else []
    newest, bases = known[-1] if known else None, None
    proof = None
    if newest:  # whoever pushed it: it must be what it says
        await see_candidate(world, image, newest.digest, commit)
        proof = await evidence.passed(world, image, newest.digest, Channel.NEXT)
        judged = proof or await evidence.verdict_on(world.repository(image), newest.digest, Channel.NEXT)
        if refresh is Refresh.NONE or not judged:
            if proof:
                return Reused(image, newest.number, newest.digest, proof.digest)
            return await _judged_again(world, image, commit, command, newest, storage)
        if refresh is Refresh.AUTO:
            bases = await bases_of(world, image, needed)
            changed = moved(bases, await world.repository(image).labels(newest.digest, image.platforms[0]))
            if proof and not changed:
                note = "nothing that it is built on has changed"
                return Reused(image, newest.number, newest.digest, proof.digest, note)
    number = newest.number + 1 if newest else 1
    local = _local(world, image, image.tags.candidate(commit, number), storage)
    try:
        recipe = await recipe_of(world, image, commit, bases, needed=needed, afresh=refresh is Refresh.ALWAYS)
        async with room_for(world, await build_need(world, image)):
            local = await local.build(image, world.given.source, recipe)
            local = await _rechunked(image, commit, local)
    except GateFailed as error:
        run = _run_of(world, image, commit, _not_built(command, error), evidence.new_folder())
        return Gated(image, number, run, partial(local.push, image), None)
    if newest and proof and await _same_layers(world, image, newest.digest, await local.layers(image)):
        note = "the new build has the same layers"
        return Reused(image, newest.number, newest.digest, proof.digest, note)
    run = await _look_at(world, image, commit, command, local)
    return Gated(image, number, run, partial(local.push, image), None)


async def _rechunked(image: Image, commit: Commit, local: BuiltImage) -> BuiltImage:
    """What the gate looks at is what the tool made of the build, and what it says of itself is seen once more."""
    if not image.rechunk:
        return local
    local, found = await local.lay_out(image)
    refuse_unfit(f"What rechunk made of {image.name}", found.labels, image.platforms, commit, image.name)
    return await local.take(image)


async def submitted_gate(
    world: World,
    image: Image,
    commit: Commit,
    command: str,
    delivered: Delivered,
    *,
    reuse: bool,
    storage: Storage = BuiltImage.storage,
) -> Reused | Gated:
    """Look at an image that was built elsewhere, as at one of our own; it is a candidate as it is, byte for byte.

    Raises UsageError for a reference without digest, PreconditionError for an image that is none of this commit.
    """
    async with room_for(world, await build_need(world, image)):
        return await _submitted(world, image, commit, command, delivered, storage, reuse=reuse)


async def _submitted(
    world: World, image: Image, commit: Commit, command: str, delivered: Delivered, storage: Storage, *, reuse: bool
) -> Reused | Gated:
    references = [_by_digest(text) for text in delivered.references]
    local = _local(world, image, commit, storage)
    push: Push
    if references and not (references[1:] or delivered.archives or delivered.layouts):
        ((repository, digest),) = references
        source = world.registry.repository(repository)
        await see_platforms(source, digest, image)
        labels = {name: await source.labels(digest, name) for name in image.platforms}
        push = partial(_copied, world, image, repository, digest)
        take = partial(local.pull, image, digest, repository)
        what = repository.at(digest)
    else:
        local, found = await local.receive(delivered)
        digest, labels = found.digest, found.labels
        push, take = partial(local.push, image), partial(local.take, image)
        what = f"What was handed over ({digest})"
    refuse_unfit(what, labels, image.platforms, commit, image.name)
    known = await candidates_of(world, image, commit) if reuse else []
    there = next((one for one in known if one.digest == digest), None)
    if there and (proof := await evidence.passed(world, image, digest, Channel.NEXT)):
        return Reused(image, there.number, digest, proof.digest)
    run = await _look_at(world, image, commit, command, await take())
    number = there.number if there else known[-1].number + 1 if known else 1
    return Gated(image, number, run, push, digest if there else None, handed_over=True)


def _by_digest(text: str) -> tuple[Repository, Digest]:
    name, _, digest = text.removeprefix("docker://").partition("@")
    if "@" in digest:
        raise UsageError(
            "A reference holds a second @ before its digest; expected REPOSITORY@sha256:… alone. A login is given by "
            "--registry-auth, never in a reference, which shows in logs."
        )
    if ":" in name.rpartition("/")[2]:
        name = name.rpartition(":")[0]
    try:
        return Repository.parse(name), Digest(digest)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no image by digest: {error}. Expected REPOSITORY@sha256:…, as the job that built it pushed "
            "it: a tag could be another image by now."
        ) from None


async def _copied(world: World, image: Image, source: Repository, digest: Digest) -> Digest:
    if source != image.repository:
        await world.copy(source, digest, image.repository, None)
    return digest


def _local(world: World, image: Image, tag: str, storage: Storage) -> BuiltImage:
    """By a name of this run alone: another build of the same commit, on the same engine, is another image."""
    name = f"localhost/{image.name}:{tag}-{world.reach.run[:8]}"
    local = storage(world.reach, f"bootc-pipeline-build-{image.name}", name)
    world.at_end.append(partial(local.remove, image))
    return local


async def _judged_again(
    world: World, image: Image, commit: Commit, command: str, there: Numbered, storage: Storage
) -> Gated:
    """Somebody else pushed it, or the gate asks for something else by now."""
    local = _local(world, image, image.tags.candidate(commit, there.number), storage)
    run = await _look_at(world, image, commit, command, await local.pull(image, there.digest))
    return Gated(image, there.number, run, partial(local.push, image), there.digest)


async def _same_layers(world: World, image: Image, before: Digest, now: dict[str, list[str]]) -> bool:
    registry = world.repository(image)
    found = {platform: await registry.layers(before, platform) for platform in image.platforms}
    return all(found.values()) and found == now


async def _look_at(world: World, image: Image, commit: Commit, command: str, local: BuiltImage) -> GateRun:
    known = world.config.waivers_in(Channel.NEXT)
    result, report = await local.gate(image, world.config.gates.next, world.given.source, known)
    told = result.model_copy(update={"command": command})
    return _run_of(world, image, commit, told, await evidence.exported(report))


def _run_of(world: World, image: Image, commit: Commit, result: Result, folder: Path) -> GateRun:
    world.left[image.name] = folder
    found = {"image": image.name, "repository": str(image.repository), "commit": commit}
    return GateRun(result.model_copy(update=found), folder)


def _not_built(command: str, error: GateFailed) -> Result:
    checks = [Check(name="build", status=CheckStatus.FAILED, reason=str(error))]
    outcome, reason = verdict(checks)
    return Result(command=command, outcome=outcome, reason=reason, checks=checks)
