"""Evidence, disks and the ledger in real registries."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import anyio
import pytest

from pipeline.domain import Channel, Digest, Outcome, Repository, Tag
from pipeline.errors import ConflictError, PreconditionError
from pipeline.registry import ledger, media
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.content import Manifest, sha256
from pipeline.registry.disk import attach_disk, fetch_disk
from pipeline.registry.evidence import Evidence, attach_evidence, fetch_report, find_evidence, statement
from pipeline.registry.ledger import Entry, Kind
from pipeline.report.model import Move, Result

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
        {"command": "gate", "outcome": Outcome.PASSED, "reason": "fine", "digest": digest}
        | {"started": NOON + timedelta(minutes=minutes)}
        | found
    )
    return Evidence(gate=gate, gate_version="1", result=result)


def entry(number: int = 0, **changed: object) -> Entry:
    move = Move(repository="x/y", tag=Tag("stable"), old=None, new=sha256(str(number).encode()))
    told = {"channel": Channel.STABLE, "kind": Kind.PROMOTION, "moves": [move], "by": "alice", "at": NOON}
    return Entry.model_validate(told | {"reason": f"release {number}", "command": "promote-stable"} | changed)


async def history(repo: RepositoryClient) -> list[ledger.Record]:
    return [record async for record in ledger.walk(repo, Channel.STABLE)]


async def test_evidence_comes_back_newest_first(repo: RepositoryClient) -> None:
    digest = await push_image(repo)
    old, new = evidence(digest), evidence(digest, minutes=5, outcome=Outcome.GATE_FAILED)
    second = await attach_evidence(repo, digest, new, b"report of the new")
    first = await attach_evidence(repo, digest, old, b"report of the old")
    await attach_evidence(repo, digest, evidence(digest, Channel.NEXT), b"of another gate")
    found = await find_evidence(repo, digest, Channel.TESTING)
    assert [one.digest for one in found] == [second, first]
    assert [one.evidence for one in found] == [new, old]
    assert await fetch_report(repo, found[0]) == b"report of the new"


async def test_the_same_evidence_is_stored_once(repo: RepositoryClient) -> None:
    digest = await push_image(repo)
    first = await attach_evidence(repo, digest, evidence(digest), b"report")
    assert await attach_evidence(repo, digest, evidence(digest), b"report") == first
    assert len(await find_evidence(repo, digest, Channel.TESTING)) == 1


async def test_evidence_about_another_digest_does_not_count(repo: RepositoryClient) -> None:
    digest, other = await push_image(repo), await push_image(repo, "another image")
    described = await repo.describe(digest)
    layer = await repo.push_blob(statement(other, "x/y", evidence(other)), media.IN_TOTO)
    marks = {"vnd.bootc-pipeline.gate": "testing", "org.opencontainers.image.created": NOON.isoformat()}
    await repo.push_artifact(media.EVIDENCE, [layer], subject=described, annotations=marks)
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


async def test_the_disk_command_pushes_and_fetches(registry: str, tmp_path: Path) -> None:
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
    missing = command("fetch", "--manifest", sha256(b"none"), "--path", target)
    assert missing.returncode == 3
    assert missing.stderr.count("\n") == 1
    assert "holds no" in missing.stderr


async def test_the_ledger_grows_and_is_walked_newest_first(repo: RepositoryClient) -> None:
    assert await ledger.head(repo, Channel.STABLE) is None
    first = await ledger.append(repo, entry(1), expect=None)
    second = await ledger.append(repo, entry(2), expect=first)
    assert await ledger.append(repo, entry(2), expect=first) == second, "a repeated call finds its own entry"
    third = await ledger.append(repo, entry(3), expect=second)
    assert await ledger.append(repo, entry(2), expect=first) == second, "even under a newer one"
    records = await history(repo)
    assert [record.digest for record in records] == [third, second, first]
    assert [record.entry.number for record in records] == [3, 2, 1]
    assert [record.entry.reason for record in records] == ["release 3", "release 2", "release 1"]
    assert await ledger.head(repo, Channel.STABLE) == records[0]
    assert await ledger.head(repo, Channel.TESTING) is None


async def test_appending_to_an_old_head_is_a_conflict(repo: RepositoryClient) -> None:
    first = await ledger.append(repo, entry(1), expect=None)
    second = await ledger.append(repo, entry(2), expect=first)
    for stale in (None, first):
        with pytest.raises(ConflictError, match="somebody else"):
            await ledger.append(repo, entry(3), expect=stale)
    assert [record.digest for record in await history(repo)] == [second, first]


async def test_of_many_writers_at_once_one_wins(repo: RepositoryClient) -> None:
    first = await ledger.append(repo, entry(0), expect=None)
    won: list[Digest] = []
    lost: list[int] = []

    async def write(number: int) -> None:
        try:
            won.append(await ledger.append(repo, entry(number), expect=first))
        except ConflictError:
            lost.append(number)

    async with anyio.create_task_group() as group:
        for number in range(1, 7):
            group.start_soon(write, number)
    assert [record.digest for record in await history(repo)] == [*won, first]
    assert (len(won), len(lost)) == (1, 5)


async def test_a_deleted_entry_shows(registry: str) -> None:
    async with RegistryClient(plain_http={registry}) as client:
        repo = client.repository(Repository(registry, f"test/{uuid4().hex}"))
        first = await ledger.append(repo, entry(1), expect=None)
        second = await ledger.append(repo, entry(2), expect=first)
        await ledger.append(repo, entry(3), expect=second)
        await repo.delete(second)
        with pytest.raises(PreconditionError, match=f"entry 2 .{second}. is missing"):
            await history(repo)


async def test_a_rewritten_entry_shows(repo: RepositoryClient) -> None:
    first = await ledger.append(repo, entry(1), expect=None)
    second = await ledger.append(repo, entry(2), expect=first)
    shortened = entry(3).model_copy(update={"number": 3})
    layer = await repo.push_blob(shortened.model_dump_json().encode(), media.LEDGER_ENTRY)
    await repo.push_artifact(media.LEDGER, [layer], tag=ledger.head_tag(Channel.STABLE))
    with pytest.raises(PreconditionError, match="number 3, yet names none before it"):
        await history(repo)
    skipped = entry(3).model_copy(update={"number": 3, "previous": first})
    layer = await repo.push_blob(skipped.model_dump_json().encode(), media.LEDGER_ENTRY)
    await repo.push_artifact(media.LEDGER, [layer], tag=ledger.head_tag(Channel.STABLE))
    with pytest.raises(PreconditionError, match="expected 2"):
        await history(repo)
    assert isinstance(await repo.manifest(second), Manifest)
