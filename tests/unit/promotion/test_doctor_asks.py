"""What is wrong with a registry is told by one look of doctor, with what cannot be looked at for it."""

import ssl
from unittest.mock import patch

import httpx
import pytest
from memory_registry import HOST, MemoryRegistry
from scaffold import Bench, configured

from pipeline.commands import doctor
from pipeline.domain import Outcome
from pipeline.report.model import CheckStatus, Result
from pipeline.world import World

REFUSED = "does not speak TLS"
TLS = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
TLS.reason = "WRONG_VERSION_NUMBER"


async def _fine(*_: object) -> str:
    return "fine"


@pytest.fixture
def bench(registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """On a machine that has everything."""
    for look in ("_source", "_privileges", "_platform", "_kvm", "_disk_builder", "_bases"):
        monkeypatch.setattr(doctor, look, _fine)
    return Bench(configured("os", "other", host=HOST), registry.copy, registry.push)


async def _doctor(bench: Bench) -> Result:
    async with bench.world() as world:
        return await doctor.doctor(world)


async def test_a_refusal_of_tls_is_told_once_for_each_repository(bench: Bench) -> None:
    async def refuse(_: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no TLS", request=request) from TLS

    with patch.object(httpx.AsyncHTTPTransport, "handle_async_request", refuse):
        result = await _doctor(bench)
    found = {check.name: check for check in result.checks}
    assert [name for name, check in found.items() if REFUSED in check.reason] == [
        f"registry {HOST}/os",
        f"registry {HOST}/other",
    ]
    assert "disk-space, root-filesystem os." in found[f"registry {HOST}/os"].reason
    for name in ("disk-space", "root-filesystem os", "root-filesystem other"):
        assert found[name].status is CheckStatus.SKIPPED
        assert HOST in found[name].reason
    assert result.outcome is Outcome.PRECONDITION
    assert result.reason.endswith(f"registry {HOST}/os, registry {HOST}/other.")


async def test_an_image_whose_registry_answers_is_looked_at_beside_one_whose_does_not(
    registry: MemoryRegistry, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = registry._registry

    def half(request: httpx.Request) -> httpx.Response:
        if "/other/" in request.url.path:
            raise httpx.ConnectError("no TLS", request=request) from TLS
        return answer(request)

    monkeypatch.setattr(registry, "_registry", half)
    found = {check.name: check for check in (await _doctor(bench)).checks}
    assert found["root-filesystem os"].status is CheckStatus.PASSED
    assert [name for name, check in found.items() if REFUSED in check.reason] == [f"registry {HOST}/other"]


async def test_a_login_that_may_not_push_keeps_no_look_away(
    registry: MemoryRegistry, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def room(_: World) -> str:
        return "room enough"

    monkeypatch.setattr(doctor, "_room", room)
    answer = registry._registry
    denied = {"errors": [{"code": "DENIED", "message": "quota exceeded"}]}
    monkeypatch.setattr(
        registry,
        "_registry",
        lambda asked: httpx.Response(403, json=denied) if asked.method == "POST" else answer(asked),
    )
    found = {check.name: check for check in (await _doctor(bench)).checks}
    assert found["disk-space"].reason == "room enough"
    assert "Not looked at" not in found[f"registry {HOST}/os"].reason


async def test_a_tree_of_which_nothing_would_be_pushed_is_told(
    registry: MemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def uncommitted() -> list[str]:
        return [" M pipeline.toml"]

    bench = Bench(configured("os", host=HOST), registry.copy, registry.push)
    monkeypatch.setattr(doctor, "require_source", _fine)
    bench.git.commit()
    async with bench.world() as world:
        assert "push nothing" not in await doctor._source(world)
        monkeypatch.setattr(bench.git, "uncommitted", uncommitted)
        assert "build-next would push nothing: the tree differs from commit" in await doctor._source(world)
