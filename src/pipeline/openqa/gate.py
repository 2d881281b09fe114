"""The gate itself: wait for a run, restart what broke, draw the verdict, bring the proof home."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from pipeline.domain import Outcome
from pipeline.errors import InfrastructureError, PipelineError, PreconditionError
from pipeline.openqa.client import OpenQA
from pipeline.openqa.jobs import Job
from pipeline.openqa.progress import Progress, now, progress, usual_times
from pipeline.openqa.proof import bring_home
from pipeline.openqa.runs import CLEAN_UP_DEADLINE, Submission, newest_jobs
from pipeline.openqa.verdict import State, Verdict, check_of, judge, judge_jobs
from pipeline.quantities import duration_text
from pipeline.report.model import Check, CheckStatus

_REST, _SLOWEST_POLL = 9.0, 120.0
"""The server is left alone nine times as long as it took to answer, up to so many seconds."""


Tell = Callable[[Progress], None]
"""Gets to know where a run is, at every look."""


@dataclass(frozen=True)
class Limits:
    """How long the gate waits for what, in seconds."""

    overall: float = 4 * 3600.0
    pickup: float = 1800.0
    """Without any change while every unfinished job is merely scheduled: no worker takes them."""
    poll: float = 10.0
    """Between two looks, each a request for up to 200 jobs; longer while the server is slow."""
    grace: float = 5.0
    """Before a bad verdict is final: openQA names the clone of a job a moment after the job's end."""
    cancel: bool = True
    """Whether jobs that this run submitted are cancelled when nobody waits for them any more."""


@dataclass
class GateOutcome:
    """What the gate found."""

    outcome: Outcome
    reason: str
    checks: list[Check] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    """For the report: BUILD, disk, links of the jobs."""
    jobs: tuple[int, ...] = ()
    """The jobs whose results counted."""
    after: float = 0.0
    """Seconds since the last of them was seen to have ended: the gate's own time."""


async def run_gate(
    client: OpenQA,
    submission: Submission,
    directory: Path,
    limits: Limits = Limits(),
    tell: Tell | None = None,
    *,
    video: bool = False,
) -> GateOutcome:
    """Wait for a run's verdict and write its proof.

    Args:
        client: of the server that has the run.
        submission: what was submitted, or adopted by `find_run`.
        directory: gets `<job>-<test>/job.json`, logs, serial console and, of failed jobs, screenshots.
        limits: deadlines and intervals.
        tell: for people who wait; what it needs is asked of the server only when it is given.
        video: whether videos of jobs that did not pass are brought home, too.

    An outage is an outcome too (`infra`), so that the report shows what was known until then. Jobs that this run
    submitted are cancelled when it gives up on them, or is interrupted; those of a server that is away are not, since
    the command takes them up when it is run again.
    """
    watch = _Watch(client, submission, limits, tell)
    try:
        with anyio.move_on_after(limits.overall):
            await watch.settle()
        watch.close()
    except _NobodyCame as error:
        watch.end(error.outcome, str(error), gives_up=True)
    except PipelineError as error:
        watch.end(error.outcome, str(error))
    except anyio.get_cancelled_exc_class():
        await watch.cancel_own("this run was interrupted")
        raise
    if watch.gave_up:
        await watch.cancel_own("this run gave up on them")
    findings = judge_jobs(watch.jobs, submission.expected)
    checks = [check_of(job, finding, submission.expected, client.link(job.id)) for job, finding in findings]
    notes = await bring_home(client, watch.jobs, directory, video=video)
    status = _SUMMARY.get(watch.outcome, CheckStatus.FAILED)
    summary = Check(name="openqa", status=status, reason=watch.reason, output="\n".join([*watch.notes, *notes]))
    groups = sorted({job.group_id for job in watch.jobs if job.group_id})
    return GateOutcome(
        outcome=watch.outcome,
        reason=watch.reason,
        checks=[summary, *checks],
        inputs={
            "openqa version": submission.expected.version,
            "openqa build": submission.expected.build,
            "openqa disk": submission.expected.disk,
            "openqa overview": client.overview(submission.expected.build),
            "openqa jobs": " ".join(client.link(job.id) for job in watch.jobs),
            "openqa badges": " ".join(f"{client.link(job.id)}/badge" for job in watch.jobs),
            "openqa groups": " ".join(str(group) for group in groups),
        },
        jobs=tuple(job.id for job in watch.jobs),
        after=anyio.current_time() - watch.changed,
    )


def rest(poll: float, took: float) -> float:
    """Seconds until the next look: `poll`, and longer for a server that `took` long, since it has enough to do."""
    return max(poll, min(_SLOWEST_POLL, took * _REST))


async def still_passed(client: OpenQA, submission: Submission, outcome: GateOutcome) -> bool:
    """Look again right before a tag moves: the same jobs are still the newest, and still passed."""
    jobs = await newest_jobs(client, submission)
    same = tuple(job.id for job in jobs) == outcome.jobs
    return same and judge(submission.answer, jobs, submission.expected).state is State.PASSED


_SUMMARY = {Outcome.PASSED: CheckStatus.PASSED, Outcome.INFRA: CheckStatus.INFRA, Outcome.CONFLICT: CheckStatus.INFRA}


class _NobodyCame(InfrastructureError):
    """No worker takes the jobs."""


