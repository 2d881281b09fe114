"""May a channel legally point where it points? Derived again from git, evidence and ledger, trusting none alone."""

import time
from collections.abc import AsyncIterator, Sequence

import anyio

from pipeline.commands.anchor import held
from pipeline.commands.status import age
from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest, Outcome, Tag
from pipeline.errors import PreconditionError
from pipeline.gates import evidence as proofs
from pipeline.policy.candidate import REVISION_LABEL
from pipeline.policy.names import CREATED, Kind
from pipeline.policy.past import explained
from pipeline.quantities import duration_text
from pipeline.registry import ledger
from pipeline.registry.client import RepositoryClient
from pipeline.registry.evidence import Evidence
from pipeline.report.model import Check, CheckStatus, Result
from pipeline.stages import promotion
from pipeline.stages.release import aliases_of
from pipeline.stages.signing import parts, unsigned_among
from pipeline.trust.image import payload
from pipeline.trust.keys import PublicKey
from pipeline.trust.signers import LEDGER
from pipeline.world import World

_GATES = {
    Channel.NEXT: [Channel.NEXT],
    Channel.TESTING: [Channel.NEXT, Channel.TESTING],
    Channel.STABLE: [Channel.NEXT, Channel.TESTING, Channel.STABLE],
}
"""Which evidence a digest must have to be in a channel."""
_LATER = 5.0
"""Seconds after which a finding is looked for again, before it is one."""


async def verify(world: World, channels: list[Channel], anchors: Sequence[str] = ()) -> list[Result]:
    """One result for each image: a check for each thing that must be true of each channel and version tag.

    A channel that never moved is fine. The outcome is `precondition` when something is not as it must be.
    `anchors`: see `pipeline.commands.anchor`; a ledger without what they name was cut or replaced.
    """
    remembered = await held(world, anchors)
    if _wrong(remembered):
        await anyio.sleep(_LATER)
        remembered = await held(world, anchors)
    return [await _image(world, image, channels, remembered) for image in world.images]


async def _image(world: World, image: Image, channels: list[Channel], remembered: Sequence[Check]) -> Result:
    start = time.monotonic()
    checks = await _looked_at(world, image, channels)
    if _wrong(checks):  # what is found once may be an old answer, or a promotion under way
        await anyio.sleep(_LATER)
        checks = await _looked_at(world, image, channels)
    checks += remembered
    wrong, trust = _wrong(checks), about_trust(world)
    checks += [Check(name="trust", status=CheckStatus.PASSED, required=False, reason=trust), *_refused(world)]
    return Result(
        command="verify",
        outcome=Outcome.PRECONDITION if wrong else Outcome.PASSED,
        reason=f"{wrong[0].name}: {wrong[0].reason}" if wrong else f"Every channel points where it may point. {trust}",
        image=image.name,
        repository=str(image.repository),
        checks=checks,
        duration=time.monotonic() - start,
    )


async def _looked_at(world: World, image: Image, channels: list[Channel]) -> list[Check]:
    return [check for channel in channels async for check in _checks(world, image, channel)]


def _wrong(checks: Sequence[Check]) -> list[Check]:
    return [check for check in checks if not check.lets_through]


def about_trust(world: World) -> str:
    """What the signatures, or their absence, are worth, in one line."""
    asked = [name for name in (*Channel, LEDGER) if world.notary.trust.signers.get(name)]
    if not asked:
        return "Without [trust] in pipeline.toml of the main branch this finds accidents, not attackers."
    differs = " [trust] of this checkout is another one, and does not count." if world.judge.differs else ""
    return f"Signatures are asked of {', '.join(asked)}, as {world.judge.branch} says.{differs}"


def _refused(world: World) -> list[Check]:
    """What lies here and does not count. It is no reason for a channel to be wrong; somebody may have tried."""
    found = [str(one) for one in world.notary.refused.values()]
    return [Check(name="refused", status=CheckStatus.FAILED, required=False, reason="; ".join(found))] if found else []


async def _checks(world: World, image: Image, channel: Channel) -> AsyncIterator[Check]:
    try:
        records = await ledger.entries(world.repository(image, channel), channel)
    except PreconditionError as error:  # a broken one is what this command is there to see
        yield _check(channel, "ledger", str(error))
        return
    if heads := ", ".join(record.digest for record in await ledger.heads(world.repository(image, channel), channel)):
        yield Check(name=f"{channel}/anchor", status=CheckStatus.PASSED, required=False, reason=heads)
    if channel is not Channel.NEXT:
        yield _check(channel, "versions", await _about_versions(world, image, channel, records))
    async for check in _channel(world, image, channel, records):
        yield check


