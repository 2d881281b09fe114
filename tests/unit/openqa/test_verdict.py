from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest

from pipeline.domain import Channel, Outcome
from pipeline.openqa.jobs import Job, bug_references
from pipeline.openqa.submission import Answer
from pipeline.openqa.trees import bootings
from pipeline.openqa.verdict import Expectation, Scenario, State, adoptable, check_of, judge, judge_answer, judge_jobs
from pipeline.policy.waivers import Waiver
from pipeline.report.model import Check, CheckStatus

Recorded = Callable[..., Job]


def reported(job: Job, expected: Expectation, link: str) -> Check:
    """The check of the only job of a run."""
    ((_, finding),) = judge_jobs([job], expected)
    return check_of(job, finding, expected, link)


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
    two = replace(expected, jobs=2)
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


@pytest.mark.parametrize("setting", ["BUILD", "HDD_1", "PIPELINE_SUITE", "PIPELINE_DISK_SHA256"])
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
    lenient = replace(expected, accept_softfailed=True)
    assert judge(Answer(ids=(job.id,)), [job], lenient).state is State.PASSED
    assert reported(job, lenient, "link").status is CheckStatus.WAIVED


@pytest.mark.parametrize("capture", [FAILED, "null-failed.details"])
@pytest.mark.parametrize("result", ["passed", "softfailed"])
def test_a_comment_cannot_turn_a_failed_module_into_a_pass(
    recorded: Recorded, expected: Expectation, capture: str, result: str
) -> None:
    job = recorded(capture, result=result)
    lenient = replace(expected, accept_softfailed=True)
    verdict = judge(Answer(ids=(job.id,)), [job], lenient)
    assert verdict.state is State.FAILED
    assert "force_result" in verdict.reason


def test_a_module_that_may_fail_does_not_fail_the_job(recorded: Recorded, expected: Expectation) -> None:
    modules = [{"name": "boot", "result": "passed"}, {"name": "extra", "result": "failed", "important": 0}]
    job = recorded(PASSED, testresults=modules)
    assert judge(Answer(ids=(job.id,)), [job], expected).state is State.PASSED


def test_a_module_of_which_nobody_says_whether_it_counts_does(recorded: Recorded, expected: Expectation) -> None:
    modules = [{"name": "boot", "result": "passed"}, {"name": "extra", "result": "failed", "important": None}]
    job = recorded(PASSED, testresults=modules)
    assert judge(Answer(ids=(job.id,)), [job], expected).state is not State.PASSED


def test_only_a_list_names_the_jobs_that_belong_to_one(recorded: Recorded) -> None:
    assert recorded(PASSED, parents={"Chained": [12]}, children={}).relatives == {12}
    assert recorded(PASSED, parents={"Chained": "12"}, children={}).relatives == frozenset()


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
    check = reported(recorded(FAILED), expected, "https://openqa.example.org/tests/38")
    assert check.name == "openqa: Full Regression Suite@tcg"
    assert check.status is CheckStatus.FAILED
    assert "regression" in check.reason
    assert "https://openqa.example.org/tests/38" in check.reason
    assert "/usr/local/bin/regression' failed" in check.output


def test_a_skipped_job_is_reported_as_skipped(recorded: Recorded, expected: Expectation) -> None:
    assert reported(recorded("chained-parent-fails.child"), expected, "").status is CheckStatus.SKIPPED


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


def related(job: Job, *others: int, **settings: str) -> Job:
    return replace(job, relatives=frozenset(others), settings=job.settings | settings)


PUBLISHED = {"HDD_1": "installed-1.2.3.qcow2"}
"""What a child boots that starts from a disk which its parent published."""


def test_a_child_on_a_published_disk_counts_with_its_parent(recorded: Recorded, expected: Expectation) -> None:
    jobs = [related(recorded(PASSED, 1), 2), related(recorded(PASSED, 2), 1, **PUBLISHED, MACHINE="child")]
    verdict = judge(Answer(ids=(1, 2)), jobs, expected)
    assert verdict.state is State.PASSED
    assert "with Full Regression Suite@tcg, which booted the disk" in judge_jobs(jobs, expected)[1][1].reason


def test_a_tree_is_followed_over_all_its_branches(recorded: Recorded, expected: Expectation) -> None:
    support = related(recorded(PASSED, 1), 2, HDD_1="support-server.qcow2")
    jobs = [support, related(recorded(PASSED, 2), 1, 3), related(recorded(PASSED, 3), **PUBLISHED)]
    assert judge(Answer(ids=(1, 2, 3)), jobs, expected).state is State.PASSED


