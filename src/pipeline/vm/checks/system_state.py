"""systemd ended its start-up, and says that the system is well."""

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.checks.units import for_want_of_network
from pipeline.vm.session import Session, failed_units
from pipeline.vm.verdict import Found


async def _look(session: Session) -> Found:
    match session.state:
        case "running":
            return Found(note=f"running {session.settled[-1] - session.ready[-1]:.1f} s after the first command")
        case "degraded":
            units = await failed_units(session.guest)
            named = [f"degraded by {unit}{await for_want_of_network(session, unit)}" for unit in units]
            return Found(named or ["degraded, by no unit in particular"], "running")
        case "starting" | "initializing":
            jobs = await session.guest.out("systemctl", "list-jobs", "--no-pager", "--full")
            return Found([await _unfinished(session, jobs)], "running", output=jobs)
        case other:
            return Found([f"systemctl is-system-running says {other!r}"], "running")


async def _unfinished(session: Session, jobs: str) -> str:
    running = [line.split()[1] for line in jobs.splitlines() if line.rstrip().endswith("running")]
    named = [unit + await for_want_of_network(session, unit) for unit in running]
    return "start-up does not end; still starting: " + (", ".join(named) or "nothing that list-jobs shows")


CHECK = VmCheck("system-state", _look, again=True)
