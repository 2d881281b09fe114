"""The lab as processes: `dagger call lab up`, and SSH to it, which opens the ports that its users name."""

import argparse
import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
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
_GATEWAY, _DOOR = 2222, 7022
"""SSH of the lab (src/pipeline/lab/gateway.py, which tells why), and its port here: 2222 is that of `reproduce`."""


class LabError(Exception):
    """The lab does not start; the text says why and where to look."""


@contextlib.contextmanager
def lab(
    name: str,
    log: Path,
    *,
    full: bool = True,
    suites: Iterable[str] = ("bookworm",),
    deadline: float = 1800,
    waiting: Callable[[float], None] | None = None,
) -> Iterator[None]:
    """Start the lab, wait until it answers, stop it at the end.

    Args:
        name: labs of the same name share the images in their registry.
        log: everything that Dagger says.
        full: with object store and openQA.
        suites: of Debian, of which the registry has a tiny OS.
        deadline: seconds; a first start compiles and installs what the lab is made of.
        waiting: called twice a second with the seconds since the start.

    Raises:
        LabError: a port is taken, Dagger ended, or the deadline passed.
    """
    servers = {"registry": REGISTRY} | ({"store": STORE, "openqa": OPENQA} if full else {})
    if taken := [port for port in (_DOOR, *servers.values()) if answers(port)]:
        raise LabError(f"something listens on port {taken[0]} already: another lab? Stop it and try again.")
    started = time.monotonic()
    with log.open("wb") as file, tempfile.TemporaryDirectory(prefix="bootc-lab-") as folder, ExitStack() as running:
        key = Path(folder, "key")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        tunnel = [
            *("dagger", "--progress=plain", "call", "-m", MODULE),
            *("--source", MODULE / "ci/lab"),  # a small folder: the lab builds nothing of the caller's
            *("lab", "--key", key.with_suffix(".pub").read_text().strip(), "--name", name, f"--full={full}"),
            *("--suites", ",".join(suites)),
            *("up", "--ports", f"{_DOOR}:{_GATEWAY}"),
        ]
        door = ["ssh", "-N", "-F", "/dev/null", "-i", key, "-p", str(_DOOR), "root@localhost"]
        door += ["-c", "aes128-gcm@openssh.com"]  # the one that costs least
        for option in _SSH_OPTIONS:
            door += ["-o", option]
        for host, port in servers.items():
            door += ["-L", f"{port}:{host}:{port}"]
        for command, opened in (tunnel, [_DOOR]), (door, list(servers.values())):
            process = running.enter_context(_running(command, file))
            while not all(answers(port) for port in opened):
                elapsed = time.monotonic() - started
                if process.poll() is not None:
                    raise LabError(f"the lab ended with exit code {process.returncode}; see {log}")
                if elapsed > deadline:
                    raise LabError(f"the lab does not answer after {elapsed:.0f} s; see {log}")
                if waiting:
                    waiting(elapsed)
                time.sleep(0.5)
        yield


_SSH_OPTIONS = (
    *("ExitOnForwardFailure=yes", "ServerAliveInterval=30", "BatchMode=yes"),
    *("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"),  # made a moment ago, on localhost
)


def answers(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def _running(command: list[str | Path], log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
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


def main() -> None:
    """`ci/lab/up`: the lab until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="ci/lab/up", description=main.__doc__)
    parser.add_argument("--name", default="lab", help="labs of the same name share the images in their registry")
    name = parser.parse_args().name
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the lab ends with us
    log = MODULE / "out" / f"lab-{name}.log"
    log.parent.mkdir(exist_ok=True)
    print(f"Starting the lab, which takes ten minutes or more the first time; log in {log}", flush=True)
    with contextlib.suppress(KeyboardInterrupt), lab(name, log):
        print(
            f"registry localhost:{REGISTRY}, S3 localhost:{STORE} ({STORE_AUTH}), openQA localhost:{OPENQA}", flush=True
        )
        print("What pipeline.toml and `dagger call` need to use them: docs/quick-start.md. Ctrl-C ends it.", flush=True)
        signal.pause()


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"ci/lab/up: {error}")
