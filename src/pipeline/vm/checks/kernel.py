"""The kernel that runs is the kernel that the image ships."""

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found


async def _look(session: Session) -> Found:
    running = await session.guest.out("uname", "-r")
    if session.spec.kernel:
        return compare(running, [session.spec.kernel], "by the image's /usr/lib/modules")
    # A directory without a kernel holds leftovers (weak modules, say) and is no kernel that the image ships.
    listed = await session.guest.out("sh", "-c", "cd /usr/lib/modules && ls -d */vmlinuz || ls -d */")
    return compare(running, [line.split("/")[0] for line in listed.split()], "by the guest's /usr/lib/modules")


def compare(running: str, shipped: list[str], whose: str) -> Found:
    """The verdict on a running release and those that are shipped, of which there must be one."""
    if shipped == [running]:
        return Found(note=running)
    return Found([f"the running kernel is {running}"], expected=f"{' or '.join(shipped) or 'any kernel'} {whose}")


CHECK = VmCheck("kernel", _look, again=True)
