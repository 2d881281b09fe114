"""SELinux enforces, when the image ships a policy."""

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found, Skipped


async def _look(session: Session) -> Found | Skipped:
    policy = await session.guest.run("sh", "-c", "ls /etc/selinux/*/policy/policy.*")
    if not policy.ok:
        return Skipped("no-selinux-policy", "there is no /etc/selinux/*/policy")
    enforce = await session.guest.run("cat", "/sys/fs/selinux/enforce")
    match enforce.out.strip():
        case "1":
            return Found(note="enforcing")
        case "0":
            return Found(["permissive"], "enforcing")
        case _:
            return Found([f"switched off ({enforce.text})"], "enforcing")


CHECK = VmCheck("selinux", _look)
