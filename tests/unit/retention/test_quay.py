"""Quay, by a fake made from the public documentation of its API (`/api/v1/repository/…/tag/`)."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from pipeline.domain import Digest, Outcome
from pipeline.errors import ConflictError, InfrastructureError
from pipeline.policy.retention import Rules
from pipeline.registry.retention import DriverKind, open_driver, prune
from pipeline.registry.retention import record as record_module
from pipeline.registry.retention.driver import Done, Driver

RULES = Rules(keep_last=0, older_than="30d", max_percent=100)


class FakeQuay:
    """Tags with a life: a deleted one ends, and what no living tag leads to is no longer served."""

    def __init__(self, registry: Any) -> None:
        self.registry = registry
        self.started: dict[str, float] = {}
        self.expires: dict[str, float] = {}
        self.dead: list[dict[str, Any]] = []
        self.limit = 100
        self.before: Any = lambda line: None

    def tag(self, name: str) -> dict[str, Any]:
        start = self.started.get(name, self.registry.now.timestamp())
        one = {"name": name, "reversion": False, "start_ts": start, "manifest_digest": self.registry.tags[name]}
        return one | ({"end_ts": self.expires[name]} if name in self.expires else {})

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != "Bearer a-token":
            return httpx.Response(401, json={"error_message": "Requires authentication"})
        path = request.url.path.removeprefix("/api/v1/repository/os/tag/")
        if answer := self.before(f"{request.method} {path}"):
            return answer
        if request.method == "DELETE":
            if path not in self.registry.tags:
                return httpx.Response(404, json={"detail": "Not Found"})
            self.dead.append(self.tag(path) | {"end_ts": self.registry.now.timestamp()})
            del self.registry.tags[path]
            return httpx.Response(204)
        params = request.url.params
        names = sorted(self.registry.tags)
        if params.get("specificTag"):
            names = [name for name in names if name == params["specificTag"]]
        page, limit = int(params.get("page", 1)), min(self.limit, int(params.get("limit", 50)))
        found = [self.tag(name) for name in names] + ([] if params.get("onlyActiveTags") == "true" else self.dead)
        shown = found[(page - 1) * limit : page * limit]
        return httpx.Response(200, json={"tags": shown, "page": page, "has_additional": page * limit < len(found)})

    def collect(self) -> None:
        """What Quay does some time later."""
        kept: set[str] = set()
        queue = list(self.registry.tags.values())
        for digest in queue:
            if digest not in kept:
                kept.add(digest)
                queue += [
                    other for other in self.registry.manifests if other.encode() in self.registry.manifests[digest][1]
                ]
        self.registry.manifests = {d: m for d, m in self.registry.manifests.items() if d in kept}


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "_SETTLE", 0)


@pytest.fixture
def quay(registry: Any) -> FakeQuay:
    fake = FakeQuay(registry)
    registry.api = fake
    return fake


@pytest.fixture
async def driver(client: Any, registry: Any, quay: FakeQuay) -> AsyncIterator[Driver]:
    async with open_driver(client, registry.repository, kind=DriverKind.QUAY, token="a-token") as opened:
        yield opened


@pytest.fixture
def shop(registry: Any, quay: FakeQuay) -> dict[str, Digest]:
    r = registry
    made = {
        "stable": r.image("stable", "v1.0.0", days=200),
        "shared": r.image("v0.9.0", f"{2:040x}", days=300),
        "old": r.image(f"{3:040x}", days=50),
        "retagged": r.image(f"{5:040x}", days=50),
        "child": r.image(days=60, text="child"),
    }
    made["index"] = r.index(made["child"], tags=(f"{4:040x}",))
    days = {f"{2:040x}": 300, "v0.9.0": 290, f"{3:040x}": 50, f"{4:040x}": 60, f"{5:040x}": 2}
    quay.started = {tag: (r.now - timedelta(days=age)).timestamp() for tag, age in days.items()}
    return made


async def run(client: Any, registry: Any, driver: Driver) -> Any:
    return await prune(client, registry.repository, RULES, confirm=True, now=registry.now, driver=driver)


async def test_old_tags_go_and_quay_collects_the_rest(
    client: Any, registry: Any, driver: Driver, quay: FakeQuay, shop: dict[str, Digest]
) -> None:
    quay.limit = 2
    report = await run(client, registry, driver)
    assert report.outcome is Outcome.PASSED, report.text()
    assert registry.names() == {"stable", "v1.0.0", "v0.9.0", f"{2:040x}", f"{5:040x}"}
    quay.collect()
    assert registry.images() == {shop[name] for name in ("stable", "shared", "retagged")}
    assert (await run(client, registry, driver)).outcome is Outcome.UNCHANGED


async def test_the_extra_tag_of_a_kept_digest_goes(
    client: Any, registry: Any, driver: Driver, quay: FakeQuay, shop: dict[str, Digest]
) -> None:
    registry.tags["night-1"] = shop["shared"]
    quay.started["night-1"] = (registry.now - timedelta(days=290)).timestamp()
    rules = RULES.model_copy(update={"prune_tags": ("night-*",)})
    report = await prune(client, registry.repository, rules, confirm=True, now=registry.now, driver=driver)
    assert [one.tag for one in report.untagged] == ["night-1"]
    assert registry.tags["v0.9.0"] == shop["shared"]


async def test_deleted_tags_are_in_the_time_machine_and_the_restore_list(
    client: Any, registry: Any, driver: Driver, quay: FakeQuay, shop: dict[str, Digest]
) -> None:
    report = await run(client, registry, driver)
    assert {f"{3:040x}", f"{4:040x}"} <= {one["name"] for one in quay.dead}
    assert "time machine" in next(one.note for one in report.deleted if one.digest == shop["old"])


async def test_a_kept_tag_that_expires_is_warned_about(
    client: Any, registry: Any, driver: Driver, quay: FakeQuay, shop: dict[str, Digest]
) -> None:
    quay.expires = {"v1.0.0": (registry.now + timedelta(days=9)).timestamp(), f"{5:040x}": 2e9}
    report = await run(client, registry, driver)
    assert report.warnings == ["the registry removes the tag v1.0.0 on 2026-06-10"]


async def test_a_tag_that_moved_is_not_deleted(
    client: Any, registry: Any, driver: Driver, shop: dict[str, Digest]
) -> None:
    registry.tags[f"{3:040x}"] = shop["stable"]
    with pytest.raises(ConflictError, match="moved"):
        await driver.delete(shop["old"], (f"{3:040x}",))
    del registry.tags[f"{3:040x}"]
    assert (await driver.delete(shop["old"], (f"{3:040x}",))).done is Done.GONE


@pytest.mark.usefixtures("hasty")
async def test_a_listing_that_fails_in_the_middle_deletes_nothing(
    client: Any, registry: Any, driver: Driver, quay: FakeQuay, shop: dict[str, Digest]
) -> None:
    quay.limit = 2
    asked = iter(range(100))
    quay.before = lambda line: httpx.Response(502) if next(asked) >= 1 else None
    with pytest.raises(InfrastructureError):
        await run(client, registry, driver)
    assert shop["old"] in registry.tags.values()
