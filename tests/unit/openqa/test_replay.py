"""Every recorded job, with whatever anywhere in it: an outcome, never a traceback, never a pass that was none."""

import copy
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.openqa.jobs import Job
from pipeline.openqa.progress import progress, usual_times
from pipeline.openqa.submission import DISK, SUITE, Answer, Order
from pipeline.openqa.verdict import Expectation, State, Verdict, check_of, judge, judge_jobs
from pipeline.report.model import CheckStatus

ODD: list[Any] = [
    *(None, True, 0, -1, 1.5, 10**400, float("nan"), "", "0", "done", "passed", "\x00\x1b]0;x\x07../../etc\ud800" * 99),
    *(
        [],
        [None],
        [[]],
        {},
        {"": None},
        {"name": "x"},
        "2026-01-01",
        "0001-01-01T00:00:00+14:00",
        "2026-13-41T25:61:61",
    ),
]
UNREADABLE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
"""What the client turns into an outage (`OpenQA._understood`)."""
NOW = datetime(2026, 12, 1, tzinfo=UTC)
CAPTURES = Path(__file__).parent / "captures"
JOBS = sorted(path.stem for path in CAPTURES.glob("*.json") if '"job": {' in path.read_text())
QUICK = ["null-softfailed.details", "real-failed.details", "worker-death.clone.6-done-incomplete"]
DECISIVE = [("state",), ("result",), ("id",), ("clone_id",), ("testresults",)]
DECISIVE += [("settings", name) for name in ("BUILD", SUITE, DISK, "HDD_1")] + [("settings",)]
Recorded = Callable[[str], dict[str, Any]]


@pytest.fixture
def wanted(order: Order) -> Expectation:
    return Expectation.of(order, accept_softfailed=True, trackers=("bsc",))


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a document."""
    children = data.items() if isinstance(data, dict) else enumerate(data[:2]) if isinstance(data, list) else ()
    for name, value in children:
        yield (*path, name)
        yield from places(value, (*path, name))


def altered(job: dict[str, Any], path: tuple[Any, ...], odd: Any) -> dict[str, Any]:
    found = copy.deepcopy(job)
    inner = found
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = odd
    return found


def shown(data: dict[str, Any], wanted: Expectation) -> Verdict:
    """What the gate makes of an answer, with everything that a reader sees of it."""
    try:
        job = Job.parse(data)
    except UNREADABLE:
        return Verdict(State.BROKEN, "does not answer like openQA")
    ((_, finding),) = judge_jobs([job], wanted)
    check = check_of(job, finding, wanted, "https://openqa.example.org/tests/1")
    assert check.model_dump_json().encode()
    told = progress([job], usual_times([job]), NOW, {job.id: "link"})
    assert told.line.encode()
    verdict = judge(Answer(ids=(job.id,)), [job], wanted)
    assert (verdict.state is State.PASSED) == (check.status in (CheckStatus.PASSED, CheckStatus.WAIVED))
    return verdict


def replayed(job: dict[str, Any], wanted: Expectation) -> None:
    was = shown(job, wanted).state
    for path in places(job):
        for odd in ODD:
            now = shown(altered(job, path, odd), wanted).state
            if now is State.PASSED and was is not State.PASSED:
                assert path[0] in ("result", "state", "testresults", "clone_id"), (path, odd)


@pytest.mark.parametrize("name", QUICK)
def test_whatever_is_odd_is_an_outcome(as_ours: Recorded, wanted: Expectation, name: str) -> None:
    replayed(as_ours(name), wanted)


@pytest.mark.thorough
@pytest.mark.parametrize("name", JOBS)
def test_whatever_is_odd_anywhere_in_any_recorded_job_is_an_outcome(
    as_ours: Recorded, wanted: Expectation, name: str
) -> None:
    replayed(as_ours(name), wanted)


@pytest.mark.parametrize("path", DECISIVE, ids=str)
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: ascii(odd)[:12])
def test_a_pass_in_which_anything_decisive_is_odd_is_none(
    as_ours: Recorded, wanted: Expectation, path: tuple[str, ...], odd: Any
) -> None:
    job = as_ours("real-passed.details")
    assert shown(job, wanted).state is State.PASSED
    same = {("state",): ["done"], ("result",): ["passed"], ("clone_id",): [None, 0, "", [], {}], ("id",): []}
    if odd not in same.get(path, []):
        assert path == ("id",) or shown(altered(job, path, odd), wanted).state is not State.PASSED


def test_all_recorded_jobs_are_replayed() -> None:
    assert set(QUICK) < set(JOBS)
    assert len(JOBS) > 25