async def _channel(
    world: World, image: Image, channel: Channel, records: Sequence[ledger.Record]
) -> AsyncIterator[Check]:
    registry = world.repository(image, channel)
    digest = await registry.digest(image.tags.channel(channel))
    moves = [record.entry.channel_move for record in records if record.entry.channel_move]
    if digest is None:
        yield _check(channel, "exists", "the tag is gone, but the ledger has moves of it" if moves else "")
        return
    revision = (await registry.labels(digest)).get(REVISION_LABEL, "")
    yield _check(channel, "commit", await _about_commit(world, revision))
    if limit := getattr(world.config.stale_after, channel.value):
        yield _check(channel, "age", _about_age((await registry.labels(digest)).get(CREATED, ""), limit))
    yield _check(channel, "platforms", await _about_platforms(registry, image, digest, revision))
    if channel is not Channel.NEXT:
        yield _check(channel, "version-tag", await _about_version_tag(world, image, channel, digest, revision))
    for gate in _GATES[channel]:
        evidence = await proofs.verdict_on(registry, digest, gate)
        yield _check(channel, f"evidence-{gate}", _about_evidence(evidence, gate, world.notary.refusals(digest)))
        if evidence:
            asked = await world.gate_version(image, gate)
            yield _advice(channel, f"asked-{gate}", _about_what_was_asked(evidence, asked))
        if gate is Channel.TESTING and evidence:
            yield _check(channel, "disk", await _about_disks(registry, world.config.booted(image), evidence))
    if image.tags.aliases.get(channel):
        yield _check(channel, "aliases", await _about_aliases(world, image, channel, digest, records))
    if keys := world.notary.trust.keys(channel):
        yield _check(channel, "signed", await _about_signatures(image, channel, registry, digest, keys))
    yield _check(channel, "withdrawn", await _about_withdrawal(world, image, digest, channel, records))
    yield _check(channel, "ledger", await _about_ledger(world, image, channel, digest))


def _check(channel: Channel, name: str, finding: str) -> Check:
    status = CheckStatus.FAILED if finding else CheckStatus.PASSED
    return Check(name=f"{channel}/{name}", status=status, reason=finding)


def _advice(channel: Channel, name: str, finding: str) -> Check:
    return _check(channel, name, finding).model_copy(update={"required": False})


async def _about_commit(world: World, revision: str) -> str:
    try:
        commit = Commit(revision)
    except ValueError as error:
        return f"label {REVISION_LABEL}: {error}"
    if not await world.history.on_branch(commit, world.config.main_branch):
        return f"{commit} is not on {' or '.join(world.config.main_branch)} of this history"
    return ""


def _about_age(created: str, limit: float) -> str:
    seconds = age(created)
    if seconds is None:
        return f"label {CREATED} is {created!r}, so nobody knows its age"
    if seconds <= limit:
        return ""
    return f"its image is {duration_text(seconds)} old, stale_after allows {duration_text(limit)}: promote a newer one"


async def _about_platforms(registry: RepositoryClient, image: Image, digest: Digest, revision: str) -> str:
    found = sorted(platform for platform, _ in await registry.images(digest))
    if found != sorted(image.platforms):
        return f"it is for {', '.join(found)}, the configuration says {', '.join(sorted(image.platforms))}"
    labels = {platform: (await registry.labels(digest, platform)).get(REVISION_LABEL) for platform in found}
    others = [f"{platform} from {label}" for platform, label in labels.items() if label != revision]
    return f"built from {revision}, but {', '.join(others)}" if others else ""


async def _about_version_tag(world: World, image: Image, channel: Channel, digest: Digest, revision: str) -> str:
    named = await _version_tags(world.repository(image, channel), image, channel)
    mine = [tag for tag, at in named.items() if at == digest]
    if not mine:
        return f"no version tag names {digest}"
    commits = {tag: await world.history.commit_of_tag(tag) for tag in mine}
    if revision not in commits.values():
        return f"built from {revision}, but in git {', '.join(f'{tag} is {at}' for tag, at in commits.items())}"
    return ""


async def _version_tags(registry: RepositoryClient, image: Image, channel: Channel) -> dict[Tag, Digest | None]:
    """The version tags of a channel, as they are called in git, and what they name."""
    test = channel is Channel.TESTING
    there = [tag for tag in image.tags.versions(await registry.tags()) if ("-test" in tag) == test]
    return {tag: await registry.digest(image.tags.version(tag)) for tag in there}


async def _about_versions(world: World, image: Image, channel: Channel, records: Sequence[ledger.Record]) -> str:
    """Every version tag is where a promotion put it, and every promotion's version tag is there still.

    Where entries are recorded as lost, as many version tags as those count by the evidence of what they name.
    """
    registry = world.repository(image, channel)
    written = [(record.entry.version, record.entry.moves[0].new) for record in records if record.entry.version]
    recorded = {plain: new for tag, new in written for plain in image.tags.versions([tag])}
    listed = await _version_tags(registry, image, channel)
    unlisted = {tag: await registry.digest(image.tags.version(tag)) for tag in sorted(recorded.keys() - listed.keys())}
    there = {tag: named for tag, named in {**listed, **unlisted}.items() if named}  # a list may have been cut
    both = sorted(there.keys() & recorded.keys())
    unknown = [(tag, there[tag]) for tag in sorted(there.keys() - recorded.keys())]
    lost = sum(record.entry.kind is ledger.Kind.LOSS for record in records)
    if len(unknown) <= lost:
        unknown = [(tag, named) for tag, named in unknown if not await _has_passed(registry, named, channel)]
    findings = [
        *(f"{tag} is {there[tag]}, the ledger says {recorded[tag]}" for tag in both if there[tag] != recorded[tag]),
        *(f"{tag} is there and no entry of the ledger wrote it" for tag, _ in unknown),
        *(f"{tag} is gone, the ledger says {recorded[tag]}" for tag in sorted(recorded.keys() - there.keys())),
    ]
    if there and await registry.digest(image.tags.channel(channel)) is None:
        findings.append(f"versions were promoted, and there is no {channel}")
    return "; ".join(findings)


