"""Push, prune, collect, pull: on real registries, with skopeo pulling everything that must be there."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio import to_thread

from pipeline.domain import Channel, Digest, Outcome, Tag
from pipeline.errors import ConflictError
from pipeline.policy.retention import Rules
from pipeline.registry import ledger
from pipeline.registry.retention import prune, read_list, refuse_while_pruning, restore, see_whole
from pipeline.registry.retention.oci import OciDriver
from pipeline.report.model import Move

RULES = Rules(keep_last=1, older_than="30d", max_percent=100)


@pytest.fixture
async def shop(shelf: Any, client: Any) -> dict[str, Digest]:
    """A repository in use, with evidence and a ledger written by the pipeline's own client."""
    made = {
        "released": shelf.image("stable", "v1.0.0", f"{1:040x}", days=200),
        "released before": shelf.image(days=300),
        "next": shelf.image("next", f"{2:040x}", days=90),
        "young": shelf.image(f"{3:040x}", days=2),
        "old": shelf.image(f"{4:040x}", days=80),
        "old amd64": shelf.image(days=70),
        "old arm64": shelf.image(days=70, arch="arm64"),
        "shared": shelf.image(days=70),
    }
    made["old index"] = shelf.index(made["old amd64"], made["old arm64"], made["shared"], tags=(f"{6:040x}",))
    made["inner index"] = shelf.index(made["shared"])
    made["released index"] = shelf.index(made["inner index"], tags=("v0.9.0",))
    repo = client.repository(shelf.repository)
    for name in ("old index", "released", "old"):
        layer = await repo.push_blob(f"evidence of {name}".encode(), "text/plain")
        subject = await repo.describe(made[name])
        stored = await repo.push_artifact("application/vnd.test.evidence", [layer], subject=subject)
        made[f"evidence of {name}"] = stored.digest
    entry = ledger.Entry(
        channel=Channel.STABLE,
        kind=ledger.Kind.PROMOTION,
        moves=[Move(repository=str(shelf.repository), tag=Tag(Channel.STABLE), old=None, new=made["released before"])],
        by="a test",
        at=datetime.now(UTC),
        reason="first",
        command="promote-stable",
    )
    made["first entry"] = (await ledger.append(repo, entry)).digest
    again = entry.model_copy(
        update={"moves": [entry.moves[0].model_copy(update={"old": made["released before"], "new": made["released"]})]}
    )
    made["second entry"] = (await ledger.append(repo, again)).digest
    return made


GOES = {"old", "old index", "old amd64", "old arm64", "evidence of old", "evidence of old index"}


async def test_prune_then_collect_then_pull(
    shelf: Any, client: Any, server: Any, shop: dict[str, Digest], tmp_path: Path
) -> None:
    repo = client.repository(shelf.repository)
    driver = OciDriver(repo)
    now = datetime.now(UTC)
    report = await prune(client, shelf.repository, RULES, confirm=True, now=now, driver=driver)
    assert report.outcome is Outcome.PASSED, report.text()
    assert {shop[name] for name in GOES} <= {one.digest for one in report.deleted}
    server.collect()
    for name, digest in shop.items():
        assert shelf.has(digest) == (name not in GOES), name
    for tag in shelf.tags():
        shelf.check_whole(tag)
    for number, tag in enumerate(["stable", "v1.0.0", "next", f"{1:040x}", f"{3:040x}"]):
        shelf.pull(tag, tmp_path / f"tag{number}")
    for name in ("released", "released before", "next", "young", "shared", "inner index"):
        shelf.pull(shop[name], tmp_path / name.replace(" ", "-"))
    assert shelf.tags().isdisjoint({f"{4:040x}", f"{6:040x}"})
    assert [record.digest async for record in ledger.walk(repo, Channel.STABLE)] == [
        shop["second entry"],
        shop["first entry"],
    ]
    (found,) = await repo.referrers(shop["released"])
    assert found.digest == shop["evidence of released"]
    again = await prune(client, shelf.repository, RULES, confirm=True, now=now, driver=driver)
    assert again.outcome is Outcome.UNCHANGED, again.text()


async def test_before_the_collection_everything_can_be_restored(
    shelf: Any, client: Any, shop: dict[str, Digest], tmp_path: Path
) -> None:
    repo = client.repository(shelf.repository)
    now = datetime.now(UTC)
    report = await prune(client, shelf.repository, RULES, confirm=True, now=now, driver=OciDriver(repo))
    assert not shelf.has(shop["old index"])
    noted = await read_list(repo, report.restore_list)
    back = await restore(repo, noted.manifests, noted.untagged)
    assert back.outcome is Outcome.PASSED, back.text()
    assert all(shelf.has(digest) for digest in shop.values())
    shelf.pull(f"{6:040x}", tmp_path / "back")


async def test_an_extra_tag_goes_only_where_the_registry_untags(shelf: Any, client: Any, tmp_path: Path) -> None:
    digest = shelf.image("v2.0.0", f"{7:040x}", "night-1", days=300)
    shelf.image("stable", days=1)
    shelf.image(f"{8:040x}", days=2)
    repo = client.repository(shelf.repository)
    rules = RULES.model_copy(update={"prune_tags": ("night-*",)})
    now = datetime.now(UTC)
    report = await prune(client, shelf.repository, rules, confirm=True, now=now, driver=OciDriver(repo))
    assert report.outcome is Outcome.PASSED, report.text()
    assert [one.tag for one in report.planned_untags] == ["night-1"]
    assert bool(report.untagged) != bool(report.skipped)
    assert ("night-1" in shelf.tags()) == bool(report.skipped)
    assert f"{7:040x}" in shelf.tags(), "the commit counts as built"
    assert not [tag for tag in shelf.tags() if tag.startswith("pipeline-probe")]
    shelf.pull("v2.0.0", tmp_path / "kept")
    shelf.pull(digest, tmp_path / "by-digest")


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.2, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.7])
async def test_a_promotion_that_runs_at_the_same_time_is_never_harmed(shelf: Any, client: Any, delay: float) -> None:
    """The promotion writes its version tag, then asks about prunes; if it may go on, its image stays whole."""
    repo = client.repository(shelf.repository)
    shelf.image("stable", days=1)
    parts = [shelf.image(days=80), shelf.image(days=80, arch="arm64")]
    digest = shelf.index(*parts, tags=(f"{1:040x}",))
    for number in range(2, 6):
        shelf.image(f"{number:040x}", days=90)
    now = datetime.now(UTC)
    allowed = False

    async def promote() -> None:
        nonlocal allowed
        await anyio.sleep(delay)
        try:
            await to_thread.run_sync(shelf.retag, digest, "v9.0.0")
            await refuse_while_pruning(repo, digest, datetime.now(UTC))
            await see_whole(repo, digest)
        except (ConflictError, httpx.HTTPStatusError):
            return
        allowed = True

    async with anyio.create_task_group() as group:
        group.start_soon(promote)
        rules = RULES.model_copy(update={"keep_last": 0})
        report = await prune(client, shelf.repository, rules, confirm=True, now=now, driver=OciDriver(repo))
    # partial: a registry that is told to delete what is being tagged may refuse with whatever comes to its mind
    assert report.outcome in (Outcome.PASSED, Outcome.CONFLICT, Outcome.PARTIAL), report.text()
    if allowed:
        shelf.check_whole("v9.0.0")
        shelf.check_whole(digest)
