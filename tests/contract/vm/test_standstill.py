"""An emulated machine whose processors stop before its init: as one looks whose timer the emulator lost."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import dagger
import pytest

from pipeline.report.model import CheckStatus

ZOO = Path(__file__).parents[3] / "ci" / "lab" / "broken"

STOPS_ONCE = r"""#!/usr/bin/python3
import os, socket, sys, time
from pathlib import Path

real, log, monitor, done = "/usr/bin/qemu-system-x86_64", Path("/tmp/said"), "/tmp/monitor", Path("/tmp/stopped")
given = sys.argv[1:]
if "-chardev" in given and not done.exists():  # a machine, and no question of what it can
    done.touch()
    log.touch()
    given = [f"{word},logfile={log}" if word.startswith("stdio,id=console") else word for word in given]
    given += ["-monitor", f"unix:{monitor},server=on,wait=off"]
    if not os.fork():
        os.setsid()
        while b"nvme0n1: p1" not in log.read_bytes():
            time.sleep(0.01)
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(monitor)
            line.sendall(b"stop\n")
            time.sleep(3600)
os.execv(real, [real, *given])
"""
"""A QEMU whose first machine is paused when its kernel has found the disk."""


@pytest.mark.thorough
async def test_it_is_booted_once_more(toolbox: dagger.Container, gate: Callable[..., Awaitable[Any]]) -> None:
    toolbox = toolbox.with_new_file("/usr/local/bin/qemu-system-x86_64", STOPS_ONCE, permissions=0o755)
    ran = await gate(ZOO / "healthy", {"reboot": False}, on=toolbox)
    assert ran.check("boot").status is CheckStatus.PASSED, ran.printed
    assert "had nothing to do: emulated machines lose a timer" in ran.result.inputs["first_attempt"]
    assert "nvme0n1: p1" in ran.result.inputs["first_attempt"]
    assert "attempt-1/console.log" in ran.files
