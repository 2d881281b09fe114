import contextlib
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import respx
import stamina

from pipeline.errors import InfrastructureError, PipelineError, PreconditionError
from pipeline.openqa.client import OpenQA
from pipeline.openqa.submission import Order
from pipeline.openqa.transport import NotThere, Signature

URL = "https://openqa.example.org"
Capture = Callable[[str], Any]


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
async def client() -> AsyncIterator[OpenQA]:
    async with OpenQA(URL, "KEY", "SECRET") as server:
        yield server


def replay(capture: Any) -> httpx.Response:
    """The recorded response, whatever it was."""
    response = capture["response"]
    content = json.dumps(response["json"]) if "json" in response else response["text"]
    return httpx.Response(
        response["status"], content=content, headers={"content-type": response["headers"]["content-type"]}
    )


def listed(capture: Capture, *names: str) -> None:
    """Each of these recorded jobs as the only entry of the list that is asked for it."""
    for name in names:
        job = capture(name)["response"]["json"]["job"]
        respx.get(f"{URL}/api/v1/jobs", params={"ids": str(job["id"])}).respond(200, json={"jobs": [job]})


@pytest.mark.parametrize(
    "name", ["auth-signed-get-iso", "auth-query-with-space-and-unicode", "null-passed.details", "restart-done.restart"]
)
def test_the_signature_is_the_one_a_real_server_accepted(
    capture: Capture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    recorded = capture(name)["request"]
    monkeypatch.setattr(time, "time", lambda: float(recorded["headers"]["x-api-microtime"]))
    request = httpx.Request(recorded["method"], f"http://openqa{recorded['target']}")
    signed = next(Signature("1234567890ABCDEF", "1234567890ABCDEF").auth_flow(request))
    assert signed.headers["X-API-Hash"] == recorded["headers"]["x-api-hash"]
    assert signed.headers["X-API-Key"] == "1234567890ABCDEF"


@respx.mock
async def test_without_a_key_nothing_is_signed(capture: Capture) -> None:
    route = respx.get(f"{URL}/api/v1/workers").mock(return_value=replay(capture("workers")))
    async with OpenQA(URL) as client:
        assert [(worker.status, worker.classes) for worker in await client.workers()] == [("idle", "qemu_x86_64")]
    assert "x-api-key" not in route.calls.last.request.headers


@respx.mock
async def test_a_service_is_reached_by_address_under_its_own_name(capture: Capture) -> None:
    route = respx.get("http://127.0.0.1:34567/api/v1/workers").mock(return_value=replay(capture("workers")))
    async with OpenQA("http://openqa:9526", address="127.0.0.1:34567") as client:
        await client.workers()
        assert client.link(7) == "http://openqa:9526/tests/7"
    assert route.calls.last.request.headers["host"] == "openqa:9526"


@respx.mock
async def test_clones_are_followed_to_the_newest(client: OpenQA, capture: Capture) -> None:
    jobs = {20: "retry.old-done-with-clone", 21: "retry.clone-done", 5: "null-passed.4-running-none"}
    for ids in ([5, 20], [21]):
        told = [capture(jobs[number])["response"]["json"]["job"] for number in ids]
        respx.get(f"{URL}/api/v1/jobs", params={"ids": ",".join(map(str, ids))}).respond(200, json={"jobs": told})
    clone, other = await client.newest([20, 5])
    assert (clone.id, clone.result, clone.modules, 20 in clone.replaces) == (21, "failed", None, True)
    assert (other.id, other.state) == (5, "running")


@respx.mock
async def test_jobs_by_the_hundred_take_few_requests(client: OpenQA, capture: Capture) -> None:
    running = capture("null-passed.4-running-none")["response"]["json"]["job"]

    def answer(request: httpx.Request) -> httpx.Response:
        modules = [{"name": "boot", "result": "passed"}, {"name": "update", "result": "none"}]
        ids = [int(number) for number in request.url.params["ids"].split(",")]
        return httpx.Response(200, json={"jobs": [running | {"id": number, "modules": modules} for number in ids]})

    route = respx.get(f"{URL}/api/v1/jobs").mock(side_effect=answer)
    found = await client.newest(list(range(1, 501)))
    assert [job.id for job in found] == list(range(1, 501))
    assert [module.result for module in found[0].modules or ()] == ["passed", "none"]
    assert route.call_count == 3


@respx.mock
async def test_a_job_that_is_not_listed_is_not_there(client: OpenQA) -> None:
    respx.get(f"{URL}/api/v1/jobs").respond(200, json={"jobs": []})
    with pytest.raises(NotThere, match="no job 7"):
        await client.newest([7])


@respx.mock
async def test_a_chain_of_clones_that_never_ends_is_an_outage(client: OpenQA, capture: Capture) -> None:
    job = capture("retry.old-done-with-clone")["response"]["json"]["job"]
    other = job | {"id": job["clone_id"], "clone_id": job["id"]}
    respx.get(f"{URL}/api/v1/jobs").respond(200, json={"jobs": [job, other]})
    with pytest.raises(InfrastructureError, match="clones"):
        await client.newest([job["id"]])


@respx.mock
async def test_a_job_has_its_modules_once_it_is_final(client: OpenQA, capture: Capture) -> None:
    details = respx.get(f"{URL}/api/v1/jobs/5/details").mock(return_value=replay(capture("null-passed.details")))
    job = await client.job(5)
    assert job.modules is not None
    assert "autoinst-log.txt" in job.logs
    details.mock(return_value=replay(capture("null-passed.4-running-none")))
    assert (await client.job(5)).modules is None


@respx.mock
async def test_the_jobs_of_a_build_are_found_by_all_that_tells_them_apart(
    client: OpenQA, order: Order, capture: Capture
) -> None:
    listed = respx.get(f"{URL}/api/v1/jobs").mock(return_value=replay(capture("jobs-list-by-build")))
    assert [job.result for job in await client.jobs_of(order)] == ["passed"]
    assert dict(listed.calls.last.request.url.params) == {
        "distri": "bootcut",
        "version": "1",
        "flavor": "qcow2",
        "arch": "x86_64",
        "build": "1.2.3-abababababab",
    }


@respx.mock
@pytest.mark.parametrize("name", ["auth-wrong-secret", "auth-timestamp-skew-400s", "auth-anonymous-get-iso"])
async def test_a_refused_key_is_a_precondition_that_names_key_and_clock(
    client: OpenQA, capture: Capture, name: str
) -> None:
    route = respx.get(f"{URL}/api/v1/isos/2").mock(return_value=replay(capture(name)))
    with pytest.raises(PreconditionError, match=r"key.*clocks") as error:
        await client.scheduled_product(2)
    assert capture(name)["response"]["json"]["error"] in str(error.value)
    assert route.call_count == 1


@respx.mock
@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("cut"),
        httpx.Response(502, html="<html>Bad Gateway</html>"),
        httpx.Response(429, headers={"Retry-After": "0"}),
        httpx.Response(200, content=b'{"workers": ['),
        httpx.Response(200, html="<html>log in</html>"),
    ],
)
async def test_a_passing_trouble_is_waited_out_and_a_lasting_one_is_an_outage(
    client: OpenQA, capture: Capture, trouble: httpx.Response | Exception
) -> None:
    route = respx.get(f"{URL}/api/v1/workers").mock(side_effect=[trouble, replay(capture("workers"))])
    assert await client.workers()
    assert route.call_count == 2
    route.mock(side_effect=[trouble] * 9)
    with pytest.raises(InfrastructureError, match="run again"):
        await client.workers()


