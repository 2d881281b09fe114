"""The repository's own tests of the image: every executable of a folder, run inside it with the network off."""

import os
from pathlib import Path

from pipeline.image.podman import run_inside
from pipeline.report.model import Check, CheckStatus

_INSIDE = "/run/pipeline-tests"


def executables(folder: Path) -> list[Path]:
    """The tests of a folder, by name."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and os.access(path, os.X_OK))


async def unit_tests(image: str, folder: Path, *, deadline: float) -> list[Check]:
    """One check for each executable: exit code 0 passes. `deadline` is for each, in seconds.

    A folder without executables fails: tests were asked for, and none ran.
    """
    tests = executables(folder)
    if not tests:
        return [Check(name="unit", status=CheckStatus.FAILED, reason="found no executable test; expected at least one")]
    return [await _run(image, folder, test, deadline) for test in tests]


async def _run(image: str, folder: Path, test: Path, deadline: float) -> Check:
    name = test.relative_to(folder)
    done = await run_inside(image, [f"{_INSIDE}/{name}"], mounts=[f"{folder}:{_INSIDE}:ro"], deadline=deadline)
    return Check(
        name=f"unit/{name}",
        status=CheckStatus.FAILED if done.code else CheckStatus.PASSED,
        reason=f"ended with {done.code}: {done.last_line}" if done.code else "",
        duration=done.duration,
        output=done.output[-4000:],
    )
