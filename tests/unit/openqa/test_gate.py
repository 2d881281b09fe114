"""The gate against a model of the server: each job is a script of recorded answers, one step a look."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx
import stamina

from pipeline.domain import Outcome
from pipeline.openqa.client import OpenQA
from pipeline.openqa.gate import GateOutcome, Limits, Submission, find_run, run_gate, still_passed
from pipeline.openqa.submission import Answer, Order
from pipeline.openqa.verdict import Expectation
from pipeline.report.model import CheckStatus

URL = "http://openqa:9526"
FAST = Limits(overall=5, pickup=5, poll=0, grace=0)

PASSED = "real-passed.details"
FAILED = "real-failed.details"
RUNNING = "null-passed.4-running-none"
SCHEDULED = "null-passed.1-scheduled-none"
INCOMPLETE = "null-incomplete.5-done-incomplete"
TIMEOUT = "null-timeout.5-done-timeout_exceeded"
CANCELLED = "cancel-running.z-later"


class Server:
    """What openQA would say: jobs that move on with every look, and clones made by restarts."""

    def __init__(self, as_ours: Callable[..., dict[str, Any]]) -> None:
        self._as_ours = as_ours
        self.jobs: dict[int, list[dict[str, Any]]] = {}
        self.restarts: list[int] = []
        self.after_restart: list[str] = [PASSED]
        self.refuses_restarts = False
        self.down = False
        respx.route(host="openqa").mock(side_effect=self._answer)

    def job(self, number: int, *captures: str, **last: Any) -> int:
        """Script a job; `last` changes its last answer."""
        script = [self._as_ours(capture, number, clone_id=None) for capture in captures]
        script[-1] |= last
        self.jobs[number] = script
        return number

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            return httpx.Response(503)
        parts = request.url.path.strip("/").split("/")
        if parts[0] == "tests" or parts[0] == "image":
            return httpx.Response(200, content=f"content of {request.url.path}".encode())
        if parts[2] == "workers":
            return httpx.Response(200, json={"workers": []})
        if len(parts) == 3:
            newest = [{"id": number} for number, script in self.jobs.items() if not script[0]["clone_id"]]
            return httpx.Response(200, json={"jobs": newest})
        number = int(parts[3])
        if parts[-1] == "restart":
            return self._restart(number)
        script = self.jobs[number]
        if parts[-1] != "details" and len(script) > 1:
            script.pop(0)
        return httpx.Response(200, json={"job": script[0]})

    def _restart(self, number: int) -> httpx.Response:
        if self.refuses_restarts:
            return httpx.Response(200, json={"result": [], "errors": ["misses mandatory assets"]})
        clone = max(self.jobs) + 100
        self.restarts.append(number)
        self.jobs[number][-1]["clone_id"] = clone
        self.job(clone, *self.after_restart)
        return httpx.Response(200, json={"result": [{str(number): clone}], "test_url": []})


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3), respx.mock:
        yield


@pytest.fixture
def server(as_ours: Callable[..., dict[str, Any]]) -> Server:
    return Server(as_ours)


@pytest.fixture
def gate(expected: Expectation, tmp_path: Path) -> Callable[..., Any]:
    async def run(*ids: int, limits: Limits = FAST) -> GateOutcome:
        async with OpenQA(URL, "k", "s") as client:
            return await run_gate(client, Submission(Answer(ids=ids), expected), tmp_path, limits)

    return run


Gate = Callable[..., Any]


async def test_a_run_is_followed_to_its_pass(server: Server, gate: Gate, tmp_path: Path) -> None:
    outcome = await gate(server.job(37, SCHEDULED, SCHEDULED, RUNNING, PASSED))
    assert outcome.outcome is Outcome.PASSED
    assert [(check.name, check.status) for check in outcome.checks] == [
        ("openqa", CheckStatus.PASSED),
        ("openqa: Full Regression Suite@tcg", CheckStatus.PASSED),
    ]
    assert outcome.inputs["openqa jobs"] == f"{URL}/tests/37"
    files = {path.name for path in (tmp_path / "37-Full_Regression_Suite_tcg").iterdir()}
    assert {"job.json", "autoinst-log.txt", "serial0.txt", "serial_terminal.txt"} <= files
    assert "vars.json" not in files


async def test_a_failed_suite_fails_the_gate_with_log_and_screenshots(
    server: Server, gate: Gate, tmp_path: Path
) -> None:
    outcome = await gate(server.job(38, RUNNING, FAILED))
    assert outcome.outcome is Outcome.GATE_FAILED
    assert "regression" in outcome.reason
    assert [check.status for check in outcome.checks] == [CheckStatus.FAILED, CheckStatus.FAILED]
    picture = tmp_path / "38-Full_Regression_Suite_tcg" / "regression-5.png"
    assert "/tests/38/images/regression-5.png" in picture.read_text()
    assert not server.restarts


@pytest.mark.parametrize("capture", [INCOMPLETE, TIMEOUT])
async def test_a_broken_run_is_restarted_once_and_may_pass(server: Server, gate: Gate, capture: str) -> None:
    outcome = await gate(server.job(8, RUNNING, capture))
    assert outcome.outcome is Outcome.PASSED
    assert server.restarts == [8]
    assert outcome.jobs == (108,)
    assert "restarted job 8 as 108" in outcome.checks[0].output


@pytest.mark.parametrize("capture", [INCOMPLETE, TIMEOUT])
async def test_a_run_that_breaks_twice_is_an_outage_not_a_verdict(server: Server, gate: Gate, capture: str) -> None:
    server.after_restart = [RUNNING, capture]
    outcome = await gate(server.job(8, capture))
    assert outcome.outcome is Outcome.INFRA
    assert server.restarts == [8]
    assert {check.status for check in outcome.checks} == {CheckStatus.INFRA}


async def test_the_second_try_of_a_broken_run_may_fail_the_image(server: Server, gate: Gate) -> None:
    server.after_restart = [FAILED]
    assert (await gate(server.job(8, INCOMPLETE))).outcome is Outcome.GATE_FAILED


async def test_only_what_broke_is_restarted(server: Server, gate: Gate) -> None:
    outcome = await gate(server.job(1, PASSED), server.job(2, INCOMPLETE), server.job(3, PASSED))
    assert outcome.outcome is Outcome.PASSED
    assert server.restarts == [2]


async def test_a_failed_image_is_not_tried_again(server: Server, gate: Gate) -> None:
    outcome = await gate(server.job(1, FAILED), server.job(2, INCOMPLETE))
    assert outcome.outcome is Outcome.GATE_FAILED
    assert not server.restarts


async def test_a_restart_that_openqa_refuses_is_an_outage_with_its_reason(server: Server, gate: Gate) -> None:
    server.refuses_restarts = True
    outcome = await gate(server.job(8, "asset-missing.4-done-incomplete"))
    assert outcome.outcome is Outcome.INFRA
    assert "Cannot find HDD_1 asset" in outcome.reason
    assert "mandatory assets" in outcome.reason


async def test_openqas_own_retry_is_waited_for_before_a_failure_counts(server: Server, gate: Gate) -> None:
    """The clone's id appears a moment after the job is done (RETRY)."""
    server.job(20, RUNNING, FAILED, FAILED, clone_id=21)
    server.job(21, RUNNING, PASSED)
    outcome = await gate(20)
    assert outcome.outcome is Outcome.PASSED
    assert outcome.jobs == (21,)
    assert not server.restarts


