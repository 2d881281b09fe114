"""The lab as processes: `dagger call lab up`, and a door to it on the ports that its users name."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

MODULE = Path(__file__).resolve().parents[2]
REGISTRY, STORE, OPENQA = 5500, 7500, 9526
OPENQA_AUTH = "1234567890ABCDEF:1234567890ABCDEF"
STORE_AUTH = "lab:throw-away-lab-key"
REGISTRY_LOGIN = "canary:throw-away-registry-password"
"""The lab's registry asks for no login; whoever carries one must not lose it on the way all the same."""
REGISTRY_AUTH = json.dumps(
    {"auths": {f"registry:{REGISTRY}": {"auth": base64.b64encode(REGISTRY_LOGIN.encode()).decode()}}}
)
_BEHIND = 10000
"""What is added to a port for Dagger's own tunnel, behind the door."""


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
    behind = [port + _BEHIND for port in ports]
    if taken := [port for port in ports + behind if _answers(port)]:
        raise LabError(f"something listens on port {taken[0]} already: another lab? Stop it and try again.")
    tunnel = [
        *("dagger", "--progress=plain", "call", "-m", str(MODULE)),
        *("--source", str(MODULE / "ci/lab")),  # a small folder: the lab builds nothing of the caller's
        *("lab", "--name", name, f"--full={full}"),
        *("up", "--ports", ",".join(f"{port + _BEHIND}:{port}" for port in ports)),
    ]
    # Why there is a door: see the program.
    door = [sys.executable, str(MODULE / "ci/lab/gateway/forward.py"), "--own-address"]
    door += [f"{port}:127.0.0.1:{port + _BEHIND}" for port in ports]
    started = time.monotonic()
    with log.open("wb") as file, contextlib.ExitStack() as running:
        for command, opened in (tunnel, behind), (door, ports):
            process = running.enter_context(_running(command, file))
            while not all(_answers(port) for port in opened):
                elapsed = time.monotonic() - started
                if process.poll() is not None:
                    raise LabError(f"the lab ended with exit code {process.returncode}; see {log}")
                if elapsed > deadline:
                    raise LabError(f"the lab does not answer after {elapsed:.0f} s; see {log}")
                if waiting:
                    waiting(elapsed)
                time.sleep(0.5)
        yield


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def _running(command: list[str], log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """End it as Ctrl-C would: Dagger ends its services and leaves."""
    environment = os.environ | {"NO_COLOR": "1"}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
    try:
        yield process
    finally:
        for order in signal.SIGINT, signal.SIGTERM, signal.SIGKILL:
            if process.poll() is None:
                process.send_signal(order)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(20)
