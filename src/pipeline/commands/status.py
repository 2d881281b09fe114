"""What is where: looking without touching."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest, Tag
from pipeline.errors import PreconditionError, UsageError
from pipeline.gates import evidence
from pipeline.gates.subject import candidates_of
from pipeline.policy.candidate import REVISION_LABEL
from pipeline.policy.names import CREATED, Kind
from pipeline.policy.tags import is_version_tag, release_tags, tags_for_testing
from pipeline.registry import ledger
from pipeline.registry.client import RepositoryClient
from pipeline.registry.evidence import Evidence, StoredEvidence, fetch_report, find_evidence
from pipeline.report.text import ChannelLine, channels_table
from pipeline.report.wording import outcome_text
from pipeline.stages.release import aliases_of, written_for
from pipeline.world import World

_MISSING = "missing"


def status_text(found: dict[str, list[ChannelLine]]) -> str:
    """The channels of every repository, for people."""
    return "\n\n".join(f"{repository}\n{channels_table(lines)}" for repository, lines in found.items())


async def channels(world: World, image: Image) -> list[ChannelLine]:
    """One line for each channel, next first; of one whose ledger is broken, where it is and what is wrong."""
    homes = {channel: world.repository(image, channel) for channel in Channel}
    heads = {channel: await registry.digest(image.tags.channel(channel)) for channel, registry in homes.items()}
    held = {channel: await _held(registry, channel) for channel, registry in homes.items()}
    versions = await _versions(
        image, homes, {channel: digest for channel, digest in heads.items() if isinstance(held[channel], list)}
    )
    revisions = {channel: await _label(homes[channel], digest, REVISION_LABEL) for channel, digest in heads.items()}
    lines = []
    for channel, digest in heads.items():
        tag = image.tags.channel(channel)
        holds = held[channel]
        if isinstance(holds, str):
            lines.append(ChannelLine(channel, digest, note=holds, tag=tag))
            continue
        if digest is None:
            lines.append(ChannelLine(channel, None, note="; ".join(["never moved", *holds]), tag=tag))
            continue
        ahead = await world.history.count(revisions[channel], revisions[Channel.NEXT])
        said = _said(await evidence.verdict_on(homes[channel], digest, channel))
        refused = world.notary.refusals(digest) if said == _MISSING else []
        further = [f"next is {ahead} commit{'' if ahead == 1 else 's'} ahead"] if ahead else []
        lines.append(
            ChannelLine(
                channel,
                digest,
                version=_version(channel, digest, versions),
                age=age(await _label(homes[channel], digest, CREATED)),
                evidence=said,
                note="; ".join([*holds, *refused, *further]),
                tag=tag,
                aliases=await _aliases(world, image, channel, digest),
            )
        )
    return lines


async def _aliases(world: World, image: Image, channel: Channel, digest: Digest) -> list[Tag]:
    """Those that follow the channel, so far as they are with it."""
    registry = world.repository(image, channel)
    return [tag for tag in await aliases_of(world, image, channel, digest) if await registry.digest(tag) == digest]


async def _held(registry: RepositoryClient, channel: Channel) -> list[str] | str:
    """Each hold with what release-hold takes for it; of a ledger that is broken, what is wrong with it."""
    try:
        holds = (await ledger.standing(registry, channel)).holds
    except PreconditionError as error:
        return str(error)
    held = [f"on hold {one.who_and_why}" for one in holds]
    return [*held, *registry.notary.refusals(channel)]


async def find_report(world: World, image: Image, reference: str, gate: Channel | None = None) -> bytes:
    """The archive (tar.gz) of the newest report of a gate on what `reference` names, passed or failed.

    Args:
        world: where to look.
        image: one image of the configuration.
        reference: a digest, a channel, a version tag (in the registry, or only in git when its gate failed), a commit.
        gate: None for the one that the reference is about.
    """
    digest = await resolve(world, image, reference)
    registry, stored = await _gate_evidence(world, image, digest, reference, gate)
    return await fetch_report(registry, stored)


async def find_gate_evidence(
    world: World, image: Image, digest: Digest, reference: str, gate: Channel | None = None
) -> StoredEvidence:
    """The newest evidence of a gate on a digest; of the one that `reference` is about when none is named."""
    _, stored = await _gate_evidence(world, image, digest, reference, gate)
    return stored


async def fetch_report_of(world: World, image: Image, digest: Digest, evidence: Digest) -> bytes:
    """The archive (tar.gz) of one piece of evidence on `digest`; PreconditionError when it is not there any more."""
    for registry in map(world.registry.repository, image.homes):
        for gate in Channel:
            for stored in await find_evidence(registry, digest, gate):
                if stored.digest == evidence:
                    return await fetch_report(registry, stored)
    raise PreconditionError(f"{image.repository.at(digest)} has no evidence {evidence} any more.")


async def _gate_evidence(
    world: World, image: Image, digest: Digest, reference: str, gate: Channel | None
) -> tuple[RepositoryClient, StoredEvidence]:
    wanted = [gate] if gate else _gates(image, reference)
    for channel in wanted:
        for registry in dict.fromkeys(world.repository(image, at) for at in (channel, Channel.NEXT)):
            if found := await find_evidence(registry, digest, channel):
                return registry, found[0]
    raise PreconditionError(
        f"{image.repository.at(digest)} has no evidence of the gate {' or '.join(wanted)}. Was it ever run? "
        "A gate that fails before the image is pushed leaves none: gate-next gives its report."
    )


async def resolve(world: World, image: Image, reference: str) -> Digest:
    """The digest that a tag, commit (its newest candidate) or digest names; PreconditionError when nothing is there."""
    try:
        if reference.startswith("sha256:"):
            return Digest(reference)
        tag = Tag(reference)
    except ValueError as error:
        raise UsageError(f"{error}. Expected a digest, a channel, a version tag or a commit.") from error
    if Commit.PATTERN.fullmatch(tag) and (candidates := await candidates_of(world, image, Commit(tag))):
        return candidates[-1].digest
    meant = image.tags.find(reference) or tag
    if digest := await world.repository(image, _channel_of(image, meant)).digest(meant):
        return digest
    commit = await world.history.commit_of_tag(tag)
    if commit and (candidates := await candidates_of(world, image, commit)):
        return candidates[-1].digest
    raise PreconditionError(
        f"{image.repository.tagged(meant)} is not there, and no image was built from a git tag of that name. "
        "`status` shows what is."
    )


def _channel_of(image: Image, tag: Tag) -> Channel:
    """The channel to which a tag belongs; commits are candidates, at home with next."""
    name = image.tags.read(tag)
    return name.channel if name else Channel.NEXT


def _gates(image: Image, reference: str) -> list[Channel]:
    meant = image.tags.find(reference) or reference
    if (name := image.tags.read(meant)) and name.kind is not Kind.CANDIDATE:
        return [name.channel]
    if is_version_tag(reference):
        return [Channel.TESTING if "-test" in reference else Channel.STABLE]
    return [Channel.STABLE, Channel.TESTING, Channel.NEXT]


async def _label(registry: RepositoryClient, digest: Digest | None, name: str) -> str:
    return (await registry.labels(digest)).get(name, "") if digest else ""


def _said(found: Evidence | None) -> str:
    return outcome_text(found.verdict) if found and found.verdict else _MISSING


async def _versions(
    image: Image, homes: Mapping[Channel, RepositoryClient], heads: Mapping[Channel, Digest | None]
) -> dict[Tag, Digest | None]:
    """What the version tags of an image name, those of its channels that a cut list of tags would hide included."""
    there = defaultdict[RepositoryClient, set[Tag]](set)
    for channel, registry in homes.items():
        if digest := heads.get(channel):
            there[registry].update(await written_for(registry, image, channel, digest))
    for registry, tags in there.items():
        tags.update(image.tags.versions(await registry.tags()))
    return {
        tag: await registry.digest(image.tags.version(tag)) for registry, tags in there.items() for tag in sorted(tags)
    }


def _version(channel: Channel, digest: Digest, versions: dict[Tag, Digest | None]) -> str:
    fitting = [tag for tag, named in versions.items() if named == digest]
    released = [str(one.tag) for one in release_tags(fitting)]
    tested = [str(one.tag) for one in tags_for_testing(fitting)]
    found = (released or tested) if channel is Channel.STABLE else (tested or released)
    return found[-1] if found else ""


def age(created: str) -> float | None:
    """Seconds since the moment that a label names; None when it names none."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return None
    return (datetime.now(UTC) - moment).total_seconds() if moment.tzinfo else None
