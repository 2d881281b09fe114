"""What a plan has read is not read again, is what its digest names, and is given back when nobody uses it."""

import sqlite3
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.domain import Digest
from pipeline.errors import InfrastructureError
from pipeline.policy.retention import Rules
from pipeline.registry.client import RegistryClient
from pipeline.registry.content import Manifest, sha256
from pipeline.registry.retention import Kept, PruneReport, prune
from pipeline.registry.retention import record as record_module
from pipeline.registry.retention.kept import Attached
from pipeline.registry.retention.oci import OciDriver

RULES = Rules(keep_last=1, older_than="30d", max_percent=100)
CONTENT = b"a manifest"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "kept.sqlite"


@pytest.fixture
def run(registry: Any, base: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Each run is a process of its own: it knows nothing but what is in the file."""
    monkeypatch.setattr(record_module, "_SETTLE", 0)
    monkeypatch.setattr("pipeline.registry.client._SETTLE", 0)

    async def run(*, confirm: bool = False, file: Path = base) -> PruneReport:
        home, now = registry.repository, registry.now
        registry.log.clear()
        async with RegistryClient(deadline=60) as client:
            driver = OciDriver(client.repository(home))
            with Kept(file) as kept:
                return await prune(client, home, RULES, confirm=confirm, now=now, driver=driver, kept=kept)

    return run


@pytest.fixture
def indexes(registry: Any) -> list[Digest]:
    """Two without a date of their own, of two images each, one of them old."""
    pairs = [[registry.image(days=days, text=f"{days} {part}") for part in "ab"] for days in (40, 50)]
    return [registry.index(*pair, tags=(f"{number:040x}",)) for number, pair in enumerate(pairs)]


def test_what_was_put_is_there_in_the_next_run_until_a_run_does_not_use_it(base: Path) -> None:
    digest = sha256(CONTENT)
    with Kept(base) as kept:
        assert kept.get(digest) is None
        kept.put(digest, CONTENT, "a/type")
    with Kept(base) as kept:
        assert kept.get(digest) == Manifest(digest, "a/type", CONTENT)
    with Kept(base):
        pass
    with Kept(base) as kept:
        assert kept.get(digest) is None


def test_what_is_not_what_its_digest_names_is_not_there(base: Path) -> None:
    digest = sha256(CONTENT)
    with Kept(base) as kept:
        kept.put(digest, b"something else")
        assert kept.get(digest) is None
    with sqlite3.connect(base) as broken:
        broken.execute("INSERT OR REPLACE INTO content VALUES (?, ?, ?)", (digest, "", b"not packed"))
    broken.close()
    with Kept(base) as kept:
        assert kept.get(digest) is None


def test_a_file_that_breaks_on_the_way_costs_nothing_but_the_memory(base: Path) -> None:
    with Kept(base) as kept:
        kept._base.execute("DROP TABLE content")
        kept.put(sha256(CONTENT), CONTENT)
        assert kept.get(sha256(CONTENT)) is None


def test_a_file_that_is_broken_is_begun_anew(base: Path) -> None:
    base.write_bytes(b"no database at all, " * 100)
    with Kept(base) as kept:
        kept.put(sha256(CONTENT), CONTENT)
        assert kept.get(sha256(CONTENT))


async def test_the_next_plan_asks_for_tags_alone_and_is_the_same(run: Any, registry: Any, indexes: Any) -> None:
    first = await run()
    read = [line for line in registry.log if line.startswith(("GET manifests/sha256:", "GET blobs/"))]
    again = await run()
    asked = [line for line in registry.log if line.startswith(("GET manifests/sha256:", "GET blobs/"))]
    assert (len(read), asked) == (8, [])
    assert [one.digest for one in again.planned] == [one.digest for one in first.planned]
    assert indexes[1] in {one.digest for one in again.planned}


async def test_before_anything_goes_each_manifest_is_asked_for_again(run: Any, registry: Any, indexes: Any) -> None:
    await run()
    gone = registry.image(days=50, text="50 a")
    del registry.manifests[gone]
    report = await run(confirm=True)
    assert gone not in {one.digest for one in report.deleted}
    assert indexes[1] not in registry.manifests
    assert indexes[0] in registry.manifests


def asked_about(registry: Any) -> list[str]:
    """The manifests whose referrers were asked for, each as often as it was."""
    return [line.removeprefix("GET referrers/") for line in registry.log if line.startswith("GET referrers/")]


def planned(report: PruneReport) -> set[Digest]:
    return {one.digest for one in report.planned}


def attach_old(registry: Any, image: Digest) -> None:
    registry.artifact(image, text="signature", days=40)


def attach_young(registry: Any, image: Digest) -> None:
    registry.artifact(image, text="approved today", days=0.1)


def attach_what_nobody_understands(registry: Any, image: Digest) -> None:
    registry.put({"mediaType": "application/x-unknown", "subject": registry.describe(image)})


def delete_what_is_attached(registry: Any, image: Digest) -> None:
    for digest in [digest for digest, (_, raw) in registry.manifests.items() if b'"subject"' in raw]:
        del registry.manifests[digest]


def lose_the_api(registry: Any, image: Digest) -> None:
    registry.referrers_api = False


def nothing(registry: Any, image: Digest) -> None:
    """All is as it was."""


async def test_the_next_plan_goes_by_what_hung_on_a_manifest_and_says_since_when(
    run: Any, registry: Any, indexes: Any
) -> None:
    signature = registry.artifact(indexes[1])
    first = await run()
    assert asked_about(registry) == [indexes[1], signature]
    assert (first.remembered, first.as_of) == (0, None)
    assert "as of" not in first.text()
    registry.now += timedelta(days=5)
    again = await run()
    assert asked_about(registry) == []
    assert planned(again) == planned(first)
    assert (again.remembered, again.as_of) == (2, first.at)
    assert "what hangs on 2 of the manifests is as of 2026-06-01 12:00 UTC; --confirm asks again" in again.text()


async def test_what_was_attached_and_keeps_an_image_keeps_it_in_the_next_plan(
    run: Any, registry: Any, indexes: Any
) -> None:
    attach_what_nobody_understands(registry, registry.artifact(indexes[1]))
    for asked in 2, 0:
        assert indexes[1] not in planned(await run())
        assert len(asked_about(registry)) == asked


async def test_an_answer_is_asked_for_again_after_six_days_however_often_it_was_used(
    run: Any, registry: Any, indexes: Any
) -> None:
    begun = registry.now
    for days, asked in (0, 1), (3, 0), (5.9, 0), (6, 1), (7, 0), (11.9, 0), (12, 1):
        registry.now = begun + timedelta(days=days)
        await run()
        assert len(asked_about(registry)) == asked, days


async def test_an_answer_of_a_time_that_has_not_come_is_none(run: Any, registry: Any, indexes: Any) -> None:
    registry.now += timedelta(days=1)
    await run()
    registry.now -= timedelta(days=1)
    assert (await run()).remembered == 0
    assert asked_about(registry) == [indexes[1]]


@pytest.mark.parametrize(
    "since", [nothing, attach_young, attach_what_nobody_understands, delete_what_is_attached, lose_the_api]
)
@pytest.mark.parametrize("before", [nothing, attach_old, attach_young, attach_what_nobody_understands])
async def test_what_is_deleted_is_the_same_whatever_an_earlier_plan_remembers(
    run: Any, registry: Any, indexes: Any, base: Path, before: Any, since: Any
) -> None:
    before(registry, indexes[1])
    await run()
    since(registry, indexes[1])
    there = dict(registry.manifests), dict(registry.tags)
    with_memory = await run(confirm=True)
    assert (with_memory.remembered, with_memory.as_of) == (0, None)
    registry.manifests, registry.tags = there
    without = await run(confirm=True, file=base.with_name("empty.sqlite"))
    assert [one.digest for one in with_memory.deleted] == [one.digest for one in without.deleted]
    assert planned(with_memory) == planned(without)


@pytest.mark.parametrize("since", [attach_young, attach_what_nobody_understands])
async def test_what_was_attached_since_the_plan_keeps_the_image_that_the_plan_still_names(
    run: Any, registry: Any, indexes: Any, since: Any
) -> None:
    await run()
    since(registry, indexes[1])
    assert indexes[1] in planned(await run())
    assert not (await run(confirm=True)).deleted
    assert indexes[1] in registry.manifests


async def test_a_prune_that_deletes_leaves_no_answer_behind(run: Any, registry: Any, indexes: Any) -> None:
    """It was stopped: the image stays for the next plan, and what hung on it is gone."""
    registry.artifact(indexes[1])
    await run()
    registry.before = lambda line: httpx.Response(403) if line == f"DELETE manifests/{indexes[1]}" else None
    assert (await run(confirm=True)).deleted
    registry.before = lambda line: None
    report = await run()
    assert indexes[1] in planned(report)
    assert report.remembered == 0
    assert indexes[1] in asked_about(registry)


async def test_an_answer_that_broke_off_is_not_remembered(run: Any, registry: Any, indexes: Any, hasty: None) -> None:
    attach_what_nobody_understands(registry, indexes[1])
    first = f"GET referrers/{indexes[1]}"

    def half(line: str) -> httpx.Response | None:
        if line != first:
            return None
        if registry.log.count(first) > 1:
            return httpx.Response(503)
        listed = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
        following = f'</v2/os/referrers/{indexes[1]}?page=2>; rel="next"'
        return httpx.Response(200, json=listed, headers={"link": following})

    registry.before = half
    with pytest.raises(InfrastructureError):
        await run()
    registry.before = lambda line: None
    assert indexes[1] not in planned(await run())
    assert asked_about(registry)[0] == indexes[1]


async def test_a_registry_that_has_no_such_api_is_asked_again_and_believed_when_it_has(
    run: Any, registry: Any, indexes: Any
) -> None:
    registry.referrers_api = False
    assert indexes[1] in planned(await run())
    registry.referrers_api = True
    attach_what_nobody_understands(registry, indexes[1])
    assert indexes[1] not in planned(await run())


async def test_what_another_repository_of_the_same_file_answered_is_not_known_here(
    run: Any, registry: Any, indexes: Any, base: Path
) -> None:
    with Kept(base) as kept:
        kept.put_attached(Attached(to=f"registry.test/os-old@{indexes[1]}", at=registry.now, referrers=()))
    attach_what_nobody_understands(registry, indexes[1])
    report = await run()
    assert (report.remembered, indexes[1] in planned(report)) == (0, False)


@pytest.mark.parametrize(
    "packed",
    [
        b"not packed",
        zlib.compress(b""),
        zlib.compress(b"{"),
        zlib.compress(b"null"),
        zlib.compress(b'{"to": "registry.test/os@HERE", "at": "2026-06-01T12:00:00Z"}'),
        zlib.compress(b'{"to": "registry.test/os@HERE", "at": "2026-06-01T12:00:00", "referrers": []}'),
        zlib.compress(b'{"to": "registry.test/os@HERE", "at": "2026-06-01T12:00:00Z", "referrers": ["sha256:0"]}'),
        zlib.compress(b'{"to": "registry.test/os@THERE", "at": "2026-06-01T12:00:00Z", "referrers": []}'),
        "text",
        7,
    ],
)
def test_an_answer_that_is_broken_is_none(registry: Any, base: Path, packed: object) -> None:
    to = "registry.test/os@HERE"
    with Kept(base) as kept:
        kept.put_attached(Attached(to=to, at=registry.now, referrers=()))
        assert kept.attached(to, registry.now)
        kept._base.execute("UPDATE content SET packed = ? WHERE digest = ?", (packed, to))
        assert kept.attached(to, registry.now) is None


def test_an_answer_never_passes_for_a_manifest_nor_a_manifest_for_an_answer(registry: Any, base: Path) -> None:
    answer = Attached(to=str(sha256(CONTENT)), at=registry.now, referrers=())
    with Kept(base) as kept:
        kept.put_attached(answer)
        assert kept.get(sha256(CONTENT)) is None
        raw = answer.model_dump_json().encode()
        kept.put(sha256(raw), raw)
        assert kept.attached(sha256(raw), registry.now) is None
