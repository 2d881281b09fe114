"""One line that says what a long wait is waiting for."""

import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

_EVERY = 15.0
"""Seconds between lines where the output is not a terminal."""
_STEP = re.compile(r"withExec (?!DONE |CACHED )(\S.*)")
_TAIL = 20_000


@dataclass
class Progress:
    """Tells what happens: headings, and under them how long a step runs already and what its last command is."""

    started: float = field(default_factory=time.monotonic)
    _told: float = 0.0

    def say(self, text: str = "") -> None:
        """A line that stays."""
        self._clear()
        print(text, flush=True)

    def heading(self, text: str) -> None:
        """What comes next, with the time since the start."""
        self._told = 0.0
        minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
        self.say(f"\n[{minutes:2}:{seconds:02}] {text}")

    def waiting(self, elapsed: float, log: Path) -> None:
        """Called while a step runs, as often as the caller likes."""
        line = f"        {elapsed:4.0f}s  {last_step(log)}"
        if sys.stdout.isatty():
            print(f"\r\033[K{line[:110]}", end="", flush=True)
        elif elapsed - self._told >= _EVERY:
            self._told = elapsed
            print(line[:160], flush=True)

    def _clear(self) -> None:
        if sys.stdout.isatty():
            print("\r\033[K", end="")


def last_step(log: Path) -> str:
    """The newest command in a log of `dagger --progress=plain`."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL))
        steps = _STEP.findall(file.read().decode(errors="replace"))
    return steps[-1].partition(" (")[0] if steps else ""
