"""GitHub's container registry, by a fake made from the public documentation of its REST API ("Packages").

What refusals look like was taken from reports of users: both known ones are 400 with a `message`.
"""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from pipeline.domain import Digest, Outcome, Repository
from pipeline.errors import ConflictError, InfrastructureError, PreconditionError, UsageError
from pipeline.policy.retention import Rules
from pipeline.registry.retention import DriverKind, open_driver, prune
from pipeline.registry.retention import record as record_module
from pipeline.registry.retention.driver import Driver

RULES = Rules(keep_last=1, older_than="30d", max_percent=100)
LAST = "You cannot delete the last tagged version of a package. You must delete the package instead."
POPULAR = (
    "Publicly visible package versions with more than 5000 downloads cannot be deleted. "
    "Contact GitHub support for further assistance."
)


class FakeGitHub:
    """The package API over what a registry holds; deleting there is refused, as ghcr.io does."""

    def __init__(self, registry: Any) -> None:
        self.registry = registry
        registry.referrers_api = False
        registry.deletes = False
        self.ids: dict[Digest, int] = {}
        self.pushed: dict[Digest, datetime] = {}
        self.popular: set[Digest] = set()
        self.kind = "Organization"
        self.page = 100
        self.log: list[str] = []
        self.before: Any = lambda line: None

    def versions(self) -> list[dict[str, Any]]:
        found = []
        for digest in self.registry.manifests:
            number = self.ids.setdefault(digest, len(self.ids) + 1)
            tags = sorted(tag for tag, to in self.registry.tags.items() if to == digest)
            at = self.pushed.get(digest, self.registry.now).strftime("%Y-%m-%dT%H:%M:%SZ")
            container = {"package_type": "container", "container": {"tags": tags}}
            found.append({"id": number, "name": digest, "created_at": at, "updated_at": at, "metadata": container})
        return found[::-1]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().partition("?")[0]
        self.log.append(f"{request.method} {path}")
        if request.headers.get("authorization") != "Bearer a-token":
            return httpx.Response(401, json={"message": "Bad credentials"})
        if answer := self.before(f"{request.method} {path}"):
            return answer
        if path == "/users/owner":
            return httpx.Response(200, json={"login": "owner", "type": self.kind})
        base = f"/{'orgs' if self.kind == 'Organization' else 'users'}/owner/packages/container/group%2Fos/versions"
        if not path.startswith(base):
            return httpx.Response(404, json={"message": "Not Found"})
        versions = self.versions()
        if path == base:
            return self._list(request, versions)
        found = [version for version in versions if str(version["id"]) == path.removeprefix(f"{base}/")]
        if not found:
            return httpx.Response(404, json={"message": "Package version not found."})
        return self._delete(found[0], versions) if request.method == "DELETE" else httpx.Response(200, json=found[0])

    def _list(self, request: httpx.Request, versions: list[dict[str, Any]]) -> httpx.Response:
        number = int(request.url.params.get("page", 1))
        shown = versions[(number - 1) * self.page : number * self.page]
        following = request.url.copy_merge_params({"page": number + 1})
        more = {"link": f'<{following}>; rel="next"'} if number * self.page < len(versions) else {}
        return httpx.Response(200, json=shown, headers=more)

    def _delete(self, version: dict[str, Any], versions: list[dict[str, Any]]) -> httpx.Response:
        digest = Digest(version["name"])
        tagged = [one for one in versions if one["metadata"]["container"]["tags"]]
        if digest in self.popular:
            return httpx.Response(400, json={"message": POPULAR, "status": "400"})
        if tagged == [version]:
            return httpx.Response(400, json={"message": LAST, "status": "400"})
        del self.registry.manifests[digest]
        self.registry.tags = {tag: to for tag, to in self.registry.tags.items() if to != digest}
        return httpx.Response(204)


@pytest.fixture(autouse=True)
def no_settling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "_SETTLE", 0)


@pytest.fixture
def github(registry: Any) -> FakeGitHub:
    registry.repository = Repository.parse("registry.test/owner/group/os")
    fake = FakeGitHub(registry)
    registry.router.route(host="api.github.com").mock(side_effect=fake)
    return fake


@pytest.fixture
async def driver(client: Any, registry: Any, github: FakeGitHub) -> AsyncIterator[Driver]:
    async with open_driver(client, registry.repository, kind=DriverKind.GHCR, token="a-token") as opened:
        yield opened


@pytest.fixture
def shop(registry: Any, github: FakeGitHub) -> dict[str, Digest]:
    r = registry
    made = {
        "stable": r.image("stable", "v1.0.0", f"{1:040x}"),
        "young": r.image(f"{2:040x}"),
        "old": r.image(f"{3:040x}"),
        "old child": r.image(text="child"),
        "untagged": r.image(text="forgotten"),
        "untagged young": r.image(text="just pushed"),
    }
    made["old index"] = r.index(made["old child"], tags=(f"{4:040x}",))
    days = {"stable": 200, "young": 3, "old": 50, "old child": 60, "untagged": 70, "old index": 60, "untagged young": 0}
    github.pushed = {made[name]: r.now - timedelta(days=age) for name, age in days.items()}
    return made


