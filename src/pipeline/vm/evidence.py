"""What people want to see of a machine, failed or not. Nothing here changes the verdict."""

import contextlib
from pathlib import Path

from pipeline.vm.guest import Guest, GuestLost
from pipeline.vm.session import Session

COMMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "journal.txt": (("journalctl", "--boot", "--no-pager", "--output=short-monotonic"),),
    "failed-units.txt": (
        ("systemctl", "list-units", "--failed", "--no-pager", "--full"),
        ("systemctl", "list-jobs", "--no-pager", "--full"),
    ),
    "network.txt": (("ip", "address"), ("ip", "route"), ("ss", "-tulpn")),
    "systemd-analyze.txt": (("systemd-analyze", "time"),),
}
"""File of the report, and the guest's commands whose output it holds."""

PLOT = ("systemd-analyze.svg", ("systemd-analyze", "plot"))


async def of_boot(session: Session) -> None:
    """How the boot spent its time, and what the screen shows.

    Under emulation the chart is left to failures: it takes longer than all checks together (18 s of 20, measured).
    """
    await session.machine.screenshot(session.folder / "screenshot-ready.png")
    with contextlib.suppress(GuestLost):
        await _write(session.guest, session.folder, "systemd-analyze.txt", session.scaled(30))
        if session.accelerator.is_kvm:
            await _plot(session)


async def of_failure(session: Session) -> None:
    """The screen, and as much from inside as the guest still tells; files that are there already stay."""
    await session.machine.screenshot(session.folder / "screenshot-failure.png")
    if not session.connected:
        return
    with contextlib.suppress(GuestLost):
        for name in COMMANDS:
            if not (session.folder / name).exists():
                await _write(session.guest, session.folder, name, session.scaled(20))
        await _plot(session)


async def _plot(session: Session) -> None:
    name, command = PLOT
    if (session.folder / name).exists():
        return
    answer = await session.guest.run(*command, within=session.scaled(30))
    if answer.ok:
        (session.folder / name).write_text(answer.out)


async def _write(guest: Guest, folder: Path, name: str, within: float) -> None:
    parts = []
    for command in COMMANDS[name]:
        answer = await guest.run(*command, within=within)
        parts.append(f"$ {' '.join(command)}\n{answer.text}\n")
    (folder / name).write_text("\n".join(parts))
