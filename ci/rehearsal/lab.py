"""The lab as a process: `dagger call lab up`."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2]
REGISTRY, STORE, OPENQA = 5500, 7500, 9526
OPENQA_AUTH = "1234567890ABCDEF:1234567890ABCDEF"
STORE_AUTH = "lab:throw-away-lab-key"
REGISTRY_LOGIN = "canary:throw-away-registry-password"
"""The lab's registry asks for no login; whoever carries one must not lose it on the way all the same."""
REGISTRY_AUTH = json.dumps(
    {"auths": {f"registry:{REGISTRY}": {"auth": base64.b64encode(REGISTRY_LOGIN.encode()).decode()}}}
)


class LabError(Exception):
    """The lab does not start; the text says why and where to look."""


@contextlib.contextmanager
def lab(
    name: str, log: Path, *, full: bool = True, deadline: float = 1800, waiting: Callable[[float], None] | None = None
) -> Iterator[None]:
    """Start the lab, wait until it answers, stop it at the end.

    Args:
        name: labs of the same name share the images in their registry.
        log: everything that Dagger says.
        full: with object store and openQA.
        deadline: seconds; a first start compiles and installs what the lab is made of.
        waiting: called twice a second with the seconds since the start.

    Raises:
        LabError: a port is taken, Dagger ended, or the deadline passed.
    """
    ports = [REGISTRY, STORE, OPENQA] if full else [REGISTRY]
    if taken := [port for port in ports if _answers(port)]:
        raise LabError(f"something listens on port {taken[0]} already: another lab? Stop it and try again.")
    command = [
        *("dagger", "--progress=plain", "call", "-m", str(MODULE)),
        *("--source", str(MODULE / "ci/lab")),  # a small folder: the lab builds nothing of the caller's
        *("lab", "--name", name, f"--full={full}", "up"),
    ]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=os.environ | {"NO_COLOR": "1"}
        )
        try:
            started = time.monotonic()
            while not all(_answers(port) for port in ports):
                elapsed = time.monotonic() - started
                if process.poll() is not None:
                    raise LabError(f"the lab ended with exit code {process.returncode}; see {log}")
                if elapsed > deadline:
                    raise LabError(f"the lab does not answer after {elapsed:.0f} s; see {log}")
                if waiting:
                    waiting(elapsed)
                time.sleep(0.5)
            yield
        finally:
            _stop(process)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C would: Dagger ends its services and leaves."""
    for order in signal.SIGINT, signal.SIGTERM, signal.SIGKILL:
        if process.poll() is not None:
            return
        process.send_signal(order)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
