"""The verdict over the jobs of a run: pure, from plain values, in one place.

openQA's own words for a result are in lib/OpenQA/Jobs/Constants.pm of openQA; what each means for a release is here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from pipeline.domain import Outcome
from pipeline.openqa.jobs import Job, Module
from pipeline.openqa.known_bugs import failing, known, lapsed, referred
from pipeline.openqa.submission import DISK, SUITE, Answer, Order
from pipeline.openqa.trees import bootings
from pipeline.policy.waivers import Waiver
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
class Scenario:
    """What the configuration says about one scenario."""

    required: bool = True
    """False: its result is shown and stops nothing."""
    accept_softfailed: bool | None = None
    """None: as for all others."""


@dataclass(frozen=True)
class Expectation:
    """What a run must be before its result counts."""

    build: str
    disk: str
    suite: str
    sha256: str
    """Of the disk, as hexadecimal digits."""
    jobs: int = 1
    """At least this many; fewer means that the suite did not really run."""
    accept_softfailed: bool = False
    version: str = ""
    """openQA's VERSION of the run."""
    asset: str = "HDD_1"
    """The setting that names the disk in a job that boots it."""
    scenarios: Mapping[str, Scenario] = field(default_factory=dict)
    """By test suite, or test suite and machine (`TEST@MACHINE`)."""
    waivers: Sequence[Waiver] = ()
    today: date = date.max
    """The day by which waivers end; without one, none holds."""
    trackers: Sequence[str] = ()
    """Bugs of these trackers, named in openQA's comments, let a failed job through."""

    @classmethod
    def of(
        cls,
        order: Order,
        *,
        jobs: int = 1,
        accept_softfailed: bool = False,
        scenarios: Mapping[str, Scenario] | None = None,
        waivers: Sequence[Waiver] = (),
        today: date = date.max,
        trackers: Sequence[str] = (),
    ) -> "Expectation":
        """What follows from what was asked for."""
        return cls(
            build=order.build,
            disk=order.disk,
            suite=order.suite,
            sha256=order.disk_sha256.hex,
            jobs=jobs,
            accept_softfailed=accept_softfailed,
            version=order.version,
            asset=order.asset,
            scenarios=scenarios or {},
            waivers=waivers,
            today=today,
            trackers=trackers,
        )

    @property
    def ours(self) -> dict[str, str]:
        """The settings that tell a job of this order from any other."""
        return {"BUILD": self.build, SUITE: self.suite, DISK: self.sha256}

    def required(self, job: Job) -> bool:
        """Whether a job's result may stop a release."""
        return self._scenario(job).required

    def accepts_softfailed(self, job: Job) -> bool:
        """Whether `softfailed` is a pass for this job."""
        said = self._scenario(job).accept_softfailed
        return self.accept_softfailed if said is None else said

    def _scenario(self, job: Job) -> Scenario:
        return self.scenarios.get(job.title) or self.scenarios.get(job.test) or Scenario()


