"""What doctor makes of openQA's answers."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import respx
import stamina

from pipeline.commands.openqa_looks import looks
from pipeline.config import parse
from pipeline.errors import PipelineError, PreconditionError, UsageError
from pipeline.openqa.client import OpenQA

CONFIG = """
[images.os]
repository = "ghcr.io/o/os"
platforms = ["linux/amd64", "linux/arm64"]
[gates.stable]
upload = { url = "https://up.example.org/d", public_url = "https://images.example.org/d" }
openqa = { url = "http://openqa:9526", scenarios = "s.yaml", settings = { _GROUP = "stable" }, expect_jobs = 2 }
"""
SCENARIOS = """
products:
  x86: {distri: bootc, flavor: qcow2, version: '*', arch: x86_64}
  arm: {distri: bootc, flavor: qcow2, version: '*', arch: aarch64}
machines:
  x86: {backend: qemu, settings: {WORKER_CLASS: 'qemu_x86_64,tap'}}
  arm: {backend: qemu, settings: {WORKER_CLASS: qemu_aarch64}}
job_templates:
  boot: {product: x86, machine: x86}
  two: {product: x86, machine: x86}
  boot-arm: {product: arm, machine: arm}
  two-arm: {product: arm, machine: arm}
"""


def worker(classes: str, status: str = "idle") -> dict[str, Any]:
    return {"status": status, "properties": {"WORKER_CLASS": classes}}


@pytest.fixture(autouse=True)
async def server() -> AsyncIterator[respx.MockRouter]:
    with stamina.set_testing(True, attempts=1), respx.mock(assert_all_called=False) as router:
        router.get(path="/api/v1/workers").respond(
            json={"workers": [worker("qemu_x86_64,tap"), worker("qemu_aarch64", "running")]}
        )
        router.get(path="/api/v1/isos/1").respond(404, json={"error": "Scheduled product does not exist."})
        router.get(path="/api/v1/job_groups").respond(json=[{"id": 7, "name": "stable"}])
        router.post(path="/api/v1/isos").respond(json={"count": 0, "error": "no products found", "failed": {}})
        yield router


async def found(config: str = CONFIG, scenarios: str = SCENARIOS, key: str = "k") -> dict[str, str | PipelineError]:
    async def read() -> str:
        return scenarios

    said: dict[str, str | PipelineError] = {}
    read_config = parse(config)
    async with OpenQA("http://openqa:9526", key, "s" if key else "", deadline=0.5) as client:
        for name, look in looks(client, read_config, read_config.selected([]), read).items():
            try:
                said[name] = await look()
            except PipelineError as error:
                said[name] = error
    return said


async def test_a_server_that_has_everything() -> None:
    said = await found()
    assert list(said) == [f"openqa{what}" for what in ("", " key", " workers", " groups", " scenarios", " download")]
    assert not [one for one in said.values() if isinstance(one, PipelineError)]
    assert "cannot be seen from here" in str(said["openqa download"])


@pytest.mark.parametrize(
    ("method", "path", "answer", "name", "words"),
    [
        (
            "GET",
            "/api/v1/isos/1",
            httpx.Response(403, json={"error": "unknown error (wrong secret?)"}),
            " key",
            "secret",
        ),
        (
            "GET",
            "/api/v1/isos/1",
            httpx.Response(403, json={"error": "Administrator level required"}),
            " key",
            "operator",
        ),
        ("GET", "/api/v1/job_groups", httpx.Response(200, json=[]), " groups", "no job group stable"),
        ("GET", "/api/v1/workers", httpx.Response(200, json={"workers": []}), " workers", "start one"),
        (
            "GET",
            "/api/v1/workers",
            httpx.Response(200, json={"workers": [worker("qemu_x86_64"), worker("qemu_aarch64", "dead")]}),
            " workers",
            "boot@x86 (qemu_x86_64, tap), boot-arm@arm (qemu_aarch64)",
        ),
        (
            "POST",
            "/api/v1/isos",
            httpx.Response(403, text="Asset download requested from non-passlisted host images.example.org."),
            " download",
            "download_domains",
        ),
    ],
)
async def test_what_is_missing_is_named(
    server: respx.MockRouter, method: str, path: str, answer: httpx.Response, name: str, words: str
) -> None:
    server.route(method=method, path=path).mock(return_value=answer)
    said = await found()
    wrong = {what: error for what, error in said.items() if isinstance(error, PipelineError)}
    assert list(wrong) == [f"openqa{name}"]
    assert isinstance(wrong[f"openqa{name}"], PreconditionError)
    assert words in str(wrong[f"openqa{name}"]).replace("two", "boot")


async def test_a_scenario_file_with_too_few_jobs() -> None:
    said = await found(scenarios=SCENARIOS.replace("  two-arm: {product: arm, machine: arm}\n", ""))
    assert isinstance(said["openqa scenarios"], UsageError)
    assert "gives 1 jobs for DISTRI bootc, VERSION 0.0.0, FLAVOR qcow2, ARCH aarch64" in str(said["openqa scenarios"])


async def test_without_a_key_what_needs_one_is_not_asked(server: respx.MockRouter) -> None:
    said = await found(key="")
    assert "--openqa-auth" in str(said["openqa key"])
    assert "openqa download" not in said


async def test_a_server_with_templates_of_its_own_says_what_cannot_be_seen() -> None:
    said = await found(config=CONFIG.replace('scenarios = "s.yaml", ', "").replace('_GROUP = "stable"', ""))
    assert "cannot be seen from here" in str(said["openqa workers"])
    assert "openqa scenarios" not in said
    assert "no job group" in str(said["openqa groups"])


@pytest.mark.parametrize("odd", [None, [], {}, [None], {"workers": None}, {"workers": [None]}, [{"id": "x"}]])
async def test_odd_answers_are_findings(server: respx.MockRouter, odd: Any) -> None:
    server.route().mock(return_value=httpx.Response(200, json=odd))
    for said in (await found()).values():
        assert isinstance(said, str | PipelineError)
