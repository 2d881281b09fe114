"""What the image's SSH server is worth to the gate, and what it means when there is none.

An image need not open SSH to root. One whose port 22 listens and drops whoever connects is broken, and so is a system
without an address: that the gate got in another way does not make it well.
"""

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.checks.listening import sockets
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found, Skipped
from pipeline.vm.ways import Refusal, Way

PORT = "tcp/22"


async def _look(session: Session) -> Found | Skipped:
    if session.way is Way.KEY or not session.refusals.first:
        return Found(note=session.way.text)
    listens = False
    for table in ("tcp", "tcp6"):
        listens |= PORT in sockets("tcp", await session.guest.out("cat", f"/proc/net/{table}"))
    routes = await session.guest.out("cat", "/proc/net/route")
    return judge_ssh(
        session.way, session.refusals.first, session.refusals.text, listens=listens, routed=is_routed(routes)
    )


def is_routed(table: str) -> bool:
    """Whether the kernel's table of IPv4 routes (proc_pid_net(5)) has one that leads out."""
    return any(line.split()[:1] not in ([], ["Iface"], ["lo"]) for line in table.splitlines())


def judge_ssh(way: Way, first: Refusal, said: str, *, listens: bool, routed: bool) -> Found | Skipped:
    """The verdict on how root's key was refused (`said`), seen from inside."""
    if way is Way.SERVER:
        return Found(note=f"in by {way.text}, because {said}")
    if first is Refusal.NO_ANSWER and not routed:
        return Found([f"the guest has no network: {said}"], "an address and a route")
    if first is Refusal.CLOSED and listens:
        return Found([f"something listens on port 22 and drops whoever connects: {said}"], "an SSH server, or none")
    return Skipped("no-ssh", f"in by {way.text}, because {said}")


CHECK = VmCheck("ssh", _look)
