"""Odd answers of an operator's API: each ends with an outcome, and the token stays with its host."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from pipeline.errors import InfrastructureError, PipelineError, PreconditionError
from pipeline.registry.retention import DriverKind, open_driver
from pipeline.registry.retention import rest as rest_module
from pipeline.registry.retention.driver import Driver
from pipeline.registry.retention.rest import Rest

API = "https://api.test"

pytestmark = pytest.mark.usefixtures("hasty")


@pytest.fixture
async def rest(client: Any, registry: Any) -> AsyncIterator[Rest]:
    async with httpx.AsyncClient() as http:
        yield Rest(http, client.repository(registry.repository), API, "ghp_SECRET")


async def pages(rest: Rest, path: str = "/a") -> list[Any]:
    return [page async for page in rest.pages(path, {"per_page": 100})]


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/p2", "http://api.test/p2", "https://api.test:8443/p2", "//evil.example/p2"]
)
async def test_a_page_on_another_host_is_not_asked_for(registry: Any, rest: Rest, elsewhere: str) -> None:
    link = {"link": f'<{elsewhere}>; rel="next"'}
    registry.router.get(f"{API}/a").mock(return_value=httpx.Response(200, json=[], headers=link))
    strangers = registry.router.route().mock(return_value=httpx.Response(200, json=[]))
    with pytest.raises(InfrastructureError, match="its own host"):
        await pages(rest)
    assert not [call.request for call in strangers.calls if "/p2" in str(call.request.url)]


async def test_a_redirect_is_not_followed(registry: Any, rest: Rest) -> None:
    moved = httpx.Response(301, headers={"location": "https://evil.example/b"})
    registry.router.get(f"{API}/a").mock(return_value=moved)
    with pytest.raises(PreconditionError, match="renamed"):
        await pages(rest)


async def test_pages_that_repeat_end(registry: Any, rest: Rest) -> None:
    registry.router.get(f"{API}/a").mock(
        side_effect=lambda request: httpx.Response(200, json=[], headers={"link": f'<{API}/a>; rel="next"'})
    )
    with pytest.raises(InfrastructureError, match="does not end"):
        await pages(rest)


async def test_pages_without_end_end(registry: Any, rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_module, "_PAGES", 20)

    def more(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("page", 1)) + 1
        return httpx.Response(200, json=[], headers={"link": f'<{API}/a?page={page}>; rel="next"'})

    registry.router.get(url__startswith=f"{API}/a").mock(side_effect=more)
    with pytest.raises(InfrastructureError, match="does not end"):
        await pages(rest)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<html>maintenance</html>"),
        httpx.Response(200, content=b""),
        httpx.Response(200, content=b"[" * 100_000),
        httpx.Response(200, content=b"x", headers={"content-encoding": "gzip"}),
        httpx.Response(404, html="<html>gateway</html>"),
        httpx.Response(404, json={"errors": []}),
        httpx.Response(429, headers={"retry-after": "99999999"}),
        httpx.Response(403, headers=[(b"x-ratelimit-remaining", b"0"), (b"x-ratelimit-reset", b"\xb2")]),
        httpx.Response(429, headers=[(b"retry-after", b"\xb2")]),
    ],
)
async def test_what_is_no_answer_is_an_outage(registry: Any, rest: Rest, answer: httpx.Response) -> None:
    registry.router.get(f"{API}/a").mock(return_value=answer)
    with pytest.raises(InfrastructureError):
        await rest.ask("GET", "/a", fine=(200, 404))


async def test_an_answer_of_any_size_is_not_taken_into_memory(
    registry: Any, rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_module, "_LARGEST", 1000)
    registry.router.get(f"{API}/a").mock(return_value=httpx.Response(200, json=["x" * 2000]))
    with pytest.raises(InfrastructureError, match="in one answer"):
        await rest.ask("GET", "/a")


ODD: list[Any] = [
    None,
    7,
    "text",
    [None],
    [7],
    ["text"],
    [[]],
    {},
    {"tags": 7, "has_additional": False},
    {"tags": [{"name": "x"}], "has_additional": False},
    {"tags": [{"name": 1, "manifest_digest": "sha256:" + "a" * 64}], "has_additional": False},
    {"tags": [{"name": "x", "manifest_digest": "md5:1"}], "has_additional": False},
    {"tags": [{"name": "x", "manifest_digest": "sha256:" + "a" * 64, "start_ts": "soon"}], "has_additional": False},
    {"tags": [{"name": "x", "manifest_digest": "sha256:" + "a" * 64, "end_ts": 1e300}], "has_additional": False},
    {"tags": [], "has_additional": True},
    {"tags": []},
    [{"id": "x", "name": "sha256:" + "a" * 64}],
    [{"id": 1, "name": 7}],
    [{"id": 1, "name": "sha256:" + "a" * 64, "metadata": []}],
    [{"id": 1, "name": "sha256:" + "a" * 64, "metadata": {"container": {"tags": [1]}}}],
    [{"id": 1, "name": "sha256:" + "a" * 64, "created_at": 5}],
    [{"id": 1, "name": "sha256:" + "a" * 64, "created_at": "soon"}],
]


@pytest.fixture(params=[DriverKind.GHCR, DriverKind.QUAY])
async def driver(request: Any, client: Any, registry: Any) -> AsyncIterator[Driver]:
    async with open_driver(client, registry.repository, kind=request.param, token="a-token", api=API) as opened:
        yield opened


@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_json_of_any_shape_is_an_outage_and_never_a_traceback(registry: Any, driver: Driver, odd: Any) -> None:
    registry.router.route(host="api.test").mock(
        side_effect=lambda request: (
            httpx.Response(200, json={"type": "User"})
            if request.url.path.startswith("/users/") and "packages" not in request.url.path
            else httpx.Response(200, json=odd)
        )
    )
    with pytest.raises(InfrastructureError):
        await driver.snapshot()


@pytest.mark.parametrize("odd", [None, 7, [], {}, "text", {"type": []}])
async def test_an_owner_of_any_shape_ends_with_an_outcome(registry: Any, client: Any, odd: Any) -> None:
    registry.router.route(host="api.test").mock(return_value=httpx.Response(200, json=odd))
    async with open_driver(client, registry.repository, kind=DriverKind.GHCR, token="a-token", api=API) as opened:
        with pytest.raises(PipelineError):
            await opened.snapshot()
