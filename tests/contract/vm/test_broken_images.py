"""Every broken OS image of ci/lab/broken gets its own clear verdict from a real boot."""

import re
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.report.model import Check, CheckStatus

CASES = sorted(file.parent for file in Path(__file__).parents[3].glob("ci/lab/broken/*/case.toml"))
ALWAYS = {"failing-unit", "no-sshd", "panic", "root-not-found", "scripted-upgrade"}
"""One for each way a boot can end; a boot takes a minute in emulation, so the others run when they are asked for."""


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=case.name, marks=[] if case.name in ALWAYS else pytest.mark.thorough) for case in CASES],
)
async def test_a_broken_image_gets_the_verdict_it_deserves(gate: Callable[..., Awaitable[Any]], case: Path) -> None:
    expected = tomllib.loads((case / "case.toml").read_text())
    ran = await gate(case, {"reboot": expected.get("reboot", True)} | expected.get("spec", {}))

    assert ran.result.outcome == expected.get("outcome", "gate_failed"), ran.printed
    assert re.search(expected["reason"], ran.result.reason), ran.result.reason
    for line in expected.get("also", []):
        assert any(re.search(line, said(check)) for check in ran.result.checks), line
    assert re.search(expected.get("way", ""), ran.result.inputs.get("way_in", "")), ran.result.inputs
    assert ran.exit_code == ran.result.exit_code
    assert len(ran.result.inputs["disk_sha256"]) == 64
    assert {"result.json", "console.log", "qemu.log"} <= set(ran.files)
    assert sum(ran.files.values()) < 12 << 20


def said(check: Check) -> str:
    """What a check says of itself: that it passed, or why not."""
    return f"{check.name}: {'passed' if check.status is CheckStatus.PASSED else check.reason}"
