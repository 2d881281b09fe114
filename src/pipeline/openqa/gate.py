"""The gate itself: adopt or wait for a run, restart what broke, draw the verdict, bring the proof home."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio

from pipeline.domain import Outcome
from pipeline.errors import InfrastructureError, PipelineError, PreconditionError
from pipeline.openqa.client import OpenQA
from pipeline.openqa.jobs import Job
from pipeline.openqa.submission import Answer, Order
from pipeline.openqa.verdict import Expectation, State, Verdict, adoptable, check_of, judge
from pipeline.quantities import duration_text
from pipeline.report.model import Check, CheckStatus

_LOGS = re.compile(r"autoinst-log\.txt|worker-log\.txt|serial\d*\.txt|serial_terminal\.txt")
_SCREENSHOTS = 5
_PROOF_DEADLINE = 300.0


@dataclass(frozen=True)
class Limits:
    """How long the gate waits for what, in seconds."""

    overall: float = 4 * 3600.0
    pickup: float = 1800.0
    """Without any change while every unfinished job is merely scheduled: no worker takes them."""
    poll: float = 10.0
    grace: float = 5.0
    """Before a bad verdict is final: openQA names the clone of a job a moment after the job's end."""


@dataclass(frozen=True)
class Submission:
    """A run that exists on the server."""

    answer: Answer
    expected: Expectation
    adopted: bool = False
    """True for jobs of the same BUILD, disk and suite that were there already."""


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


async def find_run(client: OpenQA, order: Order, expected: Expectation) -> Submission | None:
    """Return the run of this very order that is going or has a verdict; None when a new one must be submitted."""
    jobs = await client.jobs_of(order)
    if not jobs or not adoptable(jobs, expected):
        return None
    return Submission(Answer(ids=tuple(job.id for job in jobs)), expected, adopted=True)


async def run_gate(client: OpenQA, submission: Submission, directory: Path, limits: Limits = Limits()) -> GateOutcome:
    """Wait for a run's verdict and write its proof.

    Args:
        client: of the server that has the run.
        submission: what was submitted, or adopted by `find_run`.
        directory: gets `<job>-<test>/job.json`, logs, serial console and, of failed jobs, screenshots.
        limits: deadlines and intervals.

    An outage is an outcome too (`infra`), so that the report shows what was known until then.
    """
    watch = _Watch(client, submission, limits)
    try:
        with anyio.move_on_after(limits.overall):
            await watch.settle()
        watch.close()
    except PipelineError as error:
        watch.end(error.outcome, str(error))
    checks = [check_of(job, submission.expected, client.link(job.id)) for job in watch.jobs]
    notes = await _bring_home(client, watch.jobs, directory)
    status = _SUMMARY.get(watch.outcome, CheckStatus.FAILED)
    summary = Check(name="openqa", status=status, reason=watch.reason, output="\n".join([*watch.notes, *notes]))
    return GateOutcome(
        outcome=watch.outcome,
        reason=watch.reason,
        checks=[summary, *checks],
        inputs={
            "openqa build": submission.expected.build,
            "openqa disk": submission.expected.disk,
            "openqa jobs": " ".join(client.link(job.id) for job in watch.jobs),
        },
        jobs=tuple(job.id for job in watch.jobs),
    )


async def still_passed(client: OpenQA, submission: Submission, outcome: GateOutcome) -> bool:
    """Look again right before a tag moves: the same jobs are still the newest, and still passed."""
    jobs = [await client.newest(number) for number in submission.answer.ids]
    same = tuple(job.id for job in jobs) == outcome.jobs
    return same and judge(submission.answer, jobs, submission.expected).state is State.PASSED


_SUMMARY = {Outcome.PASSED: CheckStatus.PASSED, Outcome.INFRA: CheckStatus.INFRA, Outcome.CONFLICT: CheckStatus.INFRA}


