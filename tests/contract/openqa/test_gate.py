"""The gate against a real openQA: what the unit tests replay, live."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import anyio
import pytest

from pipeline.domain import Digest, Outcome
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.openqa.client import OpenQA
from pipeline.openqa.gate import GateOutcome, Limits, run_gate, still_passed
from pipeline.openqa.release import keep_results, tags_of
from pipeline.openqa.runs import Submission, acknowledge, find_run
from pipeline.openqa.submission import Answer, Order
from pipeline.openqa.verdict import Expectation, Scenario, State, judge_answer
from pipeline.policy.waivers import Waiver
from pipeline.report.model import CheckStatus

Lab = Any  # of conftest.py, which tests cannot import


async def gate(lab: Lab, order: Order, folder: Path, limits: Limits | None = None, **expect: Any) -> GateOutcome:
    answer = await lab.submit(order)
    submission = Submission(answer, Expectation.of(order, **expect))
    return await run_gate(lab.client, submission, folder, limits or lab.quick)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*")}


async def test_a_pass_is_reported_reused_and_watched_until_the_tag_moves(lab: Lab, tmp_path: Path) -> None:
    order = lab.order("passes")
    expected = Expectation.of(order)
    assert await find_run(lab.client, order, expected) is None
    submission = await acknowledge(lab.client, order, await lab.submit(order), expected)
    outcome = await run_gate(lab.client, submission, tmp_path, lab.quick)
    assert outcome.outcome is Outcome.PASSED, outcome.reason
    assert [check.name for check in outcome.checks] == ["openqa", "openqa: passes@null"]
    folder = tmp_path / f"{outcome.jobs[0]}-passes_null"
    assert json.loads((folder / "job.json").read_text())["result"] == "passed"
    assert "isotovideo" in (folder / "autoinst-log.txt").read_text()

    adopted = await find_run(lab.client, order, expected)
    assert adopted is not None
    assert adopted.answer.ids == outcome.jobs
    other_suite = replace(order, scenarios=f"{order.scenarios}\n# changed")
    assert await find_run(lab.client, other_suite, Expectation.of(other_suite)) is None

    assert await still_passed(lab.client, adopted, outcome)
    assert await lab.client.restart(outcome.jobs[0]) > outcome.jobs[0]
    assert not await still_passed(lab.client, adopted, outcome)


async def test_a_failed_suite_fails_the_gate_and_says_where(lab: Lab, tmp_path: Path) -> None:
    outcome = await gate(lab, lab.order("fails"), tmp_path)
    assert outcome.outcome is Outcome.GATE_FAILED
    check = outcome.checks[1]
    assert check.status is CheckStatus.FAILED
    assert "failed modules: no_machine" in check.reason
    assert "asked to fail" in check.output


async def test_a_comment_that_rewrites_the_result_does_not_open_the_gate(lab: Lab, tmp_path: Path) -> None:
    order = lab.order("fails")
    outcome = await gate(lab, order, tmp_path)
    comment = "text=label:force_result:passed:trust_me"
    await lab.api("-X", "POST", f"jobs/{outcome.jobs[0]}/comments", comment)
    assert (await lab.client.job(outcome.jobs[0])).result == "passed"
    adopted = Submission(Answer(ids=outcome.jobs), Expectation.of(order), adopted=True)
    again = await run_gate(lab.client, adopted, tmp_path, lab.quick)
    assert again.outcome is Outcome.GATE_FAILED
    assert "force_result" in again.reason


@pytest.mark.parametrize(("accepted", "outcome"), [(False, Outcome.GATE_FAILED), (True, Outcome.PASSED)])
async def test_softfailed_is_the_configurations_choice(
    lab: Lab, tmp_path: Path, accepted: bool, outcome: Outcome
) -> None:
    found = await gate(lab, lab.order("softfails"), tmp_path, accept_softfailed=accepted)
    assert found.outcome is outcome


async def test_a_suite_that_hangs_is_tried_twice_and_is_no_verdict(lab: Lab, tmp_path: Path) -> None:
    outcome = await gate(lab, lab.order("hangs"), tmp_path)
    assert outcome.outcome is Outcome.INFRA
    assert "MAX_JOB_TIME" in outcome.reason
    assert "restarted job" in outcome.checks[0].output


async def test_a_disk_that_cannot_be_downloaded_is_no_verdict(lab: Lab, tmp_path: Path) -> None:
    outcome = await gate(lab, lab.order("passes", served=False), tmp_path)
    assert outcome.outcome is Outcome.INFRA
    assert "404" in outcome.reason


async def test_a_job_that_no_worker_takes_ends_at_its_own_deadline(lab: Lab, tmp_path: Path) -> None:
    limits = replace(lab.quick, pickup=4)
    outcome = await gate(lab, lab.order("waits"), tmp_path, limits)
    assert outcome.outcome is Outcome.INFRA
    assert "nobody_has_this" in outcome.reason
    assert "2 workers are connected" in outcome.reason


async def test_what_the_server_refuses_is_understood(lab: Lab) -> None:
    order = lab.order("no such scenario")
    answers = {
        "created no job": await lab.submit(order),
        "secret": await lab.submit(order, secret="AAAABBBBCCCCDDDD"),
        "download_domains": await lab.submit(replace(order, disk_url="http://example.org/os-" + order.digest.short)),
        "no products found": await lab.submit(replace(order, scenarios="")),
    }
    for words, answer in answers.items():
        fault = judge_answer(answer, Expectation.of(order))
        assert fault is not None, words
        assert fault.state is State.INVALID, fault
        assert words in fault.reason


async def test_the_server_counts_the_jobs_as_the_answer_does(lab: Lab) -> None:
    answer = await lab.submit(lab.order("passes"))
    assert (await lab.client.scheduled_product(answer.scheduled_product))["job_ids"] == list(answer.ids)


async def test_a_wrong_secret_is_named(lab: Lab) -> None:
    async with OpenQA("http://openqa:9526", "FEDCBA0987654321", "AAAABBBBCCCCDDDD", address=lab.address) as client:
        with pytest.raises(PreconditionError, match=r"wrong secret.*clocks"):
            await client.scheduled_product(1)


async def test_a_server_that_is_not_there_is_an_outage() -> None:
    async with OpenQA("http://openqa:9526", address="127.0.0.1:9", deadline=1) as client:
        with pytest.raises(InfrastructureError, match="run again"):
            await client.workers()


@pytest.mark.thorough  # tests/e2e has both, through the whole pipeline
@pytest.mark.parametrize(
    ("name", "digest", "outcome"),
    [("good", "a" * 12, Outcome.PASSED), ("regressed", "b" * 12, Outcome.GATE_FAILED)],
)
async def test_the_suite_boots_the_untouched_disk_and_finds_a_regression(
    lab: Lab, tmp_path: Path, name: str, digest: str, outcome: Outcome
) -> None:
    order = replace(
        lab.order(""),
        flavor="qcow2",
        digest=Digest(f"sha256:{digest:0<64}"),
        disk_url=f"http://files:8080/{name}-{digest}.qcow2",
        scenarios=lab.suite,
    )
    found = await gate(lab, order, tmp_path, replace(lab.quick, overall=600))
    assert found.outcome is outcome, found.reason
    if outcome is Outcome.GATE_FAILED:
        assert "/tmp is for everybody" in found.checks[1].output
    assert "serial0.txt" in names(tmp_path)


async def test_a_run_that_was_not_acknowledged_is_submitted_anew(lab: Lab, tmp_path: Path) -> None:
    """As when openQA created some of its jobs, or the answer got lost."""
    order = lab.order("passes")
    await gate(lab, order, tmp_path)
    assert await find_run(lab.client, order, Expectation.of(order)) is None


async def test_a_chained_job_on_another_disk_counts_with_its_parent(lab: Lab, tmp_path: Path) -> None:
    outcome = await gate(lab, lab.order("first,then"), tmp_path, jobs=2)
    assert outcome.outcome is Outcome.PASSED, outcome.reason
    assert ["with first@null, which booted the disk" in check.reason for check in outcome.checks].count(True) == 1


async def test_a_job_on_another_disk_does_not_count_alone(lab: Lab, tmp_path: Path) -> None:
    outcome = await gate(lab, lab.order("other disk"), tmp_path)
    assert outcome.outcome is Outcome.PRECONDITION
    assert "os-00000000001f.qcow2" in outcome.reason


async def test_an_advisory_failure_and_a_known_bug_stop_nothing(lab: Lab, tmp_path: Path) -> None:
    advisory = {"fails": Scenario(required=False)}
    outcome = await gate(lab, lab.order("passes,fails"), tmp_path, jobs=2, scenarios=advisory)
    assert outcome.outcome is Outcome.PASSED, outcome.reason
    waiver = Waiver(module="no_machine", bug="https://example.org/1", until=date(2026, 1, 1))
    known = await gate(lab, lab.order("fails"), tmp_path, waivers=[waiver], today=date(2026, 1, 1))
    assert known.outcome is Outcome.PASSED, known.reason
    assert known.checks[1].status is CheckStatus.WAIVED


async def test_an_interrupted_run_leaves_no_job_behind(lab: Lab, tmp_path: Path) -> None:
    order = lab.order("long")
    answer = await lab.submit(order)
    with anyio.move_on_after(3):
        await run_gate(lab.client, Submission(answer, Expectation.of(order)), tmp_path, lab.quick)
    assert (await lab.client.job(answer.ids[0])).result in ("user_cancelled", "none")
    ended = await run_gate(
        lab.client, Submission(answer, Expectation.of(order), adopted=True), tmp_path, replace(lab.quick, overall=30)
    )
    assert ended.outcome is Outcome.CONFLICT


async def test_a_released_build_is_important_to_its_group(lab: Lab, tmp_path: Path) -> None:
    group = json.loads(await lab.api("-X", "POST", "job_groups", f"name=stable {tmp_path.name}"))["id"]
    order = lab.order("passes", {"GROUP_ID": str(group), "_PRIORITY": "40"})
    outcome = await gate(lab, order, tmp_path)
    assert (await lab.client.details(outcome.jobs[0]))["priority"] == 40
    assert outcome.inputs["openqa groups"] == str(group)
    tags = tags_of(outcome.inputs, "1.0.0")
    for _ in range(2):
        assert await keep_results(lab.client, tags, "os 1.0.0 was promoted") == []
    assert await lab.client.comments(f"groups/{group}") == [
        f"tag:{order.version}-{order.build}:important:1.0.0\n\nos 1.0.0 was promoted"
    ]
    builds = json.loads(await lab.api(f"job_groups/{group}/build_results", "show_tags=1"))["build_results"]
    assert [(build["key"], build["tag"]["type"]) for build in builds] == [(f"1-{order.build}", "important")]