@respx.mock
async def test_the_deadline_of_a_call_holds() -> None:
    respx.get(f"{URL}/api/v1/workers").mock(side_effect=httpx.ConnectError("refused"))
    with stamina.set_testing(False):
        async with OpenQA(URL, deadline=0.05) as client:
            with pytest.raises(InfrastructureError, match="refused"):
                await client.workers()


@respx.mock
async def test_a_missing_job_is_not_an_outage(client: OpenQA) -> None:
    route = respx.get(f"{URL}/api/v1/jobs/9/details").respond(404, html="<!DOCTYPE html><html>")
    with pytest.raises(PreconditionError, match="404"):
        await client.job(9)
    assert route.call_count == 1


@respx.mock
async def test_a_redirect_names_the_address_to_use(client: OpenQA) -> None:
    respx.get(f"{URL}/api/v1/workers").respond(301, headers={"location": "https://qa.example.org/"})
    with pytest.raises(PreconditionError, match=r"qa\.example\.org"):
        await client.workers()


@respx.mock
async def test_what_is_not_openqa_is_noticed(client: OpenQA) -> None:
    respx.get(f"{URL}/api/v1/jobs/1/details").respond(200, json={"hello": "world"})
    with pytest.raises(InfrastructureError, match="like openQA"):
        await client.job(1)


