"""No unit failed."""

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session, failed_units
from pipeline.vm.verdict import Found


async def _look(session: Session) -> Found:
    units = await failed_units(session.guest)
    if not units:
        return Found(note="none failed")
    status = await session.guest.out("systemctl", "status", "--no-pager", "--full", "--lines=20", *units)
    (session.folder / "failed-units.txt").write_text(status + "\n")
    return Found([f"{unit} failed" for unit in units], "no failed units", output=status)


CHECK = VmCheck("units", _look, again=True)
