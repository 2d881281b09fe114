"""The verdict over the jobs of a run: pure, from plain values, in one place.

openQA's own words for a result are in lib/OpenQA/Jobs/Constants.pm of openQA; what each means for a release is here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pipeline.domain import Outcome
from pipeline.openqa.jobs import Job
from pipeline.openqa.submission import SUITE, Answer, Order
from pipeline.report.model import Check, CheckStatus


class State(StrEnum):
    """Where a run stands."""

    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"
    BROKEN = "broken"
    """The run itself broke; this says nothing about the image. Worth one restart."""
    CANCELLED = "cancelled"
    """Somebody or something else stopped it."""
    INVALID = "invalid"
    """What ran is not what was asked for; its results mean nothing."""

    @property
    def outcome(self) -> Outcome:
        """How a command ends on it; a run that is still pending at the deadline is an outage."""
        return _OUTCOMES[self]


_OUTCOMES = {
    State.PENDING: Outcome.INFRA,
    State.PASSED: Outcome.PASSED,
    State.FAILED: Outcome.GATE_FAILED,
    State.BROKEN: Outcome.INFRA,
    State.CANCELLED: Outcome.CONFLICT,
    State.INVALID: Outcome.PRECONDITION,
}

_RESULTS = {
    "passed": State.PASSED,
    "softfailed": State.FAILED,  # unless the configuration accepts it
    "failed": State.FAILED,
    "parallel_failed": State.FAILED,  # another job of the same cluster failed
    "skipped": State.FAILED,  # its parent did not pass: it never ran
    "incomplete": State.BROKEN,
    "timeout_exceeded": State.BROKEN,
    "parallel_restarted": State.BROKEN,
    "user_cancelled": State.CANCELLED,
    "user_restarted": State.CANCELLED,
    "obsoleted": State.CANCELLED,
}

_CONSEQUENCES = frozenset({"skipped", "parallel_failed", "parallel_restarted"})
"""Results that only repeat what happened to another job of the run; when that one is there, it decides."""

_WORST_FIRST = (State.INVALID, State.FAILED, State.CANCELLED, State.BROKEN)


@dataclass(frozen=True)
class Expectation:
    """What a run must be before its result counts."""

    build: str
    disk: str
    suite: str
    jobs: int = 1
    """At least this many; fewer means that the suite did not really run."""
    accept_softfailed: bool = False

    @classmethod
    def of(cls, order: Order, *, jobs: int = 1, accept_softfailed: bool = False) -> "Expectation":
        """What follows from what was asked for."""
        return cls(order.build, order.disk, order.suite, jobs, accept_softfailed)


@dataclass(frozen=True)
class Finding:
    """What one job comes to, and why."""

    state: State
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What all jobs together come to."""

    state: State
    reason: str
    broken: tuple[int, ...] = ()
    """The jobs that may be restarted, when nothing worse than a broken run was found."""


def judge(answer: Answer, jobs: Sequence[Job], expected: Expectation) -> Verdict:
    """Draw the verdict.

    Args:
        answer: of the submission (or of the jobs that were adopted instead).
        jobs: for every id of the answer the newest job of its chain of clones, details read when final.
        expected: what must have run.

    Pending until every job is final; passed only when there are at least the expected number of jobs, each passed, each
    on the disk under test, each with a module that really ran.
    """
    refused = judge_answer(answer, expected)
    if refused:
        return refused
    if len(jobs) != len(answer.ids):
        return Verdict(State.INVALID, f"openQA made {len(answer.ids)} jobs but shows {len(jobs)} of them")
    findings = [(job, judge_job(job, expected)) for job in jobs]
    waiting = [job for job, finding in findings if finding.state is State.PENDING]
    if waiting:
        return Verdict(State.PENDING, "; ".join(f"{job.title} is {job.state}" for job in waiting))
    bad = [(job, finding) for job, finding in findings if finding.state is not State.PASSED]
    causes = [(job, finding) for job, finding in bad if job.result not in _CONSEQUENCES] or bad
    for state in _WORST_FIRST:
        found = [(job, finding) for job, finding in causes if finding.state is state]
        if found:
            reason = "; ".join(f"{job.title} (job {job.id}): {finding.reason}" for job, finding in found)
            return Verdict(state, reason, tuple(job.id for job, _ in found) if state is State.BROKEN else ())
    return Verdict(State.PASSED, f"{len(jobs)} of {len(jobs)} jobs passed on {expected.disk}")


