"""What the engine's machine has, asked from a container on it."""

import re

from pipeline.containers.base import Reach, anew, debian
from pipeline.containers.execution import attempt
from pipeline.errors import InfrastructureError


async def room(reach: Reach) -> tuple[float, float]:
    """Bytes of memory that are free, and processors that may be used, right now."""
    asked = debian().with_env_variable("PIPELINE_RUN", reach.run)
    ran = await attempt(asked, ["sh", "-c", "nproc && cat /proc/meminfo"])
    return read_room(ran.stdout)


async def free() -> int:
    """Bytes that are free where the engine keeps its data, right now."""
    ran = await attempt(anew(debian()), ["df", "--block-size=1", "--output=avail", "/"])
    said = ran.stdout.split()[-1:]
    if not said or not said[0].isdecimal():
        raise InfrastructureError(f"The engine's room could not be read; expected what df says, found: {ran.end(3)}")
    return int(said[0])


_ASIDE = """\
shares=/sys/fs/cgroup/cpu/cpu.shares weight=/sys/fs/cgroup/cpu.weight
if test -w $shares; then echo 32 >$shares; else test -w $weight && echo 3 >$weight; fi 2>/dev/null"""
"""The container's own group of processes, in version 1 and 2 of cgroups(7): others have 1024 shares, or weight 100."""


def aside(command: list[str]) -> list[str]:
    """The command with a thirtieth of an ordinary container's share of the processors, if it is privileged.

    A machine beside it hardly notices, and what is waited for elsewhere goes on.
    """
    return ["sh", "-c", f'{_ASIDE}; exec "$@"', "sh", *command]


async def spares(reach: Reach, processors: int) -> bool:
    """Whether other work slows nothing that takes so many processors: it gets what is left, or half is enough."""
    asked = debian().with_env_variable("PIPELINE_RUN", reach.run)
    ran = await attempt(asked, ["sh", "-c", f"{_ASIDE} || test $(nproc) -ge {2 * processors}"], privileged=True)
    return ran.code == 0


def read_room(said: str) -> tuple[float, float]:
    """The same from the words of nproc and /proc/meminfo (proc(5), MemAvailable)."""
    available = re.search(r"^MemAvailable:\s+(\d+) kB$", said, re.MULTILINE)
    processors = said.partition("\n")[0].strip()
    if not available or not processors.isdecimal():
        raise InfrastructureError(
            f"What the engine's machine has could not be read; expected nproc and MemAvailable, found: {said[:200]!r}"
        )
    return float(available[1]) * 1024, float(processors)
