"""What happens to runs on a server that others use, too, and that is no better than any; against a real openQA."""

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from pipeline.domain import Outcome
from pipeline.errors import PreconditionError
from pipeline.openqa.gate import GateOutcome, run_gate
from pipeline.openqa.runs import Submission, acknowledge, find_run
from pipeline.openqa.submission import Order
from pipeline.openqa.verdict import Expectation

Lab = Any  # of conftest.py, which tests cannot import


async def gate(lab: Lab, order: Order, folder: Path, **expect: Any) -> GateOutcome:
    expected = Expectation.of(order, **expect)
    submission = await acknowledge(lab.client, order, await lab.submit(order), expected)
    return await run_gate(lab.client, submission, folder, lab.quick)


async def test_a_run_that_another_build_obsoletes_is_no_verdict(lab: Lab, tmp_path: Path) -> None:
    ours, theirs = (replace(lab.order("", {"SLEEP": wait}), flavor="lone") for wait in ("60", "0"))
    theirs = replace(theirs, extra={"_OBSOLETE": "1"})
    answer = await lab.submit(ours)
    async with anyio.create_task_group() as group:

        async def another_build() -> None:
            await anyio.sleep(3)
            outcome = await gate(lab, theirs, tmp_path / "theirs")
            assert outcome.outcome is Outcome.PASSED, outcome.reason

        group.start_soon(another_build)
        outcome = await run_gate(lab.client, Submission(answer, Expectation.of(ours)), tmp_path / "ours", lab.quick)
    assert outcome.outcome is Outcome.CONFLICT
    assert "obsoleted" in outcome.reason


async def test_a_run_of_which_a_job_was_cleaned_up_is_submitted_anew(lab: Lab, tmp_path: Path) -> None:
    order = lab.order("first,then")
    outcome = await gate(lab, order, tmp_path, jobs=2)
    expected = Expectation.of(order, jobs=2)
    assert await find_run(lab.client, order, expected) is not None
    for number in sorted(outcome.jobs, reverse=True):  # the first one has the comment by which the run is known
        await lab.api("-X", "DELETE", f"jobs/{number}")
        assert await find_run(lab.client, order, expected) is None
    again = await gate(lab, order, tmp_path / "again", jobs=2)
    assert again.outcome is Outcome.PASSED, again.reason


async def test_a_run_that_was_created_in_part_is_cancelled_and_can_be_repeated(lab: Lab, tmp_path: Path) -> None:
    order = lab.order("long,orphan")
    answer = await lab.submit(order)
    assert answer.ids
    assert answer.failed
    run = await acknowledge(lab.client, order, answer, Expectation.of(order))
    outcome = await run_gate(lab.client, run, tmp_path / "part", lab.quick)
    assert outcome.outcome is Outcome.PRECONDITION
    assert "could not create 1 jobs" in outcome.reason
    assert "nobody" in outcome.reason
    mended = replace(order, test="passes")
    assert await find_run(lab.client, mended, Expectation.of(mended)) is None
    again = await gate(lab, mended, tmp_path / "again")
    assert again.outcome is Outcome.PASSED, again.reason
    assert [(await lab.client.job(number)).result for number in answer.ids] == ["user_cancelled"] * len(answer.ids)


async def test_a_timer_that_the_emulator_lost_is_tried_again_once(lab: Lab, tmp_path: Path) -> None:
    once = await gate(lab, lab.order("emulated"), tmp_path / "once")
    assert once.outcome is Outcome.PASSED, once.reason
    assert "emulated timer lost" in once.checks[0].output
    twice = await gate(lab, lab.order("badly emulated"), tmp_path / "twice")
    assert twice.outcome is Outcome.INFRA
    assert "emulated timer lost" in twice.reason
    assert twice.checks[0].output.count("restarted job") == 1


async def test_a_clock_that_is_off_is_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as fast:
        fast.setattr("pipeline.openqa.transport.time", SimpleNamespace(time=lambda: time.time() + 400))
        with pytest.raises(PreconditionError, match=r"timestamp mismatch.*clocks agree within 300 s"):
            await lab.client.scheduled_product(1)
    assert await lab.client.scheduled_product(1)
