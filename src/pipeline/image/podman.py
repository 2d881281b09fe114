"""The few podman commands that the image gate needs, awaited under a deadline."""

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

import anyio

from pipeline.errors import InfrastructureError


@dataclass(frozen=True)
class Finished:
    """A command that ended: its exit code, its whole output, its duration in seconds."""

    code: int
    output: str
    duration: float


async def podman(*arguments: str, deadline: float) -> Finished:
    """Run podman; raise InfrastructureError when it does not end within `deadline` seconds."""
    start = time.monotonic()
    try:
        with anyio.fail_after(deadline):
            done = await anyio.run_process(
                ["podman", *arguments], check=False, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT
            )
    except TimeoutError:
        raise InfrastructureError(f"podman {arguments[0]} did not end within {deadline:.0f} s") from None
    return Finished(done.returncode, done.stdout.decode(errors="replace"), time.monotonic() - start)


async def run_inside(image: str, command: Sequence[str], *, mounts: Sequence[str] = (), deadline: float) -> Finished:
    """Run a command in a throw-away container of the image, network off. `mounts` are `SOURCE:TARGET:ro`."""
    volumes = [f"--volume={mount}" for mount in mounts]
    return await podman("run", "--rm", "--network=none", "--entrypoint=", *volumes, image, *command, deadline=deadline)


async def labels(image: str) -> dict[str, str]:
    """The labels in the image's config."""
    found = await podman("image", "inspect", "--format", "{{json .Labels}}", image, deadline=60)
    if found.code:
        raise InfrastructureError(f"podman does not know the image {image}: {found.output.strip()}")
    return json.loads(found.output) or {}
