"""The few podman commands that the image gate needs, awaited under a deadline."""

import json
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from pipeline.errors import InfrastructureError
from pipeline.image.foreign import looks_foreign

_WARNING = re.compile(r'time="\S+" level=(debug|info|warning)')
"""How podman warns of the machine that it runs on."""
_NEVER_RAN = re.compile(r"Error: OCI runtime error: (?!.*\bexec\b)")
"""How podman tells that its runtime made no container; a command that is missing or no program has other words."""
_PODMAN_FAILED, _NOT_INVOKED = 125, 126
"""podman-run(1): the error is podman's own; the command cannot be invoked."""
_ENVIRONMENT = {"PODMAN_IGNORE_CGROUPSV1_WARNING": "1"}


@dataclass(frozen=True)
class Finished:
    """A command that ended: its exit code, what it printed, its duration in seconds."""

    code: int
    stdout: str
    stderr: str
    duration: float

    @property
    def output(self) -> str:
        """All that it printed, for people."""
        return self.stdout + self.stderr

    @property
    def last_line(self) -> str:
        """What it said last, for a reason; podman's own warnings are none."""
        lines = [line for line in self.output.splitlines() if line.strip()]
        own = [line for line in lines if not _WARNING.match(line)]
        return (own or lines or ["no output"])[-1].strip()


async def podman(*arguments: str, deadline: float) -> Finished:
    """Run podman; raise InfrastructureError when it does not end within `deadline` seconds."""
    return await run(["podman", *arguments], deadline=deadline)


async def run(command: Sequence[str], *, deadline: float) -> Finished:
    """The same for another tool that stands beside it."""
    start = time.monotonic()
    try:
        with anyio.fail_after(deadline):
            done = await anyio.run_process(
                command, check=False, stdin=subprocess.DEVNULL, env=os.environ | _ENVIRONMENT
            )
    except TimeoutError:
        raise InfrastructureError(f"{' '.join(command[:2])} did not end within {deadline:.0f} s") from None
    stdout, stderr = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    return Finished(done.returncode, stdout, stderr, time.monotonic() - start)


async def run_inside(image: str, command: Sequence[str], *, mounts: Sequence[str] = (), deadline: float) -> Finished:
    """Run a command in a throw-away container of the image, network off. `mounts` are `SOURCE:TARGET:ro`.

    When there was no container for it to run in, even the second time, that is no answer of the image's:
    InfrastructureError.
    """
    volumes = [f"--volume={mount}" for mount in mounts]
    words = ["run", "--rm", "--network=none", "--entrypoint=", *volumes, image, *command]
    done = await podman(*words, deadline=deadline)
    if never_ran(done):
        done = await podman(*words, deadline=deadline)
    if never_ran(done):
        raise InfrastructureError(f"podman made no container for {command[0]}, twice: {done.last_line}")
    return done


def never_ran(done: Finished) -> bool:
    """Whether podman itself ended the run before the command began."""
    said = done.stderr.strip().rpartition("\n")[2]
    if done.code == _PODMAN_FAILED:
        return said.startswith("Error: ") and not looks_foreign(said)
    return done.code == _NOT_INVOKED and _NEVER_RAN.match(said) is not None


async def mounted(image: str) -> Path:
    """Where the image's file tree is, read-only, as long as this process's mounts live."""
    found = await podman("image", "mount", image, deadline=60)
    if found.code:
        raise InfrastructureError(f"podman cannot mount the image {image}: {found.output.strip()}")
    return Path(found.stdout.strip())


async def labels(image: str) -> dict[str, str]:
    """The labels in the image's config."""
    found = await podman("image", "inspect", "--format", "{{json .Labels}}", image, deadline=60)
    if found.code:
        raise InfrastructureError(f"podman does not know the image {image}: {found.output.strip()}")
    return json.loads(found.stdout) or {}
