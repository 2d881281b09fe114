"""Runs on the server: known again by what the command said that made them, waited for, looked at."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import anyio

from pipeline.errors import PipelineError
from pipeline.openqa.client import OpenQA
from pipeline.openqa.emulator import fault_of_the_emulator
from pipeline.openqa.jobs import Job
from pipeline.openqa.submission import RUN, Answer, Order, parse_product
from pipeline.openqa.transport import NotThere
from pipeline.openqa.verdict import Expectation, adoptable, judge_answer
from pipeline.quantities import duration_text

CLEAN_UP_DEADLINE = 30.0
"""Seconds in which jobs are cancelled that nobody waits for any more."""
_IDS = "([0-9]{1,18}(?: [0-9]{1,18})*)"
_WHOLE = "bootc-pipeline: run {run} is whole, its jobs are {ids}."
"""The comment by which a run may be taken up again: openQA itself does not tell one that was created only in part."""


@dataclass(frozen=True)
class Submission:
    """A run that exists on the server."""

    answer: Answer
    expected: Expectation
    adopted: bool = False
    """True for jobs of the same BUILD, disk and suite that were there already."""
    notes: tuple[str, ...] = ()
    """What went not quite as it should, for the report."""


async def find_run(client: OpenQA, order: Order, expected: Expectation) -> Submission | None:
    """Return the run of this very order that is going or has a verdict; None when a new one must be submitted.

    Only a run that was acknowledged as whole (`acknowledge`) is taken up: the jobs alone do not tell whether others
    could not be created.
    """
    for run, first in _runs(await client.jobs_of(order), expected):
        try:
            ids = _acknowledged(await client.comments(f"jobs/{first}"), run, first)
            found = Submission(Answer(ids=ids), expected, adopted=True)
            jobs = await newest_jobs(client, found)
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
        with anyio.move_on_after(CLEAN_UP_DEADLINE, shield=True), suppress(PipelineError):
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


async def newest_jobs(client: OpenQA, submission: Submission, seen: Mapping[int, Job] = {}) -> list[Job]:
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
        return await newest_jobs(client, submission)
    return [await _looked_into(client, job, submission.expected) for job in jobs]


async def _looked_into(client: OpenQA, job: Job, expected: Expectation) -> Job:
    """A job that has ended, with what only matters when it did not pass."""
    if job.result == "failed" and job.emulated:
        job = replace(job, emulator=fault_of_the_emulator(await client.console(job.id)))
    if job.result in ("failed", "softfailed") and expected.trackers:
        job = replace(job, bugs=await client.bugs(job.id))
    return job