def test_a_relative_that_was_restarted_since_is_still_the_relative(recorded: Recorded, expected: Expectation) -> None:
    parent = replace(recorded(PASSED, 9), replaces=frozenset({1, 5}))
    jobs = [parent, related(recorded(PASSED, 2), 1, **PUBLISHED)]
    assert judge(Answer(ids=(1, 2)), jobs, expected).state is State.PASSED


@pytest.mark.parametrize("relatives", [(), (77,), (3,)])
def test_a_job_outside_of_such_a_tree_is_not_ours(
    recorded: Recorded, expected: Expectation, relatives: tuple[int, ...]
) -> None:
    alone = [related(recorded(PASSED, n), *relatives, **PUBLISHED) for n in (2, 3)]
    verdict = judge(Answer(ids=(1, 2, 3)), [recorded(PASSED, 1), *alone], expected)
    assert verdict.state is State.INVALID
    assert "installed-1.2.3.qcow2" in verdict.reason


@pytest.mark.parametrize("setting", ["BUILD", "PIPELINE_SUITE", "PIPELINE_DISK_SHA256"])
def test_a_relative_of_another_order_does_not_count(recorded: Recorded, expected: Expectation, setting: str) -> None:
    jobs = [related(recorded(PASSED, 1), 2), related(recorded(PASSED, 2), 1, **(PUBLISHED | {setting: "x"}))]
    assert judge(Answer(ids=(1, 2)), jobs, expected).state is State.INVALID


def test_the_recorded_chain_is_one_tree(recorded: Recorded, expected: Expectation) -> None:
    parent, child = recorded("chained-parent-fails.parent"), recorded("chained-parent-fails.child")
    alone = replace(child, settings=child.settings | PUBLISHED)
    assert bootings([parent, alone], "HDD_1", expected.disk).keys() == {33, 34}


def test_one_job_that_is_shown_for_two_is_no_run(recorded: Recorded, expected: Expectation) -> None:
    verdict = judge(Answer(ids=(1, 2)), [recorded(PASSED, 1), recorded(PASSED, 1)], expected)
    assert verdict.state is State.BROKEN


def test_the_disk_may_be_another_asset(recorded: Recorded, expected: Expectation) -> None:
    iso = replace(expected, asset="ISO")
    assert judge(Answer(ids=(1,)), [recorded(PASSED, 1)], iso).state is State.INVALID
    job = related(recorded(PASSED, 1), ISO=expected.disk, HDD_1="empty.qcow2")
    assert judge(Answer(ids=(1,)), [job], iso).state is State.PASSED


@pytest.mark.parametrize("capture", [FAILED, "null-incomplete.5-done-incomplete", "cancel-running.z-later"])
@pytest.mark.parametrize("name", ["Full Regression Suite", "Full Regression Suite@tcg", "no_vm@null", "no_vm"])
def test_an_advisory_job_is_shown_and_stops_nothing(
    recorded: Recorded, expected: Expectation, capture: str, name: str
) -> None:
    advisory = replace(expected, scenarios={name: Scenario(required=False)})
    jobs = [recorded(PASSED, 1, test="main"), recorded(capture, 2)]
    concerned = name in (jobs[1].test, jobs[1].title)
    verdict = judge(Answer(ids=(1, 2)), jobs, advisory)
    assert (verdict.state is State.PASSED) is concerned
    if concerned:
        (_, (job, finding)) = judge_jobs(jobs, advisory)
        check = check_of(job, finding, advisory, "link")
        assert not check.required
        assert check.status is not CheckStatus.PASSED
        assert "is not required" in verdict.reason


def test_an_advisory_job_is_waited_for_and_must_be_ours(recorded: Recorded, expected: Expectation) -> None:
    advisory = replace(expected, scenarios={"extra": Scenario(required=False)})
    running = recorded("null-passed.4-running-none", 2, test="extra")
    assert judge(Answer(ids=(1, 2)), [recorded(PASSED, 1), running], advisory).state is State.PENDING
    foreign = related(recorded(PASSED, 2, test="extra"), BUILD="x")
    assert judge(Answer(ids=(1, 2)), [recorded(PASSED, 1), foreign], advisory).state is State.INVALID


