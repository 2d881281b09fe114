"""Attached things follow an image to another repository and another registry."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pipeline.domain import Channel, Digest, Outcome, Repository, Tag
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.disk import attach_disk, fetch_disk
from pipeline.registry.evidence import Evidence, attach_evidence, fetch_report, find_evidence
from pipeline.registry.signatures import signatures
from pipeline.registry.transfer import copy_attached
from pipeline.report.model import Result

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def push_image(repo: RepositoryClient) -> Digest:
    layer = await repo.push_blob(b"image", "text/plain")
    return (await repo.push_artifact("application/x.image", [layer])).digest


async def prepare(repo: RepositoryClient, folder: Path) -> tuple[Digest, Evidence]:
    """An image with a disk, evidence, and a signature on the evidence."""
    image = await push_image(repo)
    (folder / "disk").write_bytes(os.urandom(500_000))
    disk = await attach_disk(repo, image, folder / "disk", "linux/amd64", builder="b@sha256:0")
    result = Result(command="gate", outcome=Outcome.PASSED, reason="", digest=image, started=NOON)
    evidence = Evidence(gate=Channel.TESTING, gate_version="1", result=result, disks={"linux/amd64": disk})
    stored = await attach_evidence(repo, image, evidence, b"report")
    signature = await repo.push_blob(b"signature", "application/x.signature")
    await repo.push_artifact("application/x.signature", [signature], subject=await repo.describe(stored.digest))
    return image, evidence


@pytest.mark.parametrize(
    ("here", "there"),
    [("registry", "registry"), ("registry", "crane_registry"), ("crane_registry", "registry")],
)
async def test_all_that_is_attached_follows(
    here: str, there: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    hosts = request.getfixturevalue(here), request.getfixturevalue(there)
    async with RegistryClient(plain_http=set(hosts), deadline=10) as client:
        source, target = (client.repository(Repository(host, f"test/{uuid4().hex}")) for host in hosts)
        image, evidence = await prepare(source, tmp_path)
        with pytest.raises(PreconditionError, match="expected the image before"):
            await copy_attached(source, target, image)
        await push_image(target)
        copied = await copy_attached(source, target, image)
        assert len(copied) == 3
        before = client.requests
        assert await copy_attached(source, target, image) == copied
        assert client.requests - before < 20, "a second run only looks"
        (found,) = await find_evidence(target, image, Channel.TESTING)
        assert found.evidence.model_copy(update={"report": None, "platforms": {}}) == evidence
        assert await fetch_report(target, found) == b"report"
        await fetch_disk(target, evidence.disks["linux/amd64"], tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == (tmp_path / "disk").read_bytes()
        (signature,) = await target.referrers(found.digest)
        assert signature.artifact_type == "application/x.signature"


async def test_a_broken_copy_is_finished_by_the_next(registry: str, faultproxy: Any, tmp_path: Path) -> None:
    async with faultproxy.FaultProxy(registry) as proxy:
        hosts = {registry, proxy.address}
        async with RegistryClient(plain_http=hosts, deadline=10) as client:
            source = client.repository(Repository(registry, f"test/{uuid4().hex}"))
            image, _ = await prepare(source, tmp_path)
        for at in range(1, 30, 7):
            where = Repository(proxy.address, f"test/{uuid4().hex}")
            proxy.disarm()
            async with RegistryClient(plain_http=hosts, deadline=10) as client:
                await push_image(client.repository(where))
            proxy.arm(faultproxy.Fault.RESET_AFTER, at, forever=True)
            async with RegistryClient(plain_http=hosts, deadline=0.5) as client:
                with pytest.raises(InfrastructureError):
                    await copy_attached(client.repository(source.repository), client.repository(where), image)
            proxy.disarm()
            async with RegistryClient(plain_http=hosts, deadline=10) as client:
                target = client.repository(where)
                assert len(await copy_attached(client.repository(source.repository), target, image)) == 3
                assert len(await find_evidence(target, image, Channel.TESTING)) == 1


@pytest.mark.parametrize("suffix", [".sig", ".att", ".sbom"])
async def test_what_cosign_keeps_by_the_name_of_a_tag_follows(registry: str, suffix: str) -> None:
    async with RegistryClient(plain_http={registry}, deadline=10) as client:
        source, target = (client.repository(Repository(registry, f"test/{uuid4().hex}")) for _ in range(2))
        image = await push_image(source)
        await push_image(target)
        tag = Tag(f"sha256-{image.hex}{suffix}")
        layer = await source.push_blob(b"signature", "application/x.signature")
        signed = await source.push_artifact("application/x.signature", [layer], tag=tag)
        assert await copy_attached(source, target, image) == [signed.digest]
        assert await target.digest(tag) == signed.digest
        assert await target.blob(layer.digest) == b"signature"
        before = client.requests
        await copy_attached(source, target, image)
        assert client.requests - before < 12, "a second run only looks"


async def test_signatures_that_only_the_destination_has_stay_beside_those_that_come(registry: str) -> None:
    async with RegistryClient(plain_http={registry}, deadline=10) as client:
        source, target = (client.repository(Repository(registry, f"test/{uuid4().hex}")) for _ in range(2))
        made = []
        for repo in (source, target):
            image = await push_image(repo)
            made.append(await repo.push_blob(repo.repository.path.encode(), "application/x.signature"))
            await repo.push_artifact("application/x.signature", made[-1:], tag=Tag(f"sha256-{image.hex}.sig"))
        await copy_attached(source, target, image)
        assert {one.digest for one in await signatures(target, image)} == {one.digest for one in made}
        assert [one.digest for one in await signatures(source, image)] == [made[0].digest]


async def test_another_list_of_cosigns_that_only_the_destination_has_is_not_overwritten(registry: str) -> None:
    async with RegistryClient(plain_http={registry}, deadline=10) as client:
        source, target = (client.repository(Repository(registry, f"test/{uuid4().hex}")) for _ in range(2))
        for repo in (source, target):
            image = await push_image(repo)
            tag = Tag(f"sha256-{image.hex}.att")
            layer = await repo.push_blob(repo.repository.path.encode(), "application/x.attestation")
            await repo.push_artifact("application/x.attestation", [layer], tag=tag)
        before = await target.digest(tag)
        with pytest.raises(PreconditionError, match="Nothing was overwritten"):
            await copy_attached(source, target, image)
        assert await target.digest(tag) == before
