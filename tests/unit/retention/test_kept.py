"""What a plan has read is not read again, is what its digest names, and is given back when nobody uses it."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain import Digest
from pipeline.policy.retention import Rules
from pipeline.registry.content import Manifest, sha256
from pipeline.registry.retention import Kept, PruneReport, prune
from pipeline.registry.retention import record as record_module
from pipeline.registry.retention.oci import OciDriver

RULES = Rules(keep_last=1, older_than="30d", max_percent=100)
CONTENT = b"a manifest"


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "kept.sqlite"


@pytest.fixture
def run(client: Any, registry: Any, base: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(record_module, "_SETTLE", 0)
    monkeypatch.setattr("pipeline.registry.client._SETTLE", 0)

    async def run(*, confirm: bool = False) -> PruneReport:
        driver, home, now = OciDriver(client.repository(registry.repository)), registry.repository, registry.now
        registry.log.clear()
        with Kept(base) as kept:
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
