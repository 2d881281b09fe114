"""A system that runs the current stable image takes the candidate, and comes back; nothing of the user is lost.

These are asked instead of the others when `Spec.upgrade` is set, on the disk of the current stable image. The guest
runs what its users run, `bootc upgrade`, and keeps the reference that it follows; `pipeline.vm.relay` says how it gets
the candidate there. bootc's exit status proves nothing (after a rollback, an upgrade that finds no changes ends with
0), so what is staged, booted and queued is read from `bootc status`. A rollback brings the old deployment's own /etc
back; /var is shared.
"""

import json
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from pipeline.vm import relay
from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session, failed_units
from pipeline.vm.spec import Upgrade
from pipeline.vm.verdict import NOT_RUN, Found, Skipped

SENTINELS = ("/etc/vm-gate-sentinel", "/var/lib/vm-gate-sentinel")
"""What stands for the user's configuration and data."""

DOWNLOAD = 900.0
"""Seconds with KVM that fetching and staging an image may take."""

Look = Callable[[Session, Upgrade], Awaitable[Found | Skipped]]


class NoStatus(Exception):
    """`bootc status` gave no document that can be read."""


def _asked(look: Look) -> Callable[[Session], Awaitable[Found | Skipped]]:
    """Where an upgrade is asked for and the guest has bootc; a status that cannot be read is a finding."""

    @wraps(look)
    async def asked(session: Session) -> Found | Skipped:
        if session.spec.upgrade is None:
            return Skipped("not-configured", "no upgrade is configured")
        if not await session.guest.has("bootc"):
            return Skipped("stable-no-bootc", "the current stable has no bootc: its users cannot upgrade by it")
        try:
            return await look(session, session.spec.upgrade)
        except NoStatus as error:
            return Found([str(error)], "a status document")

    return asked


@_asked
async def _upgrade(session: Session, wanted: Upgrade) -> Found | Skipped:
    before = await _status(session)
    if follows(before) != wanted.reference:
        said = f"the current stable follows {follows(before)} for updates: its users would not get this image"
        return Found([said], wanted.reference, output=json.dumps(before, indent=2))
    await _leave_sentinels(session)
    await _offer(session, wanted)
    answer = await session.guest.run("bootc", "upgrade", within=session.scaled(DOWNLOAD))
    await session.guest.run("rm", "-f", relay.DROP_IN)  # the new deployment's /etc is made at shutdown: as a user's
    staged = digests(await _status(session))["staged"]
    log = relay.told(session.folder / relay.LOG)
    if staged not in wanted.digests:
        said = f"`bootc upgrade` exits {answer.status} and stages {staged or 'nothing'}"
        return Found([said], f"{wanted.digests[0]} to be staged", output=f"{answer.text}\n\nthe relay's log:\n{log}")
    await session.reboot()
    after = await _status(session)
    session.say(f"upgraded from {digests(before)['booted']} to {digests(after)['booted']}")
    found = judge_upgrade(before, after, wanted, await _lost(session), await failed_units(session.guest))
    blobs, size = relay.fetched(log)
    return Found(found.findings, found.expected, f"{found.note}; {blobs} blobs of {size} bytes came in", found.output)


@_asked
async def _rollback(session: Session, wanted: Upgrade) -> Found | Skipped:
    before = await _status(session)
    if digests(before)["booted"] not in wanted.digests:
        return Skipped(NOT_RUN, "the upgrade did not succeed")
    answer = await session.guest.run("bootc", "rollback", within=session.scaled(60))
    if not is_queued(await _status(session)):
        return Found([f"`bootc rollback` exits {answer.status} and queues nothing"], "a rollback", output=answer.text)
    await session.reboot()
    return judge_rollback(before, await _status(session), await _lost(session), await failed_units(session.guest))


def digests(host: dict[str, Any]) -> dict[str, str | None]:
    """The digest of each deployment in `bootc status --json`: booted, staged and rollback."""
    return {name: _image(host, name).get("imageDigest") for name in ("booted", "staged", "rollback")}


def follows(host: dict[str, Any]) -> str:
    """The reference from which the booted system gets its updates; one of another transport with it in front."""
    origin = _image(host, "booted").get("image") or {}
    transport = origin.get("transport")
    return ("" if transport == "registry" else f"{transport}:") + str(origin.get("image"))


def is_queued(host: dict[str, Any]) -> bool:
    """Whether the next boot goes back."""
    return bool(host["status"].get("rollbackQueued")) or (host.get("spec") or {}).get("bootOrder") == "rollback"


def judge_upgrade(
    before: dict[str, Any], after: dict[str, Any], wanted: Upgrade, lost: list[str], failed: list[str]
) -> Found:
    """The verdict on both states, on sentinels that are gone and on units that failed afterwards."""
    old, new = digests(before), digests(after)
    findings = [] if new["booted"] in wanted.digests else [f"after the upgrade {new['booted']} is booted"]
    if new["rollback"] != old["booted"]:
        findings.append(f"the way back leads to {new['rollback']} and not to {old['booted']}")
    if follows(after) != wanted.reference:
        findings.append(f"after the upgrade updates come from {follows(after)} and not from {wanted.reference}")
    findings += [f"{path} is lost" for path in lost] + [f"{unit} failed after the upgrade" for unit in failed]
    return Found(findings, f"{wanted.digests[0]}, with everything kept", note=f"{old['booted']} became {new['booted']}")


def judge_rollback(before: dict[str, Any], after: dict[str, Any], lost: list[str], failed: list[str]) -> Found:
    """The verdict on going back."""
    old, new = digests(before), digests(after)
    findings = [] if new["booted"] == old["rollback"] else [f"after the rollback {new['booted']} is booted"]
    findings += [f"{path} is lost" for path in lost] + [f"{unit} failed after the rollback" for unit in failed]
    return Found(findings, f"{old['rollback']}, with everything kept", note=f"back on {new['booted']}")


def _image(host: dict[str, Any], name: str) -> dict[str, Any]:
    return (host["status"].get(name) or {}).get("image") or {}


async def _status(session: Session) -> dict[str, Any]:
    answer = await session.guest.run("bootc", "status", "--json", within=session.scaled(60))
    return read_status(answer.out, f"`bootc status --json` exits {answer.status}: {answer.text[:500]}")


def read_status(text: str, said: str) -> dict[str, Any]:
    """The document; NoStatus, with what was said instead, when it is none."""
    try:
        host = json.loads(text)
    except ValueError:
        raise NoStatus(said) from None
    if not isinstance(host, dict) or not isinstance(host.get("status"), dict):
        raise NoStatus(said)
    return host


async def _offer(session: Session, wanted: Upgrade) -> None:
    """Tell the guest's containers tools where the reference's repository has a mirror."""
    configuration = relay.drop_in(wanted.reference.rpartition(":")[0])
    script = 'mkdir -p "${1%/*}" && cat >"$1"'
    await session.guest.run("sh", "-c", script, "write", relay.DROP_IN, stdin=configuration.encode())


async def _leave_sentinels(session: Session) -> None:
    for path in SENTINELS:
        await session.guest.run("sh", "-c", 'cat >"$1"', "write", path, stdin=session.run.encode())


async def _lost(session: Session) -> list[str]:
    return [path for path in SENTINELS if await session.guest.out("cat", path) != session.run]


CHECK = VmCheck("upgrade", _upgrade, timeout=DOWNLOAD + 600)
ROLLBACK = VmCheck("rollback", _rollback, timeout=600)
