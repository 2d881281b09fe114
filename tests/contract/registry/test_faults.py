"""Every operation with faults at its requests: it converges, or says that it was an outage.

Once: the fault hits one request and the operation must still succeed. Forever: it hits that request and all later ones;
then the operation may only fail as an outage, and must converge when it is run again.
"""

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, product
from math import gcd
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
from anyio.lowlevel import checkpoint

from pipeline.domain import Channel, Digest, Outcome, Repository
from pipeline.errors import InfrastructureError
from pipeline.registry import ledger
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.content import sha256
from pipeline.registry.disk import attach_disk, fetch_disk
from pipeline.registry.evidence import DiskRecord, Evidence, attach_evidence, fetch_report, find_evidence
from pipeline.registry.ledger import Entry, Kind
from pipeline.report.model import Result

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AT_ONCE = 8
EVERY = 1 if os.environ.get("PIPELINE_FAULTS") == "all" else 4
"""One in so many faults is tried; all with PIPELINE_FAULTS=all."""
LASTING = ("reset_after", "bad_gateway_before", "not_found_page", "timeout_after", "wrong_digest", "wrong_body")
"""What an outage that does not end looks like; how it begins makes no other difference."""


@dataclass
class Ground:
    """What an operation works on: an image is there before, and a disk and a first ledger entry where needed."""

    repository: Repository
    image: Digest
    folder: Path
    disk: DiskRecord | None = None
    first: ledger.Record | None = None

    @property
    def evidence(self) -> Evidence:
        result = Result(command="gate", outcome=Outcome.PASSED, reason="", digest=self.image, started=NOON)
        return Evidence(gate=Channel.TESTING, gate_version="1", result=result)


def entry(number: int) -> Entry:
    told = {"channel": "stable", "kind": Kind.PROMOTION, "by": "alice", "at": NOON, "command": "promote-stable"}
    return Entry.model_validate(told | {"reason": f"release {number}"})


async def attaching(repo: RepositoryClient, ground: Ground) -> object:
    return await attach_evidence(repo, ground.image, ground.evidence, b"report" * 10_000)


async def attached(repo: RepositoryClient, ground: Ground) -> object:
    (found,) = await find_evidence(repo, ground.image, Channel.TESTING)
    assert found.evidence.model_copy(update={"report": None, "platforms": {}}) == ground.evidence
    assert await fetch_report(repo, found) == b"report" * 10_000
    return found


async def appending(repo: RepositoryClient, ground: Ground) -> object:
    return await ledger.append(repo, entry(2))


async def appended(repo: RepositoryClient, ground: Ground) -> object:
    records = [record async for record in ledger.walk(repo, Channel.STABLE)]
    assert [record.entry.reason for record in records] == ["release 2", "release 1"]
    return records[0]


async def storing(repo: RepositoryClient, ground: Ground) -> object:
    return await attach_disk(repo, ground.image, ground.folder / "other", "linux/amd64", builder="b@sha256:0")


async def stored(repo: RepositoryClient, ground: Ground) -> object:
    (found,) = await repo.referrers(ground.image)
    content = (ground.folder / "other").read_bytes()
    return DiskRecord(sha256=sha256(content), size=len(content), manifest=found.digest, builder="b@sha256:0")


async def fetching(repo: RepositoryClient, ground: Ground) -> object:
    assert ground.disk
    copy = ground.folder / "copy"
    copy.unlink(missing_ok=True)
    await fetch_disk(repo, ground.disk, copy)
    return sha256(copy.read_bytes())


async def fetched(repo: RepositoryClient, ground: Ground) -> object:
    assert not list(ground.folder.glob(".*")), "a partial file stayed"
    assert ground.disk
    return ground.disk.sha256


async def reading(repo: RepositoryClient, ground: Ground) -> object:
    tags = [tag for tag in await repo.tags() if tag.startswith("pipeline")]
    heads = await ledger.heads(repo, Channel.STABLE), await ledger.heads(repo, Channel.NEXT)
    referrers = [one.digest for one in await repo.referrers(ground.image)]
    return len(tags), heads, referrers


async def read(repo: RepositoryClient, ground: Ground) -> object:
    assert ground.disk
    return 2, ([ground.first], []), [ground.disk.manifest]


