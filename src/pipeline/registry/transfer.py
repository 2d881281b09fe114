"""What is attached to an image, taken along to another repository: evidence, disks, signatures, and what is on those.

The image itself is copied by skopeo (promotion); this follows it, so that the destination can be verified alone.
"""

from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from anyio import to_thread

from pipeline.domain import Digest
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.registry.attached import is_ours_beside
from pipeline.registry.client import RepositoryClient
from pipeline.registry.content import Descriptor, Manifest


async def copy_attached(source: RepositoryClient, target: RepositoryClient, digest: Digest) -> list[Digest]:
    """Copy everything that is attached to `digest` from `source` to `target`, byte for byte; what was copied.

    Verified at the destination: each manifest is read back and listed there as a referrer. Repeating it copies only
    what is missing. PreconditionError when the image is not at the destination, or the source lacks something.
    """
    if await target.describe(digest) is None:
        raise PreconditionError(
            f"{target.repository} holds no {digest}; expected the image before what is attached to it"
        )
    return list(dict.fromkeys([*await _tagged(source, target, digest), *await _follow(source, target, digest)]))


async def _tagged(source: RepositoryClient, target: RepositoryClient, digest: Digest) -> list[Digest]:
    """What is beside the image by tags of its own: evidence and disks."""
    there = set(await target.tags())
    names = [tag for tag in await source.tags() if is_ours_beside(tag, digest) and tag not in there]
    copied = []
    for name in names:
        manifest = await source.manifest(name)
        if manifest is None:
            raise InfrastructureError(
                f"{source.repository} lists the tag {name}, but answers that there is no manifest behind it. "
                "Nothing has moved; run again."
            )
        await target.push_manifest(await _copied_below(source, target, manifest.digest), name)
        copied.append(manifest.digest)
    return copied


async def _follow(source: RepositoryClient, target: RepositoryClient, subject: Digest) -> list[Digest]:
    attached = [one.digest for one in await source.referrers(subject)]
    if not attached:
        return []
    listed = {one.digest for one in await target.referrers(subject)}
    missing = [digest for digest in attached if digest not in listed]
    if missing:
        await target.push_manifests([await _copied_below(source, target, digest) for digest in missing])
        listed = {one.digest for one in await target.referrers(subject)}
    for digest in attached:
        await _verify(source, target, digest, is_listed=digest in listed)
    further = [await _follow(source, target, digest) for digest in attached]
    return [*attached, *(digest for found in further for digest in found)]


async def _copied_below(source: RepositoryClient, target: RepositoryClient, digest: Digest) -> Manifest:
    """A manifest, when all below it is there: a registry refuses what points at nothing."""
    manifest = await _read(source, digest)
    if manifest.is_index:
        for child in manifest.manifests:
            await target.push_manifest(await _copied_below(source, target, child.digest))
    else:
        for blob in {one.digest: one for one in (manifest.config, *manifest.layers)}.values():
            await copy_blob(source, target, blob)
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
        raise InfrastructureError(
            f"{target.repository} does not give back {digest}, which was copied there from {source.repository}. "
            "Nothing has moved; run the command again."
        )


async def _read(source: RepositoryClient, digest: Digest) -> Manifest:
    manifest = await source.known(digest)
    if manifest is None:
        raise PreconditionError(f"{source.repository} holds no {digest}; expected it because a list there names it")
    return manifest
