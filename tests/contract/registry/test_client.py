"""The client against real registries."""

import base64
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import anyio
import pytest

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.registry import media
from pipeline.registry.artifacts import index_of
from pipeline.registry.attached import referrers_tag
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.content import Descriptor, Manifest, sha256
from pipeline.registry.credentials import Credentials

ABSENT = Digest("sha256:" + "0" * 64)


@pytest.fixture
async def repo(any_registry: str) -> AsyncIterator[RepositoryClient]:
    """A repository of its own for each test."""
    async with RegistryClient(plain_http={any_registry}, deadline=10) as client:
        yield client.repository(Repository(any_registry, f"test/{uuid4().hex}"))


async def push_image(repo: RepositoryClient, labels: dict[str, str], architecture: str = "amd64") -> Manifest:
    config = {
        "os": "linux",
        "architecture": architecture,
        "config": {"Labels": labels},
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    kind = "application/vnd.oci.image.config.v1+json"
    described = await repo.push_blob(json.dumps(config).encode(), kind)
    layer = await repo.push_blob(b"layer", "application/vnd.oci.image.layer.v1.tar")
    manifest = Manifest.of(
        {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "config": described.model_copy(update={"data": None}).to_json(),
            "layers": [layer.model_copy(update={"data": None}).to_json()],
        }
    )
    await repo.put_manifest(manifest, manifest.digest)
    return manifest


def child(manifest: Manifest, architecture: str) -> dict[str, object]:
    return {**manifest.descriptor.to_json(), "platform": {"os": "linux", "architecture": architecture}}


async def test_absence_is_none(repo: RepositoryClient) -> None:
    assert await repo.manifest(Tag("latest")) is None
    assert await repo.manifest(ABSENT) is None
    assert await repo.digest(Tag("latest")) is None
    assert await repo.tags() == []
    assert await repo.referrers(ABSENT) == []


async def test_a_pushed_manifest_comes_back_byte_for_byte(repo: RepositoryClient) -> None:
    pushed = await push_image(repo, {})
    await repo.put_manifest(pushed, Tag("one"))
    assert await repo.manifest(Tag("one")) == pushed
    assert await repo.manifest(pushed.digest) == pushed
    assert await repo.digest(Tag("one")) == pushed.digest
    assert await repo.describe(pushed.digest) == pushed.descriptor
    assert await repo.tags() == ["one"]


async def test_labels_are_read_through_nested_indexes(repo: RepositoryClient) -> None:
    amd64, arm64 = await push_image(repo, {"on": "amd64"}), await push_image(repo, {"on": "arm64"}, "arm64")
    inner = index_of([child(amd64, "amd64"), child(arm64, "arm64")])
    await repo.put_manifest(inner, inner.digest)
    outer = index_of([inner.descriptor.to_json()])
    await repo.put_manifest(outer, outer.digest)
    assert await repo.labels(outer.digest) == {"on": "amd64"}
    assert await repo.labels(outer.digest, "linux/arm64") == {"on": "arm64"}
    assert await repo.labels(outer.digest, "linux/riscv64") in ({"on": "amd64"}, {"on": "arm64"})
    assert await repo.labels(amd64.digest) == {"on": "amd64"}
    assert await repo.platforms(outer.digest) == {"linux/amd64": amd64.digest, "linux/arm64": arm64.digest}
    assert await repo.platforms(arm64.digest) == {"linux/arm64": arm64.digest}


async def test_a_missing_image_has_no_labels(repo: RepositoryClient) -> None:
    with pytest.raises(PreconditionError, match="holds no manifest"):
        await repo.labels(ABSENT)


async def test_files_go_and_come_whole(repo: RepositoryClient, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(5_000_000))
    described = await repo.push_file(source, f"{media.DISK_FILE}qcow2")
    assert (described.size, described.digest) == (5_000_000, sha256(source.read_bytes()))
    assert await repo.push_file(source, f"{media.DISK_FILE}qcow2") == described
    await repo.fetch_file(described.digest, target)
    assert target.read_bytes() == source.read_bytes()
    with pytest.raises(PreconditionError, match="holds no"):
        await repo.fetch_file(ABSENT, tmp_path / "never")
    assert sorted(os.listdir(tmp_path)) == ["source", "target"]  # noqa: PTH208


async def test_attached_artifacts_are_found_by_type(repo: RepositoryClient) -> None:
    image = await push_image(repo, {})
    layer = await repo.push_blob(b"note", "text/plain")
    one = await repo.push_artifact("application/x.one", [layer], subject=image.descriptor, annotations={"k": "v"})
    two = await repo.push_artifact("application/x.two", [layer], subject=image.descriptor)
    again = await repo.push_artifact("application/x.two", [layer], subject=image.descriptor)
    assert again == two
    assert {found.digest for found in await repo.referrers(image.digest)} == {one.digest, two.digest}
    assert [found.digest for found in await repo.referrers(image.digest, "application/x.one")] == [one.digest]
    assert [found.annotations for found in await repo.referrers(image.digest, "application/x.one")] == [{"k": "v"}]


async def test_attaching_at_the_same_time_loses_nothing(any_registry: str) -> None:
    where = Repository(any_registry, f"test/{uuid4().hex}")
    async with RegistryClient(plain_http={any_registry}) as client:
        image = await push_image(client.repository(where), {})
    attached: list[Digest] = []

    async def attach(number: int) -> None:
        async with RegistryClient(plain_http={any_registry}) as client:
            repo = client.repository(where)
            layer = await repo.push_blob(f"note {number}".encode(), "text/plain")
            attached.append((await repo.push_artifact("x/y", [layer], subject=image.descriptor)).digest)

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(attach, number)
    async with RegistryClient(plain_http={any_registry}) as client:
        found = await client.repository(where).referrers(image.digest)
    assert {one.digest for one in found} == set(attached)
    assert len(found) == 8


@pytest.mark.parametrize("tag", ["next", "testing", "stable", "v1.2.3", "v1.2.3-test.2"])
async def test_channels_and_versions_are_not_for_artifacts(repo: RepositoryClient, tag: str) -> None:
    with pytest.raises(ValueError, match="only promotion"):
        await repo.push_artifact("x/y", [], tag=Tag(tag))


async def test_all_tags_are_listed(registry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.registry.attempts._PAGE", 3)
    async with RegistryClient(plain_http={registry}) as client:
        repo = client.repository(Repository(registry, f"test/{uuid4().hex}"))
        image = await push_image(repo, {})
        names = [f"t{number:02}" for number in range(10)]
        for name in names:
            await repo.put_manifest(image, Tag(name))
        assert await repo.tags() == names


async def test_deleting_twice_is_harmless(registry: str) -> None:
    async with RegistryClient(plain_http={registry}) as client:
        repo = client.repository(Repository(registry, f"test/{uuid4().hex}"))
        image = await push_image(repo, {})
        assert await repo.delete(image.digest)
        assert not await repo.delete(image.digest)
        assert await repo.manifest(image.digest) is None
        with pytest.raises(PreconditionError, match="does not delete"):
            await repo.delete(Tag("anything"))


async def test_a_login_is_needed_and_used(guarded_registry: str, registry_login: tuple[str, str]) -> None:
    def config(password: str) -> str:
        auth = base64.b64encode(f"{user}:{password}".encode()).decode()
        return json.dumps({"auths": {guarded_registry: {"auth": auth}}})

    user, right = registry_login

    where = Repository(guarded_registry, "test/guarded")
    for credentials in (None, Credentials.parse(config("wrong"))):
        async with RegistryClient(credentials, plain_http={guarded_registry}) as client:
            with pytest.raises(PreconditionError, match="registry-auth"):
                await client.repository(where).tags()
    async with RegistryClient(Credentials.parse(config(right)), plain_http={guarded_registry}) as client:
        repo = client.repository(where)
        image = await push_image(repo, {"a": "b"})
        before = client.requests
        assert await repo.labels(image.digest) == {"a": "b"}
        assert client.requests == before + 1, "the manifest is known, one request for the config, none to sign in"


async def test_nobody_home_is_an_outage(tmp_path: Path) -> None:
    async with RegistryClient(plain_http={"127.0.0.1:1"}, deadline=0.5) as client:
        with pytest.raises(InfrastructureError, match="says nothing about the image"):
            await client.repository(Repository("127.0.0.1:1", "a/b")).manifest(Tag("next"))


async def test_addresses_lead_elsewhere(registry: str) -> None:
    name = "registry.example.org"
    async with RegistryClient(plain_http={name}, addresses={name: registry}) as client:
        repo = client.repository(Repository(name, f"test/{uuid4().hex}"))
        image = await push_image(repo, {})
        assert await repo.manifest(image.digest) == image


async def test_the_fallback_tag_is_an_index_as_the_specification_says(registry: str) -> None:
    async with RegistryClient(plain_http={registry}) as client:
        repo = client.repository(Repository(registry, f"test/{uuid4().hex}"))
        image = await push_image(repo, {})
        stored = await repo.push_artifact("x/y", [], subject=image.descriptor, annotations={"k": "v"})
        index = await repo.manifest(referrers_tag(image.digest))
        assert index
        assert index.media_type == media.OCI_INDEX
        assert index.manifests == [stored]
        assert stored == Descriptor(
            media_type=media.OCI_MANIFEST,
            digest=stored.digest,
            size=stored.size,
            artifact_type="x/y",
            annotations={"k": "v"},
        )
