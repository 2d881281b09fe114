"""Where a run is, in words."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.openqa.jobs import Job, Module
from pipeline.openqa.progress import Progress, Running, progress, usual_times

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MODULES = (Module("boot", "passed"), Module("update", "running"), Module("desktop", "none"))
HOUR = 3600.0


def job(number: int, state: str, test: str = "boot", **more: Any) -> Job:
    return Job(number, state, "passed" if state == "done" else "none", test, **more)


def seen(*jobs: Job, usual: dict[str, float] | None = None, modules: tuple[Module, ...] = MODULES) -> Progress:
    told = [replace(one, modules=modules if one.state == "running" else None) for one in jobs]
    return progress(told, usual or {}, NOW, {one.id: f"https://o/tests/{one.id}" for one in jobs})


def test_a_job_says_its_module_its_time_and_its_page() -> None:
    running = job(7, "running", started=NOW - timedelta(minutes=2))
    assert seen(job(6, "done"), running).line == (
        "1 of 2 jobs have ended; boot runs update, module 2 of 3 (https://o/tests/7); running for 2m00s"
    )


def test_a_worker_that_tells_no_module_yet() -> None:
    assert seen(job(7, "running"), modules=()).what == "0 of 1 jobs have ended; boot is running (https://o/tests/7)"


def test_the_module_that_runs_is_known_before_the_results_of_those_before_it() -> None:
    modules = (Module("boot", "none"), Module("update", "running"))
    assert "runs update, module 2 of 2" in seen(job(7, "running"), modules=modules).what


def test_the_worker_that_is_waited_for_is_named() -> None:
    waiting = [job(number, "scheduled", f"t{number}", settings={"WORKER_CLASS": "tap"}) for number in range(5)]
    assert seen(*waiting).line == "0 of 5 jobs have ended; 5 wait for a worker of class tap: t0, t1, t2 …"


def test_many_jobs_are_a_number() -> None:
    assert "2 more are under way" in seen(*(job(number, "running") for number in range(5))).what


@pytest.mark.parametrize(
    ("jobs", "left"),
    [
        ([job(1, "running", started=NOW - timedelta(minutes=15))], 0.75 * HOUR),
        ([job(1, "running", started=NOW - timedelta(hours=2))], 0),
        ([job(1, "running", started=NOW), job(2, "scheduled"), job(3, "scheduled")], 3 * HOUR),
        ([job(1, "running", started=NOW), job(2, "running", started=NOW), job(3, "scheduled")], 1.5 * HOUR),
        ([job(1, "running", started=NOW), job(2, "scheduled", "never ran before")], None),
        ([job(1, "running")], HOUR),
        ([job(1, "done")], None),
    ],
)
def test_the_end_is_estimated_from_earlier_runs(jobs: list[Job], left: float | None) -> None:
    assert seen(*jobs, usual={"boot": HOUR}).left == left


def test_what_a_scenario_usually_takes_is_the_median() -> None:
    before = [job(number, "done", seconds=seconds) for number, seconds in enumerate([0.0, 10.0, 20.0, 900.0])]
    assert usual_times([*before, job(9, "done", "other", seconds=5.0)]) == {"boot": 20.0, "other": 5.0}


def test_every_recorded_job_can_be_shown(recorded: Callable[..., Job]) -> None:
    for capture in ("null-passed.4-running-none", "null-passed.1-scheduled-none", "real-passed.details"):
        assert seen(replace(recorded(capture), id=1)).line


def test_lines_change_only_with_what_happens() -> None:
    first = Progress(2, 0, (Running("boot", "l", "running", "", 5.0),))
    later = replace(first, running=(replace(first.running[0], seconds=65.0),), left=10.0)
    assert first.what == later.what
    assert first.line != later.line
