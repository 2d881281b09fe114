"""Says on standard output where the gate is, each line with the seconds since the start."""

import sys
import time


class Progress:
    """A callable that prints one line."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, text: str) -> None:
        """Print `text` behind the time."""
        sys.stdout.write(f"{time.monotonic() - self._start:7.1f}s  {text}\n")
        sys.stdout.flush()
