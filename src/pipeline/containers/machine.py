"""What the engine's machine has, asked from a container on it."""

import re

from pipeline.containers.base import Reach, debian
from pipeline.containers.execution import attempt
from pipeline.errors import InfrastructureError


async def room(reach: Reach) -> tuple[float, float]:
    """Bytes of memory that are free, and processors that may be used, right now."""
    asked = debian("mount").with_env_variable("PIPELINE_RUN", reach.run)
    ran = await attempt(asked, ["sh", "-c", "nproc && cat /proc/meminfo"])
    return read_room(ran.stdout)


def read_room(said: str) -> tuple[float, float]:
    """The same from the words of nproc and /proc/meminfo (proc(5), MemAvailable)."""
    available = re.search(r"^MemAvailable:\s+(\d+) kB$", said, re.MULTILINE)
    processors = said.partition("\n")[0].strip()
    if not available or not processors.isdecimal():
        raise InfrastructureError(
            f"What the engine's machine has could not be read; expected nproc and MemAvailable, found: {said[:200]!r}"
        )
    return float(available[1]) * 1024, float(processors)