@respx.mock
async def test_a_restart_gives_the_clone(client: OpenQA, capture: Capture) -> None:
    respx.post(f"{URL}/api/v1/jobs/18/restart").mock(return_value=replay(capture("restart-done.restart")))
    assert await client.restart(18) == 19


@respx.mock
async def test_a_restart_whose_answer_got_lost_is_found_by_its_clone(client: OpenQA, capture: Capture) -> None:
    again = replay(capture("restart-done.restart-again"))
    respx.post(f"{URL}/api/v1/jobs/20/restart").mock(side_effect=[httpx.ReadError("reset"), again])
    listed(capture, "retry.old-done-with-clone", "retry.clone-done")
    assert await client.restart(20) == 21


@respx.mock
async def test_a_restart_that_is_refused_says_why(client: OpenQA, capture: Capture) -> None:
    refused = {"result": [], "test_url": [], "errors": ["Job 5 misses the following mandatory assets: hdd/x.qcow2"]}
    respx.post(f"{URL}/api/v1/jobs/5/restart").respond(200, json=refused)
    listed(capture, "null-passed.details")
    with pytest.raises(PreconditionError, match="mandatory assets"):
        await client.restart(5)


@respx.mock
async def test_logs_are_written_and_cut_at_the_limit(client: OpenQA, tmp_path: Path) -> None:
    respx.get(f"{URL}/tests/5/file/autoinst-log.txt").respond(200, content=b"x" * 1000)
    target = tmp_path / "deep" / "log.txt"
    await client.download("/tests/5/file/autoinst-log.txt", target)
    assert target.stat().st_size == 1000
    await client.download("/tests/5/file/autoinst-log.txt", target, limit=10)
    assert target.read_text().splitlines() == ["x" * 10, "[cut here by the pipeline]"]


@respx.mock
async def test_a_log_that_is_not_there_is_said(client: OpenQA, tmp_path: Path) -> None:
    respx.get(f"{URL}/tests/5/file/serial0.txt").respond(404)
    with pytest.raises(PreconditionError, match=r"serial0\.txt"):
        await client.download("/tests/5/file/serial0.txt", tmp_path / "log.txt")


@respx.mock
async def test_the_server_tells_its_time(client: OpenQA) -> None:
    respx.head(f"{URL}/").mock(return_value=httpx.Response(200, headers={"date": "Mon, 23 Nov 2026 20:00:00 GMT"}))
    assert str(await client.clock()) == "2026-11-23 20:00:00+00:00"


ODD = [None, [], {}, "x", 7, -1, 1.5, True, [None], {"a": None}, "9" * 5000]
"""What may stand where something else is expected."""


@respx.mock
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:9])
async def test_no_odd_answer_is_a_traceback(client: OpenQA, order: Order, odd: Any, tmp_path: Path) -> None:
    """Each call comes to an end that has an outcome, or makes the best of it."""
    respx.route(host="openqa.example.org", path="/tests/1/file/x").respond(200, content=b"x")
    for body in (odd, {"job": odd, "jobs": odd, "workers": odd, "result": odd, "errors": odd}):
        respx.route(host="openqa.example.org").respond(200, json=body)
        for call in (
            lambda: client.job(1),
            lambda: client.newest([1]),
            lambda: client.details(1),
            lambda: client.jobs_of(order),
            lambda: client.workers(),
            lambda: client.comments("jobs/1"),
            lambda: client.restart(1),
            lambda: client.scheduled_product(1),
        ):
            with contextlib.suppress(PipelineError):
                await call()