async def run(client: Any, registry: Any, driver: Driver, **rules: Any) -> Any:
    return await prune(
        client, registry.repository, RULES.model_copy(update=rules), confirm=True, now=registry.now, driver=driver
    )


async def test_old_versions_go_tagged_or_not_and_a_second_run_deletes_nothing(
    client: Any, registry: Any, driver: Driver, github: FakeGitHub, shop: dict[str, Digest]
) -> None:
    github.page = 2
    report = await run(client, registry, driver, keep_last=0)
    assert report.outcome is Outcome.PASSED, report.text()
    assert registry.images() == {shop[name] for name in ("stable", "young", "untagged young")}
    assert not [line for line in registry.log if line.startswith("DELETE")]
    assert (await run(client, registry, driver, keep_last=0)).outcome is Outcome.UNCHANGED


async def test_push_time_counts_and_not_the_created_label(
    client: Any, registry: Any, driver: Driver, github: FakeGitHub, shop: dict[str, Digest]
) -> None:
    github.pushed[shop["old"]] = registry.now - timedelta(hours=3)
    report = await run(client, registry, driver)
    assert shop["old"] not in {one.digest for one in report.planned}


@pytest.mark.parametrize("name", ["old index", "old"])
async def test_a_version_that_github_protects_is_skipped_with_all_it_needs(
    client: Any, registry: Any, driver: Driver, github: FakeGitHub, shop: dict[str, Digest], name: str
) -> None:
    github.popular = {shop[name]}
    report = await run(client, registry, driver, keep_last=0)
    assert report.outcome is Outcome.PASSED
    assert (shop[name], POPULAR) in [(one.digest, one.reason) for one in report.skipped]
    registry.pull(shop[name])
    assert "5000 downloads" in report.text()


async def test_the_last_tagged_version_is_reported_as_skipped(
    client: Any, registry: Any, driver: Driver, github: FakeGitHub
) -> None:
    only = registry.image(f"{1:040x}")
    github.pushed = {only: registry.now - timedelta(days=90)}
    result = await driver.delete(only, (next(iter(registry.tags)),))
    assert result.note == LAST
    assert only in registry.manifests


async def test_a_version_that_was_tagged_meanwhile_is_not_deleted(
    client: Any, registry: Any, driver: Driver, shop: dict[str, Digest]
) -> None:
    registry.tags["v9.9.9"] = shop["old"]
    with pytest.raises(ConflictError, match=r"v9\.9\.9"):
        await driver.delete(shop["old"], (f"{3:040x}",))


async def test_a_page_that_shifted_under_the_listing_loses_no_tag(
    client: Any, registry: Any, driver: Driver, github: FakeGitHub, shop: dict[str, Digest]
) -> None:
    """What the package API does not show, the registry's own list of tags still does."""
    github.registry = type("Partial", (), {"__getattr__": lambda _, name: getattr(registry, name)})()
    github.registry.manifests = {d: m for d, m in registry.manifests.items() if d != shop["stable"]}
    report = await run(client, registry, driver)
    assert shop["stable"] not in {one.digest for one in report.planned}
    assert "stable" in registry.tags


async def test_rate_limits_are_waited_for(
    client: Any, registry: Any, driver: Driver, github: FakeGitHub, shop: dict[str, Digest]
) -> None:
    answers = iter(
        [
            httpx.Response(429, headers={"retry-after": "0"}),
            httpx.Response(403, headers={"retry-after": "0"}, json={"message": "secondary rate limit"}),
        ]
    )
    github.before = lambda line: next(answers, None) if line.endswith("versions") else None
    snapshot = await driver.snapshot()
    assert len(snapshot.pushed) == len(shop)


@pytest.mark.usefixtures("hasty")
async def test_an_outage_of_the_package_api_deletes_nothing(
    client: Any, registry: Any, driver: Driver, github: FakeGitHub, shop: dict[str, Digest]
) -> None:
    github.before = lambda line: httpx.Response(503)
    with pytest.raises(InfrastructureError):
        await run(client, registry, driver)
    github.before = lambda line: httpx.Response(403, json={"message": "Resource not accessible by integration"})
    with pytest.raises(PreconditionError, match="not accessible"):
        await run(client, registry, driver)
    assert shop["old"] in registry.manifests


async def test_a_package_of_a_person_has_another_address(
    client: Any, registry: Any, driver: Driver, github: FakeGitHub, shop: dict[str, Digest]
) -> None:
    github.kind = "User"
    assert len((await driver.snapshot()).pushed) == len(shop)
    assert any(line.startswith("GET /users/owner/packages") for line in github.log)


async def test_without_a_token_the_user_is_told_which_one(client: Any) -> None:
    with pytest.raises(UsageError, match="delete:packages"):
        async with open_driver(client, Repository.parse("ghcr.io/owner/os")):
            pass
