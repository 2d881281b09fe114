"""What is attached to an image, taken along to another repository: evidence, disks, signatures, and what is on those.

Attached is what `attached` calls so: the referrers, and what cosign keeps by the names of tags.

The image itself is copied by skopeo (promotion); this follows it, so that the destination can be verified alone.
"""

from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from anyio import to_thread

from pipeline.domain import Digest, Tag
from pipeline.each import each
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.registry.attached import referrers_tag, signature_tag, subject_of_tag
from pipeline.registry.client import RepositoryClient
from pipeline.registry.content import Descriptor, Manifest, children
from pipeline.registry.signatures import add_signatures


async def copy_attached(source: RepositoryClient, target: RepositoryClient, digest: Digest) -> list[Digest]:
    """Copy everything that is attached to `digest` from `source` to `target`, byte for byte; what was copied.

    Verified at the destination: each manifest is read back, and listed there as a referrer or behind the same tag.
    Signatures are added to those that are there. Repeating it copies only what is missing. PreconditionError when the
    image is not at the destination, when the source lacks something, or when another list there would be overwritten.
    """
    if await target.describe(digest) is None:
        raise PreconditionError(
            f"{target.repository} holds no {digest}; expected the image before what is attached to it"
        )
    parts = await _parts(source, digest)
    attached = [one for part in parts for one in await _follow(source, target, part)]
    named = await _copy_named(source, target, [*parts, *attached])
    return list(dict.fromkeys([*attached, *named]))


async def _parts(source: RepositoryClient, digest: Digest) -> list[Digest]:
    """A digest and the images below it: `cosign sign --recursive` signs each."""
    below = [await _parts(source, child.digest) for child in children(await source.known(digest))]
    return [digest, *(part for parts in below for part in parts)]


async def _follow(
    source: RepositoryClient, target: RepositoryClient, subject: Digest, above: frozenset[Digest] = frozenset()
) -> list[Digest]:
    """What hangs on it, and on that; a list that names what it hangs on says nothing of that."""
    above |= {subject}
    attached = [one.digest for one in await source.referrers(subject) if one.digest not in above]
    if not attached:
        return []
    listed = {one.digest for one in await target.referrers(subject)}
    missing = [digest for digest in attached if digest not in listed]
    if missing:
        await target.push_manifests([await _copied_below(source, target, digest) for digest in missing])
        listed = {one.digest for one in await target.referrers(subject)}
    for digest in attached:
        await _verify(source, target, digest, is_listed=digest in listed)
    further = [await _follow(source, target, digest, above) for digest in attached]
    return [*attached, *(digest for found in further for digest in found)]


async def _copy_named(source: RepositoryClient, target: RepositoryClient, digests: Iterable[Digest]) -> list[Digest]:
    """What is beside these by a tag: cosign's signatures, our evidence and disks; most images cost one list."""
    subjects = set(digests)
    listed = [tag for tag in await source.tags() if subject_of_tag(tag) in subjects]
    found = []
    for tag in (tag for tag in listed if not any(tag == referrers_tag(subject) for subject in subjects)):
        manifest = await source.listed(tag)
        await copy_tagged(source, target, tag, manifest)
        found.append(manifest.digest)
    return found


async def copy_tagged(source: RepositoryClient, target: RepositoryClient, tag: Tag, manifest: Manifest) -> None:
    """Copy what a record's tag names, with the tag; PreconditionError when another there would be overwritten."""
    there = await target.manifest(tag)
    if there and there.digest == manifest.digest:
        return
    if (subject := subject_of_tag(tag)) and tag == signature_tag(subject):
        await add_signatures(target, {subject: (await _copied_below(source, target, manifest.digest)).layers}, manifest)
        return
    if there and not _holds(manifest, there):
        raise PreconditionError(
            f"{target.repository.tagged(tag)} is {there.digest} and {source.repository.tagged(tag)} is "
            f"{manifest.digest}, which has not all that is there. Expected the same, or a list that was added to; join "
            "the two (cosign) and run the command again. Nothing was overwritten."
        )
    await target.push_manifest(await _copied_below(source, target, manifest.digest), tag)
    if await target.digest(tag) != manifest.digest:
        raise _not_given_back(source, target, manifest.digest)


def _holds(manifest: Manifest, other: Manifest) -> bool:
    """Whether all that `other` lists is in `manifest`: cosign adds a layer for each signature."""
    try:
        listed = {one.digest for one in (*manifest.layers, *manifest.manifests)}
        return all(one.digest in listed for one in (*other.layers, *other.manifests))
    except ValueError:
        return False


async def _copied_below(source: RepositoryClient, target: RepositoryClient, digest: Digest) -> Manifest:
    """A manifest, when all below it is there: a registry refuses what points at nothing."""
    manifest = await _read(source, digest)
    if manifest.is_index:
        for child in manifest.manifests:
            await target.push_manifest(await _copied_below(source, target, child.digest))
    else:
        blobs = {one.digest: one for one in (manifest.config, *manifest.layers)}
        await each(blobs.values(), lambda blob: copy_blob(source, target, blob))
    return manifest


async def copy_blob(source: RepositoryClient, target: RepositoryClient, blob: Descriptor) -> None:
    """Copy one blob: not at all if it is there, inside the registry if that can do it, else through a local file."""
    if await target.take_blob(blob.digest, source.repository):
        return
    async with AsyncExitStack() as stack:
        folder = await to_thread.run_sync(TemporaryDirectory)
        stack.push_async_callback(to_thread.run_sync, folder.cleanup)
        path = Path(folder.name) / blob.digest.hex
        await source.fetch_file(blob.digest, path, size=blob.size)
        await target.push_file(path, blob.media_type)


async def _verify(source: RepositoryClient, target: RepositoryClient, digest: Digest, *, is_listed: bool) -> None:
    copied = await target.manifest(digest)
    if copied is None or copied.raw != (await _read(source, digest)).raw or not is_listed:
        raise _not_given_back(source, target, digest)


def _not_given_back(source: RepositoryClient, target: RepositoryClient, digest: Digest) -> InfrastructureError:
    return InfrastructureError(
        f"{target.repository} does not give back {digest}, which was copied there from {source.repository}. "
        "Nothing has moved; run the command again."
    )


async def _read(source: RepositoryClient, digest: Digest) -> Manifest:
    manifest = await source.known(digest)
    if manifest is None:
        raise PreconditionError(f"{source.repository} holds no {digest}; expected it because a list there names it")
    return manifest