async def test_a_cancelled_run_is_no_verdict(server: Server, gate: Gate) -> None:
    outcome = await gate(server.job(10, RUNNING, CANCELLED))
    assert outcome.outcome is Outcome.CONFLICT
    assert not server.restarts


async def test_jobs_that_nobody_takes_end_at_their_own_deadline(server: Server, gate: Gate) -> None:
    outcome = await gate(server.job(11, SCHEDULED), limits=Limits(overall=60, pickup=0.02, poll=0.005, grace=0))
    assert outcome.outcome is Outcome.INFRA
    assert "WORKER_CLASS qemu_x86_64" in outcome.reason
    assert "0 workers" in outcome.reason


async def test_a_job_that_runs_is_not_given_up_at_the_pickup_deadline(server: Server, gate: Gate) -> None:
    server.job(1, *[RUNNING] * 20, PASSED)
    outcome = await gate(1, limits=Limits(overall=60, pickup=0.01, poll=0.005, grace=0))
    assert outcome.outcome is Outcome.PASSED


async def test_the_overall_deadline_ends_the_wait_without_a_verdict(server: Server, gate: Gate) -> None:
    outcome = await gate(server.job(1, RUNNING), limits=Limits(overall=0.05, pickup=60, poll=0.005, grace=0))
    assert outcome.outcome is Outcome.INFRA
    assert "did not finish" in outcome.reason
    assert {check.status for check in outcome.checks} == {CheckStatus.INFRA}


