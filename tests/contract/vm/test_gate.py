"""The whole gate on a healthy system: every promise checked, the users' own checks run, waivers honoured."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.containers.base import debian
from pipeline.domain import Outcome
from pipeline.report.model import CheckStatus

ZOO = Path(__file__).parents[3] / "ci" / "lab" / "broken"
CHECKS = Path(__file__).with_name("checks")
ALLOWED = ["no-bootc", "no-selinux-policy", "not-promised", "not-configured", "user-skipped"]
BUG = "https://example.org/issues/12"


async def test_a_healthy_system_passes_with_every_promise_checked(gate: Callable[..., Awaitable[Any]]) -> None:
    spec = {
        "services": ["ssh.service", "systemd-networkd.service"],
        "listen": ["tcp/22", "udp/68"],
        "boot_budget": 120,
        "allowed_skips": ALLOWED,
        "waivers": [
            {"check": "user/fails.sh", "match": "no luck", "bug": BUG, "until": "2999-01-01"},
            {"check": "units", "match": "gone.service", "bug": BUG, "until": "2999-01-01"},
        ],
    }
    ran = await gate(ZOO / "healthy", spec, CHECKS)

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


@pytest.mark.thorough
async def test_a_server_that_punishes_who_knocks_too_often_has_nothing_against_us(
    gate: Callable[..., Awaitable[Any]],
) -> None:
    """Neither against the gate, in the boot that it waited for, nor against the connections that pytest opens."""
    waived = {"check": "user/fails.sh", "match": "no luck", "bug": BUG, "until": "2999-01-01"}
    ran = await gate(ZOO / "modern-sshd", {"reboot": False, "allowed_skips": ALLOWED, "waivers": [waived]}, CHECKS)

    assert ran.result.outcome is Outcome.PASSED, ran.printed
    status = {check.name: check.status for check in ran.result.checks}
    assert ran.result.inputs["way_in"] == "root's key at the SSH server that the image runs"
    assert status["user/nobody-left-unheard.sh"] is CheckStatus.PASSED
    assert status["user/test_system.py::test_ssh_is_enabled"] is CheckStatus.PASSED


@pytest.mark.thorough
async def test_a_system_without_ssh_is_looked_at_by_a_shell_on_a_virtio_console(
    gate: Callable[..., Awaitable[Any]],
) -> None:
    """The other ways are left out here, because each is a boot; `sshd-absent` of the zoo goes through all of them."""
    ran = await gate(ZOO / "sshd-absent", {"ways": ["shell"], "reboot": False, "allowed_skips": ALLOWED}, CHECKS)

    status = {check.name: check.status for check in ran.result.checks}
    assert ran.result.inputs["way_in"] == "a shell on a virtio console, without SSH"
    assert status["user/passes.sh"] is CheckStatus.PASSED
    assert status["user/test_system.py::test_root_has_no_password"] is CheckStatus.PASSED
    assert status["user/test_system.py::test_ssh_is_enabled"] is CheckStatus.FAILED
    assert ran.result.outcome is Outcome.GATE_FAILED


@pytest.mark.thorough
async def test_a_unit_that_needs_the_network_gets_it_on_request(
    gate: Callable[..., Awaitable[Any]],
) -> None:
    service = (
        debian()
        .with_exposed_port(8080)
        .as_service(args=["python", "-m", "http.server", "--directory", "/usr/share/misc", "8080"])
    )
    ran = await gate(ZOO / "needs-network", {"network": ["updates.example.org:8080"], "reboot": False}, outside=service)
    assert ran.result.outcome is Outcome.PASSED, ran.printed