def judge_answer(answer: Answer, expected: Expectation) -> Verdict | None:
    """Say what is wrong with the answer to a submission; None when its jobs can be waited for."""
    if answer.status in (0, 429) or answer.status >= 500:
        return Verdict(State.BROKEN, f"openQA did not take the submission: {answer.error}")
    if answer.status == 403 and "passlisted" not in answer.error:
        hint = "check the API key and secret, that its user is an operator, and this machine's clock (300 s of skew)"
        return Verdict(State.INVALID, f"openQA refused the submission: {answer.error}; {hint}")
    if answer.status == 403:
        return Verdict(
            State.INVALID, f"openQA may not download the disk: {answer.error} (download_domains, openqa.ini)"
        )
    if answer.error:
        return Verdict(State.INVALID, f"openQA refused the submission: {answer.error}")
    if answer.failed:
        return Verdict(State.INVALID, f"openQA could not create {len(answer.failed)} jobs: {'; '.join(answer.failed)}")
    if not answer.ids:
        return Verdict(
            State.INVALID,
            "openQA created no job: no template matches DISTRI, FLAVOR, VERSION, ARCH (and TEST); "
            "check the products of the scenario definitions",
        )
    if len(set(answer.ids)) < expected.jobs:
        return Verdict(
            State.INVALID, f"openQA created {len(set(answer.ids))} jobs, at least {expected.jobs} were expected"
        )
    return None


def judge_job(job: Job, expected: Expectation) -> Finding:
    """Say what one job, the newest of its chain, comes to."""
    if not job.final or job.clone_id:
        return Finding(State.PENDING, f"{job.state}")
    strange = _not_ours(job, expected)
    if strange:
        return Finding(State.INVALID, strange)
    state = _RESULTS.get(job.result)
    if state is None:
        return Finding(State.BROKEN, f"ended as {job.result!r}, which this pipeline does not know")
    if job.result in ("passed", "softfailed") and job.unproven_modules:
        names = ", ".join(f"{module.name} {module.result}" for module in job.unproven_modules)
        return Finding(
            State.FAILED,
            f"says {job.result}, but its modules say {names}: a comment (force_result) rewrote it, which no gate "
            "accepts; restart the job, or mend the test",
        )
    if job.result == "softfailed" and expected.accept_softfailed:
        state = State.PASSED
    if state is State.PASSED and not any(m.result in ("passed", "softfailed") for m in job.modules or ()):
        return Finding(State.FAILED, f"says {job.result}, but no test module ran")
    return Finding(state, _why(job))


def adoptable(jobs: Sequence[Job], expected: Expectation) -> bool:
    """Whether the newest jobs of a BUILD are this very run, still going or with a verdict: then nothing is submitted.

    A broken or cancelled run is not reused: running the command again is how it is repeated.
    """
    if any(_not_ours(job, expected) for job in jobs):
        return False
    verdict = judge(Answer(ids=tuple(job.id for job in jobs)), jobs, expected)
    return verdict.state in (State.PENDING, State.PASSED, State.FAILED)


def check_of(job: Job, expected: Expectation, link: str) -> Check:
    """Report one job as a check of the gate."""
    finding = judge_job(job, expected)
    accepted = finding.state is State.PASSED and job.result == "softfailed"
    status = CheckStatus.WAIVED if accepted else _STATUS[finding.state]
    if job.result == "skipped" and finding.state is State.FAILED:
        status = CheckStatus.SKIPPED
    said = "\n".join(f"{module.name}: {module.finding}" for module in job.failed_modules if module.finding)
    return Check(
        name=f"openqa: {job.title}",
        status=status,
        reason=f"{finding.reason or job.result} ({link})",
        duration=job.seconds,
        output=said[-4000:],
    )


_STATUS = {
    State.PENDING: CheckStatus.INFRA,
    State.PASSED: CheckStatus.PASSED,
    State.FAILED: CheckStatus.FAILED,
    State.BROKEN: CheckStatus.INFRA,
    State.CANCELLED: CheckStatus.INFRA,
    State.INVALID: CheckStatus.FAILED,
}


def _not_ours(job: Job, expected: Expectation) -> str:
    """Compare the job's own settings with what is under test; empty when they agree."""
    wanted = {"BUILD": expected.build, "HDD_1": expected.disk, SUITE: expected.suite}
    wrong = [
        f"{name} is {job.settings.get(name, 'not set')!r} instead of {value!r}"
        for name, value in wanted.items()
        if job.settings.get(name) != value
    ]
    return "tested something else: " + ", ".join(wrong) if wrong else ""


def _why(job: Job) -> str:
    if job.result == "passed":
        return "passed"
    parts = [job.result]
    if job.failed_modules:
        parts.append("failed modules: " + ", ".join(module.name for module in job.failed_modules))
    if job.reason:
        parts.append(job.reason)
    return "; ".join(parts)
