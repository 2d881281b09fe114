"""Where a run's time went: how long the guest worked, and what the harness cost beside it.

The guest works from power on until its start-up has ended, while a command that was asked of it runs, and during the
second boot. The repository's pytest modules are a program of their own that talks to the guest; they count apart. All
other time is the harness's: starting Python and QEMU, choosing the accelerator, hashing the disk, preparing and
disposing of the machine, screenshots, judging.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

Interval = tuple[float, float]
"""Start and end on the monotonic clock, in seconds."""

FILE = "time.json"
"""Of the report."""


class Spent(BaseModel):
    """All in seconds; `gate` is the sum of the next four."""

    gate: float
    """From the start of the process."""
    guest: float
    """The first boot and the commands."""
    second_boot: float
    user_pytest: float
    harness: float
    """The rest."""
    before: float
    """Of the harness's time, that before QEMU was started for the first time."""
    after: float
    """Of the harness's time, that after the machine was switched off for the last time: mostly the disk's hash."""

    @property
    def line(self) -> str:
        """For people."""
        return (
            f"{self.gate:.1f} s: guest {self.guest:.1f}, second boot {self.second_boot:.1f}, "
            f"pytest {self.user_pytest:.1f}, harness {self.harness:.1f} "
            f"({self.before:.1f} before the machine, {self.after:.1f} after it)"
        )


@dataclass
class Stopwatch:
    """Collects what was worked on when."""

    began: float = field(default_factory=lambda: process_start())
    guest: list[Interval] = field(default_factory=list)
    second_boot: list[Interval] = field(default_factory=list)
    user_pytest: list[Interval] = field(default_factory=list)
    machine: list[Interval] = field(default_factory=list)
    """From the start of a QEMU until it was gone, for each attempt."""

    def spent(self) -> Spent:
        """What it comes to by now."""
        now = time.monotonic()
        second, pytest = union(self.second_boot), union(self.user_pytest)
        guest = union([*self.guest, *self.second_boot, *self.user_pytest]) - union(
            [*self.second_boot, *self.user_pytest]
        )
        first = self.machine[0][0] if self.machine else now
        last = self.machine[-1][1] if self.machine else now
        gate = now - self.began
        return Spent(
            gate=gate,
            guest=guest,
            second_boot=second,
            user_pytest=pytest,
            harness=gate - guest - second - pytest,
            before=first - self.began,
            after=now - last,
        )


@contextmanager
def during(intervals: list[Interval]) -> Iterator[None]:
    """Add the time that the block takes, however it ends."""
    start = time.monotonic()
    try:
        yield
    finally:
        intervals.append((start, time.monotonic()))


def union(intervals: Sequence[Interval]) -> float:
    """Seconds that at least one of them covers."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def process_start() -> float:
    """When this process was started, on the monotonic clock (proc_pid_stat(5), field 22); to 10 ms."""
    started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(started) / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - age