def test_a_run_of_advisory_jobs_alone_is_no_gate(recorded: Recorded, expected: Expectation) -> None:
    job = recorded(PASSED)
    advisory = replace(expected, scenarios={job.test: Scenario(required=False)})
    assert judge(Answer(ids=(job.id,)), [job], advisory).state is State.INVALID


@pytest.mark.parametrize(("general", "special", "passes"), [(False, True, True), (True, False, False)])
def test_softfailed_may_be_decided_by_scenario(
    recorded: Recorded, expected: Expectation, general: bool, special: bool, passes: bool
) -> None:
    job = recorded("null-softfailed.details")
    said = replace(expected, accept_softfailed=general, scenarios={job.test: Scenario(accept_softfailed=special)})
    assert (judge(Answer(ids=(job.id,)), [job], said).state is State.PASSED) is passes


TODAY = date(2026, 6, 1)


def with_waiver(expected: Expectation, until: date = TODAY, **about: str) -> Expectation:
    waiver = Waiver(gate=Channel.STABLE, bug="https://example.org/12", until=until, **about)
    return replace(expected, waivers=(waiver,), today=TODAY)


@pytest.mark.parametrize(
    ("about", "passes"),
    [
        ({"module": "regression"}, True),
        ({"job": "Full Regression Suite"}, True),
        ({"job": "Full Regression Suite@tcg", "module": "regression"}, True),
        ({"module": "regression", "match": "/usr/local/bin/regression"}, True),
        ({"module": "regression", "match": "something else"}, False),
        ({"module": "boot"}, False),
        ({"module": "regress"}, False),
        ({"job": "Full"}, False),
        ({"job": "another", "module": "regression"}, False),
    ],
)
def test_a_known_bug_lets_its_own_job_and_module_through(
    recorded: Recorded, expected: Expectation, about: dict[str, str], passes: bool
) -> None:
    job = recorded(FAILED)
    waived = with_waiver(expected, **about)
    verdict = judge(Answer(ids=(job.id,)), [job], waived)
    assert verdict.state is (State.PASSED if passes else State.FAILED)
    if passes:
        assert reported(job, waived, "link").status is CheckStatus.WAIVED
        assert "https://example.org/12" in verdict.reason


def test_the_only_module_of_a_job_may_be_the_known_bug(recorded: Recorded, expected: Expectation) -> None:
    job = recorded("null-failed.details")
    assert [module.result for module in job.modules or ()] == ["canceled"]
    assert judge(Answer(ids=(job.id,)), [job], with_waiver(expected, module="regression")).state is State.PASSED


@pytest.mark.parametrize("modules", [None, [], [{"name": "regression", "result": "none"}]])
def test_a_job_in_which_nothing_ran_is_no_known_bug(recorded: Recorded, expected: Expectation, modules: object) -> None:
    job = recorded(FAILED, testresults=modules)
    assert judge(Answer(ids=(job.id,)), [job], with_waiver(expected, job=job.test)).state is State.FAILED


def test_a_waiver_ends_on_its_day_and_says_so(recorded: Recorded, expected: Expectation) -> None:
    job = recorded(FAILED)
    ended = with_waiver(expected, until=TODAY - timedelta(days=1), module="regression")
    verdict = judge(Answer(ids=(job.id,)), [job], ended)
    assert verdict.state is State.FAILED
    assert "the waiver for https://example.org/12 ended on 2026-05-31" in verdict.reason


def test_every_failing_module_needs_a_waiver_and_one_that_never_ran_too(
    recorded: Recorded, expected: Expectation
) -> None:
    waived = with_waiver(expected, module="regression")
    for other in ("failed", "none"):
        modules = [{"name": "regression", "result": "failed"}, {"name": "later", "result": other}]
        job = recorded(FAILED, testresults=modules)
        assert judge(Answer(ids=(job.id,)), [job], waived).state is State.FAILED


@pytest.mark.parametrize(
    ("capture", "state"),
    [
        ("null-incomplete.5-done-incomplete", State.BROKEN),
        ("cancel-running.z-later", State.CANCELLED),
        ("chained-parent-fails.child", State.FAILED),
        ("null-passed.4-running-none", State.PENDING),
    ],
)
def test_what_broke_or_never_ran_has_nothing_to_waive(
    recorded: Recorded, expected: Expectation, capture: str, state: State
) -> None:
    job = recorded(capture)
    assert judge(Answer(ids=(job.id,)), [job], with_waiver(expected, job=job.test)).state is state


