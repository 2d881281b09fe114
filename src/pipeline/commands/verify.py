"""May a channel legally point where it points? Derived again from git, evidence and ledger, trusting none alone."""

import time
from collections.abc import AsyncIterator

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest, Outcome
from pipeline.errors import PreconditionError
from pipeline.gates import evidence as proofs
from pipeline.policy.candidate import REVISION_LABEL
from pipeline.policy.past import explained
from pipeline.policy.tags import is_version_tag
from pipeline.registry import ledger
from pipeline.registry.client import RepositoryClient
from pipeline.registry.evidence import Evidence
from pipeline.report.model import Check, CheckStatus, Result
from pipeline.stages import promotion
from pipeline.world import World

_GATES = {
    Channel.NEXT: [Channel.NEXT],
    Channel.TESTING: [Channel.NEXT, Channel.TESTING],
    Channel.STABLE: [Channel.NEXT, Channel.TESTING, Channel.STABLE],
}
"""Which evidence a digest must have to be in a channel."""


async def verify(world: World, channels: list[Channel]) -> list[Result]:
    """One result for each image: a check for each thing that must be true of each channel.

    A channel that never moved is fine. The outcome is `precondition` when something is not as it must be.
    """
    results = []
    for image in world.images:
        start = time.monotonic()
        checks = [check for channel in channels async for check in _channel(world, image, channel)]
        wrong = [check for check in checks if not check.lets_through]
        results.append(
            Result(
                command="verify",
                outcome=Outcome.PRECONDITION if wrong else Outcome.PASSED,
                reason=f"{wrong[0].name}: {wrong[0].reason}" if wrong else "Every channel points where it may point",
                image=image.name,
                repository=str(image.repository),
                checks=checks,
                duration=time.monotonic() - start,
            )
        )
    return results


async def _channel(world: World, image: Image, channel: Channel) -> AsyncIterator[Check]:
    registry = world.repository(image, channel)
    digest = await registry.digest(channel.tag)
    if digest is None:
        moved = [record async for record in ledger.walk(registry, channel) if record.entry.moves]
        yield _check(channel, "exists", "the tag is gone, but the ledger has moves of it" if moved else "")
        return
    revision = (await registry.labels(digest)).get(REVISION_LABEL, "")
    yield _check(channel, "commit", await _about_commit(world, revision))
    if channel is not Channel.NEXT:
        yield _check(channel, "version-tag", await _about_version_tag(world, registry, channel, digest, revision))
    for gate in _GATES[channel]:
        evidence = await proofs.verdict_on(registry, digest, gate)
        yield _check(channel, f"evidence-{gate}", _about_evidence(evidence, gate))
        if gate is Channel.TESTING and evidence:
            yield _check(channel, "disk", await _about_disks(registry, evidence))
    yield _check(channel, "ledger", await _about_ledger(world, image, channel, digest))


def _check(channel: Channel, name: str, finding: str) -> Check:
    status = CheckStatus.FAILED if finding else CheckStatus.PASSED
    return Check(name=f"{channel}/{name}", status=status, reason=finding)


async def _about_commit(world: World, revision: str) -> str:
    try:
        commit = Commit(revision)
    except ValueError as error:
        return f"label {REVISION_LABEL}: {error}"
    if not await world.history.on_branch(commit, world.config.main_branch):
        return f"{commit} is not on {' or '.join(world.config.main_branch)} of this history"
    return ""


async def _about_version_tag(
    world: World, registry: RepositoryClient, channel: Channel, digest: Digest, revision: str
) -> str:
    test = channel is Channel.TESTING
    names = [tag for tag in await registry.tags() if is_version_tag(tag) and ("-test" in tag) == test]
    mine = [tag for tag in names if await registry.digest(tag) == digest]
    if not mine:
        return f"no version tag names {digest}"
    commits = {tag: await world.history.commit_of_tag(tag) for tag in mine}
    if revision not in commits.values():
        return f"built from {revision}, but in git {', '.join(f'{tag} is {at}' for tag, at in commits.items())}"
    return ""


def _about_evidence(evidence: Evidence | None, gate: Channel) -> str:
    if evidence is None:
        return f"no evidence of the {gate} gate"
    result = evidence.result
    return f"the {gate} gate says {result.outcome}: {result.reason}" if result.exit_code else ""


async def _about_disks(registry: RepositoryClient, evidence: Evidence) -> str:
    missing = [
        f"{platform} ({disk.manifest})"
        for platform, disk in evidence.disks.items()
        if await registry.digest(disk.manifest) is None
    ]
    return f"the tested disk is gone for {', '.join(missing)}" if missing else ""


async def _about_ledger(world: World, image: Image, channel: Channel, digest: Digest) -> str:
    """Walk the whole chain, so that a broken one shows, and compare its last move with the channel."""
    try:
        steps = await promotion.past(world, image.home(channel), channel)
    except PreconditionError as error:
        return str(error)
    if not steps:
        return "no entry of the ledger moved it"
    return "" if explained(steps, digest) else f"the ledger's last move is to {steps[0].new}, the channel is {digest}"
