"""What build-next leaves in a registry, made by hand."""

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Mapping

from pipeline.config import Image
from pipeline.domain import Commit, Digest
from pipeline.registry import media
from pipeline.registry.client import RegistryClient, index_of
from pipeline.registry.content import Descriptor, Manifest


async def push(
    image: Image, commit: Commit, labels: dict[str, str], addresses: Mapping[str, str] | None = None
) -> Digest:
    """An index of two platforms, without a tag; `addresses` as RegistryClient takes them."""
    async with RegistryClient(plain_http={image.repository.host}, addresses=addresses) as client:
        repo = client.repository(image.repository)
        listed = []
        for architecture in ("amd64", "arm64"):
            platform = {"os": "linux", "architecture": architecture}
            unpacked = layer()
            rootfs = {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(unpacked).hexdigest()}"]}
            config = Manifest.of({"mediaType": "", **platform, "config": {"Labels": labels}, "rootfs": rootfs}).raw
            parts = [
                await repo.push_blob(config, "application/vnd.oci.image.config.v1+json"),
                await repo.push_blob(gzip.compress(unpacked), "application/vnd.oci.image.layer.v1.tar+gzip"),
            ]
            # without their content: images are not ours to write
            written = [Descriptor(media_type=part.media_type, digest=part.digest, size=part.size) for part in parts]
            manifest = Manifest.of(
                {
                    "schemaVersion": 2,
                    "mediaType": media.OCI_MANIFEST,
                    "config": written[0].to_json(),
                    "layers": [written[1].to_json()],
                }
            )
            await repo.put_manifest(manifest, manifest.digest)
            listed.append(manifest.descriptor.to_json() | {"platform": platform})
        index = index_of(listed)
        await repo.put_manifest(index, index.digest)
        return index.digest


def layer() -> bytes:
    """A file that nobody has seen before."""
    packed, content = io.BytesIO(), os.urandom(100_000)
    with tarfile.open(fileobj=packed, mode="w") as archive:
        file = tarfile.TarInfo("file")
        file.size = len(content)
        archive.addfile(file, io.BytesIO(content))
    return packed.getvalue()
