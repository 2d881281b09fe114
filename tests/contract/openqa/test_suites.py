"""Suites as operators run them, and what happens to them: people, other builds, crashes; against a real openQA."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from pipeline.commands.openqa_looks import looks
from pipeline.config import parse
from pipeline.domain import Outcome
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.openqa.client import OpenQA
from pipeline.openqa.gate import GateOutcome, run_gate
from pipeline.openqa.progress import Progress
from pipeline.openqa.runs import Submission, acknowledge, created, find_run
from pipeline.openqa.submission import Answer, Order
from pipeline.openqa.verdict import Expectation, judge_answer

Lab = Any  # of conftest.py, which tests cannot import

VISITOR = "1111111111111111"


async def gate(lab: Lab, order: Order, folder: Path, **expect: Any) -> GateOutcome:
    submission = Submission(await lab.submit(order), Expectation.of(order, **expect))
    return await run_gate(lab.client, submission, folder, lab.quick)


async def test_two_machines_side_by_side_are_one_tree(lab: Lab, tmp_path: Path) -> None:
    outcome = await gate(lab, lab.order("one side,other side"), tmp_path, jobs=2)
    assert outcome.outcome is Outcome.PASSED, outcome.reason
    ours = [await lab.client.job(number) for number in outcome.jobs]
    assert {number for job in ours for number in job.relatives} == set(outcome.jobs)


async def test_flavors_of_one_build_are_runs_of_their_own(lab: Lab, tmp_path: Path) -> None:
    order = lab.order("passes")
    other = replace(order, flavor="other", test="both flavors")
    runs = []
    for one in (order, other):
        answer = await lab.submit(one)
        runs.append(await acknowledge(lab.client, one, answer, Expectation.of(one)))
    for number, run in enumerate(runs):
        outcome = await run_gate(lab.client, run, tmp_path / str(number), lab.quick)
        assert outcome.outcome is Outcome.PASSED, outcome.reason
    for one, run in zip((order, other), runs, strict=True):
        found = await find_run(lab.client, one, Expectation.of(one))
        assert found is not None
        assert found.answer.ids == run.answer.ids


async def test_a_bug_that_is_named_in_a_comment_counts_on_request(lab: Lab, tmp_path: Path) -> None:
    order = lab.order("fails")
    asked = Expectation.of(order, trackers=("bsc",))
    outcome = await run_gate(lab.client, Submission(await lab.submit(order), asked), tmp_path, lab.quick)
    assert outcome.outcome is Outcome.GATE_FAILED
    await lab.api("-X", "POST", f"jobs/{outcome.jobs[0]}/comments", "text=as in bsc#1234 and gh#os/os#7")
    again = Submission(Answer(ids=outcome.jobs), asked, adopted=True)
    outcome = await run_gate(lab.client, again, tmp_path, lab.quick)
    assert outcome.outcome is Outcome.PASSED, outcome.reason
    assert "bsc#1234 (admin)" in outcome.reason
    assert "gh#" not in outcome.reason


async def test_a_flaky_scenario_is_followed_to_its_retry(lab: Lab, tmp_path: Path) -> None:
    outcome = await gate(lab, lab.order("flaky"), tmp_path)
    assert outcome.outcome is Outcome.PASSED, outcome.reason


async def test_a_job_that_a_person_cancels_is_no_verdict(lab: Lab, tmp_path: Path) -> None:
    order = lab.order("long")
    answer = await lab.submit(order)
    async with anyio.create_task_group() as group:

        async def a_person() -> None:
            await anyio.sleep(3)
            await lab.client.cancel(answer.ids[0])

        group.start_soon(a_person)
        outcome = await run_gate(lab.client, Submission(answer, Expectation.of(order)), tmp_path, lab.quick)
    assert outcome.outcome is Outcome.CONFLICT
    assert "user_cancelled" in outcome.reason


async def test_what_cannot_be_made_in_the_background_is_no_run(lab: Lab) -> None:
    order = replace(lab.order("no such scenario"), background=True)
    answers = [
        await created(lab.client, await lab.submit(one), 30, 0.5)
        for one in (order, replace(order, scenarios="a: [1"), replace(order, scenarios=""))
    ]
    faults = [judge_answer(answer, Expectation.of(order)) for answer in answers]
    assert [fault.state.outcome for fault in faults if fault] == [Outcome.PRECONDITION] * 3
    assert "Unable to load YAML" in answers[1].error


async def test_a_key_without_rights_is_named(lab: Lab) -> None:
    async with OpenQA(lab.client.url, VISITOR, VISITOR, address=lab.address) as client:
        with pytest.raises(PreconditionError, match="operator"):
            await client.scheduled_product(1)


async def test_doctor_sees_what_is_missing(lab: Lab) -> None:
    group = f"group {lab.order('passes').disk}"
    await lab.api("-X", "POST", "job_groups", f"name={group}")

    async def said(key: str = "FEDCBA0987654321", host: str = "files", group: str = group) -> dict[str, str]:
        config = parse(
            f'[images.os]\nrepository = "ghcr.io/o/os"\n[gates.stable]\n'
            f'upload = {{ url = "http://up", public_url = "http://{host}/d" }}\n'
            f'openqa = {{ url = "http://o", scenarios = "s", distri = "bootclab", '
            f'settings = {{ _GROUP = "{group}" }} }}\n'
        )

        async def scenarios() -> str:
            return str(lab.suite)

        found = {}
        async with OpenQA(lab.client.url, key, key, address=lab.address, deadline=5) as client:
            for name, look in looks(client, config, config.selected([]), scenarios).items():
                try:
                    await look()
                except (PreconditionError, InfrastructureError) as error:
                    found[name] = str(error)
        return found

    assert await said() == {}
    assert list(await said(VISITOR)) == ["openqa key", "openqa download"]
    assert "wrong secret" not in str(await said("2222222222222222"))
    missing = await said(host="example.org", group="nobody")
    assert list(missing) == ["openqa groups", "openqa download"]
    assert "download_domains" in missing["openqa download"]
    jobs = json.loads(await lab.api("jobs", "distri=bootc-pipeline-doctor"))["jobs"]
    assert jobs == [], "asking makes no job"


@pytest.mark.thorough
async def test_a_worker_that_dies_costs_nothing_but_time(lab: Lab, tmp_path: Path) -> None:
    outcome = await gate(lab, lab.order("worker dies"), tmp_path)
    assert outcome.outcome is Outcome.PASSED, outcome.reason


@pytest.mark.thorough
async def test_a_server_that_restarts_while_it_is_polled(lab: Lab, tmp_path: Path) -> None:
    outcome = await gate(lab, lab.order("server restarts"), tmp_path)
    assert outcome.outcome is Outcome.PASSED, outcome.reason


@pytest.mark.thorough
async def test_who_waits_sees_module_and_page(lab: Lab, tmp_path: Path) -> None:
    order = lab.order("steps")
    told: list[Progress] = []
    run = Submission(await lab.submit(order), Expectation.of(order))
    outcome = await run_gate(lab.client, run, tmp_path, lab.quick, told.append)
    assert outcome.outcome is Outcome.PASSED, outcome.reason
    said = [job.module for now in told for job in now.running]
    assert [text for text in said if "of 3" in text], said
