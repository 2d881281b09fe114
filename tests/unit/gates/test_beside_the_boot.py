"""What the testing gate does while the candidate's disk boots; builder, machine and registry are stand-ins."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from pipeline.config import parse
from pipeline.domain import Digest, Outcome
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.gates import boot as under_test
from pipeline.gates.upgrade import Upgraded
from pipeline.registry.evidence import DiskRecord
from pipeline.report.model import Result
from pipeline.vm.spec import Spec

DIGEST, MANIFEST = (Digest("sha256:" + letter * 64) for letter in "ab")
HASH = "c" * 64
CONFIG = parse('[images.os]\nrepository = "ghcr.io/o/os"\n')
AMD64 = "linux/amd64"


class File(str):
    """A stand-in for what the engine holds."""


@dataclass
class Bench:
    """A machine that runs until it is told to end, and what happened, in its order."""

    monkeypatch: pytest.MonkeyPatch
    spare: bool = True
    outcome: Outcome = Outcome.PASSED
    fails: list[Exception] = field(default_factory=list)
    """What sending meets, one after the other."""
    refused: list[Exception] = field(default_factory=list)
    """What attaching meets."""
    base_comes: bool = True
    """Or stable's disk is still on its way when all else has ended."""
    happened: list[str] = field(default_factory=list)
    sent: anyio.Event = field(default_factory=anyio.Event)

    async def spares(self, reach: Any, processors: int) -> bool:
        assert processors == CONFIG.gates.testing.cpus
        return self.spare

    async def fetch_base(self, *_: Any) -> None:
        if not self.base_comes:
            await anyio.sleep_forever()
        self.happened.append("stable's disk")

    async def send_disk(self, *_: Any) -> File:
        if self.fails:
            self.sent.set()
            raise self.fails.pop(0)
        self.happened.append("sent")
        self.sent.set()
        return File("the list")

    async def attach_disk(self, *given: Any) -> DiskRecord:
        assert given[-2:] == ("the list", HASH)
        if self.refused:
            raise self.refused.pop(0)
        self.happened.append("attached")
        return DiskRecord(sha256=f"sha256:{HASH}", size=1, manifest=MANIFEST, builder="b")

    async def store_disk(self, *given: Any) -> DiskRecord:
        return await self.attach_disk(await self.send_disk(), given[-1])

    async def boot(self, *_: Any, **__: Any) -> tuple[Result, Any]:
        if self.spare:
            with anyio.fail_after(5):
                await self.sent.wait()
        self.happened.append("booted")
        return Result(command="vm", outcome=self.outcome, reason="r", inputs={"disk_sha256": HASH}), self.report

    async def upgrade_from_stable(self, *_: Any, **__: Any) -> Upgraded:
        self.happened.append("upgraded")
        return Upgraded([])

    async def build_disk(self, *_: Any) -> Any:
        return SimpleNamespace(file="the disk", log="", builder="b", candidate="the layout")

    async def formed(self, disk: Any, *_: Any) -> Any:
        return disk, SimpleNamespace(inputs=dict)

    async def run(self, *, keep: bool = True) -> under_test.Tried:
        from dagger import dag

        self.report = dag.directory()
        at_once = ("spares", "fetch_base", "send_disk", "attach_disk", "store_disk")
        for name in (*at_once, "upgrade_from_stable", "build_disk", "formed"):
            self.monkeypatch.setattr(under_test, name, getattr(self, name))
        self.monkeypatch.setattr(under_test.qemu, "boot", self.boot)
        world: Any = SimpleNamespace(config=CONFIG, reach=None, given=SimpleNamespace(source=dag.directory(), jobs=1))
        return await under_test._disk_and_machines(
            world, CONFIG.images["os"], DIGEST, AMD64, Spec(), Spec(), keep_disk=keep
        )


async def test_the_disk_is_sent_while_it_boots_and_attached_when_all_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    tried = await bench.run()
    assert bench.happened == ["stable's disk", "sent", "booted", "upgraded", "attached"]
    assert tried.disks[AMD64].manifest == MANIFEST


async def test_a_disk_that_failed_is_stored_too(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, outcome=Outcome.GATE_FAILED)
    tried = await bench.run()
    assert bench.happened == ["stable's disk", "sent", "booted", "attached"]
    assert set(tried.disks) == {AMD64}
    assert tried.stopped == (Outcome.GATE_FAILED, "r")


async def test_what_would_slow_the_machine_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, spare=False)
    await bench.run()
    assert bench.happened == ["booted", "upgraded", "sent", "attached"]


async def test_what_failed_beside_the_boot_is_tried_once_more_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, fails=[InfrastructureError("the registry is away")])
    await bench.run()
    assert bench.happened == ["stable's disk", "booted", "upgraded", "sent", "attached"]


async def test_a_second_failure_is_the_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, fails=[InfrastructureError("away"), PreconditionError("the login is refused")])
    with pytest.raises(PreconditionError, match="refused"):
        await bench.run()


async def test_without_a_place_for_disks_none_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.sent.set()
    tried = await bench.run(keep=False)
    assert bench.happened == ["stable's disk", "booted", "upgraded"]
    assert not tried.disks


async def test_what_the_registry_let_go_of_meanwhile_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, refused=[InfrastructureError("MANIFEST_BLOB_UNKNOWN")])
    tried = await bench.run()
    assert bench.happened == ["stable's disk", "sent", "booted", "upgraded", "sent", "attached"]
    assert tried.disks[AMD64].manifest == MANIFEST


async def test_a_boot_that_failed_is_heard_also_when_its_disk_cannot_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    away = [InfrastructureError("away"), PreconditionError("no quota")]
    tried = await Bench(monkeypatch, outcome=Outcome.GATE_FAILED, refused=away).run()
    assert (tried.stopped, tried.disks) == ((Outcome.GATE_FAILED, "r"), {})


async def test_a_boot_that_failed_does_not_wait_for_stables_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, outcome=Outcome.GATE_FAILED, base_comes=False)
    with anyio.fail_after(5):
        await bench.run()
    assert bench.happened == ["sent", "booted", "attached"]


async def test_what_nobody_thought_of_beside_the_boot_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, fails=[OSError("a bug")])
    await bench.run()
    assert bench.happened == ["stable's disk", "booted", "upgraded", "sent", "attached"]