def test_a_known_soft_failure_is_waived_by_its_module(recorded: Recorded, expected: Expectation) -> None:
    job = recorded("null-softfailed.details")
    (soft,) = {module.name for module in job.modules or () if module.result == "softfailed"}
    assert judge(Answer(ids=(job.id,)), [job], with_waiver(expected, module=soft)).state is State.PASSED
    assert judge(Answer(ids=(job.id,)), [job], with_waiver(expected, module="x")).state is State.FAILED


def test_a_waiver_of_a_check_says_nothing_about_openqa(recorded: Recorded, expected: Expectation) -> None:
    job = recorded(FAILED)
    check = Waiver(check="regression", match=".", bug="https://example.org/12", until=TODAY)
    assert judge(Answer(ids=(job.id,)), [job], replace(expected, waivers=(check,), today=TODAY)).state is State.FAILED


def test_a_failed_job_says_how_to_repeat_it_elsewhere(recorded: Recorded, expected: Expectation) -> None:
    link = "https://openqa.example.org/tests/38"
    assert f"openqa-clone-job {link}" in reported(recorded(FAILED), expected, link).output
    assert "clone" not in reported(recorded(PASSED), expected, link).output


def test_times_without_zone_are_openqas_own(recorded: Recorded) -> None:
    job = recorded(PASSED, t_started="2026-01-01T00:00:00", t_finished="2026-01-01T01:00:07+01:00")
    assert job.seconds == 7
    assert recorded(PASSED, t_started=None, t_finished="0001-01-01T00:00:00+14:00").seconds == 0


@pytest.mark.parametrize(
    ("capture", "bugs", "state"),
    [
        (FAILED, {"bsc#12": "alice"}, State.PASSED),
        (FAILED, {"poo#7": "bob", "gh#o/n#1": "alice"}, State.PASSED),
        (FAILED, {"poo#7": "bob"}, State.FAILED),
        (FAILED, {"bscx#7": "bob"}, State.FAILED),
        (FAILED, {}, State.FAILED),
        ("null-softfailed.details", {"bsc#12": "alice"}, State.PASSED),
        ("null-incomplete.5-done-incomplete", {"bsc#12": "alice"}, State.BROKEN),
        ("chained-parent-fails.child", {"bsc#12": "alice"}, State.FAILED),
        ("null-passed.4-running-none", {"bsc#12": "alice"}, State.PENDING),
    ],
)
def test_a_bug_that_a_comment_names_counts_on_request(
    recorded: Recorded, expected: Expectation, capture: str, bugs: dict[str, str], state: State
) -> None:
    job = replace(recorded(capture), bugs=bugs)
    asked = replace(expected, trackers=("bsc", "gh"))
    verdict = judge(Answer(ids=(job.id,)), [job], asked)
    assert verdict.state is state
    if state is State.PASSED:
        assert reported(job, asked, "link").status is CheckStatus.WAIVED
        assert "#" in verdict.reason
        assert "alice" in verdict.reason
        assert judge(Answer(ids=(job.id,)), [job], expected).state is State.FAILED


def test_a_comment_with_a_bug_does_not_help_a_rewritten_result(recorded: Recorded, expected: Expectation) -> None:
    job = replace(recorded(FAILED, result="softfailed"), bugs={"bsc#12": "alice"})
    assert judge(Answer(ids=(job.id,)), [job], replace(expected, trackers=("bsc",))).state is State.FAILED


ODD_COMMENTS = [
    None,
    {},
    "bsc#1",
    [None, "bsc#1", {"bugrefs": None}, {"bugrefs": "bsc#1"}, {"bugrefs": {"bsc#1": 1}}, {"text": "bsc#1"}],
    [{"bugrefs": [None, 1, "bsc#", "#1", "bsc#" + "1" * 999, "bsc#1\n", "bsc# 1", "BSC#1"]}],
]


@pytest.mark.parametrize("comments", ODD_COMMENTS)
def test_odd_comments_name_no_bug(comments: object) -> None:
    assert bug_references(comments) == {}


def test_bugs_are_those_that_openqa_found() -> None:
    comments = [{"bugrefs": ["bsc#1", "gh#os/os#2"], "text": "poo#3", "userName": "a\x1b"}, {"bugrefs": []}]
    assert bug_references(comments) == {
        "bsc#1": "a\N{REPLACEMENT CHARACTER}",
        "gh#os/os#2": "a\N{REPLACEMENT CHARACTER}",
    }
