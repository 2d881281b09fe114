"""Where a run is, for people who wait for it: plain values, and one line of text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from pipeline.openqa.foreign import readable
from pipeline.openqa.jobs import Job, Module
from pipeline.quantities import duration_text

_SHOWN = 3
"""Jobs that the line names; of more it says how many."""


@dataclass(frozen=True)
class Running:
    """A job that a worker has."""

    title: str
    link: str
    state: str
    module: str = ""
    """The module that runs, and which of how many it is; empty while the worker has not told."""
    seconds: float = 0.0


@dataclass(frozen=True)
class Progress:
    """A run between two looks."""

    jobs: int
    ended: int
    running: tuple[Running, ...] = ()
    waiting: tuple[str, ...] = ()
    """Titles of the jobs that no worker has, or that wait for another job."""
    classes: tuple[str, ...] = ()
    """The WORKER_CLASS that these ask for."""
    left: float | None = None
    """Seconds that are left by the times of earlier runs; None when a job that has not ended never passed before."""

    @property
    def what(self) -> str:
        """What happens: the same until something changes."""
        said = [f"{self.ended} of {self.jobs} jobs have ended"]
        said += [f"{job.title} {job.module or f'is {job.state}'} ({job.link})" for job in self.running[:_SHOWN]]
        if len(self.running) > _SHOWN:
            said.append(f"{len(self.running) - _SHOWN} more are under way")
        if self.waiting:
            names = ", ".join(self.waiting[:_SHOWN]) + (" …" if len(self.waiting) > _SHOWN else "")
            asked = f" of class {', '.join(self.classes)}" if self.classes else ""
            said.append(f"{len(self.waiting)} wait for a worker{asked}: {names}")
        return "; ".join(said)

    @property
    def line(self) -> str:
        """The same with times."""
        longest = max((job.seconds for job in self.running), default=0.0)
        times = [f"running for {duration_text(longest)}"] if longest >= 1 else []
        times += [] if self.left is None else [f"about {duration_text(self.left)} left"]
        return "; ".join([self.what, *times])


def usual_times(before: Sequence[Job]) -> dict[str, float]:
    """What each scenario usually takes, in seconds by title: the median of the earlier runs that are given."""
    found: dict[str, list[float]] = {}
    for job in before:
        if job.seconds:
            found.setdefault(job.title, []).append(job.seconds)
    return {title: median(times) for title, times in found.items()}


def progress(
    jobs: Sequence[Job],
    usual: Mapping[str, float],
    now: datetime,
    links: Mapping[int, str],
) -> Progress:
    """Say where a run is.

    Args:
        jobs: the newest of every chain of clones, with their modules as far as the worker has told.
        usual: seconds by title (`usual_times`).
        now: with a zone; openQA tells when a job started.
        links: the page of each job.
    """
    waiting = [job for job in jobs if job.state == "scheduled"]
    running = [job for job in jobs if not job.final and job.state != "scheduled"]
    classes = {readable(job.settings["WORKER_CLASS"], 80) for job in waiting if "WORKER_CLASS" in job.settings}
    return Progress(
        jobs=len(jobs),
        ended=sum(job.final for job in jobs),
        running=tuple(
            Running(job.title, links[job.id], job.state, _module(job.modules or ()), _since(job, now))
            for job in running
        ),
        waiting=tuple(job.title for job in waiting),
        classes=tuple(sorted(classes)),
        left=_left(running, waiting, usual, now),
    )


def _module(modules: Sequence[Module]) -> str:
    """The module that runs, else the first that has no result: results come later than the word which one runs."""
    for looked_for in ("running", "none"):
        for number, module in enumerate(modules, 1):
            if module.result == looked_for:
                return f"runs {module.name}, module {number} of {len(modules)}"
    return f"has run its {len(modules)} modules" if modules else ""


def _since(job: Job, now: datetime) -> float:
    return max(0.0, (now - job.started).total_seconds()) if job.started else 0.0


def _left(running: Sequence[Job], waiting: Sequence[Job], usual: Mapping[str, float], now: datetime) -> float | None:
    """As if as many jobs as run now went on side by side; no less than what the longest alone takes."""
    unended = [*running, *waiting]
    if not unended or any(job.title not in usual for job in unended):
        return None
    each = [max(0.0, usual[job.title] - _since(job, now)) for job in running]
    each += [usual[job.title] for job in waiting]
    return max(max(each), sum(each) / max(1, len(running)))


def now() -> datetime:
    """The time with which `progress` compares openQA's."""
    return datetime.now(UTC)
