"""The gate itself: adopt or wait for a run, restart what broke, draw the verdict, bring the proof home."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, urlencode

import anyio

from pipeline.domain import Outcome
from pipeline.errors import InfrastructureError, PipelineError, PreconditionError
from pipeline.openqa.client import NotThere, OpenQA
from pipeline.openqa.emulator import fault_of_the_emulator
from pipeline.openqa.jobs import Job, Needle
from pipeline.openqa.progress import Progress, now, progress, usual_times
from pipeline.openqa.submission import RUN, Answer, Order, parse_product
from pipeline.openqa.verdict import Expectation, State, Verdict, adoptable, check_of, judge, judge_answer, judge_jobs
from pipeline.quantities import duration_text
from pipeline.report.model import Check, CheckStatus

_LOGS = re.compile(r"autoinst-log\.txt|worker-log\.txt|serial\d*\.txt|serial_terminal\.txt")
_VIDEO = re.compile(r"video\.[a-z0-9]{1,5}")
_SCREENSHOTS = 5
_PROOF_DEADLINE = 300.0
_PROOF_SIZE = 256 * 1024**2
"""Bytes of all logs and pictures of a run: the report is kept beside the image."""
_FILE_SIZE = 32 * 1024**2
_CLEAN_UP_DEADLINE = 30.0
_REST, _SLOWEST_POLL = 9.0, 120.0
"""The server is left alone nine times as long as it took to answer, up to so many seconds."""
_IDS = "([0-9]{1,18}(?: [0-9]{1,18})*)"
_WHOLE = "bootc-pipeline: run {run} is whole, its jobs are {ids}."
"""The comment by which a run may be taken up again: openQA itself does not tell one that was created only in part."""


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


@dataclass(frozen=True)
class Submission:
    """A run that exists on the server."""

    answer: Answer
    expected: Expectation
    adopted: bool = False
    """True for jobs of the same BUILD, disk and suite that were there already."""
    notes: tuple[str, ...] = ()
    """What went not quite as it should, for the report."""


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


async def find_run(client: OpenQA, order: Order, expected: Expectation) -> Submission | None:
    """Return the run of this very order that is going or has a verdict; None when a new one must be submitted.

    Only a run that was acknowledged as whole (`acknowledge`) is taken up: the jobs alone do not tell whether others
    could not be created.
    """
    for run, first in _runs(await client.jobs_of(order), expected):
        try:
            ids = _acknowledged(await client.comments(f"jobs/{first}"), run, first)
            found = Submission(Answer(ids=ids), expected, adopted=True)
            jobs = await _newest(client, found)
        except NotThere:  # openQA cleaned a job up in the meantime
            continue
        if jobs:
            return found if adoptable(jobs, expected) else None
    return None


async def created(client: OpenQA, answer: Answer, deadline: float, poll: float) -> Answer:
    """Wait until openQA has made the jobs of a submission in the background; any other answer is returned as it is.

    Args:
        deadline: seconds until it is an outage: nobody works on the server's background tasks.
        poll: seconds between two looks.

    When this is interrupted, the jobs that were made by then are cancelled.
    """
    product = answer.scheduled_product
    if not answer.pending or product is None:
        return answer
    try:
        with anyio.move_on_after(deadline):
            while answer.pending:
                await anyio.sleep(min(poll, 2.0))
                answer = parse_product(product, await client.scheduled_product(product))
    except anyio.get_cancelled_exc_class():
        with anyio.move_on_after(_CLEAN_UP_DEADLINE, shield=True), suppress(PipelineError):
            for number in parse_product(product, await client.scheduled_product(product)).ids:
                await client.cancel(number)
        raise
    if answer.pending:
        return Answer(
            error=f"it did not make the jobs of the scheduled product {product} within {duration_text(deadline)}; see "
            "its background tasks (openqa-gru), and cancel that product before running again",
            status=0,
            scheduled_product=product,
        )
    return answer


async def acknowledge(client: OpenQA, order: Order, answer: Answer, expected: Expectation) -> Submission:
    """Say on the server that all jobs of a submission were created, so that another run may take it up.

    That it cannot be said is no verdict: then a repeated command submits anew.
    """
    if judge_answer(answer, expected):
        return Submission(answer, expected)
    first = min(answer.ids)
    text = _WHOLE.format(run=order.run, ids=" ".join(str(number) for number in answer.ids))
    try:
        await client.comment(f"jobs/{first}", text)
    except PipelineError as error:
        return Submission(answer, expected, notes=(f"a repeated command will not take this run up: {error}",))
    return Submission(answer, expected)


def _runs(jobs: Sequence[Job], expected: Expectation) -> list[tuple[str, int]]:
    """The runs of this order, each with its first job, the newest run first."""
    firsts = dict[str, int]()
    for job in jobs:
        run = job.settings.get(RUN, "")
        if run and all(job.settings.get(name) == value for name, value in expected.ours.items()):
            firsts[run] = min(job.id, firsts.get(run, job.id))
    return sorted(firsts.items(), key=lambda item: -item[1])


def _acknowledged(comments: Sequence[str], run: str, first: int) -> tuple[int, ...]:
    """The jobs of a run that was acknowledged as whole; none when it was not."""
    said = re.compile(re.escape(_WHOLE.format(run=run, ids="IDS")).replace("IDS", _IDS))
    for text in comments:
        if found := said.search(text):
            ids = tuple(int(number) for number in found[1].split())
            return ids if first in ids else ()
    return ()


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
    notes = await _bring_home(client, watch.jobs, directory, video=video)
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


async def still_passed(client: OpenQA, submission: Submission, outcome: GateOutcome) -> bool:
    """Look again right before a tag moves: the same jobs are still the newest, and still passed."""
    jobs = await _newest(client, submission)
    same = tuple(job.id for job in jobs) == outcome.jobs
    return same and judge(submission.answer, jobs, submission.expected).state is State.PASSED


async def _newest(client: OpenQA, submission: Submission, seen: Mapping[int, Job] = {}) -> list[Job]:
    """The newest job of each chain; those that have ended with all that the verdict may rest on.

    Of jobs that had ended before (`seen`, by the number in the answer) those that passed are not asked about again, and
    the details of the others are not, while any job goes on; once all have ended everything is read anew.
    """
    found = {number: job for number, job in seen.items() if job.result == "passed"}
    asked = [number for number in submission.answer.ids if number not in found]
    for number, job in zip(asked, await client.newest(asked), strict=True):
        before = seen.get(number)
        if not job.final:
            found[number] = job
        elif before and (before.id, before.result) == (job.id, job.result):
            found[number] = before
        else:
            found[number] = (await client.job(job.id)).preceded_by(job.replaces)
    jobs = [found[number] for number in submission.answer.ids]
    if not all(job.final for job in jobs):
        return jobs
    if seen:
        return await _newest(client, submission)
    return [await _looked_into(client, job, submission.expected) for job in jobs]


async def _looked_into(client: OpenQA, job: Job, expected: Expectation) -> Job:
    """A job that has ended, with what only matters when it did not pass."""
    if job.result == "failed" and job.emulated:
        job = replace(job, emulator=fault_of_the_emulator(await client.console(job.id)))
    if job.result in ("failed", "softfailed") and expected.trackers:
        job = replace(job, bugs=await client.bugs(job.id))
    return job


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
                # a server that takes long to answer has enough to do
                took = anyio.current_time() - begun
                await anyio.sleep(max(self._limits.poll, min(_SLOWEST_POLL, took * _REST)))
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
        with anyio.move_on_after(_CLEAN_UP_DEADLINE, shield=True):
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
        self.jobs = await _newest(self._client, self._submission, ended if waited else {})
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


async def _bring_home(client: OpenQA, jobs: Sequence[Job], directory: Path, *, video: bool) -> list[str]:
    """Write what the server keeps about the jobs; return what could not be fetched, which changes no verdict."""
    missing: list[str] = []
    room = _PROOF_SIZE
    with anyio.move_on_after(_PROOF_DEADLINE) as scope:
        for job in jobs:
            folder = directory / _folder_name(job)
            try:
                room -= await _write_details(client, job, folder)
                for path, name in _proof(job, video=video):
                    if room <= 0:
                        raise PreconditionError(f"job {job.id}: the rest is too much for a report: see openQA itself")
                    await client.download(path, folder / name, min(room, _FILE_SIZE))
                    room -= (folder / name).stat().st_size
            except (PreconditionError, OSError) as error:
                missing.append(str(error))
            except InfrastructureError as error:
                missing.append(str(error))
                break
    if scope.cancelled_caught:
        missing.append(f"the proof was not complete after {duration_text(_PROOF_DEADLINE)}")
    return missing


def _folder_name(job: Job) -> str:
    """A name that can be nothing but a folder in the report, whatever the test is called."""
    return f"{job.id}-{re.sub(r'[^A-Za-z0-9._-]+', '_', job.title)}"[:100]


async def _write_details(client: OpenQA, job: Job, folder: Path) -> int:
    text = json.dumps(await client.details(job.id), indent=1, sort_keys=True) + "\n"
    await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
    return await anyio.Path(folder / "job.json").write_text(text)


def _proof(job: Job, *, video: bool) -> list[tuple[str, str]]:
    """Choose the files of a job that are worth keeping: server path and local name.

    Pictures are asked for by the job's own path: /image/… is served only where there is an Apache before openQA.
    """
    kept = [name for name in job.logs if _LOGS.fullmatch(name)]
    kept += [name for name in job.logs if video and job.result != "passed" and _VIDEO.fullmatch(name)]
    logs = [(f"/tests/{job.id}/file/{name}", name) for name in kept]
    pictures = [
        (f"/tests/{job.id}/images/{name}", name)
        for module in job.failed_modules
        for name in module.screenshots[-_SCREENSHOTS:]
    ]
    needles = [
        (_needle_path(job, module.needles[0]), f"needle-{module.needles[0].name}.png")
        for module in job.failed_modules
        if module.needles
    ]
    return logs + pictures + needles


def _needle_path(job: Job, needle: Needle) -> str:
    """Where the server has the picture (OpenQA::WebAPI, needle_file)."""
    where = {"version": job.settings.get("VERSION", ""), "jsonfile": needle.file}
    return f"/needles/{quote(job.settings.get('DISTRI', ''), safe='')}/{needle.name}.png?{urlencode(where)}"
