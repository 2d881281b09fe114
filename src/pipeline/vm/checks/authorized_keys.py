"""Nobody's SSH key is baked into the image: it would open every machine that ever boots it."""

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found

PLACES = (
    "/root/.ssh/authorized_keys*",
    "/home/*/.ssh/authorized_keys*",
    "/var/home/*/.ssh/authorized_keys*",
    "/etc/ssh/authorized_keys*/*",
)
_SHOW = f"""for f in {" ".join(PLACES)}; do
  [ -f "$f" ] && while read -r line; do echo "$f $line"; done < "$f"
done
true"""


async def _look(session: Session) -> Found:
    listed = await session.guest.out("sh", "-c", _SHOW)
    return judge_keys(listed, session.key.public)


def judge_keys(listed: str, ours: str) -> Found:
    """The verdict on lines of a path and an authorized_keys(5) entry; `ours` is the key that the gate brought along."""
    blob = ours.split()[1]
    findings = []
    for line in listed.splitlines():
        path, _, entry = line.partition(" ")
        if entry.strip() and not entry.lstrip().startswith("#") and blob not in entry:
            findings.append(f"{path} has the key {_named(entry)}")
    return Found(findings, "no key in the image", note="none but the gate's own")


def _named(entry: str) -> str:
    """The comment of a key, or the end of the key itself: enough to know it by."""
    words = entry.split()
    at = next((i for i, word in enumerate(words) if word.startswith(("ssh-", "ecdsa-", "sk-"))), 0)
    return " ".join(words[at + 2 :]) or f"…{words[-1][-12:]}"


CHECK = VmCheck("authorized-keys", _look)
