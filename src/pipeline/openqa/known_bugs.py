"""Failures that are let through: by `[[waivers]]` of pipeline.toml, each with its bug and the day on which that ends.

On request also by a comment in openQA that names a bug.
"""

from collections.abc import Sequence
from datetime import date

from pipeline.domain import Channel
from pipeline.openqa.jobs import Job, Module
from pipeline.policy.waivers import Waiver, occurs


def failing(job: Job) -> tuple[Module, ...]:
    """The modules that keep a job from a clean pass."""
    soft = job.result == "softfailed"
    return tuple(
        module
        for module in job.modules or ()
        if module in job.unproven_modules or (soft and module.result == "softfailed")
    )


def known(job: Job, waivers: Sequence[Waiver], today: date) -> str:
    """Name the bugs by which a failed job may pass; empty when it may not.

    Each failing module needs a waiver. One that a failure kept from running is not known to be good: it needs one, too.
    A job that broke, was cancelled or never ran has no module to waive.
    """
    if job.result not in ("failed", "softfailed"):
        return ""
    covered = [(module, _first(job, module, waivers, today)) for module in failing(job)]
    if not covered or not all(waiver for _, waiver in covered):
        return ""
    named = "; ".join(f"{module.name}: {waiver.bug} until {waiver.until}" for module, waiver in covered if waiver)
    return f"{job.result}, known bugs: {named}"


def referred(job: Job, trackers: Sequence[str]) -> str:
    """Name the bugs of these trackers that openQA's comments tie to a failed job; empty when there is none.

    As openSUSE's ttm counts them a reference is about the job as a whole, and openQA carries it over to the next run
    of a scenario that fails in the same way. Unlike a waiver it has no day on which it ends.
    """
    if job.result not in ("failed", "softfailed"):
        return ""
    named = [f"{bug} ({who})" for bug, who in sorted(job.bugs.items()) if bug.partition("#")[0] in trackers]
    return f"{job.result}, bugs named in its comments: {', '.join(named)}" if named else ""


def lapsed(job: Job, waivers: Sequence[Waiver], today: date) -> str:
    """Name the waivers that would have covered a failing module of the job, and have ended."""
    ended = {
        f"the waiver for {waiver.bug} ended on {waiver.until}"
        for module in failing(job)
        for waiver in waivers
        if waiver.until < today and _about(waiver, job, module)
    }
    return "; ".join(sorted(ended))


def _first(job: Job, module: Module, waivers: Sequence[Waiver], today: date) -> Waiver | None:
    return next((waiver for waiver in waivers if waiver.until >= today and _about(waiver, job, module)), None)


def _about(waiver: Waiver, job: Job, module: Module) -> bool:
    """Whether a waiver names this module of this job; one without a module is about all of the job's."""
    return (
        waiver.for_openqa
        and waiver.holds_in(Channel.STABLE)
        and waiver.job in ("", job.test, job.title)
        and waiver.module in ("", module.name)
        and (not waiver.match or occurs(waiver.match, module.finding))
    )
