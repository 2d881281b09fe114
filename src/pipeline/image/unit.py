"""The repository's own tests of the image: every executable of a folder, run inside it with the network off."""

from pathlib import Path

from pipeline.errors import UsageError
from pipeline.image.podman import run_inside
from pipeline.image.suite import read_suite
from pipeline.policy.suite import overlooked_unit_tests
from pipeline.report.model import Check
from pipeline.vm.verdict import NONE, Found, Waivers, judge

_INSIDE = "/run/pipeline-tests"


async def unit_tests(image: str, folder: Path, waivers: Waivers = NONE, *, deadline: float) -> list[Check]:
    """One check for each executable: exit code 0 passes. `deadline` is for each, in seconds.

    Raises UsageError for a file that looks like a test and would not run, and for a folder without tests: tests were
    asked for.
    """
    files = read_suite(folder)
    if missed := overlooked_unit_tests(files):
        raise UsageError(f"gates.next.tests: {'; '.join(missed)}")
    return [await _run(image, folder, folder / one.path, waivers, deadline) for one in files if one.executable]


async def _run(image: str, folder: Path, test: Path, waivers: Waivers, deadline: float) -> Check:
    name = test.relative_to(folder)
    done = await run_inside(image, [f"{_INSIDE}/{name}"], mounts=[f"{folder}:{_INSIDE}:ro"], deadline=deadline)
    findings = [f"ended with {done.code}: {done.last_line}"] if done.code else []
    found = Found(findings, output=done.output[-4000:])
    return judge((f"unit/{name}",), found, waivers, frozenset(), duration=done.duration)
