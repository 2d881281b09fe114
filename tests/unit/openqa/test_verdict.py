from collections.abc import Callable

import pytest

from pipeline.domain import Outcome
from pipeline.openqa.jobs import Job
from pipeline.openqa.submission import Answer
from pipeline.openqa.verdict import Expectation, State, adoptable, check_of, judge, judge_answer
from pipeline.report.model import CheckStatus

Recorded = Callable[..., Job]

PASSED, FAILED = "real-passed.details", "real-failed.details"


@pytest.mark.parametrize(
    ("capture", "state", "words"),
    [
        ("null-passed.details", State.PASSED, "1 of 1 jobs passed"),
        (PASSED, State.PASSED, "1 of 1 jobs passed"),
        (FAILED, State.FAILED, "failed modules: regression"),
        ("null-failed.details", State.FAILED, "failed modules: regression"),
        ("null-softfailed.details", State.FAILED, "softfailed"),
        ("null-passed.1-scheduled-none", State.PENDING, "scheduled"),
        ("null-passed.4-running-none", State.PENDING, "running"),
        ("null-passed.5-uploading-none", State.PENDING, "uploading"),
        ("worker-death.job-while-worker-dead", State.PENDING, "running"),
        ("restart-running.old.1-running-user_restarted", State.PENDING, ""),
        ("restart-running.old.3-done-user_restarted", State.PENDING, ""),
        ("retry.old-done-with-clone", State.PENDING, ""),
        ("retry.old-done-clone-not-yet", State.FAILED, "serial0"),
        ("null-incomplete.5-done-incomplete", State.BROKEN, "unable to load main.pm"),
        ("null-timeout.5-done-timeout_exceeded", State.BROKEN, "MAX_JOB_TIME"),
        ("worker-death.clone.6-done-incomplete", State.BROKEN, "remote end terminated"),
        ("asset-missing.4-done-incomplete", State.BROKEN, "Cannot find HDD_1 asset"),
        ("download-404.2-done-incomplete", State.BROKEN, "404 File not found"),
        ("cancel-running.5-cancelled-user_cancelled", State.CANCELLED, "user_cancelled"),
        ("cancel-running.z-later", State.CANCELLED, "user_cancelled"),
        ("obsolete-running.1-cancelled-obsoleted", State.CANCELLED, "obsoleted"),
        ("chained-parent-fails.child", State.FAILED, "skipped"),
    ],
)
def test_every_recorded_job_has_its_meaning(
    recorded: Recorded, expected: Expectation, capture: str, state: State, words: str
) -> None:
    job = recorded(capture)
    verdict = judge(Answer(ids=(job.id,)), [job], expected)
    assert verdict.state is state
    assert words in verdict.reason


@pytest.mark.parametrize(
    ("answer", "outcome", "words"),
    [
        (Answer(), Outcome.PRECONDITION, "created no job"),
        (Answer(ids=(1,), failed=('{"error": "x"}',)), Outcome.PRECONDITION, "could not create"),
        (Answer(ids=(1,), error="no products found"), Outcome.PRECONDITION, "no products found"),
        (Answer(error="unknown error (wrong secret?)", status=403), Outcome.PRECONDITION, "secret"),
        (Answer(error="non-passlisted host x", status=403), Outcome.PRECONDITION, "download_domains"),
        (Answer(error="Connection refused", status=0), Outcome.INFRA, "did not take"),
        (Answer(error="Bad Gateway", status=502), Outcome.INFRA, "did not take"),
        (Answer(error="slow down", status=429), Outcome.INFRA, "did not take"),
    ],
)
def test_a_bad_answer_is_never_a_success(
    expected: Expectation, recorded: Recorded, answer: Answer, outcome: Outcome, words: str
) -> None:
    verdict = judge(answer, [recorded(PASSED, number) for number in answer.ids], expected)
    assert verdict.state.outcome is outcome
    assert words in verdict.reason


def test_fewer_jobs_than_expected_are_not_a_success(recorded: Recorded, expected: Expectation) -> None:
    job = recorded(PASSED)
    two = Expectation(expected.build, expected.disk, expected.suite, jobs=2)
    assert judge(Answer(ids=(job.id,)), [job], two).state is State.INVALID
    assert judge(Answer(ids=(job.id, job.id)), [job, job], two).state is State.INVALID


def test_jobs_that_the_server_does_not_show_are_not_a_success(recorded: Recorded, expected: Expectation) -> None:
    assert judge(Answer(ids=(1, 2)), [recorded(PASSED, 1)], expected).state is State.INVALID
    assert judge(Answer(ids=(1,)), [], expected).state is State.INVALID


def test_more_jobs_than_expected_must_all_pass(recorded: Recorded, expected: Expectation) -> None:
    jobs = [recorded(PASSED, 1), recorded(FAILED, 2), recorded(PASSED, 3)]
    verdict = judge(Answer(ids=(1, 2, 3)), jobs, expected)
    assert verdict.state is State.FAILED
    assert "job 2" in verdict.reason


def test_nothing_is_concluded_while_one_job_runs(recorded: Recorded, expected: Expectation) -> None:
    jobs = [recorded(FAILED, 1), recorded("null-passed.4-running-none", 2)]
    assert judge(Answer(ids=(1, 2)), jobs, expected).state is State.PENDING


@pytest.mark.parametrize("setting", ["BUILD", "HDD_1", "PIPELINE_SUITE"])
@pytest.mark.parametrize("value", ["another", None])
def test_a_job_on_another_disk_build_or_suite_does_not_count(
    recorded: Recorded, expected: Expectation, setting: str, value: str | None
) -> None:
    settings = dict(recorded(PASSED).settings)
    settings.pop(setting)
    job = recorded(PASSED, settings=settings | ({setting: value} if value else {}))
    verdict = judge(Answer(ids=(job.id,)), [job], expected)
    assert verdict.state is State.INVALID
    assert setting in verdict.reason


