"""No unit failed."""

import re

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session, failed_units
from pipeline.vm.verdict import Found

_WANTED = re.compile(
    r"(could not|couldn't|cannot|can't|failed to|unable to) (resolve|connect)|could not find host|no such host|"
    r"name resolution|name or service not known|network is unreachable|no route to host|"
    r"connection (refused|timed out)|network.*(timed out|timeout)|download(ing)? .*failed|failed to download",
    re.IGNORECASE,
)
_LINES = "40"


async def _look(session: Session) -> Found:
    units = await failed_units(session.guest)
    if not units:
        return Found(note="none failed")
    status = await session.guest.out("systemctl", "status", "--no-pager", "--full", "--lines=20", *units)
    (session.folder / "failed-units.txt").write_text(status + "\n")
    findings = [f"{unit} failed{await for_want_of_network(session, unit)}" for unit in units]
    return Found(findings, "no failed units", output=status)


async def for_want_of_network(session: Session, unit: str) -> str:
    """Behind the name of a unit that failed or does not end: that it asked for what the gate gives only on request."""
    if session.spec.network is True:
        return ""
    command = ("journalctl", "--boot", "--no-pager", "--output=cat", f"--lines={_LINES}", f"--unit={unit}")
    said = await session.guest.out(*command, within=session.scaled(30))
    return asked_for_network(said)


def asked_for_network(said: str) -> str:
    """What a unit's last lines say of it; empty when they speak of something else."""
    line = next((line.strip() for line in reversed(said.splitlines()) if _WANTED.search(line)), None)
    return f" (it wanted the network, which gates.testing.network gives: {line[:200]})" if line else ""


CHECK = VmCheck("units", _look, again=True)