class _Watch:
    """Looks at the run until it is settled."""

    def __init__(self, client: OpenQA, submission: Submission, limits: Limits) -> None:
        self._client, self._submission, self._limits = client, submission, limits
        self._verdict = Verdict(State.PENDING, "no job was read yet")
        self._restarted: set[int] = set()
        self._seen: object = None
        self._changed = anyio.current_time()
        self.jobs: list[Job] = []
        self.notes: list[str] = ["adopted a run that was there"] if submission.adopted else []
        self.outcome, self.reason = Outcome.INFRA, ""

    async def settle(self) -> None:
        """Return when nothing more will change the verdict."""
        while True:
            await self._look()
            if self._verdict.state is State.PENDING:
                await self._give_up_when_nobody_comes()
                await anyio.sleep(self._limits.poll)
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
        self.end(self._verdict.state.outcome, self._verdict.reason)
        if self._verdict.state is State.PENDING:
            limit = duration_text(self._limits.overall)
            self.reason = f"openQA did not finish within {limit}: {self._verdict.reason}. Run again to go on waiting"
        if self._verdict.state is State.FAILED and self._submission.adopted:
            self.reason += ". This run had ended before: restart its jobs in openQA to repeat it"

    def end(self, outcome: Outcome, reason: str) -> None:
        """Set how it ended."""
        self.outcome, self.reason = outcome, reason

    async def _look(self) -> None:
        ids = self._submission.answer.ids
        self.jobs = [await self._client.newest(number) for number in ids]
        self._verdict = judge(self._submission.answer, self.jobs, self._submission.expected)
        seen = [(job.id, job.state) for job in self.jobs]
        if seen != self._seen:
            self._seen, self._changed = seen, anyio.current_time()

    async def _give_up_when_nobody_comes(self) -> None:
        waiting = [job for job in self.jobs if not job.final]
        if any(job.state != "scheduled" for job in waiting):
            return
        if anyio.current_time() - self._changed < self._limits.pickup:
            return
        classes = {job.settings.get("WORKER_CLASS", "any") for job in waiting}
        workers = [worker for worker in await self._client.workers() if worker.get("status") != "dead"]
        served = sorted({str(worker.get("properties", {}).get("WORKER_CLASS", "?")) for worker in workers})
        raise InfrastructureError(
            f"no openQA worker took {', '.join(job.title for job in waiting)} within "
            f"{duration_text(self._limits.pickup)}: WORKER_CLASS {', '.join(sorted(classes))} is asked for, "
            f"{len(workers)} workers are connected and serve {', '.join(served) or 'nothing'}. "
            "Run again to go on waiting"
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


async def _bring_home(client: OpenQA, jobs: Sequence[Job], directory: Path) -> list[str]:
    """Write what the server keeps about the jobs; return what could not be fetched, which changes no verdict."""
    missing: list[str] = []
    with anyio.move_on_after(_PROOF_DEADLINE) as scope:
        for job in jobs:
            folder = directory / f"{job.id}-{re.sub(r'[^A-Za-z0-9._-]+', '_', job.title)}"
            try:
                await _write_details(client, job, folder)
                for path, name in _proof(job):
                    await client.download(path, folder / name)
            except PreconditionError as error:
                missing.append(str(error))
            except InfrastructureError as error:
                missing.append(str(error))
                break
    if scope.cancelled_caught:
        missing.append(f"the proof was not complete after {duration_text(_PROOF_DEADLINE)}")
    return missing


async def _write_details(client: OpenQA, job: Job, folder: Path) -> None:
    details = await client.details(job.id)
    await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
    await anyio.Path(folder / "job.json").write_text(json.dumps(details, indent=1, sort_keys=True) + "\n")


def _proof(job: Job) -> list[tuple[str, str]]:
    """Choose the files of a job that are worth keeping: server path and local name.

    Pictures are asked for by the job's own path: /image/… is served only where there is an Apache before openQA.
    """
    logs = [(f"/tests/{job.id}/file/{name}", name) for name in job.logs if _LOGS.fullmatch(name)]
    pictures = [
        (f"/tests/{job.id}/images/{name}", name)
        for module in job.failed_modules
        for name in module.screenshots[-_SCREENSHOTS:]
    ]
    return logs + pictures
