"""After skopeo's copy by digest the manifest behind the tag is byte for byte the one that was there."""

import gzip
import hashlib
import io
import json
import tarfile
from typing import Any
from uuid import uuid4

import anyio
import pytest

from pipeline.domain import Repository, Tag
from pipeline.registry import media
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.content import Manifest

ZSTD = bytes.fromhex("28b52ffd")
KINDS = {
    "oci": (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        media.OCI_MANIFEST,
    ),
    "oci, zstd": (
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        media.OCI_MANIFEST,
    ),
    "docker": (
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        media.DOCKER_MANIFEST,
    ),
}


def archive(words: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(words))
    return buffer.getvalue()


def zstd(content: bytes) -> bytes:
    """A frame of one raw block (RFC 8878 section 3.1.1): valid, and compresses nothing."""
    assert len(content) < 1 << 17
    return ZSTD + b"\xa0" + len(content).to_bytes(4, "little") + (len(content) << 3 | 1).to_bytes(3, "little") + content


async def push(repo: RepositoryClient, kind: str, architecture: str) -> Manifest:
    config_type, layer_type, manifest_type = KINDS[kind]
    content = archive(f"{kind} {architecture}")
    diff = "sha256:" + hashlib.sha256(content).hexdigest()
    config = {"os": "linux", "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": [diff]}}
    packed = zstd(content) if "zstd" in kind else gzip.compress(content, mtime=0)
    blobs = [await repo.push_blob(json.dumps(config).encode(), config_type), await repo.push_blob(packed, layer_type)]
    described = [blob.model_copy(update={"data": None}).to_json() for blob in blobs]
    document = {"schemaVersion": 2, "mediaType": manifest_type, "config": described[0], "layers": described[1:]}
    return await stored(repo, document)


async def push_index(repo: RepositoryClient, kind: str, index_type: str) -> Manifest:
    children: list[dict[str, Any]] = []
    for architecture in ("amd64", "arm64"):
        child = await push(repo, kind, architecture)
        children.append({**child.descriptor.to_json(), "platform": {"os": "linux", "architecture": architecture}})
    return await stored(repo, {"schemaVersion": 2, "mediaType": index_type, "manifests": children})


async def stored(repo: RepositoryClient, document: dict[str, Any]) -> Manifest:
    """Written with odd spaces, which a tool that writes the manifest anew would not keep."""
    raw = json.dumps(document, indent=3).encode() + b"\n"
    manifest = Manifest.parse(raw, document["mediaType"])
    await repo.put_manifest(manifest, manifest.digest)
    return manifest


@pytest.mark.parametrize("kind", [*KINDS, "oci index", "docker index", "zstd index"])
async def test_a_promoted_manifest_is_the_tested_one(kind: str, any_registry: str, skopeo: str) -> None:
    where = Repository(any_registry, f"test/{uuid4().hex}")
    async with RegistryClient(plain_http={any_registry}, deadline=10) as client:
        repo = client.repository(where)
        match kind:
            case "oci index":
                tested = await push_index(repo, "oci", media.OCI_INDEX)
            case "zstd index":
                tested = await push_index(repo, "oci, zstd", media.OCI_INDEX)
            case "docker index":
                tested = await push_index(repo, "docker", media.DOCKER_INDEX)
            case _:
                tested = await push(repo, kind, "amd64")
        insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"]
        for tag in (Tag("v1.2.3"), Tag("stable")):
            places = [f"docker://{where.at(tested.digest)}", f"docker://{where.tagged(tag)}"]
            await anyio.run_process([skopeo, "copy", "--all", "--preserve-digests", *insecure, *places])
            assert await repo.manifest(tag) == tested
