"""The whole gate on a healthy system: every promise checked, the users' own checks run, waivers honoured."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pipeline.domain import Outcome
from pipeline.report.model import CheckStatus

HEALTHY = Path(__file__).parents[3] / "ci" / "lab" / "broken" / "healthy"
CHECKS = Path(__file__).with_name("checks")
BUG = "https://example.org/issues/12"


async def test_a_healthy_system_passes_with_every_promise_checked(gate: Callable[..., Awaitable[Any]]) -> None:
    spec = {
        "services": ["ssh.service", "systemd-networkd.service"],
        "listen": ["tcp/22", "udp/68"],
        "boot_budget": 120,
        "allowed_skips": ["no-bootc", "no-selinux-policy", "not-promised", "not-configured", "user-skipped"],
        "waivers": [
            {"check": "user/fails.sh", "match": "no luck", "bug": BUG, "until": "2999-01-01"},
            {"check": "units", "match": "gone.service", "bug": BUG, "until": "2999-01-01"},
        ],
    }
    ran = await gate(HEALTHY, spec, CHECKS)

    assert ran.result.outcome is Outcome.PASSED, ran.printed
    status = {check.name: check.status for check in ran.result.checks}
    for name in ("boot", "kernel", "system-state", "units", "services", "console", "journal", "listening", "boot-time"):
        assert status[name] is CheckStatus.PASSED, name
    assert status["reboot"] is CheckStatus.PASSED
    assert status["user/passes.sh"] is CheckStatus.PASSED
    assert status["user/nobody-left-unheard.sh"] is CheckStatus.PASSED
    assert status["user/fails.sh"] is CheckStatus.WAIVED
    assert status["user/skips.sh"] is CheckStatus.SKIPPED
    assert status["user/test_system.py::test_ssh_is_enabled"] is CheckStatus.PASSED
    assert "gone.service" in ran.result.inputs["waivers_unused"]
    assert [phase.name for phase in ran.result.timeline] == [
        "firmware", "kernel", "userspace", "ready", "checks", "reboot"
    ]  # fmt: skip
    assert {"journal.txt", "journal-boot2.txt", "systemd-analyze.txt", "screenshot-ready.png"} <= set(ran.files)
