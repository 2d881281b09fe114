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
from pipeline.errors import ConflictError
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
async def test_every_entry_is_in_the_ledger_or_its_writer_knows(
    any_registry: str, faultproxy: Any, delay: float
) -> None:
    """Each writer tries again after a conflict, as a command that is run again does, until its entry is in."""
    path = f"test/{uuid4().hex}"
    conflicts = 0

    async def write(number: int) -> None:
        nonlocal conflicts
        async with (
            faultproxy.FaultProxy(any_registry, delay=delay) as proxy,
            RegistryClient(plain_http={proxy.address}) as client,
        ):
            repo = client.repository(Repository(proxy.address, path))
            mine = entry(number)
            while True:
                head = await ledger.head(repo, Channel.STABLE)
                try:
                    await ledger.append(repo, mine, expect=head.digest if head else None)
                except ConflictError:
                    conflicts += 1
                else:
                    return

    async with anyio.create_task_group() as group:
        for number in range(WRITERS):
            group.start_soon(write, number)
    async with RegistryClient(plain_http={any_registry}) as client:
        repo = client.repository(Repository(any_registry, path))
        records = [record async for record in ledger.walk(repo, Channel.STABLE)]
    assert sorted(record.entry.reason for record in records) == [f"release {number}" for number in range(WRITERS)]
    assert conflicts >= WRITERS - 1


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
