"""After its promotions an image is byte for byte what was built, of whatever kind it is, and so is what hangs on it."""

import io
import json
import subprocess
import tarfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from scaffold import Bench, configured, outcome

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest, Outcome, Tag
from pipeline.registry import media
from pipeline.registry.client import RegistryClient, RepositoryClient, index_of
from pipeline.registry.content import Descriptor, Manifest, sha256

TAR = "application/vnd.oci.image.layer.v1.tar"
GZIP, ZSTD = f"{TAR}+gzip", f"{TAR}+zstd"
DOCKER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
VERSION = "v1.0.0"

Labels = dict[str, str]
Make = Callable[[Path, Image, Commit, Labels, str], Awaitable[None]]


def layout(folder: Path, labels: Labels, *architectures: str, compressed: bool = True) -> str:
    """An OCI image layout (image specification 1.1) with one image, or an index of several; its reference."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, kind: str) -> dict[str, Any]:
        (blobs / sha256(data).hex).write_bytes(data)
        return {"mediaType": kind, "digest": sha256(data), "size": len(data)}

    images = []
    for architecture in architectures:
        plain, layer = io.BytesIO(), io.BytesIO()
        for buffer, mode in ((plain, "w"), (layer, "w:gz")):
            with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
                entry = tarfile.TarInfo("usr/lib/os-release")
                text = f"NAME=lab\nARCHITECTURE={architecture}\n".encode() * 2000
                entry.size = len(text)
                archive.addfile(entry, io.BytesIO(text))
        config = {
            "os": "linux",
            "architecture": architecture,
            "config": {"Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": [sha256(plain.getvalue())]},
        }
        image = {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "config": blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": [blob(layer.getvalue(), GZIP) if compressed else blob(plain.getvalue(), TAR)],
        }
        # indented: bytes that nobody would write again in the same way
        described = blob(json.dumps(image, indent=3).encode(), media.OCI_MANIFEST)
        images.append(described | {"platform": {"os": "linux", "architecture": architecture}})
    if len(images) > 1:
        index = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": images}
        images = [blob(json.dumps(index, indent=3).encode(), media.OCI_INDEX)]
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": images}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return f"oci:{folder}"


def pushed(*options: str, architectures: tuple[str, ...] = ("amd64",), compressed: bool = True) -> Make:
    """By skopeo, from a layout; it compresses and rewrites as its options say."""

    async def make(folder: Path, image: Image, commit: Commit, labels: Labels, skopeo: str) -> None:
        source = layout(folder, labels, *architectures, compressed=compressed)
        target = f"docker://{image.repository.tagged(Tag(commit))}"
        subprocess.run(  # noqa: ASYNC221
            [skopeo, "copy", "--dest-tls-verify=false", *options, source, target], check=True, capture_output=True
        )

    return make


async def nested(folder: Path, image: Image, commit: Commit, labels: Labels, skopeo: str) -> None:
    """An index below an index, as some builders leave them."""
    await pushed("--all", architectures=("amd64", "arm64"))(folder, image, commit, labels, skopeo)
    async with RegistryClient(plain_http={image.repository.host}) as client:
        repo = client.repository(image.repository)
        inner = await repo.manifest(Tag(commit))
        assert inner
        await repo.put_manifest(index_of([inner.descriptor.to_json()]), Tag(commit))


KINDS: dict[str, tuple[Make, str, str | None]] = {
    "oci-gzip": (pushed(), media.OCI_MANIFEST, GZIP),
    "oci-zstd": (pushed("--dest-compress-format=zstd", compressed=False), media.OCI_MANIFEST, ZSTD),
    "docker-gzip": (pushed("--format=v2s2"), media.DOCKER_MANIFEST, DOCKER_GZIP),
    "oci-index": (pushed("--all", architectures=("amd64", "arm64")), media.OCI_INDEX, None),
    "docker-index": (
        pushed("--all", "--format=v2s2", architectures=("amd64", "arm64")),
        media.DOCKER_INDEX,
        None,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_every_byte_and_what_hangs_on_it(
    kind: str, any_registry: str, copy: Any, skopeo: str, tmp_path: Path
) -> None:
    make, media_type, layer_type = KINDS[kind]

    async def push(image: Image, commit: Commit, labels: Labels) -> Digest:
        await make(tmp_path / uuid4().hex, image, commit, labels, skopeo)
        return await behind(image, commit)

    platforms = ("linux/amd64", "linux/arm64") if "index" in kind else ("linux/amd64",)
    config = configured(f"bytes/{uuid4().hex}", host=any_registry, plain=True, platforms=platforms)
    bench = Bench(config, copy, push)
    commit = bench.git.commit()
    bench.git.tags |= {VERSION: commit, f"{VERSION}-test": commit}
    (built_next,) = await bench.build_next()
    assert built_next.outcome == Outcome.PASSED, built_next.reason

    async with RegistryClient(plain_http={any_registry}) as client:
        repo = client.repository(bench.images[0].repository)
        built = await repo.manifest(Tag(commit))
        assert built
        assert built.media_type == media_type
        if layer_type:
            assert [layer.media_type for layer in built.layers] == [layer_type]
        signature = await attach(repo, built)
        before = await everything(repo, Tag(commit)), await hanging(repo, built.digest)

        assert outcome(await bench.promote_testing(f"{VERSION}-test")) == Outcome.PASSED
        assert outcome(await bench.promote_stable(VERSION)) == Outcome.PASSED

        for tag in (commit, *Channel, VERSION, f"{VERSION}-test"):
            assert await everything(repo, Tag(tag)) == before[0], tag
        after = await hanging(repo, built.digest)
        assert before[1].items() <= after.items()
        assert signature in after
        assert len(after) == len(before[1]) + 2, "the evidence of two gates"
    assert outcome(await bench.verify()) == Outcome.PASSED


async def test_an_index_below_an_index_is_refused(registry: str, copy: Any, skopeo: str, tmp_path: Path) -> None:
    """skopeo does not copy one; that is no outage, and nothing has moved."""

    async def push(image: Image, commit: Commit, labels: Labels) -> Digest:
        await nested(tmp_path / "layout", image, commit, labels, skopeo)
        return await behind(image, commit)

    bench = Bench(configured(f"bytes/{uuid4().hex}", host=registry, plain=True), copy, push)
    bench.git.commit()
    (built_next,) = await bench.build_next()
    assert built_next.outcome == Outcome.PRECONDITION
    assert "lists another index" in built_next.reason
    async with RegistryClient(plain_http={registry}) as client:
        assert await client.repository(bench.images[0].repository).digest(Tag(Channel.NEXT)) is None


async def behind(image: Image, commit: Commit) -> Digest:
    """What a tool that pushed to the tag of a commit says that it pushed."""
    async with RegistryClient(plain_http={image.repository.host}) as client:
        found = await client.repository(image.repository).digest(Tag(commit))
    assert found
    return found


async def attach(repo: RepositoryClient, built: Manifest) -> Digest:
    """Something of somebody else's, as a signature is."""
    layer = await repo.push_blob(b"signed", "application/x-signature")
    return (await repo.push_artifact("application/x-signature", [layer], subject=built.descriptor)).digest


async def everything(repo: RepositoryClient, ref: Tag | Digest) -> list[tuple[str, bytes]]:
    """The manifests and blobs that a client gets for `ref`, as they come, with their types."""
    manifest = await repo.manifest(ref)
    assert manifest
    assert not isinstance(ref, Digest) or sha256(manifest.raw) == ref
    found = [(manifest.media_type, manifest.raw)]
    if manifest.is_index:
        for child in manifest.manifests:
            found += await everything(repo, child.digest)
    else:
        parts: list[Descriptor] = [manifest.config, *manifest.layers]
        found += [(part.media_type, await repo.blob(part.digest)) for part in parts]
    return found


async def hanging(repo: RepositoryClient, digest: Digest) -> dict[Digest, list[tuple[str, bytes]]]:
    """What is attached, whole."""
    return {one.digest: await everything(repo, one.digest) for one in await repo.referrers(digest)}