@respx.mock
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:9])
@pytest.mark.parametrize("name", ["null-passed.details", "real-failed.details", "chained-parent-fails.child"])
async def test_every_field_of_a_job_may_be_odd(client: OpenQA, capture: Capture, name: str, odd: Any) -> None:
    job = capture(name)["response"]["json"]["job"]
    for changed in _with_one_field_odd(job, odd):
        respx.route(host="openqa.example.org").respond(200, json={"job": changed, "jobs": [changed]})
        for call in (client.job(5), client.newest([5])):
            with contextlib.suppress(PipelineError):
                await call


def _with_one_field_odd(value: Any, odd: Any) -> Iterator[Any]:
    """The same document as often as it has places, each time with something odd in one of them."""
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, inner in list(places)[:40]:
        for other in [odd, *(_with_one_field_odd(inner, odd) if isinstance(inner, dict | list) else ())]:
            copied = dict(value) if isinstance(value, dict) else list(value)
            copied[place] = other
            yield copied


@respx.mock
@pytest.mark.parametrize("content", [b"[" * 200000, b"1" * 6000, b'{"job": ' * 5000, b"\xff\xfe"])
async def test_json_that_breaks_its_reader_is_an_outage(client: OpenQA, content: bytes) -> None:
    respx.get(f"{URL}/api/v1/workers").respond(200, content=content)
    with pytest.raises(InfrastructureError):
        await client.workers()


@respx.mock
async def test_an_answer_without_end_is_cut_off(client: OpenQA, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.openqa.transport._MAX_ANSWER", 1000)
    respx.get(f"{URL}/api/v1/workers").respond(200, content=b" " * 1001)
    with pytest.raises(InfrastructureError, match="more than"):
        await client.workers()


@respx.mock
async def test_a_compressed_answer_is_neither_asked_for_nor_unpacked(client: OpenQA) -> None:
    packed = gzip.compress(b"0" * 10**6)
    route = respx.get(f"{URL}/api/v1/workers").respond(200, content=packed, headers={"content-encoding": "gzip"})
    with pytest.raises(InfrastructureError):
        await client.workers()
    assert route.calls.last.request.headers["accept-encoding"] == "identity"


@respx.mock
async def test_a_server_that_asks_to_wait_longer_than_there_is_time_ends_the_wait(client: OpenQA) -> None:
    route = respx.get(f"{URL}/api/v1/workers").respond(503, headers={"Retry-After": "3600"})
    with pytest.raises(InfrastructureError, match="wait 1h00m"):
        await client.workers()
    assert route.call_count == 1


@respx.mock
@pytest.mark.parametrize("wish", ["²", "-1", "soon", "9" * 400])
async def test_an_odd_wish_to_wait_is_survived(client: OpenQA, wish: str) -> None:
    headers = httpx.Headers([(b"retry-after", wish.encode())])
    respx.get(f"{URL}/api/v1/workers").mock(return_value=httpx.Response(503, headers=headers))
    with pytest.raises(InfrastructureError):
        await client.workers()


@respx.mock
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_key_and_signature_never_follow_a_redirect(client: OpenQA, tmp_path: Path, status: int) -> None:
    elsewhere = respx.route(host="evil.example").respond(200, json={"workers": []})
    respx.route(host="openqa.example.org").respond(status, headers={"location": "https://evil.example/"})
    for call in (
        client.workers,
        lambda: client.restart(1),
        lambda: client.comment("jobs/1", "x"),
        lambda: client.cancel(1),
        lambda: client.download("/tests/1/file/x", tmp_path / "x"),
    ):
        with pytest.raises(PreconditionError):
            await call()
    await client.clock()
    assert not elsewhere.called


@respx.mock
async def test_a_body_that_comes_in_drops_ends_at_the_deadline() -> None:
    async def drops() -> AsyncIterator[bytes]:
        while True:
            await anyio.sleep(0.01)
            yield b" "

    respx.get(f"{URL}/api/v1/workers").mock(side_effect=lambda _: httpx.Response(200, content=drops()))
    async with OpenQA(URL, deadline=0.1) as client:
        with anyio.fail_after(5), pytest.raises(InfrastructureError, match="run again"):
            await client.workers()