async def _has_passed(registry: RepositoryClient, digest: Digest, channel: Channel) -> bool:
    evidence = await proofs.verdict_on(registry, digest, channel)
    return evidence is not None and evidence.verdict is Outcome.PASSED


async def _about_aliases(
    world: World, image: Image, channel: Channel, digest: Digest, records: Sequence[ledger.Record]
) -> str:
    """The tags that follow the channel are with it, and all others where the ledger last took them.

    One that a later release left behind may be gone: retention takes those.
    """
    registry = world.repository(image, channel)
    following = dict.fromkeys(await aliases_of(world, image, channel, digest), digest)
    recorded: dict[Tag, Digest] = {}
    for move in (move for record in records for move in record.entry.aliases):  # the newest entry first
        recorded.setdefault(move.tag, move.new)
    has_losses = any(record.entry.kind is ledger.Kind.LOSS for record in records)
    names = {tag: image.tags.read(tag) for tag in {*await registry.tags(), *recorded, *following}}
    mine = {tag: name for tag, name in names.items() if name and name.kind is Kind.ALIAS and name.channel is channel}
    findings = []
    for tag, name in sorted(mine.items()):
        now, wanted = await registry.digest(tag), following.get(tag) or recorded.get(tag)
        if wanted is None:
            if now and has_losses and await _has_passed(registry, now, channel):
                continue
            findings.append(f"{tag} is there and no entry of the ledger wrote it")
        elif now is None and not (name.is_dated and tag not in following):
            findings.append(f"{tag} is gone")
        elif now not in (None, wanted):
            findings.append(f"{tag} is {now}, expected {wanted}")
    return "; ".join(findings)


def _about_evidence(evidence: Evidence | None, gate: Channel, refused: Sequence[str]) -> str:
    if evidence is None:
        return "; ".join([f"no evidence of the {gate} gate", *refused])
    if evidence.verdict is Outcome.PASSED:
        return ""
    return f"the {gate} gate says {evidence.verdict}: {evidence.result.reason}"


def _about_what_was_asked(evidence: Evidence, asked: str) -> str:
    if evidence.gate_version == asked:
        return ""
    return f"the gate asked for other things then (version {evidence.gate_version}) than this checkout does ({asked})"


async def _about_disks(registry: RepositoryClient, platforms: Sequence[str], evidence: Evidence) -> str:
    if evidence.disks and (without := [one for one in platforms if one not in evidence.disks]):
        return f"no disk was tested for {', '.join(without)}"
    missing = [
        f"{platform} ({disk.manifest})"
        for platform, disk in evidence.disks.items()
        if await registry.digest(disk.manifest) is None
    ]
    return f"the tested disk is gone for {', '.join(missing)}" if missing else ""


async def _about_signatures(
    image: Image, channel: Channel, registry: RepositoryClient, digest: Digest, keys: Sequence[PublicKey]
) -> str:
    """Machines with the policy that is printed for them take what the channel names, each platform of it."""
    reference = image.home(channel).tagged(image.tags.channel(channel))
    missing = [
        part
        for part in await parts(registry, digest)
        if await unsigned_among(registry, part, [payload(reference, part)], keys)
    ]
    if not missing:
        return ""
    return (
        f"{', '.join(missing)} has no signature that lets machines install it as {reference}: run the promotion of "
        f"this version again, with the key of {channel}"
    )


async def _about_withdrawal(
    world: World, image: Image, digest: Digest, channel: Channel, records: Sequence[ledger.Record]
) -> str:
    """A channel that took a digest before another one gave it back stays where it is: that is for people to know."""
    taken_back = [
        one
        for one in await promotion.withdrawals(world, image, digest)
        if one.entry.channel is channel and any(record.digest == one.digest for record in records)
    ]
    return f"{channel} was taken back from it ({taken_back[0].entry.reason})" if taken_back else ""


async def _about_ledger(world: World, image: Image, channel: Channel, digest: Digest) -> str:
    """Walk the whole chain, so that a broken one shows, and compare its last move with the channel.

    A promotion that a hold or a withdrawal refused after it was recorded moved nothing.
    """
    try:
        steps = await promotion.recorded(world, image, channel)
        if not steps:
            return "no entry of the ledger moved it"
        if explained(steps, digest) or explained(await promotion.past(world, image, channel), digest):
            return ""
        last = steps[0]
        refused = last.can_be_held and last.old == digest and await promotion.withdrawals(world, image, last.new)
    except PreconditionError as error:
        return str(error)
    if refused and explained(steps[1:], digest):
        return ""
    return f"the ledger's last move is to {last.new}, the channel is {digest}"
