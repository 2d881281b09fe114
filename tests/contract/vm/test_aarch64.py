"""The gate boots the other architecture too: UEFI, kernel, SSH and every check, emulated."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pipeline.domain import Outcome
from pipeline.report.model import CheckStatus


@pytest.mark.thorough
async def test_an_arm64_system_passes_from_firmware_to_reboot(arm_gate: Callable[..., Awaitable[Any]]) -> None:
    ran = await arm_gate({"services": ["ssh.service"], "listen": ["tcp/22", "udp/68"]})

    assert ran.result.outcome is Outcome.PASSED, ran.printed
    assert ran.result.inputs["machine"].startswith("aarch64, uefi, nvme")
    assert "arm64" in ran.check("kernel").reason
    assert ran.check("reboot").status is CheckStatus.PASSED
    assert "(firmware)" in ran.check("boot-time").reason
