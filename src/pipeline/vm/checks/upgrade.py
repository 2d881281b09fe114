"""A system that runs the current stable image takes the candidate, and comes back from it; nothing of the user is lost.

These are asked instead of the others when `Spec.upgrade` is set, on the disk of the current stable image. bootc's exit
status proves nothing (after a rollback, an upgrade that finds no changes ends with 0), so what is staged, booted and
queued is read from `bootc status`. A rollback brings the old deployment's own /etc back; /var is shared.
"""

import json

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session, failed_units
from pipeline.vm.spec import Upgrade
from pipeline.vm.verdict import NOT_RUN, Found, Skipped

SENTINELS = ("/etc/vm-gate-sentinel", "/var/lib/vm-gate-sentinel")
"""What stands for the user's configuration and data."""

DOWNLOAD = 900.0
"""Seconds with KVM that fetching and staging an image may take."""


async def _upgrade(session: Session) -> Found | Skipped:
    wanted = session.spec.upgrade
    if wanted is None:
        return Skipped("not-configured", "no upgrade is configured")
    if not await session.guest.has("bootc"):
        return Skipped("no-bootc", "the guest finds no bootc program")
    before = await _status(session)
    await _leave_sentinels(session)
    command = ("bootc", "switch", wanted.reference)
    answer = await session.guest.run(*command, within=session.scaled(DOWNLOAD))
    staged = digests(await _status(session))["staged"]
    if staged != wanted.digest:
        said = f"`{' '.join(command)}` exits {answer.status} and stages {staged or 'nothing'}"
        return Found([said], f"{wanted.digest} to be staged", output=answer.text)
    await session.reboot()
    after = await _status(session)
    session.say(f"upgraded from {digests(before)['booted']} to {digests(after)['booted']}")
    return judge_upgrade(before, after, wanted, await _lost(session), await failed_units(session.guest))


async def _rollback(session: Session) -> Found | Skipped:
    if session.spec.upgrade is None:
        return Skipped("not-configured", "no upgrade is configured")
    if not await session.guest.has("bootc"):
        return Skipped("no-bootc", "the guest finds no bootc program")
    before = await _status(session)
    if digests(before)["booted"] != session.spec.upgrade.digest:
        return Skipped(NOT_RUN, "the upgrade did not succeed")
    answer = await session.guest.run("bootc", "rollback", within=session.scaled(60))
    if not is_queued(await _status(session)):
        return Found([f"`bootc rollback` exits {answer.status} and queues nothing"], "a rollback", output=answer.text)
    await session.reboot()
    return judge_rollback(before, await _status(session), await _lost(session), await failed_units(session.guest))


def digests(document: str) -> dict[str, str | None]:
    """The digest of each deployment in `bootc status --json`: booted, staged and rollback."""
    status = json.loads(document)["status"]
    images = {name: (status.get(name) or {}).get("image") or {} for name in ("booted", "staged", "rollback")}
    return {name: image.get("imageDigest") for name, image in images.items()}


def is_queued(document: str) -> bool:
    """Whether the next boot goes back."""
    host = json.loads(document)
    return bool(host["status"].get("rollbackQueued")) or host["spec"].get("bootOrder") == "rollback"


def judge_upgrade(before: str, after: str, wanted: Upgrade, lost: list[str], failed: list[str]) -> Found:
    """The verdict on both states, on sentinels that are gone and on units that failed afterwards."""
    old, new = digests(before), digests(after)
    findings = [] if new["booted"] == wanted.digest else [f"after the upgrade {new['booted']} is booted"]
    if new["rollback"] != old["booted"]:
        findings.append(f"the way back leads to {new['rollback']} and not to {old['booted']}")
    findings += [f"{path} is lost" for path in lost] + [f"{unit} failed after the upgrade" for unit in failed]
    return Found(findings, f"{wanted.digest}, with everything kept", note=f"{old['booted']} became {new['booted']}")


def judge_rollback(before: str, after: str, lost: list[str], failed: list[str]) -> Found:
    """The verdict on going back."""
    old, new = digests(before), digests(after)
    findings = [] if new["booted"] == old["rollback"] else [f"after the rollback {new['booted']} is booted"]
    findings += [f"{path} is lost" for path in lost] + [f"{unit} failed after the rollback" for unit in failed]
    return Found(findings, f"{old['rollback']}, with everything kept", note=f"back on {new['booted']}")


async def _status(session: Session) -> str:
    return (await session.guest.run("bootc", "status", "--json", within=session.scaled(60))).out


async def _leave_sentinels(session: Session) -> None:
    for path in SENTINELS:
        await session.guest.run("sh", "-c", 'cat >"$1"', "write", path, stdin=session.run.encode())


async def _lost(session: Session) -> list[str]:
    return [path for path in SENTINELS if await session.guest.out("cat", path) != session.run]


CHECK = VmCheck("upgrade", _upgrade, timeout=DOWNLOAD + 600)
ROLLBACK = VmCheck("rollback", _rollback, timeout=600)
