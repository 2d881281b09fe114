"""Plausible wrong answers: whatever a registry, a gateway or a stale cache says, nothing that is needed goes."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

from pipeline.domain import Channel, Digest, Outcome, Tag
from pipeline.errors import InfrastructureError, PipelineError, PreconditionError
from pipeline.policy.retention import Rules
from pipeline.registry import ledger
from pipeline.registry.retention import PruneReport, prune
from pipeline.registry.retention import record as record_module
from pipeline.registry.retention.oci import OciDriver
from pipeline.report.model import Move

RULES = Rules(keep_last=0, older_than="30d", max_percent=100)

LIES: dict[str, Callable[[], httpx.Response]] = {
    "404 plain": lambda: httpx.Response(404),
    "404 of a gateway": lambda: httpx.Response(404, json={"error": "no upstream"}),
    "404 page": lambda: httpx.Response(404, html="<h1>Not found</h1>"),
    "404 as the registry would say it": lambda: httpx.Response(404, json={"errors": [{"code": "MANIFEST_UNKNOWN"}]}),
    "200 and nothing": lambda: httpx.Response(200, json={}),
    "an empty list": lambda: httpx.Response(200, json={"tags": [], "manifests": []}),
    "a redirect elsewhere": lambda: httpx.Response(307, headers={"location": "https://evil.example/x"}),
}


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "_SETTLE", 0)
    monkeypatch.setattr("pipeline.registry.client._SETTLE", 0)


@pytest.fixture
def run(client: Any, registry: Any) -> Callable[..., Any]:
    async def run(confirm: bool = True, rules: Rules = RULES) -> PruneReport:
        driver = OciDriver(client.repository(registry.repository))
        return await prune(client, registry.repository, rules, confirm=confirm, now=registry.now, driver=driver)

    return run


@pytest.fixture
async def shop(registry: Any, client: Any) -> dict[str, Digest]:
    """Released images whose parts also hang on old commits, so that one lost root would cost something."""
    r = registry
    made = {
        "shared": r.image(f"{1:040x}", days=200, text="shared"),
        "old": r.image(f"{2:040x}", days=80),
        "next": r.image("next", f"{3:040x}", days=1),
    }
    made["inner"] = r.index(made["shared"])
    made["released"] = r.index(made["inner"], tags=("stable", "v1.0.0"))
    made["evidence"] = r.artifact(made["released"], text="evidence")
    move = Move(repository="registry.test/os", tag=Tag(Channel.STABLE), old=None, new=made["released"])
    entry = ledger.Entry(
        channel=Channel.STABLE,
        kind=ledger.Kind.PROMOTION,
        moves=[move, move.model_copy(update={"tag": "v1.0.0"})],
        by="a test",
        at=r.now,
        reason="released",
        command="promote-stable",
    )
    await ledger.append(client.repository(r.repository), entry)
    return made


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_told_once_or_always_costs_nothing_that_is_needed(
    run: Any, registry: Any, client: Any, shop: dict[str, Digest], lie: str
) -> None:
    """At each read in turn: that one request, and every one of the same address."""
    registry.router.route(host="evil.example").mock(return_value=httpx.Response(404))
    await run(confirm=False)
    saved = dict(registry.manifests), dict(registry.tags), dict(registry.blobs)
    registry.log.clear()
    await run()
    reads = [number for number, line in enumerate(registry.log) if line.startswith(("GET", "HEAD"))]
    assert len(reads) > 20
    for number in reads:
        for always in (False, True):
            registry.manifests, registry.tags, registry.blobs = (dict(part) for part in saved)
            client.repository(registry.repository)._seen.clear()
            client.repository(registry.repository)._tagged.clear()
            client._transport.referrers_api.clear()
            count, told = iter(range(10_000)), []

            def tell(
                line: str, number: int = number, always: bool = always, count: Any = count, told: Any = told
            ) -> Any:
                if next(count) == number:
                    told.append(line)
                    return LIES[lie]()
                return LIES[lie]() if always and line in told else None

            registry.before = tell
            with suppress(PipelineError):
                await run()
            registry.before = lambda line: None
            for tag in ("stable", "v1.0.0", "next"):
                registry.pull(registry.tags[tag])
            assert shop["evidence"] in registry.manifests, told
    registry.manifests, registry.tags, registry.blobs = (dict(part) for part in saved)
    client._transport.referrers_api.clear()
    client.repository(registry.repository)._tagged.clear()
    assert (await run()).outcome is Outcome.PASSED


async def test_a_version_that_the_ledger_knows_and_the_list_lacks_stops_everything(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    registry.hidden_tags = {"v1.0.0"}
    with pytest.raises(InfrastructureError, match=r"v1\.0\.0 that its list of tags does not show"):
        await run()
    registry.hidden_tags = set()
    del registry.tags["v1.0.0"]
    with pytest.raises(PreconditionError, match="forget_tags"):
        await run()
    assert shop["old"] in registry.manifests
    assert (await run(rules=RULES.model_copy(update={"forget_tags": ("v1.0.*",)}))).outcome is Outcome.PASSED


async def test_a_ledger_whose_tag_shows_and_whose_entries_do_not_stops_everything(
    run: Any, registry: Any, shop: dict[str, Digest], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: Any) -> Any:
        for entry in ():
            yield entry

    monkeypatch.setattr(ledger, "walk", nothing)
    with pytest.raises(InfrastructureError, match="no entry of the stable ledger"):
        await run()


async def test_an_index_inside_a_kept_one_that_is_gone_stops_everything(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    del registry.manifests[shop["inner"]]
    with pytest.raises(PreconditionError, match="an index that another one lists"):
        await run()
    assert shop["shared"] in registry.manifests


@pytest.mark.usefixtures("hasty")
async def test_a_referrers_api_that_comes_and_goes_stops_everything(
    run: Any, registry: Any, shop: dict[str, Digest]
) -> None:
    for number in range(4, 9):
        registry.image(f"{number:040x}", days=90)
    asked = iter(range(100))
    registry.before = lambda line: (
        httpx.Response(404) if line.startswith("GET referrers") and next(asked) >= 3 else None
    )
    with pytest.raises(PipelineError):
        await run()
    assert not [line for line in registry.log if line.startswith("DELETE")]


async def test_our_own_records_stay_whatever_their_age(run: Any, registry: Any, shop: dict[str, Digest]) -> None:
    tags = [f"pipeline-ledger-stable-{'a' * 12}", "pipeline-pruned-0123456789ab", "pipeline-anything"]
    for tag in tags:
        registry.artifact(None, tag, text=tag, days=4000)
    await run(rules=RULES.model_copy(update={"keep_last": 0, "prune_tags": ("*", "pipeline-*")}))
    assert set(tags) <= set(registry.tags)


async def test_the_images_of_an_index_with_a_date_are_not_read_for_a_plan(run: Any, registry: Any) -> None:
    """What a plan decides over is the index; each of 40,000 parts would cost a request and tell nothing."""
    registry.image("stable")
    parts = {registry.image(text=f"part {number}") for number in range(40)}
    listed = [
        registry.describe(part) | {"platform": {"os": "linux", "architecture": "amd64"}} for part in sorted(parts)
    ]
    for number in range(10):
        made = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json"}
        date = {"annotations": {"org.opencontainers.image.created": f"2025-01-{number + 1:02}T00:00:00Z"}}
        registry.put({**made, **date, "manifests": listed[number * 4 : number * 4 + 4]}, f"{number + 1:040x}")
    registry.referrers_api = False
    registry.log.clear()
    report = await run(confirm=False)
    assert len(report.planned) == 10 * 5
    assert not [line for line in registry.log if line.startswith("GET manifests") and line.rpartition("/")[2] in parts]
    done = await run()
    assert {one.digest for one in done.deleted} == {one.digest for one in report.planned}
    assert json.loads(done.model_dump_json())["outcome"] == "passed"