@dataclass(frozen=True)
class Finding:
    """What one job comes to, and why."""

    state: State
    reason: str
    waived: bool = False
    """Passed only because of a waiver or because softfailed is accepted."""


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
    on the disk under test or in the dependency tree of one that is, each with a module that really ran. A job that is
    not required may fail, and must all the same be ours.
    """
    refused = judge_answer(answer, expected)
    if refused:
        return refused
    if len(jobs) != len(answer.ids):
        return Verdict(State.INVALID, f"openQA made {len(answer.ids)} jobs but shows {len(jobs)} of them")
    if len({job.id for job in jobs}) != len(jobs):
        return Verdict(State.BROKEN, "openQA shows the same job under several numbers")
    findings = judge_jobs(jobs, expected)
    waiting = [job for job, finding in findings if finding.state is State.PENDING]
    if waiting:
        return Verdict(State.PENDING, "; ".join(f"{job.title} is {job.state}" for job in waiting))
    return _worst(findings, expected) or _passed(findings, expected)


def judge_jobs(jobs: Sequence[Job], expected: Expectation) -> list[tuple[Job, Finding]]:
    """Say what each of the jobs of a run comes to."""
    booted = bootings(jobs, expected.asset, expected.disk)
    return [(job, _judge_job(job, expected, booted.get(job.id, ""))) for job in jobs]


def _worst(findings: Sequence[tuple[Job, Finding]], expected: Expectation) -> Verdict | None:
    bad = [
        (job, finding)
        for job, finding in findings
        if finding.state is State.INVALID or (finding.state is not State.PASSED and expected.required(job))
    ]
    causes = [(job, finding) for job, finding in bad if job.result not in _CONSEQUENCES] or bad
    for state in _WORST_FIRST:
        found = [(job, finding) for job, finding in causes if finding.state is state]
        if found:
            reason = "; ".join(f"{job.title} (job {job.id}): {finding.reason}" for job, finding in found)
            return Verdict(state, reason, tuple(job.id for job, _ in found) if state is State.BROKEN else ())
    return None


def _passed(findings: Sequence[tuple[Job, Finding]], expected: Expectation) -> Verdict:
    if not any(expected.required(job) for job, _ in findings):
        return Verdict(State.INVALID, "no job of this run is required: a gate that can stop nothing is none")
    good = sum(finding.state is State.PASSED for _, finding in findings)
    said = [f"{good} of {len(findings)} jobs passed on {expected.disk}"]
    said += [f"{job.title}: {finding.reason}" for job, finding in findings if finding.waived]
    said += [
        f"{job.title} is not required: {finding.reason}" for job, finding in findings if finding.state != State.PASSED
    ]
    return Verdict(State.PASSED, "; ".join(said))


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


def _judge_job(job: Job, expected: Expectation, booted_by: str) -> Finding:
    """Say what one job, the newest of its chain, comes to; `booted_by` is the job of its tree that booted the disk."""
    if not job.final or job.clone_id:
        return Finding(State.PENDING, f"{job.state}")
    strange = _not_ours(job, expected, booted_by)
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
    waived = _waived(job, expected) if state is State.FAILED else ""
    if waived:
        state = State.PASSED
    elif job.emulator:
        return Finding(State.BROKEN, f"{job.result} on an emulated machine that was at fault itself: {job.emulator}")
    if state is State.PASSED and not _ran(job, waived):
        return Finding(State.FAILED, f"says {job.result}, but no test module ran")
    return Finding(state, _why(job, waived, booted_by, lapsed(job, expected.waivers, expected.today)), bool(waived))


def _ran(job: Job, waived: str) -> bool:
    """Whether a module came to a good end, or to the one that is waived."""
    if waived:
        return any(module.result not in ("none", "skipped") for module in job.modules or ())
    return any(module.result in ("passed", "softfailed") for module in job.modules or ())


def _waived(job: Job, expected: Expectation) -> str:
    """Say why a job that did not simply pass may pass all the same; empty when it may not."""
    if job.result == "softfailed" and expected.accepts_softfailed(job):
        return "softfailed, which the configuration accepts"
    return known(job, expected.waivers, expected.today) or referred(job, expected.trackers)


def adoptable(jobs: Sequence[Job], expected: Expectation) -> bool:
    """Whether the newest jobs of a BUILD are this very run, still going or with a verdict: then nothing is submitted.

    A broken or cancelled run is not reused: running the command again is how it is repeated.
    """
    verdict = judge(Answer(ids=tuple(job.id for job in jobs)), jobs, expected)
    return verdict.state in (State.PENDING, State.PASSED, State.FAILED)


def check_of(job: Job, finding: Finding, expected: Expectation, link: str) -> Check:
    """Report one job as a check of the gate."""
    status = CheckStatus.WAIVED if finding.waived else _STATUS[finding.state]
    if job.result == "skipped" and finding.state is State.FAILED:
        status = CheckStatus.SKIPPED
    said = [f"{module.name}: {module.finding}" for module in failing(job) if module.finding]
    said += [f"{module.name}: no needle matched; {_nearest(module)}" for module in failing(job) if module.needles]
    if finding.state is not State.PENDING and job.result != "passed":
        said.append(f"To repeat it on an openQA of your own: openqa-clone-job {link}")
    return Check(
        name=f"openqa: {job.title}",
        status=status,
        required=expected.required(job) or finding.state is State.INVALID,
        reason=f"{finding.reason or job.result} ({link})",
        duration=job.seconds,
        output="\n".join(said)[-4000:],
    )


def _nearest(module: Module) -> str:
    return ", ".join(f"{needle.name} was off by {needle.error:.0%}" for needle in module.needles[:3])


_STATUS = {
    State.PENDING: CheckStatus.INFRA,
    State.PASSED: CheckStatus.PASSED,
    State.FAILED: CheckStatus.FAILED,
    State.BROKEN: CheckStatus.INFRA,
    State.CANCELLED: CheckStatus.INFRA,
    State.INVALID: CheckStatus.FAILED,
}


def _not_ours(job: Job, expected: Expectation, booted_by: str) -> str:
    """Compare the job's own settings with what is under test; empty when they agree."""
    wanted = expected.ours if booted_by else expected.ours | {expected.asset: expected.disk}
    wrong = [
        f"{name} is {job.settings.get(name, 'not set')[:200]!r} instead of {value!r}"
        for name, value in wanted.items()
        if job.settings.get(name) != value
    ]
    if not wrong:
        return ""
    alone = "" if booted_by else "; nor did a job that it depends on, or that depends on it, boot that disk"
    return f"tested something else: {', '.join(wrong)}{alone}"


def _why(job: Job, waived: str, booted_by: str, ended: str) -> str:
    parts = [waived or job.result]
    if not waived and job.failed_modules:
        parts.append("failed modules: " + ", ".join(module.name for module in job.failed_modules))
    if ended and not waived and job.result != "passed":
        parts.append(ended)
    if job.reason:
        parts.append(job.reason)
    if booted_by and booted_by != job.title:
        parts.append(f"with {booted_by}, which booted the disk")
    return "; ".join(parts)
