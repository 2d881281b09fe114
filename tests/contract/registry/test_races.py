"""Many at once over a slow network, and processes that are killed: nothing is lost, and running again finishes."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest

from pipeline.domain import Channel, Digest, Repository
from pipeline.registry import ledger
from pipeline.registry.client import RegistryClient
from pipeline.registry.content import sha256
from pipeline.registry.disk import attach_disk
from pipeline.registry.ledger import Entry, Kind

WRITERS = 6


def entry(number: int) -> Entry:
    told = {"channel": "stable", "kind": Kind.PROMOTION, "by": "alice", "at": datetime.now(UTC), "command": "promote"}
    return Entry.model_validate(told | {"reason": f"release {number}"})


@pytest.mark.parametrize("delay", [0.005, 0.05])
async def test_every_entry_that_was_acknowledged_is_in_the_ledger(
    any_registry: str, faultproxy: Any, delay: float
) -> None:
    path = f"test/{uuid4().hex}"

    async def write(number: int) -> None:
        async with (
            faultproxy.FaultProxy(any_registry, delay=delay * number) as proxy,
            RegistryClient(plain_http={proxy.address}) as client,
        ):
            await ledger.append(client.repository(Repository(proxy.address, path)), entry(number))

    async with anyio.create_task_group() as group:
        for number in range(WRITERS):
            group.start_soon(write, number)
    async with RegistryClient(plain_http={any_registry}) as client:
        records = await ledger.entries(client.repository(Repository(any_registry, path)), Channel.STABLE)
    assert sorted(record.entry.reason for record in records) == [f"release {number}" for number in range(WRITERS)]


async def test_attaching_over_a_slow_network_loses_nothing(any_registry: str, faultproxy: Any) -> None:
    path = f"test/{uuid4().hex}"
    async with RegistryClient(plain_http={any_registry}) as client:
        repo = client.repository(Repository(any_registry, path))
        layer = await repo.push_blob(b"image", "text/plain")
        image = await repo.push_artifact("application/x.image", [layer])
    attached: list[Digest] = []

    async def attach(number: int) -> None:
        async with (
            faultproxy.FaultProxy(any_registry, delay=0.05) as proxy,
            RegistryClient(plain_http={proxy.address}) as client,
        ):
            repo = client.repository(Repository(proxy.address, path))
            layer = await repo.push_blob(f"note {number}".encode(), "text/plain")
            attached.append((await repo.push_artifact("x/y", [layer], subject=image)).digest)

    async with anyio.create_task_group() as group:
        for number in range(WRITERS):
            group.start_soon(attach, number)
    async with RegistryClient(plain_http={any_registry}) as client:
        found = await client.repository(Repository(any_registry, path)).referrers(image.digest)
    assert {one.digest for one in found} == set(attached)


async def test_a_push_that_is_killed_anywhere_is_finished_by_the_next(
    registry: str, faultproxy: Any, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(os.urandom(2_000_000))
    builder = "b@sha256:0"
    async with faultproxy.FaultProxy(registry) as proxy:
        for at in range(1, 9):
            where = Repository(proxy.address, f"test/{uuid4().hex}")
            proxy.disarm()
            async with RegistryClient(plain_http={proxy.address}) as client:
                repo = client.repository(where)
                layer = await repo.push_blob(b"image", "text/plain")
                image = (await repo.push_artifact("application/x.image", [layer])).digest
                proxy.arm(faultproxy.Fault.TIMEOUT_AFTER, at)
                command = [sys.executable, "-m", "pipeline.registry.disk", "push", "--plain-http", "--path", str(disk)]
                command += ["--repository", str(where), "--subject", image, "--builder", builder]
                async with await anyio.open_process(command) as killed:
                    with anyio.fail_after(30):
                        await proxy.reached.wait()
                    killed.kill()
                proxy.disarm()
                record = await attach_disk(repo, image, disk, "linux/amd64", builder=builder)
                (found,) = await repo.referrers(image)
            assert found.digest == record.manifest
            assert record.sha256 == sha256(disk.read_bytes())
