"""A promotion with every fault at its requests, those of skopeo included: what must hold holds, and a rerun finishes.

A sample of them, spread over all requests and kinds of fault; PIPELINE_FAULTS=300 takes more, PIPELINE_FAULTS=all all.
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
from lab_image import push
from scaffold import Bench, Git, configured, outcome

from pipeline.domain import Channel, Digest, Outcome, Repository, Tag
from pipeline.registry import ledger
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.evidence import find_evidence

SAMPLE = os.environ.get("PIPELINE_FAULTS", "8")
"""How many faults of each kind of promotion are tried."""
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
@pytest.mark.parametrize(
    ("channel", "apart"),
    [(Channel.TESTING, False), (Channel.STABLE, False), (Channel.STABLE, True)],
    ids=["testing", "stable", "stable-apart"],
)
async def test_every_fault_of_a_promotion(
    channel: Channel,
    apart: bool,
    lasting: bool,
    own_registry: tuple[str, Path],
    copy: Any,
    faultproxy: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    template = await prepared(own_registry, copy, channel)
    trial = Trial(template, channel, apart, copy, faultproxy)
    _, requests = await trial.run(None, 0, lasting=False)
    faults = [fault for fault in faultproxy.Fault if not lasting or not fault.startswith("timeout")]
    every = [(fault, at) for at in range(1, requests + 1) for fault in (*faults, *([] if lasting else [KILLED]))]
    stride = 1 if SAMPLE == "all" else max(1, len(every) // int(SAMPLE))
    while gcd(stride, len(every) // requests) > 1:
        stride += 1  # else some kinds of fault would never come
    chosen = every[::stride]
    ends: Counter[str] = Counter()
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def one(fault: Any, at: int) -> None:
        async with limiter:
            found, _ = await trial.run(fault, at, lasting=lasting)
            ends[found] += 1

    async with anyio.create_task_group() as group:
        for fault, at in chosen:
            group.start_soon(one, fault, at)
    with capsys.disabled():
        what = f"{channel}, apart" if apart else channel.value
        how = "lasting from one request on" if lasting else "at one request"
        told = ", ".join(f"{number} {end}" for end, number in ends.most_common())
        print(f"\n{what}: {len(chosen)} of {len(every)} faults {how}, over {requests} requests: at first {told}")


@dataclass
class Trial:
    """One kind of promotion, to be tried with any fault."""

    template: Template
    channel: Channel
    apart: bool
    """Whether releases live in a repository of their own."""
    copy: Any
    faultproxy: Any

    async def run(self, fault: Any, at: int, *, lasting: bool) -> tuple[str, int]:
        """How it ended when it met the fault, and its requests; it is finished by the same command then."""
        async with self.faultproxy.FaultProxy(self.template.registry) as proxy:
            name = self.template.fresh()
            config = configured(name, host=proxy.address, plain=True, apart=self.apart)
            bench = Bench(config, self.copy, push, git=deepcopy(self.template.git))
            # a request that hangs takes a quarter; an outage that lasts is over soon
            bench.deadline = (1 if lasting else 4) if fault else 60
            act = bench.promote_testing if self.channel is Channel.TESTING else bench.promote_stable
            tag = VERSION[self.channel]
            proxy.disarm()
            if fault:
                proxy.arm(self.faultproxy.Fault.RESET_AFTER if fault == KILLED else fault, at, forever=lasting)
            found: str = KILLED
            async with killed(proxy.reached if fault == KILLED else None):
                results = await act(tag)
                found = outcome(results)
                said = results[0].reason
            requests, log = len(proxy.log), proxy.log
            proxy.disarm()
            bench.deadline = 60
            try:
                if found != KILLED:
                    assert found in GOOD | {Outcome.INFRA, Outcome.PARTIAL}, said
                await self.what_must_hold(name)
                assert outcome(await act(tag)) in GOOD
                await self.what_must_hold(name, finished=True)
                assert outcome(await act(tag)) == Outcome.UNCHANGED
                assert outcome(await bench.verify()) == Outcome.PASSED
            except BaseException as error:
                error.add_note("\n".join([f"{fault} at {at}, lasting: {lasting}, then {found}", *log]))
                raise
            return found, requests

    async def what_must_hold(self, name: str, *, finished: bool = False) -> None:
        """Version tag before channel, evidence before both, the record before the channel; all when `finished`."""
        channel, version_tag = self.channel, VERSION[self.channel]
        async with RegistryClient(plain_http={self.template.registry}) as client:
            source = client.repository(Repository(self.template.registry, name))
            home = client.repository(Repository(self.template.registry, f"{name}-stable")) if self.apart else source
            built = await source.manifest(Tag(Channel.NEXT))
            assert built
            version, moved = await home.manifest(Tag(version_tag)), await home.manifest(Tag(channel))
            records = [record async for record in ledger.walk(home, channel)]
            for tagged in (version, moved):
                assert tagged is None or tagged.raw == built.raw
            assert not version or await passed(source, built.digest, channel)
            assert not moved or (version and records and await passed(home, built.digest, channel))
            if finished:
                assert version
                assert moved
                (record,) = records
                assert [move.tag for move in record.entry.moves] == [version_tag, Tag(channel)]
                assert record.entry.evidence[0] in await passed(home, built.digest, channel)


async def passed(repo: RepositoryClient, digest: Digest, gate: Channel) -> list[Digest]:
    """The evidence by which a digest passed a gate."""
    return [one.digest for one in await find_evidence(repo, digest, gate) if not one.evidence.result.exit_code]


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
