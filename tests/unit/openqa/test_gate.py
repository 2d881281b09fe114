"""The gate against a model of the server: each job is a script of recorded answers, one step a look."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import anyio
import httpx
import pytest
import respx
import stamina

from pipeline.domain import Outcome
from pipeline.openqa.client import OpenQA
from pipeline.openqa.gate import GateOutcome, Limits, rest, run_gate, still_passed
from pipeline.openqa.progress import Progress
from pipeline.openqa.release import keep_results, tags_of
from pipeline.openqa.runs import Submission, acknowledge, created, find_run
from pipeline.openqa.submission import RUN, Answer, Order
from pipeline.openqa.verdict import Expectation, judge_answer
from pipeline.report.model import CheckStatus, Result

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

    def __init__(
        self, as_ours: Callable[..., dict[str, Any]], run: str, capture: Callable[[str], dict[str, Any]]
    ) -> None:
        self._as_ours, self._run, self._capture = as_ours, run, capture
        self.products: dict[int, list[str]] = {}
        self.jobs: dict[int, list[dict[str, Any]]] = {}
        self.restarts: list[int] = []
        self.cancelled: list[int] = []
        self.comments: dict[str, list[str]] = {}
        self.pictures: list[str] = []
        self.consoles: dict[int, str] = {}
        self.bugs: dict[int, list[str]] = {}
        self.after_restart: list[str] = [PASSED]
        self.refuses_restarts = False
        self.refuses_comments = False
        self.workers: list[Any] = []
        self.down = False
        self.hides_lists = False
        self.reads: Counter[int] = Counter()
        """How often the details of a job were read."""
        self.looks = 0
        respx.route(host="openqa").mock(side_effect=self._answer)

    def job(self, number: int, *captures: str, **last: Any) -> int:
        """Script a job; `last` changes its last answer."""
        script = [self._as_ours(capture, number, clone_id=None) for capture in captures]
        for step in script:
            step["settings"][RUN] = self._run
        script[-1] |= last
        self.jobs[number] = script
        return number

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            return httpx.Response(503)
        parts = request.url.path.strip("/").split("/")
        if parts[0] == "needles":
            self.pictures.append(request.url.raw_path.decode())
            return httpx.Response(200, content=b"PNG")
        if parts[0] == "tests" or parts[0] == "image":
            if parts[-1] == "serial0.txt":
                return httpx.Response(200, text=self.consoles.get(int(parts[1]), "all is well\n"))
            return httpx.Response(200, content=f"content of {request.url.path}".encode())
        if parts[2] == "isos":
            script = self.products[int(parts[3])]
            return httpx.Response(
                200, json=self._capture(script.pop(0) if len(script) > 1 else script[0])["response"]["json"]
            )
        if parts[2] == "workers":
            return httpx.Response(200, json={"workers": self.workers})
        ids = [int(number) for number in request.url.params.get("ids", "").split(",") if number]
        if len(parts) == 3 and ids:
            return self._listed(ids)
        if len(parts) == 3 and self.hides_lists:
            return httpx.Response(200, json={"jobs": [None]})
        if len(parts) == 3:
            return httpx.Response(200, content=json.dumps({"jobs": [script[0] for script in self.jobs.values()]}))
        if parts[-1] == "comments":
            return self._comment("/".join(parts[2:4]), request)
        number = int(parts[3])
        if parts[-1] == "restart":
            return self._restart(number)
        if parts[-1] == "cancel":
            self.cancelled.append(number)
            return httpx.Response(200, json={"result": None})
        if number not in self.jobs:
            return httpx.Response(404, html="<!DOCTYPE html>")
        self.reads[number] += 1
        return httpx.Response(200, content=json.dumps({"job": self.jobs[number][0]}))

    def _listed(self, ids: list[int]) -> httpx.Response:
        """A look: those that are asked for move on."""
        self.looks += 1
        there = [number for number in ids if number in self.jobs]
        for number in there:
            if len(self.jobs[number]) > 1:
                self.jobs[number].pop(0)
        modules = [{"name": "boot", "result": "none", "category": None, "flags": []}]
        told = [self.jobs[number][0] | {"modules": modules} for number in there]
        return httpx.Response(200, content=json.dumps({"jobs": told}))

    def _comment(self, place: str, request: httpx.Request) -> httpx.Response:
        if self.refuses_comments:
            return httpx.Response(403, json={"error": "no rights"})
        if request.method == "POST":
            self.comments.setdefault(place, []).append(parse_qs(request.content.decode())["text"][0])
            return httpx.Response(200, json={"id": 1})
        texts = [{"text": text} for text in self.comments.get(place, [])]
        bugs = self.bugs.get(int(place.partition("/")[2]), [])
        return httpx.Response(200, json=[*texts, {"text": "", "bugrefs": bugs, "userName": "alice"}])

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
def server(as_ours: Callable[..., dict[str, Any]], capture: Callable[[str], dict[str, Any]], order: Order) -> Server:
    return Server(as_ours, order.run, capture)


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


async def repeated(order: Order, expected: Expectation, *ids: int, failed: tuple[str, ...] = ()) -> Submission | None:
    """What a second command finds after a first one has submitted."""
    async with OpenQA(URL, "k", "s") as client:
        await acknowledge(client, order, Answer(ids=ids, failed=failed), expected)
        return await find_run(client, order, expected)


async def test_a_run_of_this_very_order_is_adopted(server: Server, order: Order, expected: Expectation) -> None:
    found = await repeated(order, expected, server.job(37, RUNNING, RUNNING), server.job(38, PASSED))
    assert found is not None
    assert found.answer.ids == (37, 38)
    assert found.adopted


async def test_an_adopted_run_keeps_its_jobs_when_they_were_restarted(
    server: Server, order: Order, expected: Expectation
) -> None:
    server.job(37, FAILED, clone_id=40)
    server.job(40, RUNNING)
    found = await repeated(order, expected, 37)
    assert found is not None
    assert found.answer.ids == (37,)


async def test_a_run_that_was_created_only_in_part_is_not_adopted(
    server: Server, order: Order, expected: Expectation, tmp_path: Path
) -> None:
    """The jobs that could be created look like a whole run that passed."""
    ids, failed = (server.job(37, PASSED), server.job(38, RUNNING)), ('{"job_name": "upgrade"}',)
    assert await repeated(order, expected, *ids, failed=failed) is None
    async with OpenQA(URL, "k", "s") as client:
        outcome = await run_gate(client, Submission(Answer(ids=ids, failed=failed), expected), tmp_path, FAST)
        assert outcome.outcome is Outcome.PRECONDITION
        assert server.cancelled == [38]
        assert await find_run(client, order, expected) is None


async def test_a_run_whose_answer_got_lost_is_not_adopted(server: Server, order: Order, expected: Expectation) -> None:
    server.job(37, PASSED)
    async with OpenQA(URL) as client:
        assert await find_run(client, order, expected) is None


@pytest.mark.parametrize(
    "text",
    [
        "bootc-pipeline: run {run} is whole, its jobs are 38.",
        "bootc-pipeline: run 0123 is whole, its jobs are 37.",
        "bootc-pipeline: run {run} is whole, its jobs are .",
        "bootc-pipeline: run {run} is whole, its jobs are " + "9" * 5000 + ".",
        "label:force_result:passed",
    ],
)
async def test_a_comment_about_something_else_acknowledges_nothing(
    server: Server, order: Order, expected: Expectation, text: str
) -> None:
    server.job(37, PASSED)
    server.comments["jobs/37"] = [text.format(run=order.run)]
    async with OpenQA(URL) as client:
        assert await find_run(client, order, expected) is None


async def test_a_run_that_lost_a_job_to_the_servers_cleanup_is_not_adopted(
    server: Server, order: Order, expected: Expectation
) -> None:
    assert await repeated(order, expected, server.job(37, PASSED), 38) is None


@pytest.mark.parametrize("setting", ["PIPELINE_DISK_SHA256", "PIPELINE_SUITE", "BUILD", "PIPELINE_RUN"])
async def test_the_run_of_another_disk_or_suite_is_not_adopted(
    server: Server, order: Order, expected: Expectation, setting: str
) -> None:
    number = server.job(37, PASSED)
    server.jobs[number][0]["settings"][setting] = "another"
    assert await repeated(order, expected, number) is None


async def test_a_server_that_takes_no_comment_costs_the_reuse_and_no_verdict(
    server: Server, order: Order, expected: Expectation, tmp_path: Path
) -> None:
    server.refuses_comments = True
    number = server.job(37, PASSED)
    async with OpenQA(URL, "k", "s") as client:
        submission = await acknowledge(client, order, Answer(ids=(number,)), expected)
        outcome = await run_gate(client, submission, tmp_path, FAST)
    assert outcome.outcome is Outcome.PASSED
    assert "will not take this run up" in outcome.checks[0].output


async def test_a_failure_of_an_earlier_run_says_how_to_repeat_it(
    server: Server, order: Order, expected: Expectation, tmp_path: Path
) -> None:
    found = await repeated(order, expected, server.job(38, FAILED))
    assert found is not None
    async with OpenQA(URL) as client:
        outcome = await run_gate(client, found, tmp_path, FAST)
    assert outcome.outcome is Outcome.GATE_FAILED
    assert "restart its jobs in openQA" in outcome.reason


@pytest.mark.parametrize("capture", [INCOMPLETE, CANCELLED])
async def test_what_broke_or_was_cancelled_is_submitted_anew(
    server: Server, order: Order, expected: Expectation, capture: str
) -> None:
    assert await repeated(order, expected, server.job(37, capture)) is None


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


async def test_a_bug_that_a_comment_names_lets_an_earlier_failure_through(
    server: Server, expected: Expectation, tmp_path: Path
) -> None:
    asked = replace(expected, trackers=("bsc",))
    submission = Submission(Answer(ids=(server.job(38, FAILED),)), asked, adopted=True)
    async with OpenQA(URL, "k", "s") as client:
        outcome = await run_gate(client, submission, tmp_path, FAST)
        assert outcome.outcome is Outcome.GATE_FAILED
        assert "comment them with the bug" in outcome.reason
        server.bugs[38] = ["bsc#12"]
        outcome = await run_gate(client, submission, tmp_path, FAST)
        assert outcome.outcome is Outcome.PASSED
        assert "bsc#12 (alice)" in outcome.reason
        assert await still_passed(client, submission, outcome)
        server.bugs.clear()
        assert not await still_passed(client, submission, outcome)


SLOW = Limits(overall=0.05, pickup=60, poll=0.005, grace=0)


async def test_jobs_are_cancelled_at_the_deadline_when_this_run_submitted_them(server: Server, gate: Gate) -> None:
    outcome = await gate(server.job(1, RUNNING), server.job(2, PASSED), limits=SLOW)
    assert server.cancelled == [1]
    assert "Run again to submit it anew" in outcome.reason
    assert "cancelled job 1" in outcome.checks[0].output


@pytest.mark.parametrize("limits", [SLOW, Limits(overall=60, pickup=0.02, poll=0.005, grace=0)])
async def test_jobs_are_left_on_request(server: Server, gate: Gate, limits: Limits) -> None:
    outcome = await gate(server.job(1, SCHEDULED), limits=replace(limits, cancel=False))
    assert not server.cancelled
    assert "Run again to go on waiting" in outcome.reason


async def test_jobs_that_nobody_takes_are_cancelled(server: Server, gate: Gate) -> None:
    await gate(server.job(11, SCHEDULED), limits=Limits(overall=60, pickup=0.02, poll=0.005, grace=0))
    assert server.cancelled == [11]


async def test_an_adopted_run_is_never_cancelled(server: Server, expected: Expectation, tmp_path: Path) -> None:
    submission = Submission(Answer(ids=(server.job(1, RUNNING),)), expected, adopted=True)
    async with OpenQA(URL) as client:
        outcome = await run_gate(client, submission, tmp_path, SLOW)
    assert outcome.outcome is Outcome.INFRA
    assert not server.cancelled


async def test_an_interrupt_cancels_the_jobs_of_this_run(server: Server, gate: Gate) -> None:
    server.job(1, RUNNING)
    with anyio.move_on_after(0.05) as scope:
        await gate(1, limits=Limits(overall=60, pickup=60, poll=0.005, grace=0))
    assert scope.cancelled_caught
    assert server.cancelled == [1]


async def test_an_outage_leaves_the_jobs_for_a_repeated_command(server: Server, gate: Gate) -> None:
    server.job(1, RUNNING)
    server.down = True
    await gate(1)
    assert not server.cancelled


async def test_jobs_that_are_made_in_the_background_are_waited_for(server: Server) -> None:
    server.products = {30: ["async.iso-added", "async.iso-scheduling", "async.iso-scheduled"]}
    async with OpenQA(URL, "k", "s") as client:
        answer = await created(client, Answer(scheduled_product=30, pending=True), 5, 0.01)
        assert answer == Answer(ids=(25,), scheduled_product=30)
        assert await created(client, Answer(ids=(1,)), 5, 0.01) == Answer(ids=(1,))


async def test_jobs_that_are_never_made_are_an_outage(server: Server, expected: Expectation) -> None:
    server.products = {30: ["async.iso-added"]}
    async with OpenQA(URL, "k", "s") as client:
        answer = await created(client, Answer(scheduled_product=30, pending=True), 0.05, 0.01)
    verdict = judge_answer(answer, expected)
    assert verdict is not None
    assert verdict.state.outcome is Outcome.INFRA
    assert "openqa-gru" in verdict.reason


async def test_an_interrupt_while_jobs_are_made_cancels_those_that_are_there(server: Server) -> None:
    server.products = {30: ["async.iso-added"] * 3}
    async with OpenQA(URL, "k", "s") as client:
        with anyio.move_on_after(0.1) as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(created, client, Answer(scheduled_product=30, pending=True), 60, 60)
                await anyio.sleep(0.02)
                server.products = {30: ["async.iso-scheduled"]}
    assert scope.cancelled_caught
    assert server.cancelled == [25]


LOST = "[   21.76] rcu: rcu_preempt kthread timer wakeup didn't happen for 5251 jiffies! g-1167 f0x0\n"


async def test_an_emulated_timer_that_got_lost_is_no_verdict_and_is_tried_once_more(server: Server, gate: Gate) -> None:
    server.consoles[38] = f"Linux\r\n{LOST}"
    outcome = await gate(server.job(38, RUNNING, FAILED))
    assert outcome.outcome is Outcome.PASSED
    assert server.restarts == [38]
    assert "emulated timer lost" in outcome.checks[0].output


async def test_a_timer_that_gets_lost_twice_is_an_outage(server: Server, gate: Gate) -> None:
    server.after_restart = [FAILED]
    server.consoles = {38: LOST, 138: LOST}
    outcome = await gate(server.job(38, FAILED))
    assert outcome.outcome is Outcome.INFRA
    assert server.restarts == [38]


async def test_a_machine_with_a_processor_of_its_own_loses_no_timer(server: Server, gate: Gate) -> None:
    server.consoles[38] = LOST
    settings = server.jobs[server.job(38, FAILED)][0]["settings"] | {"QEMU_NO_KVM": "0"}
    outcome = await gate(server.job(38, FAILED, settings=settings))
    assert outcome.outcome is Outcome.GATE_FAILED


@pytest.mark.parametrize(
    ("poll", "took", "pause"), [(10, 0.1, 10), (10, 2, 18), (10, 60, 120), (0, 0, 0), (300, 60, 300)]
)
def test_a_server_that_is_slow_is_left_alone(poll: float, took: float, pause: float) -> None:
    assert rest(poll, took) == pause


async def test_who_waits_is_told_where_the_run_is(server: Server, expected: Expectation, tmp_path: Path) -> None:
    server.job(2, PASSED)
    submission = Submission(Answer(ids=(server.job(1, SCHEDULED, RUNNING, RUNNING, PASSED), 2)), expected)
    told: list[Progress] = []
    async with OpenQA(URL, "k", "s") as client:
        outcome = await run_gate(client, submission, tmp_path, FAST, told.append)
    assert outcome.outcome is Outcome.PASSED
    assert [(now.jobs, now.ended) for now in told] == [(2, 1)] * 2
    assert told[0].running[0].link == f"{URL}/tests/1"
    assert server.reads[2] <= 3, "a job that passed is not asked about at every look"


async def test_what_only_serves_people_fails_no_run(server: Server, expected: Expectation, tmp_path: Path) -> None:
    server.job(1, RUNNING, RUNNING, PASSED)
    server.hides_lists = True
    told: list[Progress] = []
    async with OpenQA(URL, "k", "s") as client:
        submission = Submission(Answer(ids=(1,)), expected)
        assert (await run_gate(client, submission, tmp_path, FAST, told.append)).outcome is Outcome.PASSED
    assert told[0].left is None


async def test_the_needle_that_did_not_match_is_brought_home(
    server: Server, expected: Expectation, tmp_path: Path
) -> None:
    needles = [{"name": "far", "error": 0.9}, {"name": "near-1", "error": 0.04, "json": "sub/near-1.json"}, None, {}]
    step = {"result": "fail", "screenshot": "desktop-3.png", "needles": needles}
    module = {"name": "desktop", "result": "failed", "details": [step]}
    server.job(7, FAILED, testresults=[module], logs=["video.webm", "autoinst-log.txt"])
    async with OpenQA(URL, "k", "s") as client:
        submission = Submission(Answer(ids=(7,)), expected)
        outcome = await run_gate(client, submission, tmp_path, FAST, video=True)
    assert "near-1 was off by 4%, far was off by 90%" in outcome.checks[1].output
    files = {name.rpartition("/")[2] for name in written(tmp_path)}
    assert {"needle-near-1.png", "desktop-3.png", "video.webm", "autoinst-log.txt"} <= files
    assert server.pictures == ["/needles/bootcut/near-1.png?version=1&jsonfile=sub%2Fnear-1.json"]
    assert outcome.inputs["openqa badges"] == f"{URL}/tests/7/badge"


async def test_videos_stay_where_they_are_unless_asked_for(server: Server, gate: Gate, tmp_path: Path) -> None:
    await gate(server.job(7, FAILED, logs=["video.webm"]))
    assert not [name for name in written(tmp_path) if "video" in name]


HOSTILE = ["../../x", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "x\0y", "x" * 300, ".ssh", "CON\n", "-rf"]


def written(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_name_of_the_server_leads_out_of_the_report(
    server: Server, gate: Gate, tmp_path: Path, name: str
) -> None:
    module = {"name": name, "result": "failed", "details": [{"result": "fail", "screenshot": name}]}
    settings = server.jobs[server.job(7, FAILED)][0]["settings"] | {"MACHINE": name}
    server.job(7, FAILED, test=name, testresults=[module], logs=[name], ulogs=[name], settings=settings)
    outcome = await gate(7)
    assert outcome.outcome is Outcome.GATE_FAILED
    assert [name.startswith("7-") and name.count("/") == 1 for name in written(tmp_path)] == [True]


async def test_the_proof_has_a_bound(
    server: Server, gate: Gate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("pipeline.openqa.proof._PROOF_SIZE", 10)
    outcome = await gate(server.job(38, FAILED))
    assert "too much for a report" in outcome.checks[0].output


async def test_odd_workers_are_no_crash(server: Server, gate: Gate) -> None:
    server.workers = [{"status": None, "properties": []}, {"properties": {"WORKER_CLASS": None}}]
    outcome = await gate(server.job(11, SCHEDULED), limits=Limits(overall=60, pickup=0.02, poll=0.005, grace=0))
    assert "2 workers are connected" in outcome.reason


async def test_a_released_build_is_kept_by_its_groups(server: Server, gate: Gate, order: Order) -> None:
    outcome = await gate(server.job(1, PASSED, group_id=7), server.job(2, PASSED, group_id=7), server.job(3, PASSED))
    tags = tags_of({f"x86_64/{name}": value for name, value in outcome.inputs.items()}, "1.2.3")
    assert tags == {(7, f"tag:{order.version}-{order.build}:important:1.2.3")}
    async with OpenQA(URL, "k", "s") as client:
        for _ in range(2):
            assert await keep_results(client, tags, "os 1.2.3 was promoted") == []
    assert server.comments == {
        "groups/7": [f"tag:{order.version}-{order.build}:important:1.2.3\n\nos 1.2.3 was promoted"]
    }


async def test_that_openqa_cannot_be_told_of_a_release_fails_nothing(server: Server) -> None:
    server.down = True
    async with OpenQA(URL, "k", "s") as client:
        (said,) = await keep_results(client, {(7, "tag:b:important:1")}, "text")
    assert "group 7" in said


ODD = [None, [None], "\ud800\x1b]0;x\x07../" * 900]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: ascii(odd)[:9])
@pytest.mark.parametrize("capture", [FAILED, SCHEDULED])
async def test_a_run_with_any_field_odd_has_an_outcome_and_a_report(
    server: Server, gate: Gate, capture: str, odd: Any, tmp_path: Path
) -> None:
    """A whole gate for each place in a job (test_replay.py has them all): the result can be written down."""
    fields = list(server.jobs[server.job(1, capture)][0])
    server.refuses_restarts = True
    for name in fields:
        number = server.job(1, capture, **{name: odd})
        outcome = await gate(number, limits=Limits(overall=0.005, pickup=0.001, poll=0.001, grace=0))
        assert outcome.outcome is not Outcome.PASSED
        result = Result(command="promote-stable", outcome=outcome.outcome, reason=outcome.reason, checks=outcome.checks)
        assert result.model_dump_json().encode()
