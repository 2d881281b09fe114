"""systemd ended its start-up, and says that the system is well."""

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session, failed_units
from pipeline.vm.verdict import Found


async def _look(session: Session) -> Found:
    match session.state:
        case "running":
            return Found(note=f"running {session.settled[-1] - session.ready[-1]:.1f} s after SSH")
        case "degraded":
            units = await failed_units(session.guest)
            return Found([f"degraded by {unit}" for unit in units] or ["degraded, by no unit in particular"], "running")
        case "starting" | "initializing":
            jobs = await session.guest.out("systemctl", "list-jobs", "--no-pager", "--full")
            return Found([_unfinished(jobs)], "running", output=jobs)
        case other:
            return Found([f"systemctl is-system-running says {other!r}"], "running")


def _unfinished(jobs: str) -> str:
    running = [line.split()[1] for line in jobs.splitlines() if line.rstrip().endswith("running")]
    return "start-up does not end; still starting: " + (", ".join(running) or "nothing that list-jobs shows")


CHECK = VmCheck("system-state", _look, again=True)
