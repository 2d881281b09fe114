"""Whether this machine let the guest get anywhere: judged by what the guest got, not by what else goes on here.

Numbers are the kernel's own accounts: of each of QEMU's threads (Documentation/scheduler/sched-stats.rst: run time,
waiting time) and of what a hypervisor below takes from this machine (proc_stat(5), steal).
"""

import contextlib
import os
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

LOST = 0.6
"""From this share of the whole time on, what the guest lost explains a missed deadline."""
RECENTLY = 30.0
"""Seconds before a deadline in which a guest that was slowed down still works."""
HUNGRY = 0.5
"""A guest that wants a processor for this share of the time is at work; one that waits for something wants none."""
LEAST = 10.0
"""Seconds of life before which there is nothing to judge by: nobody waits less for a guest."""
SPOKE = 10.0
"""Seconds in which a console that moves shows something."""


@dataclass(frozen=True)
class Account:
    """Seconds since power on, and what each of QEMU's threads ran and waited until then; stolen: of this machine."""

    at: float
    ran: dict[str, float]
    waited: dict[str, float]
    stolen: float


@dataclass(frozen=True)
class Got:
    """What the hungriest thread got in some time; all in seconds."""

    elapsed: float
    ran: float = 0.0
    waited: float = 0.0
    """For a processor of this machine."""
    stolen: float = 0.0
    """By whoever runs this machine, from each of its processors."""

    @property
    def lost(self) -> float:
        """The share of the time in which it wanted to run and did not."""
        return min(1.0, (self.waited + self.stolen) / self.elapsed) if self.elapsed > 0 else 0.0

    @property
    def hungry(self) -> bool:
        """Whether it wanted a processor most of the time."""
        return self.elapsed > 0 and (self.ran + self.waited) / self.elapsed > HUNGRY


def excuse(whole: Got, recent: Got, silent: float) -> str | None:
    """Why a missed deadline says nothing about the image; None when it does.

    The guest must have lost most of its time, and must still have been on its way: at work, or with a console that
    moved (`silent`: seconds since it last did). One that waits for something that does not come wants no processor.
    """
    moved = silent <= SPOKE
    if whole.elapsed < LEAST or whole.lost <= LOST or not (recent.hungry or moved):
        return None
    doing = ["its console was still moving"] if moved else []
    doing += ["it was still at work"] if recent.hungry else []
    return (
        f"in {whole.elapsed:.0f} s the guest ran for {whole.ran:.0f} s and was kept waiting for {whole.lost:.0%} of "
        f"the time, {' and '.join(doing)}: run the gate where less is going on"
    )


@dataclass
class Accounts:
    """Those of one QEMU, as far back as they are asked for."""

    pid: int
    began: float = field(default_factory=time.monotonic)
    stolen_before: float = field(default_factory=lambda: stolen())
    _kept: deque[Account] = field(default_factory=deque)

    def note(self) -> None:
        """Write down how things stand; whoever does so now and then can ask for what was recently."""
        self._kept.append(self._now())
        while len(self._kept) > 1 and self._kept[1].at < self._kept[-1].at - RECENTLY:
            self._kept.popleft()

    def whole(self) -> Got:
        """Since power on."""
        return between(Account(0.0, {}, {}, 0.0), self._now())

    def recent(self) -> Got:
        """In the last half minute."""
        now = self._now()
        return between(self._kept[0], now) if self._kept else between(Account(0.0, {}, {}, 0.0), now)

    def _now(self) -> Account:
        ran, waited = dict[str, float](), dict[str, float]()
        for account in Path(f"/proc/{self.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError, IndexError, ValueError):
                words = account.read_text().split()
                name = account.parent.name
                ran[name], waited[name] = int(words[0]) / 1e9, int(words[1]) / 1e9
        return Account(time.monotonic() - self.began, ran, waited, stolen() - self.stolen_before)


def between(before: Account, after: Account) -> Got:
    """What the thread that wanted most got from one account to the other."""
    elapsed, stolen_since = after.at - before.at, after.stolen - before.stolen
    found = Got(elapsed, stolen=stolen_since)
    for name, ran in after.ran.items():
        one = Got(
            elapsed,
            ran - before.ran.get(name, 0.0),
            after.waited.get(name, 0.0) - before.waited.get(name, 0.0),
            stolen_since,
        )
        if one.ran + one.waited > found.ran + found.waited:
            found = one
    return found


def steal_share(stat: str) -> float:
    """The share of its time that a guest's own /proc/stat calls stolen; 0 where its kernel cannot know."""
    try:
        times = [int(word) for word in stat.partition("\n")[0].split()[1:9]]
        return times[7] / sum(times)
    except (IndexError, ValueError, ZeroDivisionError):
        return 0.0


def stolen(stat: Path = Path("/proc/stat")) -> float:
    """Seconds that were taken from each processor of a machine, on average; 0 where nobody counts them."""
    try:
        words = stat.read_text().partition("\n")[0].split()
        return int(words[8]) / os.sysconf("SC_CLK_TCK") / (os.cpu_count() or 1)
    except (OSError, IndexError, ValueError):
        return 0.0
