"""A promotion with every fault at its requests, those of skopeo included: what must hold holds, and a rerun finishes.

A sample of them, spread over all requests and kinds of fault; all of them with PIPELINE_ALL_FAULTS=1.
"""

import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
from pipeline_bench import Bench, Git, configured, outcome

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Outcome, Repository, Tag
from pipeline.registry import ledger, media
from pipeline.registry.client import RegistryClient, index_of
from pipeline.registry.content import Descriptor, Manifest
from pipeline.registry.evidence import find_evidence

ALL = "PIPELINE_ALL_FAULTS" in os.environ
SAMPLE = 32
"""How many faults of each kind of promotion are tried, unless all."""
AT_ONCE = 4
GOOD = {Outcome.PASSED, Outcome.UNCHANGED}
KILLED = "killed"
"""Beside the proxy's faults: the whole process goes, when the request has been carried out."""

VERSION = {Channel.TESTING: "v1.0.0-test", Channel.STABLE: "v1.0.0"}


@dataclass
class Template:
    """A repository as it is right before a promotion; its folder in the registry is copied for each try."""

    registry: str
    repositories: Path
    name: str
    git: Git

    def fresh(self) -> str:
        """The name of a new copy."""
        name = f"try/{uuid4().hex}"
        shutil.copytree(self.repositories / self.name, self.repositories / name)
        return name


@pytest.fixture(scope="module")
def own_registry(
    tmp_path_factory: pytest.TempPathFactory, start_registry: Callable[[Path, str], AbstractContextManager[str]]
) -> Iterator[tuple[str, Path]]:
    """Its address, and where its repositories lie."""
    folder = tmp_path_factory.mktemp("own")
    with start_registry(folder, "") as address:
        yield address, folder / "data/docker/registry/v2/repositories"


async def push(image: Image, commit: Commit, labels: dict[str, str]) -> None:
    """An index of two platforms, at the tag of its commit."""
    async with RegistryClient(plain_http={image.repository.host}) as client:
        repo = client.repository(image.repository)
        listed = []
        for architecture in ("amd64", "arm64"):
            platform = {"os": "linux", "architecture": architecture}
            config = Manifest.of({"mediaType": "", **platform, "config": {"Labels": labels}}).raw
            parts = [
                await repo.push_blob(config, "application/vnd.oci.image.config.v1+json"),
                await repo.push_blob(os.urandom(100_000), "application/vnd.oci.image.layer.v1.tar+gzip"),
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
        await repo.put_manifest(index_of(listed), Tag(commit))


async def prepared(registry: tuple[str, Path], copy: Any, channel: Channel) -> Template:
    """A registry in which everything up to `channel` is done."""
    address, repositories = registry
    name = f"template/{uuid4().hex}"
    bench = Bench(configured(name, host=address, plain=True), copy, push)
    bench.git.tags |= dict.fromkeys(VERSION.values(), bench.git.commit())
    assert outcome(await bench.build_next()) == Outcome.PASSED
    if channel is Channel.STABLE:
        assert outcome(await bench.promote_testing(VERSION[Channel.TESTING])) == Outcome.PASSED
    return Template(address, repositories, name, bench.git)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("channel", [Channel.TESTING, Channel.STABLE])
async def test_every_fault_of_a_promotion(
    channel: Channel,
    lasting: bool,
    own_registry: tuple[str, Path],
    copy: Any,
    faultproxy: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    template = await prepared(own_registry, copy, channel)
    _, requests = await tried(template, channel, copy, faultproxy, None, 0, lasting=False)
    faults = [fault for fault in faultproxy.Fault if not lasting or not fault.startswith("timeout")]
    every = [(fault, at) for at in range(1, requests + 1) for fault in (*faults, *([] if lasting else [KILLED]))]
    stride = 1 if ALL else len(every) // SAMPLE
    while gcd(stride, len(every) // requests) > 1:
        stride += 1  # else some kinds of fault would never come
    chosen = every[::stride]
    ends: Counter[str] = Counter()
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def one(fault: Any, at: int) -> None:
        async with limiter:
            found, _ = await tried(template, channel, copy, faultproxy, fault, at, lasting=lasting)
            ends[found] += 1

    async with anyio.create_task_group() as group:
        for fault, at in chosen:
            group.start_soon(one, fault, at)
    with capsys.disabled():
        told = ", ".join(f"{number} {end}" for end, number in ends.most_common())
        how = "lasting from one request on" if lasting else "at one request"
        print(f"\n{channel}: {len(chosen)} of {len(every)} faults {how}, over {requests} requests: at first {told}")


async def tried(
    template: Template, channel: Channel, copy: Any, faultproxy: Any, fault: Any, at: int, *, lasting: bool
) -> tuple[str, int]:
    """How the promotion ended when it met the fault, and its requests; it is finished by the same command then."""
    async with faultproxy.FaultProxy(template.registry) as proxy:
        name = template.fresh()
        bench = Bench(
            configured(name, host=proxy.address, plain=True), copy, push, deadline=2, git=deepcopy(template.git)
        )
        act = bench.promote_testing if channel is Channel.TESTING else bench.promote_stable
        tag, repository = VERSION[channel], Repository(template.registry, name)
        proxy.disarm()
        if fault:
            proxy.arm(faultproxy.Fault.RESET_AFTER if fault == KILLED else fault, at, forever=lasting)
        found: str = KILLED
        async with killed(proxy.reached if fault == KILLED else None):
            results = await act(tag)
            found = outcome(results)
            said = results[0].reason
        requests, log = len(proxy.log), proxy.log
        proxy.disarm()
        try:
            if found != KILLED:
                assert found in GOOD | {Outcome.INFRA, Outcome.PARTIAL}, said
            await what_must_hold(repository, channel)
            assert outcome(await act(tag)) in GOOD
            await what_must_hold(repository, channel, finished=True)
            assert outcome(await act(tag)) == Outcome.UNCHANGED
            assert outcome(await bench.verify()) == Outcome.PASSED
        except BaseException as error:
            error.add_note("\n".join([f"{fault} at {at}, lasting: {lasting}, then {found}", *log]))
            raise
        return found, requests


@asynccontextmanager
async def killed(reached: Any) -> AsyncIterator[None]:
    """Ends the block when `reached` is set, wherever it is; never for None."""
    async with anyio.create_task_group() as group:

        async def kill() -> None:
            await reached.wait()
            group.cancel_scope.cancel()

        if reached:
            group.start_soon(kill)
        yield
        group.cancel_scope.cancel()


async def what_must_hold(repository: Repository, channel: Channel, *, finished: bool = False) -> None:
    """Version tag before channel, evidence before both, the record before the channel; all of it when `finished`."""
    async with RegistryClient(plain_http={repository.host}) as client:
        repo = client.repository(repository)
        built = await repo.manifest(Channel.NEXT.tag)
        assert built
        version, moved = await repo.manifest(Tag(VERSION[channel])), await repo.manifest(channel.tag)
        records = [record async for record in ledger.walk(repo, channel)]
        passed = [one for one in await find_evidence(repo, built.digest, channel) if not one.evidence.result.exit_code]
        for tagged in (version, moved):
            assert tagged is None or tagged.raw == built.raw
        assert not version or passed
        assert not moved or version
        assert not moved or records
        if finished:
            assert version
            assert moved
            (record,) = records
            assert [move.tag for move in record.entry.moves] == [VERSION[channel], channel.tag]
            assert record.entry.evidence[0] in [one.digest for one in passed]