Step = Callable[[RepositoryClient, Ground], Awaitable[object]]
OPERATIONS: dict[str, tuple[Step, Step, set[str]]] = {
    "attach evidence": (attaching, attached, set()),
    "append to the ledger": (appending, appended, {"ledger"}),
    "store a disk": (storing, stored, set()),
    "fetch a disk": (fetching, fetched, {"disk"}),
    "read": (reading, read, {"disk", "ledger"}),
}


@pytest.mark.parametrize(
    ("kind", "forever"),
    [("registry", False), pytest.param("crane_registry", False, marks=pytest.mark.thorough), ("registry", True)],
    ids=["registry-once", "crane-once", "registry-forever"],
)
@pytest.mark.parametrize("name", OPERATIONS)
async def test_every_fault_at_every_request(
    name: str,
    kind: str,
    forever: bool,
    request: pytest.FixtureRequest,
    faultproxy: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    act, check, needs = OPERATIONS[name]
    server: str = request.getfixturevalue(kind)
    # nobody else writes here
    monkeypatch.setattr(RepositoryClient, "settle", lambda *_: checkpoint())

    async def tried(fault: Any, at: int) -> str:
        """What became of it; on fresh ground, with a proxy of its own."""
        async with faultproxy.FaultProxy(server) as proxy:
            ground = await prepare(server, proxy.address, tmp_path / uuid4().hex, needs)
            if fault:
                proxy.arm(fault, at, forever=forever)
            else:
                proxy.disarm()
            result, ended = None, "converged"
            with explained(f"{fault} at {at}", proxy.log):
                try:
                    # a request that hangs is given up after a quarter of this
                    async with RegistryClient(plain_http={proxy.address}, deadline=1 if forever else 8) as client:
                        result = await act(client.repository(ground.repository), ground)
                except InfrastructureError:
                    if not forever:
                        raise
                    ended = "outage"
            asked = len(proxy.log)
            proxy.disarm()
            async with RegistryClient(plain_http={proxy.address}, deadline=10) as client:
                repo = client.repository(ground.repository)
                if ended == "outage":
                    result = await act(repo, ground)
                assert result == await check(repo, ground), f"{fault} at {at}"
        return ended if fault else str(asked)

    requests = int(await tried(None, 0))
    outcomes: list[str] = []
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def one(fault: Any, at: int) -> None:
        async with limiter:
            outcomes.append(await tried(fault, at))

    async with anyio.create_task_group() as group:
        faults = [faultproxy.Fault(one) for one in LASTING] if forever else list(faultproxy.Fault)
        stride = next(step for step in count(EVERY) if gcd(step, requests) == 1)  # so that each request meets some
        for fault, at in list(product(faults, range(1, requests + 1)))[::stride]:
            group.start_soon(one, fault, at)
    with capsys.disabled():
        how = "forever" if forever else "once"
        print(
            f"\n{name}, {kind}, {how}: {len(outcomes)} faults over {requests} requests, "
            f"{outcomes.count('converged')} converged at once, {outcomes.count('outage')} after running again"
        )


@contextmanager
def explained(what: str, log: list[str]) -> Iterator[None]:
    """Add to an error which fault it was and what was asked."""
    try:
        yield
    except BaseException as error:
        error.add_note("\n".join([what, *log]))
        raise


async def prepare(registry: str, seen_as: str, folder: Path, needs: set[str]) -> Ground:
    """Everything that is there before, written without the proxy; named as it is through the proxy."""
    folder.mkdir()  # noqa: ASYNC240
    for name in ("disk", "other"):
        (folder / name).write_bytes(os.urandom(300_000))
    path = f"test/{uuid4().hex}"
    async with RegistryClient(plain_http={registry}, deadline=10) as client:
        repo = client.repository(Repository(registry, path))
        layer = await repo.push_blob(os.urandom(8), "text/plain")
        image = await repo.push_artifact("application/x.image", [layer])
        ground = Ground(Repository(seen_as, path), image.digest, folder)
        if "disk" in needs:
            ground.disk = await attach_disk(repo, image.digest, folder / "disk", "linux/amd64", builder="b@sha256:0")
        if "ledger" in needs:
            ground.first = await ledger.append(repo, entry(1))
    return ground