async def test_an_outage_in_the_middle_still_gives_a_report(server: Server, gate: Gate) -> None:
    server.job(1, RUNNING)
    server.down = True
    outcome = await gate(1)
    assert outcome.outcome is Outcome.INFRA
    assert outcome.checks[0].status is CheckStatus.INFRA
    assert "503" in outcome.reason


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(), Outcome.PRECONDITION),
        (Answer(ids=(1,), failed=("x",)), Outcome.PRECONDITION),
        (Answer(error="no products found"), Outcome.PRECONDITION),
        (Answer(error="Connection refused", status=0), Outcome.INFRA),
    ],
)
async def test_a_submission_that_went_wrong_ends_at_once_and_never_passes(
    server: Server, expected: Expectation, tmp_path: Path, answer: Answer, outcome: Outcome
) -> None:
    server.job(1, PASSED)
    async with OpenQA(URL) as client:
        found = await run_gate(client, Submission(answer, expected), tmp_path, FAST)
    assert found.outcome is outcome
    assert not found.checks[0].lets_through


async def test_a_run_of_this_very_order_is_adopted(server: Server, order: Order, expected: Expectation) -> None:
    server.job(37, RUNNING, RUNNING)
    async with OpenQA(URL) as client:
        found = await find_run(client, order, expected)
    assert found is not None
    assert found.answer.ids == (37,)
    assert found.adopted


async def test_a_failure_of_an_earlier_run_says_how_to_repeat_it(
    server: Server, order: Order, expected: Expectation, tmp_path: Path
) -> None:
    server.job(38, FAILED)
    async with OpenQA(URL) as client:
        found = await find_run(client, order, expected)
        assert found is not None
        outcome = await run_gate(client, found, tmp_path, FAST)
    assert outcome.outcome is Outcome.GATE_FAILED
    assert "restart its jobs in openQA" in outcome.reason


@pytest.mark.parametrize("capture", [INCOMPLETE, CANCELLED])
async def test_what_broke_or_was_cancelled_is_submitted_anew(
    server: Server, order: Order, expected: Expectation, capture: str
) -> None:
    server.job(37, capture)
    async with OpenQA(URL) as client:
        assert await find_run(client, order, expected) is None


async def test_a_build_that_never_ran_is_submitted(server: Server, order: Order, expected: Expectation) -> None:
    async with OpenQA(URL) as client:
        assert await find_run(client, order, expected) is None


async def test_jobs_restarted_after_the_verdict_stop_the_promotion(
    server: Server, gate: Gate, expected: Expectation
) -> None:
    outcome = await gate(server.job(37, PASSED))
    submission = Submission(Answer(ids=(37,)), expected)
    async with OpenQA(URL) as client:
        assert await still_passed(client, submission, outcome)
        server.jobs[37][0]["clone_id"] = 38
        server.job(38, RUNNING)
        assert not await still_passed(client, submission, outcome)
