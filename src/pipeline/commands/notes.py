"""Release notes of a version, from what git, registry, evidence and ledger say of it. Nothing is done."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.commands.packages import packages_between
from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest
from pipeline.each import each
from pipeline.errors import PreconditionError
from pipeline.gates import evidence
from pipeline.policy.candidate import REVISION_LABEL
from pipeline.policy.tags import ReleaseTag, release_tags
from pipeline.registry import ledger
from pipeline.registry.client import RepositoryClient
from pipeline.registry.evidence import Evidence
from pipeline.registry.ledger import Record
from pipeline.report.notes import Built, Disk, Found, Notes, links_in
from pipeline.stages import promotion
from pipeline.stages.release import tag_commit
from pipeline.trust.keyless import Called, Identity, called
from pipeline.trust.signers import Signer
from pipeline.world import World


@dataclass(frozen=True)
class _Release:
    """A version that was released, as the ledger says and the registry still has it."""

    tag: ReleaseTag
    digest: Digest
    record: Record


async def notes(world: World, name: str) -> list[Notes]:
    """The release notes of `vX.Y.Z`, one for each image.

    UsageError for another kind of tag, PreconditionError for one that is not in git or was not released.
    """
    tag = ReleaseTag.parse(name)
    commit = await tag_commit(world, tag.tag)
    with world.registry.one_look():
        return await each(world.images, lambda image: _notes(world, image, tag, commit))


async def _notes(world: World, image: Image, tag: ReleaseTag, commit: Commit) -> Notes:
    registry = world.repository(image, Channel.STABLE)
    entries = await ledger.entries(registry, Channel.STABLE)
    records = _recorded(image, entries)
    release = await _released(world, image, records, tag, commit)
    before = await _release_before(image, registry, entries, records, release)
    old = before.digest if before else None
    revision = (await registry.labels(old)).get(REVISION_LABEL, "") if old else ""
    found = {gate: await evidence.verdict_on(registry, release.digest, gate) for gate in Channel}
    changes = await packages_between((registry, old), (registry, release.digest))
    signer, options = await _signed_with(registry, release.record)
    return Notes(
        image=image.name,
        repository=str(registry.repository),
        tag=tag.tag,
        names=[image.tags.version(tag.tag), image.tags.channel(Channel.STABLE)],
        commit=commit,
        digest=release.digest,
        at=release.record.entry.at,
        before=before.tag.tag if before else None,
        commits=await world.history.subjects(revision, commit) if revision else [],
        count=await world.history.count(revision, commit) if revision else None,
        packages=changes.lines if changes else None,
        compared=changes.source if changes else "",
        platforms=await _built(registry, release.digest, old),
        disks=_disks(found[Channel.TESTING]),
        gates=[_found(gate, said) for gate, said in found.items()],
        withdrawn=await _withdrawn(world, image, release.digest),
        signer=signer,
        options=options,
    )


def _recorded(image: Image, entries: Sequence[Record]) -> dict[ReleaseTag, Record]:
    """What the ledger of stable released, by version; only what counts, see `ledger`. `entries`: newest first."""
    recorded: dict[ReleaseTag, Record] = {}
    for record in entries:
        written = [record.entry.version] if record.entry.version else []
        for tag in release_tags(image.tags.versions(written)):
            recorded.setdefault(tag, record)
    return recorded


async def _released(
    world: World, image: Image, records: dict[ReleaseTag, Record], tag: ReleaseTag, commit: Commit
) -> _Release:
    """PreconditionError, saying what to do, unless git, registry and ledger agree that it was released."""
    registry = world.repository(image, Channel.STABLE)
    place = registry.repository.tagged(image.tags.version(tag.tag))
    now, record = await registry.digest(image.tags.version(tag.tag)), records.get(tag)
    if now is None:
        raise PreconditionError(
            f"{place} is not there: {tag.tag} of {image.name} was not released, so there is nothing to tell. "
            f"`plan --tag={tag.tag}` shows what a release would bring, promote-stable makes it, `status` shows what "
            "was released."
        )
    if record is None or record.entry.moves[0].new != now:
        said = (
            f"is {record.entry.moves[0].new} in the ledger of stable" if record else "is in no ledger entry of stable"
        )
        refused = "".join(f"\n{one}." for one in world.notary.refusals(Channel.STABLE))
        raise PreconditionError(
            f"{place} is {now}, but {tag.tag} {said}: it was not released by this pipeline, and notes would vouch for "
            f"it. `verify` says more; find out who wrote it.{refused}"
        )
    revision = (await registry.labels(now)).get(REVISION_LABEL, "")
    if revision != commit:
        raise PreconditionError(
            f"{place} was built from {revision or 'no commit at all'}, the git tag {tag.tag} is {commit}: expected one "
            "commit. Fetch the tag again (git fetch --tags --force); if it was moved, move it back."
        )
    return _Release(tag, now, record)


async def _release_before(
    image: Image,
    registry: RepositoryClient,
    entries: Sequence[Record],
    records: dict[ReleaseTag, Record],
    release: _Release,
) -> _Release | None:
    """The highest version below that was released earlier, not taken back before this one, and is still there."""
    earlier = [one.entry for one in entries if one.entry.number < release.record.entry.number]
    taken_back = {move.old for one in earlier if one.kind is ledger.Kind.ROLLBACK for move in one.moves}
    for tag, record in sorted(records.items(), key=lambda one: one[0], reverse=True):
        digest = record.entry.moves[0].new
        if tag >= release.tag or record.entry not in earlier or digest in taken_back:
            continue
        if await registry.digest(image.tags.version(tag.tag)) == digest:
            return _Release(tag, digest, record)
    return None


async def _built(registry: RepositoryClient, digest: Digest, before: Digest | None) -> list[Built]:
    earlier = await registry.platforms(before) if before else {}
    return [
        Built(
            platform,
            one,
            await _size(registry, one),
            await _size(registry, earlier[platform]) if platform in earlier else None,
        )
        for platform, one in sorted((await registry.platforms(digest)).items())
    ]


async def _size(registry: RepositoryClient, digest: Digest) -> int | None:
    """Bytes of an image as they are downloaded; None when its manifest is gone or broken: it only informs."""
    manifest = await registry.known(digest)
    try:
        return manifest.config.size + sum(layer.size for layer in manifest.layers) if manifest else None
    except ValueError:
        return None


def _disks(tested: Evidence | None) -> list[Disk]:
    return [Disk(name, one.size, one.sha256) for name, one in sorted(tested.disks.items())] if tested else []


def _found(gate: Channel, said: Evidence | None) -> Found:
    if said is None:
        return Found(gate, None)
    result = said.result
    return Found(gate, said.verdict, result.reason, said.ended, result.checks, links_in(result.inputs.items()))


async def _withdrawn(world: World, image: Image, digest: Digest) -> str:
    return "; ".join(
        f"{one.entry.channel} left it on {one.entry.at:%Y-%m-%d}: {one.entry.reason or 'no reason given'}"
        for one in await promotion.withdrawals(world, image, digest)
    )


async def _signed_with(registry: RepositoryClient, record: Record) -> tuple[str, Sequence[str]]:
    """Who signed the release, of those whose signature counts, and what cosign is told to check with it."""
    signers = registry.notary.trust.of(Channel.STABLE, ledger=True)
    signed = await ledger.signature(registry, record) if signers else None
    signer = next((one for one in signers if signed and one.made(signed)), None)
    match signer:
        case Signer():
            return f"{signer.file} of the source repository", ("--insecure-ignore-tlog=true", "--key", signer.file)
        case Identity():
            of_their_own = (
                ", in the Sigstore whose trusted_root.json [trust] names" if signer.sigstore.trusted_root else ""
            )
            return f"{signer}{of_their_own}", _identity_options(signer, called(signed) if signed else None)
    return "", ()


def _identity_options(signer: Identity, other: Called | None = None) -> Sequence[str]:
    """What cosign verify-attestation takes (sigstore/cosign, doc/cosign_verify-attestation.md).

    It knows a workflow that was called by its own name, and has to be told by whom.
    """
    who: Sequence[str] = ("--certificate-identity", signer.identity)
    if other:
        who = (
            *("--certificate-identity", other.name),
            *("--certificate-github-workflow-repository", other.repository),
            *("--certificate-github-workflow-ref", other.ref),
        )
    elif "*" in signer.identity:
        who = ("--certificate-identity-regexp", f"^{'.*'.join(map(re.escape, signer.identity.split('*')))}$")
    of_their_own = ("--trusted-root", "trusted_root.json") if signer.sigstore.trusted_root else ()
    return ("--certificate-oidc-issuer", signer.issuer, *who, *of_their_own)
