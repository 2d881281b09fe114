"""The pipeline as users call it: `dagger call`."""

import os
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rehearsal.lab import MODULE, OPENQA, OPENQA_AUTH, REGISTRY, REGISTRY_AUTH, STORE, STORE_AUTH

LAB_SERVICES = [
    f"--registry=tcp://localhost:{REGISTRY}",
    f"--store=tcp://localhost:{STORE}",
    f"--openqa=tcp://localhost:{OPENQA}",
]
"""Where the lab answers, for servers that only this machine reaches."""
_LOGINS = ["--registry-auth=env://REGISTRY_AUTH", "--upload-auth=env://STORE_AUTH", "--openqa-auth=env://OPENQA_AUTH"]


@dataclass(frozen=True)
class Answer:
    """How a call ended."""

    exit_code: int
    output: str
    """What it says to the user: the result, or the reason why there is none."""
    seconds: float

    @property
    def passed(self) -> bool:
        return self.exit_code == 0


@dataclass(frozen=True)
class Pipeline:
    """The module, called on one repository in the lab."""

    source: Path
    logs: Path
    """A folder for what Dagger says while it works, one file for each call."""
    full: bool = True
    """Whether the lab has an object store and openQA."""
    direct: int | None = None
    """The port of openQA here, where containers reach registry and object store by the names that they have."""
    waiting: Callable[[float, Path], None] | None = field(default=None)
    """Called twice a second with the seconds since the start and the log."""

    def call(self, *arguments: str, log: str = "") -> Answer:
        """Run one function and wait for its end; `log` names the log file when the function's name does not do."""
        started = time.monotonic()
        process = self.start(*arguments, log=log)
        path = self.log(log or arguments[0])
        try:
            output = self._await(process, started, path)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.returncode:
            output = _reason(path.read_text(errors="replace")) or output
        return Answer(process.returncode, output.strip(), time.monotonic() - started)

    def start(self, *arguments: str, log: str = "") -> subprocess.Popen[str]:
        """The same without the wait."""
        servers = 3 if self.full else 1
        outside = LAB_SERVICES[:servers] + _LOGINS[:servers]
        if self.direct:
            outside = [f"--openqa=tcp://localhost:{self.direct}", *_LOGINS[1:]]
        command = ["dagger", "--progress=plain", "call", "-m", str(MODULE), "--source", str(self.source)]
        with self.log(log or arguments[0]).open("wb") as file:
            return subprocess.Popen(
                [*command, *outside, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                env=os.environ
                | {
                    "NO_COLOR": "1",
                    "REGISTRY_AUTH": REGISTRY_AUTH,
                    "STORE_AUTH": STORE_AUTH,
                    "OPENQA_AUTH": OPENQA_AUTH,
                },
                text=True,
            )

    def log(self, name: str) -> Path:
        """Where Dagger's log of a call is."""
        return self.logs / f"{name}.log"

    def _await(self, process: subprocess.Popen[str], started: float, log: Path) -> str:
        while True:
            try:
                return process.communicate(timeout=0.5)[0]
            except subprocess.TimeoutExpired:
                if self.waiting:
                    self.waiting(time.monotonic() - started, log)


def _reason(log: str) -> str:
    """The error with which Dagger ends its log, without the number that only its developers need."""
    _, found, reason = log.rpartition("\nError: ")
    return re.sub(r"\[traceparent:\S+\]", "", reason).removeprefix("FunctionError: ") if found else ""