def test_softfailed_passes_only_by_configuration_and_shows_as_waived(recorded: Recorded, expected: Expectation) -> None:
    job = recorded("null-softfailed.details")
    lenient = Expectation(expected.build, expected.disk, expected.suite, accept_softfailed=True)
    assert judge(Answer(ids=(job.id,)), [job], lenient).state is State.PASSED
    assert check_of(job, lenient, "link").status is CheckStatus.WAIVED


@pytest.mark.parametrize("capture", [FAILED, "null-failed.details"])
@pytest.mark.parametrize("result", ["passed", "softfailed"])
def test_a_comment_cannot_turn_a_failed_module_into_a_pass(
    recorded: Recorded, expected: Expectation, capture: str, result: str
) -> None:
    job = recorded(capture, result=result)
    lenient = Expectation(expected.build, expected.disk, expected.suite, accept_softfailed=True)
    verdict = judge(Answer(ids=(job.id,)), [job], lenient)
    assert verdict.state is State.FAILED
    assert "force_result" in verdict.reason


def test_a_module_that_may_fail_does_not_fail_the_job(recorded: Recorded, expected: Expectation) -> None:
    modules = [{"name": "boot", "result": "passed"}, {"name": "extra", "result": "failed", "important": 0}]
    job = recorded(PASSED, testresults=modules)
    assert judge(Answer(ids=(job.id,)), [job], expected).state is State.PASSED


@pytest.mark.parametrize("modules", [None, [], [{"name": "boot", "result": "skipped"}]])
def test_a_job_in_which_nothing_ran_has_not_passed(recorded: Recorded, expected: Expectation, modules: object) -> None:
    job = recorded(PASSED, testresults=modules)
    verdict = judge(Answer(ids=(job.id,)), [job], expected)
    assert verdict.state is State.FAILED
    assert "no test module ran" in verdict.reason


def test_a_result_of_a_newer_openqa_is_no_verdict(recorded: Recorded, expected: Expectation) -> None:
    job = recorded(PASSED, result="splendid")
    assert judge(Answer(ids=(job.id,)), [job], expected).state is State.BROKEN


def test_a_state_of_a_newer_openqa_is_waited_for(recorded: Recorded, expected: Expectation) -> None:
    job = recorded(PASSED, state="archiving")
    assert judge(Answer(ids=(job.id,)), [job], expected).state is State.PENDING


def test_an_image_that_fails_outranks_a_run_that_broke(recorded: Recorded, expected: Expectation) -> None:
    jobs = [recorded("null-incomplete.5-done-incomplete", 1), recorded(FAILED, 2)]
    verdict = judge(Answer(ids=(1, 2)), jobs, expected)
    assert verdict.state is State.FAILED
    assert not verdict.broken


@pytest.mark.parametrize("consequence", ["skipped", "parallel_failed", "parallel_restarted"])
def test_what_follows_from_a_broken_run_is_not_a_failed_image(
    recorded: Recorded, expected: Expectation, consequence: str
) -> None:
    jobs = [recorded("null-incomplete.5-done-incomplete", 1), recorded(FAILED, 2, result=consequence)]
    verdict = judge(Answer(ids=(1, 2)), jobs, expected)
    assert verdict.state is State.BROKEN
    assert verdict.broken == (1,)


def test_what_follows_from_a_failed_job_names_the_job_that_failed(recorded: Recorded, expected: Expectation) -> None:
    jobs = [recorded("chained-parent-fails.parent", 33), recorded("chained-parent-fails.child", 34)]
    verdict = judge(Answer(ids=(33, 34)), jobs, expected)
    assert verdict.state is State.FAILED
    assert "job 33" in verdict.reason
    assert "job 34" not in verdict.reason


def test_the_check_of_a_failed_job_says_module_finding_and_link(recorded: Recorded, expected: Expectation) -> None:
    check = check_of(recorded(FAILED), expected, "https://openqa.example.org/tests/38")
    assert check.name == "openqa: Full Regression Suite@tcg"
    assert check.status is CheckStatus.FAILED
    assert "regression" in check.reason
    assert "https://openqa.example.org/tests/38" in check.reason
    assert "/usr/local/bin/regression' failed" in check.output


def test_a_skipped_job_is_reported_as_skipped(recorded: Recorded, expected: Expectation) -> None:
    assert check_of(recorded("chained-parent-fails.child"), expected, "").status is CheckStatus.SKIPPED


@pytest.mark.parametrize(
    ("capture", "reused"),
    [
        (PASSED, True),
        (FAILED, True),
        ("null-passed.4-running-none", True),
        ("null-passed.1-scheduled-none", True),
        ("null-incomplete.5-done-incomplete", False),
        ("cancel-running.z-later", False),
    ],
)
def test_running_and_finished_runs_are_reused_and_broken_ones_are_not(
    recorded: Recorded, expected: Expectation, capture: str, reused: bool
) -> None:
    assert adoptable([recorded(capture)], expected) is reused


def test_jobs_of_somebody_else_are_never_adopted(recorded: Recorded, expected: Expectation) -> None:
    job = recorded(PASSED, settings={"BUILD": expected.build, "HDD_1": expected.disk})
    assert not adoptable([job], expected)


def test_a_good_answer_has_nothing_wrong(expected: Expectation) -> None:
    assert judge_answer(Answer(ids=(7,)), expected) is None
