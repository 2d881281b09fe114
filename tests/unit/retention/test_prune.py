"""A prune against a whole registry (in memory): what goes, what stays, and that faults never harm."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from pipeline.domain import Channel, Digest, Outcome, Tag
from pipeline.errors import ConflictError, InfrastructureError, PreconditionError
from pipeline.policy.retention import Rules
from pipeline.registry import ledger, media
from pipeline.registry.retention import (
    PruneReport,
    list_tags,
    prune,
    read_list,
    refuse_while_pruning,
    restore,
    see_whole,
    why_kept,
)
from pipeline.registry.retention import record as record_module
from pipeline.registry.retention.driver import Snapshot
from pipeline.registry.retention.oci import OciDriver
from pipeline.registry.retention.record import PruneRecord, RecordKeeper, State, find_record
from pipeline.report.model import Move

RULES = Rules(keep_last=1, older_than="30d", max_percent=100)


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "_SETTLE", 0)
    monkeypatch.setattr("pipeline.registry.client._SETTLE", 0)


@pytest.fixture
def run(client: Any, registry: Any) -> Callable[..., Any]:
    async def run(confirm: bool = True, rules: Rules = RULES, now: Any = None) -> PruneReport:
        driver = OciDriver(client.repository(registry.repository))
        now = now or registry.now
        return await prune(client, registry.repository, rules, confirm=confirm, now=now, driver=driver)

    return run


@pytest.fixture
def shop(registry: Any) -> dict[str, Digest]:
    """A repository in use: released, old and young builds, one with two platforms, signatures by both ways."""
    r = registry
    made = {
        "released": r.image("stable", "v1.0.0", f"{1:040x}", days=200),
        "next": r.image("next", f"{2:040x}", days=90),
        "young": r.image(f"{3:040x}", days=2),
        "old": r.image(f"{4:040x}", days=80),
        "unknown age": r.image(f"{5:040x}", days=None),
        "old amd64": r.image(days=70, text="amd64"),
        "old arm64": r.image(days=70, text="arm64"),
        "shared": r.image(days=70, text="shared"),
        "foreign": r.image("latest", days=400),
    }
    made["old index"] = r.index(made["old amd64"], made["old arm64"], made["shared"], tags=(f"{6:040x}",))
    made["released index"] = r.index(made["shared"], tags=("v0.9.0",))
    made["signature"] = r.artifact(made["old index"], text="of the index")
    made["signature of the signature"] = r.artifact(made["signature"], text="of the signature")
    made["cosign"] = r.artifact(None, f"sha256-{made['old amd64'].hex}.sig", text="cosign")
    made["kept signature"] = r.artifact(made["released"], text="of the release")
    return made


GOES = ["signature of the signature", "signature", "old index", "cosign", "old amd64", "old arm64", "old"]


async def test_a_plan_deletes_nothing_and_says_what_would_go(run: Any, registry: Any, shop: dict[str, Digest]) -> None:
    before = dict(registry.manifests), dict(registry.tags)
    report = await run(confirm=False)
    assert {one.digest for one in report.planned} == {shop[name] for name in GOES}
    assert (registry.manifests, registry.tags) == before
    assert not [line for line in registry.log if not line.startswith(("GET", "HEAD"))]
    assert "may go" in report.text()
    assert "--confirm" in report.text()


async def test_prune_deletes_what_nobody_needs_and_a_second_run_nothing(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    report = await run()
    assert report.outcome is Outcome.PASSED, report.text()
    assert registry.images() == {digest for name, digest in shop.items() if name not in GOES}
    for digest in registry.tags.values():
        registry.pull(digest)
    again = await run()
    assert again.outcome is Outcome.UNCHANGED
    assert not again.deleted


async def test_referrers_go_before_the_index_and_the_index_before_its_children(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    await run()
    deletes = [line.rpartition("/")[2] for line in registry.log if line.startswith("DELETE manifests/sha256:")]
    order = [deletes.index(shop[name]) for name in GOES]
    assert order[0] < order[1] < order[2] < min(order[4:6])
    assert order[3] < order[4]


EXTRA = RULES.model_copy(update={"prune_tags": ("night-*",)})


async def test_an_old_extra_tag_of_a_released_digest_goes_where_the_registry_untags(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    registry.tags["v1.0.1"] = released = registry.image("night-1", days=210)
    registry.tags["night-2"] = shop["released"]
    report = await run(rules=EXTRA)
    assert [one.tag for one in report.untagged] == ["night-1"]
    assert "night-1" not in registry.tags
    assert registry.tags["v1.0.1"] == released
    assert "night-2" in registry.tags, "a digest that a channel points at keeps all its tags"
    assert not [tag for tag in registry.tags if "probe" in tag]
    assert not [line for line in registry.log if line.startswith("GET manifests/pipeline-probe")], "they are deleted"


async def test_the_commit_of_a_release_still_counts_as_built_afterwards(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    """Without its tag, the rerun of an old release would wait for a build, or make another image."""
    registry.tags["v1.0.1"] = released = registry.image(f"{7:040x}", f"{7:040x}.2", days=210)
    assert not (await run()).planned_untags
    assert registry.tags[f"{7:040x}"] == registry.tags[f"{7:040x}.2"] == released


async def test_an_image_is_as_young_as_its_label_when_its_date_is_that_of_its_sources(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    young = registry.image(f"{8:040x}", days=400, labelled=2)
    assert young not in [one.digest for one in (await run()).deleted]
    registry.pull(young)


@pytest.mark.parametrize("habit", ["refuse", "manifest"])
async def test_a_tag_stays_where_the_registry_cannot_untag(
    run: Any, registry: Any, shop: dict[str, Digest], habit: str
) -> None:
    registry.tags["v1.0.1"] = registry.image("night-1", days=210)
    registry.untags = habit
    report = await run(rules=EXTRA)
    assert report.outcome is Outcome.PASSED
    assert [one.reason for one in report.skipped] == ["this registry cannot untag"]
    assert registry.tags["v1.0.1"] == registry.tags["night-1"]
    registry.pull(registry.tags["v1.0.1"])


async def test_tags_that_outlive_their_manifest_are_deleted_too(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    registry.tags_go_along = False
    assert (await run()).outcome is Outcome.PASSED
    assert all(digest in registry.manifests for digest in registry.tags.values())


async def test_without_a_referrers_api_fallback_tags_are_followed(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    registry.referrers_api = False
    listed = registry.index(shop["signature"], tags=(f"sha256-{shop['old index'].hex}",))
    kept = registry.index(shop["kept signature"], tags=(f"sha256-{shop['released'].hex}",))
    report = await run()
    assert report.outcome is Outcome.PASSED, report.text()
    assert listed not in registry.manifests
    assert shop["signature"] not in registry.manifests
    assert {kept, shop["kept signature"]} <= set(registry.manifests)


@pytest.mark.usefixtures("hasty")
async def test_any_listing_request_that_fails_means_that_nothing_is_deleted(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    await run(confirm=False)
    requests = len(registry.log)
    assert requests > 20
    for number in range(requests):
        count = iter(range(10_000))
        failing: set[str] = set()

        def outage(line: str, number: int = number, count: Any = count, failing: set[str] = failing) -> Any:
            if next(count) == number:
                failing.add(line)
            return httpx.Response(503) if line in failing else None

        registry.before = outage
        before = dict(registry.manifests)
        with pytest.raises(InfrastructureError):
            await run()
        assert registry.manifests == before
        assert not [line for line in registry.log if line.startswith(("DELETE", "PUT"))]


@pytest.mark.usefixtures("hasty")
async def test_each_delete_that_fails_is_reported_and_a_second_run_finishes(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    saved = dict(registry.manifests), dict(registry.tags), dict(registry.blobs)
    for number, name in enumerate(GOES):
        registry.manifests, registry.tags, registry.blobs = (dict(part) for part in saved)
        bad = f"DELETE manifests/{shop[name]}"
        registry.before = lambda line, bad=bad: httpx.Response(500) if line == bad else None
        report = await run()
        assert report.outcome is (Outcome.PARTIAL if report.deleted else Outcome.INFRA), (number, report.text())
        assert shop[name] in registry.manifests
        assert not {one.digest for one in report.deleted} & set(registry.manifests)
        for tag, digest in registry.tags.items():
            if tag in ("stable", "next", "v1.0.0", "v0.9.0", "latest"):
                registry.pull(digest)
        registry.before = lambda line: None
        again = await run()
        assert again.outcome is Outcome.PASSED, again.text()
        assert registry.images() == {digest for kept, digest in shop.items() if kept not in GOES}
        assert (await run()).outcome is Outcome.UNCHANGED


async def test_a_registry_that_asks_for_patience_gets_it(run: Any, registry: Any, shop: dict[str, Digest]) -> None:
    seen: set[str] = set()

    def busy(line: str) -> httpx.Response | None:
        fresh = line not in seen
        seen.add(line)
        return httpx.Response(429, headers={"retry-after": "0"}) if fresh else None

    registry.before = busy
    assert (await run()).outcome is Outcome.PASSED
    assert registry.images() == {digest for name, digest in shop.items() if name not in GOES}


@pytest.mark.usefixtures("hasty")
async def test_children_that_an_interruption_left_behind_are_found_again(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    bad = f"DELETE manifests/{shop['old arm64']}"
    registry.before = lambda line: httpx.Response(500) if line == bad else None
    assert (await run()).outcome is Outcome.PARTIAL
    assert shop["old index"] not in registry.manifests
    registry.before = lambda line: None
    report = await run()
    assert [one.digest for one in report.deleted if one.digest == shop["old arm64"]]
    assert (await run()).outcome is Outcome.UNCHANGED


@pytest.mark.parametrize("name", GOES)
async def test_a_new_tag_on_a_doomed_digest_stops_the_run(
    run: Any, registry: Any, shop: dict[str, Digest], name: str
) -> None:
    def promote(line: str) -> None:
        if line.startswith("PUT manifests/pipeline-pruning"):
            registry.tags["v2.0.0"] = shop[name]

    registry.before = promote
    report = await run()
    assert report.outcome is Outcome.CONFLICT, report.text()
    registry.pull(registry.tags["v2.0.0"])
    assert "v2.0.0" in report.reason
    registry.before = lambda line: None
    assert (await run()).outcome in (Outcome.PASSED, Outcome.UNCHANGED)
    registry.pull(registry.tags["v2.0.0"])


@pytest.mark.parametrize("when", range(1, 5))
async def test_a_promotion_in_the_middle_is_never_harmed(
    run: Any, registry: Any, shop: dict[str, Digest], when: int
) -> None:
    """The doomed index is released while other manifests are already going."""
    deletes = iter(range(1, 100))

    def promote(line: str) -> None:
        if (
            line.startswith("DELETE manifests/sha256")
            and next(deletes) == when
            and shop["old index"] in registry.manifests
        ):
            registry.tags["stable"] = shop["old index"]

    registry.before = promote
    report = await run()
    if registry.tags["stable"] == shop["old index"]:
        assert report.outcome is Outcome.CONFLICT
    registry.pull(registry.tags["stable"])


async def test_a_ledger_entry_about_a_doomed_digest_stops_the_run(
    run: Any, registry: Any, client: Any, shop: dict[str, Digest]
) -> None:
    """A rollback writes its entry before it moves the channel, and has no version tag of its own."""
    repo = client.repository(registry.repository)

    def entry(new: str) -> ledger.Entry:
        return ledger.Entry(
            channel=Channel.TESTING,
            kind=ledger.Kind.ROLLBACK,
            moves=[Move(repository="registry.test/os", tag=Tag(Channel.TESTING), old=None, new=shop[new])],
            by="a test",
            at=registry.now,
            reason="back",
            command="rollback",
        )

    registry.tags["testing"] = shop["released"]
    await ledger.append(repo, entry("released"))
    before = set(registry.tags)
    await ledger.append(repo, entry("old"))
    (name,) = set(registry.tags) - before
    later = registry.tags.pop(name)
    repo._tagged.clear()  # somebody else will have written it

    def roll_back(line: str) -> None:
        if line.startswith("PUT manifests/pipeline-pruning"):
            registry.tags[name] = later

    registry.before = roll_back
    report = await run()
    assert report.outcome is Outcome.CONFLICT
    assert shop["old"] in registry.manifests
    assert shop["old"] in report.kept


async def test_evidence_that_appears_on_a_doomed_digest_stops_the_run(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    def attach(line: str) -> None:
        if line.startswith("PUT manifests/pipeline-pruning"):
            registry.artifact(shop["old"], text="fresh evidence", days=0)

    registry.before = attach
    report = await run()
    assert report.outcome is Outcome.CONFLICT
    assert shop["old"] in registry.manifests


async def test_a_new_build_meanwhile_does_not_stop_the_run(run: Any, registry: Any, shop: dict[str, Digest]) -> None:
    def build(line: str) -> None:
        if line.startswith("DELETE") and f"{8:040x}" not in registry.tags:
            registry.tags["next"] = registry.image(f"{8:040x}", days=0)

    registry.before = build
    report = await run()
    assert report.outcome is Outcome.PASSED, report.text()
    registry.pull(registry.tags["next"])


async def test_a_new_index_that_shares_a_doomed_child_stops_the_run(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    def build(line: str) -> None:
        if line.startswith("PUT manifests/pipeline-pruning"):
            registry.index(shop["old amd64"], tags=("next",), annotations={"new": "yes"})

    registry.before = build
    assert (await run()).outcome is Outcome.CONFLICT
    registry.pull(registry.tags["next"])


async def test_two_prunes_do_not_run_at_once(run: Any, registry: Any, client: Any, shop: dict[str, Digest]) -> None:
    repo = client.repository(registry.repository)
    other = await RecordKeeper(repo, OciDriver(repo), registry.now).open([shop["old"]])
    report = await run()
    assert report.outcome is Outcome.CONFLICT
    assert "another prune" in report.reason
    assert not report.deleted
    await other.close(())
    assert (await run()).outcome is Outcome.PASSED


async def test_a_prune_that_loses_its_record_stops(
    run: Any, registry: Any, client: Any, shop: dict[str, Digest]
) -> None:
    def steal(line: str) -> None:
        if line.startswith("DELETE manifests/sha256"):
            registry.tags["pipeline-pruning"] = shop["released"]

    registry.before = steal
    report = await run()
    assert report.outcome is Outcome.CONFLICT
    assert len(report.deleted) <= 1
    assert registry.tags["pipeline-pruning"] == shop["released"]


async def test_a_dead_prune_does_not_block_for_ever(
    run: Any, registry: Any, client: Any, shop: dict[str, Digest]
) -> None:
    repo = client.repository(registry.repository)
    await RecordKeeper(repo, OciDriver(repo), registry.now - timedelta(hours=2)).open([shop["old"]])
    assert (await run()).outcome is Outcome.PASSED
    await refuse_while_pruning(repo, shop["old"], registry.now)


@pytest.mark.parametrize("state", [State.RUNNING, State.INTERRUPTED])
async def test_a_record_that_no_prune_writes_does_not_block_for_ever(
    state: State, run: Any, registry: Any, client: Any, shop: dict[str, Digest], monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = client.repository(registry.repository)
    keeper = RecordKeeper(repo, OciDriver(repo), registry.now)
    honest = record_module._LASTS
    monkeypatch.setattr(record_module, "_LASTS", datetime.max.replace(tzinfo=UTC) - registry.now - timedelta(days=1))
    await keeper._write(state, [shop["old"]])
    monkeypatch.setattr(record_module, "_LASTS", honest)
    await refuse_while_pruning(repo, shop["old"], registry.now)
    record = await find_record(repo)
    assert record
    assert record.digests == (shop["old"],), "as of a prune that died, what it had planned is remembered"
    assert (await run()).outcome is Outcome.PASSED


async def test_a_clock_of_ours_that_is_behind_makes_no_running_prune_look_dead(
    registry: Any, client: Any, shop: dict[str, Digest]
) -> None:
    repo = client.repository(registry.repository)
    await RecordKeeper(repo, OciDriver(repo), registry.now).open([shop["old"]])
    with pytest.raises(ConflictError, match="a prune that is running has"):
        await refuse_while_pruning(repo, shop["old"], registry.now - timedelta(days=1))


async def test_a_registry_that_tells_no_time_has_every_record_hold(
    registry: Any, client: Any, shop: dict[str, Digest], monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = client.repository(registry.repository)
    await RecordKeeper(repo, OciDriver(repo), registry.now + timedelta(days=1)).open([shop["old"]])
    await refuse_while_pruning(repo, shop["old"], registry.now)
    monkeypatch.setattr(repo, "clock_is_ahead_by", lambda: None)
    with pytest.raises(ConflictError, match="a prune that is running has"):
        await refuse_while_pruning(repo, shop["old"], registry.now)


async def test_a_promotion_sees_that_its_digest_is_going(registry: Any, client: Any, shop: dict[str, Digest]) -> None:
    repo = client.repository(registry.repository)
    await refuse_while_pruning(repo, shop["old"], registry.now)
    keeper = await RecordKeeper(repo, OciDriver(repo), registry.now).open([shop["old"]])
    await refuse_while_pruning(repo, shop["released"], registry.now)
    with pytest.raises(ConflictError, match="a prune that is running has"):
        await refuse_while_pruning(repo, shop["old"], registry.now)
    await refuse_while_pruning(repo, shop["old"], registry.now + timedelta(hours=2))
    await keeper.close(())
    await see_whole(repo, shop["old index"])
    del registry.manifests[shop["old arm64"]]
    with pytest.raises(ConflictError, match="a part of it went"):
        await see_whole(repo, shop["old index"])


@pytest.mark.parametrize("jump", [timedelta(days=4000), timedelta(hours=-7), timedelta(days=-4000)])
async def test_a_clock_that_jumped_deletes_nothing(
    run: Any, registry: Any, shop: dict[str, Digest], jump: timedelta
) -> None:
    with pytest.raises(PreconditionError, match="set the clock"):
        await run(now=registry.now + jump)
    assert not [line for line in registry.log if line.startswith("DELETE")]


async def test_limits_refuse_the_whole_plan(run: Any, registry: Any, shop: dict[str, Digest]) -> None:
    before = dict(registry.manifests)
    for rules, word in (
        (Rules(keep_last=1, max_deletions=3, max_percent=100), "max_deletions"),
        (Rules(keep_last=1, max_percent=20), "max_percent"),
    ):
        report = await run(rules=rules)
        assert report.outcome is Outcome.PRECONDITION
        assert word in report.reason
        assert word in report.text()
    assert registry.manifests == before


async def test_a_registry_that_does_not_delete_is_named(run: Any, registry: Any, shop: dict[str, Digest]) -> None:
    registry.deletes = False
    before = set(registry.manifests)
    report = await run()
    assert report.outcome is Outcome.PRECONDITION
    assert "does not delete" in report.reason
    assert before <= set(registry.manifests)


async def test_a_channel_that_the_tag_list_hides_stops_everything(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    registry.hidden_tags = {"stable"}
    with pytest.raises(InfrastructureError, match="does not show"):
        await run()


async def test_a_kept_tag_without_a_manifest_stops_everything(run: Any, registry: Any, shop: dict[str, Digest]) -> None:
    del registry.manifests[shop["released"]]
    with pytest.raises(PreconditionError, match="lists the tag"):
        await run()


async def test_a_missing_child_and_an_unknown_manifest_do_no_harm(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    odd = registry.put({"schemaVersion": 1, "fsLayers": [], "see": shop["old"]}, f"{9:040x}")
    del registry.manifests[shop["old arm64"]]
    report = await run()
    assert report.outcome is Outcome.PASSED, report.text()
    assert {odd, shop["old"]} <= set(registry.manifests)
    assert shop["old index"] not in registry.manifests


async def test_the_restore_list_brings_everything_back(
    run: Any, registry: Any, client: Any, shop: dict[str, Digest]
) -> None:
    before = dict(registry.manifests), dict(registry.tags)
    report = await run()
    assert registry.images() != set(before[0])
    repo = client.repository(registry.repository)
    assert await list_tags(repo) == [report.restore_list]
    noted = await read_list(repo, report.restore_list)
    assert [one.digest for one in noted.manifests] == [one.digest for one in report.deleted]
    back = await restore(repo, noted.manifests, noted.untagged)
    assert back.outcome is Outcome.PASSED, back.text()
    assert registry.images() == set(before[0])
    assert {tag: registry.tags[tag] for tag in registry.names()} == before[1]
    again = await restore(repo, noted.manifests, noted.untagged)
    assert (again.outcome, again.back, again.tags) == (Outcome.UNCHANGED, [], [])


async def test_the_list_is_there_before_the_first_deletion_and_survives_every_later_prune(
    run: Any, registry: Any, client: Any, shop: dict[str, Digest]
) -> None:
    """A machine that dies in the middle reports nothing: what it was about to delete is noted all the same."""
    seen: list[set[str]] = []

    def look(line: str) -> None:
        if line.startswith("DELETE") and not line.startswith("DELETE manifests/pipeline"):
            seen.append({tag for tag in registry.tags if tag.startswith("pipeline-pruned-")})

    registry.before = look
    report = await run()
    assert seen[0] == {report.restore_list}
    registry.before = lambda line: None
    registry.now += timedelta(days=4000)
    await run(rules=RULES.model_copy(update={"keep_last": 0, "prune_tags": ("*",)}))
    assert report.restore_list in registry.tags
    assert len((await read_list(client.repository(registry.repository), report.restore_list)).manifests) == len(GOES)


async def test_what_the_registry_has_collected_is_named_and_the_rest_comes_back(
    run: Any, registry: Any, client: Any, shop: dict[str, Digest]
) -> None:
    config = json.loads(registry.manifests[shop["old amd64"]][1])["config"]["digest"]
    report = await run()
    del registry.blobs[config]
    back = await restore(client.repository(registry.repository), report.deleted)
    assert back.outcome is Outcome.PRECONDITION
    assert set(back.gone) == {shop["old amd64"], shop["old index"]}, "an index needs its parts"
    assert config in back.text()
    registry.pull(registry.tags[f"{4:040x}"])
    assert shop["old arm64"] in registry.manifests


async def test_a_tag_that_is_used_again_stays_where_it_is(
    run: Any, registry: Any, client: Any, shop: dict[str, Digest]
) -> None:
    report = await run()
    registry.tags[f"{4:040x}"] = shop["young"]
    back = await restore(client.repository(registry.repository), report.deleted)
    assert back.taken == [f"{4:040x}"]
    assert registry.tags[f"{4:040x}"] == shop["young"]
    assert shop["old"] in registry.manifests


@pytest.mark.usefixtures("hasty")
async def test_an_outage_in_the_middle_of_a_restore_reports_what_is_back(
    run: Any, registry: Any, client: Any, shop: dict[str, Digest]
) -> None:
    report = await run()
    bad = f"PUT manifests/{shop['old index']}"
    registry.before = lambda line: httpx.Response(503) if line == bad else None
    back = await restore(client.repository(registry.repository), report.deleted)
    assert back.outcome is Outcome.PARTIAL
    assert back.back
    registry.before = lambda line: None
    again = await restore(client.repository(registry.repository), report.deleted)
    assert again.outcome is Outcome.PASSED
    assert set(shop.values()) <= set(registry.manifests)


@pytest.mark.parametrize("lie", ["another tag", "other bytes", "nonsense"])
async def test_only_a_list_that_prune_wrote_is_put_back(
    run: Any, registry: Any, client: Any, shop: dict[str, Digest], lie: str
) -> None:
    repo = client.repository(registry.repository)
    tag = (await run()).restore_list
    if lie == "another tag":
        tag = "stable"
    elif lie == "other bytes":
        changed = (await read_list(repo, tag)).model_dump_json().replace("application/x-signature", "application/evil")
        layer = await repo.push_blob(changed.encode(), "application/json")
        await repo.push_artifact("application/json", [layer], tag=tag)
    else:
        registry.tags[tag] = shop["released"]
    with pytest.raises(PreconditionError):
        await read_list(repo, tag)


async def test_a_deletion_whose_answer_is_lost_is_reported_as_unclear(
    run: Any, registry: Any, hasty: None, shop: dict[str, Digest]
) -> None:
    bad = f"DELETE manifests/{shop['old index']}"
    registry.before = lambda line: httpx.Response(500) if line == bad else None
    report = await run()
    assert report.outcome is Outcome.PARTIAL
    assert report.unclear == [shop["old index"]]
    assert report.deleted
    assert report.restore_list in report.text()
    assert shop["old index"].short in report.text()
    assert shop["old index"] in report.kept


async def test_a_rollback_target_without_a_tag_keeps_its_parts(
    run: Any, registry: Any, client: Any, shop: dict[str, Digest]
) -> None:
    before = registry.index(shop["old amd64"], annotations={"released": "before"})
    entry = ledger.Entry(
        channel=Channel.STABLE,
        kind=ledger.Kind.PROMOTION,
        moves=[Move(repository="registry.test/os", tag=Tag(Channel.STABLE), old=before, new=shop["released"])],
        by="a test",
        at=registry.now,
        reason="released",
        command="promote-stable",
    )
    await ledger.append(client.repository(registry.repository), entry)
    assert (await run()).outcome is Outcome.PASSED
    registry.pull(before)
    assert shop["old arm64"] not in registry.manifests


async def test_a_broken_ledger_stops_everything(run: Any, registry: Any, shop: dict[str, Digest]) -> None:
    registry.tags[f"pipeline-ledger-stable-1-promotion-{shop['old'].hex}"] = shop["old"]
    with pytest.raises(PreconditionError, match="ledger"):
        await run()


async def test_every_digest_can_be_explained(client: Any, registry: Any, shop: dict[str, Digest]) -> None:
    driver = OciDriver(client.repository(registry.repository))

    async def why(name: str) -> str:
        return await why_kept(client, registry.repository, RULES, shop[name], now=registry.now, driver=driver)

    assert (await why("released")).endswith("stays: stable: channel")
    assert "referrer of" in await why("kept signature")
    assert (await why("kept signature")).endswith("stays: stable: channel")
    assert "part of" in await why("shared")
    assert (await why("young")).endswith("among the newest 1 candidates")
    assert (await why("unknown age")).endswith("of unknown age")
    assert "may go: candidate of" in await why("old")
    with pytest.raises(PreconditionError, match="holds no manifest"):
        await why_kept(
            client, registry.repository, RULES, Digest("sha256:" + "0" * 64), now=registry.now, driver=driver
        )


def test_the_report_is_plain_json(shop: dict[str, Digest]) -> None:
    report = PruneReport(repository="r.example/os", driver="oci", at="2026-06-01T12:00:00Z", confirmed=False)
    assert json.loads(report.model_dump_json())["outcome"] == "passed"


class Listing(OciDriver):
    """A registry that lists what has no tag, and tells when it was pushed: long ago."""

    registry: Any

    async def snapshot(self) -> Snapshot:
        tags = {Tag(tag): digest for tag, digest in self.registry.tags.items()}
        untagged = frozenset(set(self.registry.manifests) - set(tags.values()))
        return Snapshot(tags, untagged, dict.fromkeys(untagged, self.registry.now - timedelta(days=90)))


@pytest.mark.parametrize("hidden", ["an index that is called an image", "the subject of an image"])
async def test_what_an_image_of_a_kept_index_leads_to_stays(client: Any, registry: Any, hidden: str) -> None:
    below = registry.image(text="below")
    inner = registry.index(below) if "index" in hidden else registry.image(subject=registry.describe(below))
    amd64 = {"platform": {"os": "linux", "architecture": "amd64"}, "mediaType": media.OCI_MANIFEST}
    listed = registry.describe(inner) | amd64
    registry.put({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [listed]}, "v1.0.0")
    goes = [registry.image(text=f"unused {number}") for number in range(3)]
    driver = Listing(client.repository(registry.repository))
    driver.registry = registry
    report = await prune(client, registry.repository, RULES, confirm=True, now=registry.now, driver=driver)
    deleted = {one.digest for one in report.deleted}
    assert deleted
    assert deleted < set(goes), "the youngest stays"
    assert below in registry.manifests


async def test_the_record_of_a_prune_whose_listing_took_long_holds(
    monkeypatch: pytest.MonkeyPatch, run: Any, registry: Any, client: Any
) -> None:
    old = registry.image(f"{1:040x}", days=90)
    for number in range(2, 4):
        registry.image(f"{number:040x}", days=60)
    seconds = iter([0.0, *[5400.0] * 9])
    monkeypatch.setitem(prune.__globals__, "anyio", SimpleNamespace(current_time=lambda: next(seconds)))
    seen = list[PruneRecord]()

    def before(line: str) -> None:
        if line.startswith(f"DELETE manifests/{old}"):
            _, written = registry.manifests[registry.tags["pipeline-pruning"]]
            layer = Digest(json.loads(written)["layers"][0]["digest"])
            seen.append(PruneRecord.model_validate_json(registry.blobs[layer]))

    registry.before = before
    await run()
    (record,) = seen
    assert timedelta(0) <= record.until - registry.now - timedelta(seconds=5400, hours=1) < timedelta(minutes=10)


async def test_what_was_written_under_a_host_in_capitals_is_missed_as_well(
    run: Any, registry: Any, client: Any
) -> None:
    lost = registry.image(f"{1:040x}", "v1.0.0-test", days=4000)
    moved = [Move(repository="Registry.Test/os", tag=Tag("v1.0.0-test"), old=None, new=lost)]
    entry = ledger.Entry(
        channel=Channel.TESTING,
        kind=ledger.Kind.PROMOTION,
        moves=moved,
        by="a test",
        at=registry.now,
        reason="tested",
        command="promote-testing",
    )
    await ledger.append(client.repository(registry.repository), entry)
    registry.hidden_tags = {"v1.0.0-test"}
    with pytest.raises(InfrastructureError, match="does not show"):
        await run()
