"""Evidence, disks and the ledger in real registries."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from uuid import uuid4

import anyio
import pytest

from pipeline.domain import Channel, Digest, Outcome, Repository, Tag
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.policy.attached import evidence_tags
from pipeline.registry import ledger, media
from pipeline.registry.artifacts import artifact
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.content import Descriptor, sha256
from pipeline.registry.disk import attach_disk, fetch_disk, read_disk
from pipeline.registry.evidence import (
    DiskRecord,
    Evidence,
    attach_evidence,
    fetch_report,
    find_evidence,
    statement,
    verdicts,
)
from pipeline.registry.ledger import Entry, Kind
from pipeline.report.model import Move, Result
from pipeline.trust.statement import LEDGER, Subject, written

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BUILDER = "quay.io/x/builder@sha256:" + "b" * 64


@pytest.fixture
async def repo(any_registry: str) -> AsyncIterator[RepositoryClient]:
    async with RegistryClient(plain_http={any_registry}, deadline=10) as client:
        yield client.repository(Repository(any_registry, f"test/{uuid4().hex}"))


async def push_image(repo: RepositoryClient, words: str = "an image") -> Digest:
    """Some manifest to attach things to."""
    layer = await repo.push_blob(words.encode(), "text/plain")
    return (await repo.push_artifact("application/x.image", [layer])).digest


def evidence(digest: Digest, gate: Channel = Channel.TESTING, *, minutes: int = 0, **found: object) -> Evidence:
    result = Result.model_validate(
        {
            "command": "gate",
            "outcome": Outcome.PASSED,
            "reason": "fine",
            "digest": digest,
            "checks": [{"name": "boot", "status": "passed"}],
        }
        | {"started": NOON + timedelta(minutes=minutes)}
        | found
    )
    return Evidence(gate=gate, gate_version="1", result=result)


def entry(release: int = 0, /, **changed: object) -> Entry:
    move = Move(repository="x/y", tag=Tag("stable"), old=None, new=sha256(str(release).encode()))
    told = {"channel": Channel.STABLE, "kind": Kind.PROMOTION, "moves": [move], "by": "alice", "at": NOON}
    return Entry.model_validate(told | {"reason": f"release {release}", "command": "promote-stable"} | changed)


async def stated(repo: RepositoryClient, entry: Entry) -> Descriptor:
    """A statement of an entry."""
    about = [Subject("x/y:stable", sha256(b"image"))]
    return await repo.push_blob(written(about, LEDGER, {}, entry.model_dump(mode="json")), media.IN_TOTO)


async def history(repo: RepositoryClient) -> list[ledger.Record]:
    return [record async for record in ledger.walk(repo, Channel.STABLE)]


async def test_evidence_comes_back_newest_first_whatever_the_clocks_said(repo: RepositoryClient) -> None:
    digest = await push_image(repo)
    first = await attach_evidence(repo, digest, evidence(digest, minutes=5), b"report of the first")
    second = await attach_evidence(repo, digest, evidence(digest, outcome=Outcome.GATE_FAILED), b"of the second")
    await attach_evidence(repo, digest, evidence(digest, Channel.NEXT), b"of another gate")
    found = await find_evidence(repo, digest, Channel.TESTING)
    assert found == [second, first]
    assert second.evidence.follows == [first.statement]
    assert await fetch_report(repo, found[0]) == b"of the second"


async def test_a_statement_that_is_attached_again_with_a_new_date_is_the_same_evidence(repo: RepositoryClient) -> None:
    digest = await push_image(repo)
    passed = await attach_evidence(repo, digest, evidence(digest), b"report")
    failed = await attach_evidence(repo, digest, evidence(digest, outcome=Outcome.GATE_FAILED), b"report")
    layer = Descriptor(media_type=media.IN_TOTO, digest=passed.statement, size=len(await repo.blob(passed.statement)))
    again = artifact(media.EVIDENCE, [layer], subject=await repo.describe(digest), annotations={"date": "2999"})
    await repo.push_manifest(again, Tag(evidence_tags(Channel.TESTING, digest) + again.digest.hex[:36]))
    assert verdicts(await find_evidence(repo, digest, Channel.TESTING)) == [failed]


async def test_the_same_evidence_is_stored_once(repo: RepositoryClient) -> None:
    digest = await push_image(repo)
    first = await attach_evidence(repo, digest, evidence(digest), b"report")
    assert await attach_evidence(repo, digest, evidence(digest), b"report") == first
    assert len(await find_evidence(repo, digest, Channel.TESTING)) == 1


async def test_evidence_about_another_digest_does_not_count(repo: RepositoryClient) -> None:
    digest, other = await push_image(repo), await push_image(repo, "another image")
    layer = await repo.push_blob(statement(other, "x/y", evidence(other)), media.IN_TOTO)
    swapped = artifact(media.EVIDENCE, [layer], subject=await repo.describe(digest))
    await repo.push_manifest(swapped, Tag(evidence_tags(Channel.TESTING, digest) + swapped.digest.hex[:36]))
    assert await find_evidence(repo, digest, Channel.TESTING) == []
    assert await find_evidence(repo, other, Channel.TESTING) == []


async def test_evidence_needs_its_image(repo: RepositoryClient) -> None:
    absent = sha256(b"absent")
    with pytest.raises(PreconditionError, match="holds no"):
        await attach_evidence(repo, absent, evidence(absent), b"report")


async def test_a_disk_comes_back_as_it_went(repo: RepositoryClient, tmp_path: Path) -> None:
    digest = await push_image(repo)
    disk, copy = tmp_path / "disk.qcow2", tmp_path / "copy.qcow2"
    disk.write_bytes(os.urandom(3_000_000))
    record = await attach_disk(repo, digest, disk, "linux/amd64", builder=BUILDER)
    assert await attach_disk(repo, digest, disk, "linux/amd64", builder=BUILDER) == record
    await fetch_disk(repo, record, copy)
    assert copy.read_bytes() == disk.read_bytes()
    assert record.sha256 == sha256(copy.read_bytes())
    assert [one.digest for one in await repo.referrers(digest, media.DISK)] == [record.manifest]
    with pytest.raises(PreconditionError, match="not the disk that was tested"):
        await fetch_disk(repo, record.model_copy(update={"sha256": sha256(b"other")}), copy)


async def test_of_the_next_disk_only_what_changed_is_sent(
    registry: str, faultproxy: ModuleType, tmp_path: Path
) -> None:
    content = os.urandom(40_000_000)
    disk, following, copy = tmp_path / "disk", tmp_path / "following", tmp_path / "copy"
    disk.write_bytes(content)
    following.write_bytes(content[: 20 << 20] + os.urandom(4 << 20) + content[20 << 20 :])
    async with faultproxy.FaultProxy(registry) as proxy:
        async with RegistryClient(plain_http={proxy.address}) as client:
            repo = client.repository(Repository(proxy.address, f"test/{uuid4().hex}"))
            subject = await push_image(repo)
            first = await attach_disk(repo, subject, disk, "linux/amd64", builder=BUILDER)
        async with RegistryClient(plain_http={proxy.address}) as client:
            repo = client.repository(repo.repository)
            proxy.disarm()
            second = await attach_disk(repo, subject, following, "linux/amd64", builder=BUILDER)
            sent = sum(line.split()[1] == "POST" for line in proxy.log)
            stored = await repo.known(second.manifest)
            await fetch_disk(repo, second, copy)
    assert copy.read_bytes() == following.read_bytes()
    assert stored
    assert 1 <= sent <= len(stored.layers) / 2
    assert second.size == first.size + (4 << 20)


async def test_a_disk_that_has_no_room_is_not_begun(
    repo: RepositoryClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, copy = tmp_path / "disk.qcow2", tmp_path / "copy.qcow2"
    disk.write_bytes(os.urandom(3 << 20))
    record = await attach_disk(repo, await push_image(repo), disk, "linux/amd64", builder=BUILDER)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    with pytest.raises(InfrastructureError, match=r"has 3\S* ?MiB, and .* has room for 1\S* ?MiB"):
        await fetch_disk(repo, record, copy)
    with pytest.raises(FileNotFoundError):
        copy.stat()


async def test_a_disk_of_the_old_form_is_read(repo: RepositoryClient, tmp_path: Path) -> None:
    """One layer, which is the file."""
    disk, copy = tmp_path / "disk.qcow2", tmp_path / "copy.qcow2"
    disk.write_bytes(os.urandom(100_000))
    layer = await repo.push_file(disk, f"{media.DISK_WHOLE}.qcow2")
    stored = await repo.push_artifact(media.DISK_WHOLE, [layer], annotations={"vnd.bootc-pipeline.builder": BUILDER})
    record = await read_disk(repo, stored.digest)
    assert record == DiskRecord(sha256=layer.digest, size=100_000, manifest=stored.digest, builder=BUILDER)
    await fetch_disk(repo, record, copy)
    assert copy.read_bytes() == disk.read_bytes()


async def test_the_disk_command_pushes_at_once_or_in_two_steps_and_fetches(registry: str, tmp_path: Path) -> None:
    where = Repository(registry, f"test/{uuid4().hex}")
    async with RegistryClient(plain_http={registry}) as client:
        digest = await push_image(client.repository(where))
    (tmp_path / "disk").write_bytes(b"a disk")

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "pipeline.registry.disk", *arguments, "--repository", str(where), "--plain-http"]
        return subprocess.run(line, capture_output=True, text=True)

    copy = tmp_path / "copy"
    source, target = str(tmp_path / "disk"), str(copy)
    pushed = command("push", "--subject", digest, "--builder", BUILDER, "--path", source)
    assert pushed.returncode == 0, pushed.stderr
    record = json.loads(pushed.stdout)
    assert record["sha256"] == sha256(b"a disk")
    fetched = command("fetch", "--manifest", record["manifest"], "--sha256", record["sha256"], "--path", target)
    assert fetched.returncode == 0, fetched.stderr
    assert json.loads(fetched.stdout) == record
    assert copy.read_bytes() == b"a disk"
    told = ("--subject", digest, "--builder", BUILDER, "--list", str(tmp_path / "list"))
    assert command("send", "--path", source, "--list", str(tmp_path / "list")).returncode == 0
    other = command("attach", *told, "--sha256", sha256(b"another disk"))
    assert other.returncode == 6, other.stderr
    assert json.loads(command("attach", *told, "--sha256", sha256(b"a disk")).stdout) == record
    missing = command("fetch", "--manifest", sha256(b"none"), "--path", target)
    assert missing.returncode == 3
    assert missing.stderr.count("\n") == 1
    assert "holds no" in missing.stderr


async def test_the_ledger_grows_and_is_walked_newest_first(repo: RepositoryClient) -> None:
    assert await ledger.heads(repo, Channel.STABLE) == []
    first, second, third = [await ledger.append(repo, entry(number)) for number in (1, 2, 3)]
    records = await history(repo)
    assert records == [third, second, first]
    assert [record.entry.number for record in records] == [3, 2, 1]
    assert [record.entry.reason for record in records] == ["release 3", "release 2", "release 1"]
    assert await ledger.heads(repo, Channel.STABLE) == [third]
    assert await ledger.heads(repo, Channel.TESTING) == []


async def test_of_many_writers_at_once_none_is_lost_and_the_next_entry_names_them_all(any_registry: str) -> None:
    path = f"test/{uuid4().hex}"
    written: list[ledger.Record] = []

    async def write(number: int) -> None:
        async with RegistryClient(plain_http={any_registry}, deadline=10) as client:
            written.append(await ledger.append(client.repository(Repository(any_registry, path)), entry(number)))

    async with anyio.create_task_group() as group:
        for number in range(1, 7):
            group.start_soon(write, number)
    async with RegistryClient(plain_http={any_registry}, deadline=10) as client:
        repo = client.repository(Repository(any_registry, path))
        last = await ledger.append(repo, entry(7))
        assert {one.digest for one in await history(repo)} == {one.digest for one in [*written, last]}
        assert await ledger.heads(repo, Channel.STABLE) == [last]


async def test_a_hold_is_in_force_until_it_is_released_by_name(repo: RepositoryClient) -> None:
    first = await ledger.append(repo, entry(1, kind=Kind.HOLD, moves=[]))
    second = await ledger.append(repo, entry(2, kind=Kind.HOLD, moves=[]))
    await ledger.append(repo, entry(3, kind=Kind.OVERRIDE))
    assert (await ledger.standing(repo, Channel.STABLE)).holds == (second, first)
    await ledger.append(repo, entry(4, kind=Kind.RELEASE, moves=[], releases=[first.digest]))
    assert (await ledger.standing(repo, Channel.STABLE)).holds == (second,)


async def test_a_deleted_entry_shows(registry: str) -> None:
    async with RegistryClient(plain_http={registry}) as client:
        repo = client.repository(Repository(registry, f"test/{uuid4().hex}"))
        _, second, _ = [await ledger.append(repo, entry(number)) for number in (1, 2, 3)]
        await repo.delete(second.digest)
        with pytest.raises((PreconditionError, InfrastructureError), match=f"entry 2|{second.digest.hex}"):
            await history(repo)


async def test_an_entry_under_another_name_shows(repo: RepositoryClient) -> None:
    first = await ledger.append(repo, entry(1))
    layer = await stated(repo, entry(2, kind=Kind.HOLD, moves=[], number=2, previous=[first.digest]))
    hidden = artifact(media.LEDGER, [layer])
    await repo.push_manifest(hidden, ledger.Name(2, hidden.digest, Channel.STABLE, Kind.PROMOTION).tag)
    with pytest.raises(PreconditionError, match="is not one of it: it says stable, 2, hold"):
        await history(repo)


async def test_an_entry_that_skips_those_before_it_shows(repo: RepositoryClient) -> None:
    await ledger.append(repo, entry(1))
    layer = await stated(repo, entry(2, number=2))
    skipping = artifact(media.LEDGER, [layer])
    await repo.push_manifest(skipping, ledger.Name(2, skipping.digest, Channel.STABLE, Kind.PROMOTION).tag)
    with pytest.raises(PreconditionError, match="names none before it"):
        await history(repo)