class _Watch:
    """Looks at the run until it is settled."""

    def __init__(self, client: OpenQA, submission: Submission, limits: Limits, tell: Tell | None) -> None:
        self._client, self._submission, self._limits, self._tell = client, submission, limits, tell
        self._usual: dict[str, float] | None = None
        self._verdict = Verdict(State.PENDING, "no job was read yet")
        self._restarted: set[int] = set()
        self._seen: object = None
        self.changed = anyio.current_time()
        self.jobs: list[Job] = []
        self.notes: list[str] = ["adopted a run that was there"] if submission.adopted else []
        self.notes += submission.notes
        self.outcome, self.reason = Outcome.INFRA, ""
        self.gave_up = False

    async def settle(self) -> None:
        """Return when nothing more will change the verdict."""
        while True:
            begun = anyio.current_time()
            await self._look()
            if self._verdict.state is State.PENDING:
                await self._give_up_when_nobody_comes()
                await self._say_where_it_is()
                await anyio.sleep(rest(self._limits.poll, anyio.current_time() - begun))
                continue
            if self._verdict.state is not State.PASSED and self.jobs:
                judged = self._verdict, [job.id for job in self.jobs]
                await anyio.sleep(self._limits.grace)
                await self._look()
                if judged != (self._verdict, [job.id for job in self.jobs]):
                    continue
            if not await self._restart_broken():
                return

    def close(self) -> None:
        """Turn the verdict into the outcome."""
        given_up = self._verdict.state in (State.PENDING, State.INVALID)
        self.end(self._verdict.state.outcome, self._verdict.reason, gives_up=given_up)
        if self._verdict.state is State.PENDING:
            limit = duration_text(self._limits.overall)
            then = "submit it anew" if self._cancels else "go on waiting"
            self.reason = f"openQA did not finish within {limit}: {self._verdict.reason}. Run again to {then}"
        if self._verdict.state is State.FAILED and self._submission.adopted:
            self.reason += ". This run had ended before: restart its jobs in openQA to repeat it"
            if self._submission.expected.trackers:
                self.reason += ", or comment them with the bug that they found"

    def end(self, outcome: Outcome, reason: str, *, gives_up: bool = False) -> None:
        """Set how it ended; `gives_up` when jobs may be left that nobody will look at."""
        self.outcome, self.reason, self.gave_up = outcome, reason, gives_up

    async def cancel_own(self, why: str) -> None:
        """Cancel the jobs of this run that have not ended, unless somebody else may wait for them."""
        if not self._cancels:
            return
        ids = [job.id for job in self.jobs if not job.final] if self.jobs else list(self._submission.answer.ids)
        with anyio.move_on_after(CLEAN_UP_DEADLINE, shield=True):
            for number in ids:
                try:
                    await self._client.cancel(number)
                except PipelineError as error:
                    self.notes.append(f"job {number} was not cancelled: {error}")
                else:
                    self.notes.append(f"cancelled job {number}: {why}")

    @property
    def _cancels(self) -> bool:
        return self._limits.cancel and not self._submission.adopted

    async def _look(self) -> None:
        ids = self._submission.answer.ids
        ended = {number: job for number, job in zip(ids, self.jobs, strict=False) if job.final}
        waited = self._verdict.state is State.PENDING
        self.jobs = await newest_jobs(self._client, self._submission, ended if waited else {})
        self._verdict = judge(self._submission.answer, self.jobs, self._submission.expected)
        seen = [(job.id, job.state) for job in self.jobs]
        if seen != self._seen:
            self._seen, self.changed = seen, anyio.current_time()

    async def _say_where_it_is(self) -> None:
        """For people who wait; what the server does not tell is left out."""
        if self._tell is None:
            return
        if self._usual is None:
            self._usual = {}
            with suppress(PipelineError):
                self._usual = usual_times(await self._client.passed_before(self.jobs[0]))
        links = {job.id: self._client.link(job.id) for job in self.jobs}
        self._tell(progress(self.jobs, self._usual, now(), links))

    async def _give_up_when_nobody_comes(self) -> None:
        waiting = [job for job in self.jobs if not job.final]
        if any(job.state != "scheduled" for job in waiting):
            return
        if anyio.current_time() - self.changed < self._limits.pickup:
            return
        classes = {job.settings.get("WORKER_CLASS", "any")[:200] for job in waiting}
        workers = [worker for worker in await self._client.workers() if worker.status != "dead"]
        served = sorted({worker.classes for worker in workers})
        then = "submit it anew" if self._cancels else "go on waiting"
        raise _NobodyCame(
            f"no openQA worker took {', '.join(job.title for job in waiting)} within "
            f"{duration_text(self._limits.pickup)}: WORKER_CLASS {', '.join(sorted(classes))} is asked for, "
            f"{len(workers)} workers are connected and serve {', '.join(served) or 'nothing'}. "
            f"Run again to {then}"
        )

    async def _restart_broken(self) -> bool:
        """Restart broken jobs once for each place in the run; False when there is nothing to restart."""
        places = {job.id: place for place, job in enumerate(self.jobs)}
        again = [number for number in self._verdict.broken if places[number] not in self._restarted]
        if not again or len(again) < len(self._verdict.broken):
            return False
        for number in again:
            self._restarted.add(places[number])
            try:
                clone = await self._client.restart(number)
            except PreconditionError as error:
                self._verdict = replace(self._verdict, reason=f"{self._verdict.reason}; {error}")
                return False
            self.notes.append(f"restarted job {number} as {clone}: {self._verdict.reason}")
        return True
