"""What `ps e` would show in containers, seen from the machine that the engine runs them on."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

_OFTEN = 0.05
"""Seconds between two looks; a process that is shorter may be missed."""


class Watch:
    """Everything that new containers' processes were started with."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        """Command lines and environments, NUL between the words."""
        self._before = {namespace for _, namespace in processes()}
        self._over = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator["Watch"]:
        """Look until the block ends."""
        thread = threading.Thread(target=self._look_often, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()

    def _look_often(self) -> None:
        while not self._over.wait(_OFTEN):
            for process, namespace in processes():
                if namespace not in self._before:  # neither ours nor of the lab, whose servers know their passwords
                    for name in ("cmdline", "environ"):
                        with contextlib.suppress(OSError):
                            self.seen.add((process / name).read_bytes())


def processes() -> Iterator[tuple[Path, str]]:
    """Each process with its PID namespace: containers have their own."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield process, str((process / "ns/pid").readlink())
