"""A system that runs the current stable image takes the candidate, and comes back; nothing of the user is lost.

These are asked instead of the others when `Spec.upgrade` is set, on the disk of the current stable image. The guest
runs what its users run, `bootc upgrade`, and keeps the reference that it follows; `pipeline.vm.relay` says how it gets
the candidate there. bootc's exit status proves nothing (after a rollback, an upgrade that finds no changes ends with
0), so what is staged, booted and queued is read from `bootc status`. A rollback brings the old deployment's own /etc
back; /var is shared.
"""

import json
import re
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from pipeline.vm import attachments, relay
from pipeline.vm.checks.base import VmCheck
from pipeline.vm.checks.console import without_numbers
from pipeline.vm.checks.reboot import look_again
from pipeline.vm.session import Session
from pipeline.vm.spec import Upgrade
from pipeline.vm.verdict import NOT_RUN, Found, Skipped

SENTINELS = ("/etc/vm-gate-sentinel", "/var/lib/vm-gate-sentinel")
"""What stands for the user's configuration and data."""

DOWNLOAD = 900.0
"""Seconds with KVM that fetching and staging an image may take."""

STABLES_OWN = "what was wrong with stable before the upgrade"
UNSIGNED = "what stable says of a candidate that nobody has signed for it yet"
_POLICY_SAYS = re.compile("source image rejected|signature was required", re.IGNORECASE)
"""containers/image, copy/copy.go and signature/policy_eval_sigstore.go, whatever tool shows it."""

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
    await session.once(STABLES_OWN, _wrong)
    await _leave_sentinels(session)
    await _offer(session, wanted)
    answer = await session.guest.run("bootc", "upgrade", within=session.scaled(DOWNLOAD))
    await _withdraw(session)  # the new deployment's /etc is made at shutdown: as a user's
    staged = digests(await _status(session))["staged"]
    log = relay.told(session.folder / relay.LOG)
    if staged not in wanted.digests and _POLICY_SAYS.search(answer.text):
        return _unsigned("current stable", await session.once(UNSIGNED, _said(answer.text)), wanted)
    if staged not in wanted.digests:
        reason = "" if answer.ok else f": {error_line(answer.text)}"
        said = f"`bootc upgrade` exits {answer.status} and stages {staged or 'nothing'}{reason}"
        return Found([said], f"{wanted.digests[0]} to be staged", output=f"{answer.text}\n\nthe relay's log:\n{log}")
    session.matches_before = len(session.machine.console.matches)
    await session.reboot()
    after = await _status(session)
    session.say(f"upgraded from {digests(before)['booted']} to {digests(after)['booted']}")
    wrong = await _wrong(session)
    found = judge_upgrade(before, after, wanted, await _lost(session), wrong)
    arrived = digests(after)["booted"] in wanted.digests
    again, said, refused = await _upgrades_again(session, wanted) if arrived else ([], "", "")
    if refused and not found.findings and not again:
        return _unsigned("candidate", [refused], wanted)
    return Found([*found.findings, *again], found.expected, f"{found.note}; {relay.told_fetched(log)}", said)


@_asked
async def _rollback(session: Session, wanted: Upgrade) -> Found | Skipped:
    before = await _status(session)
    if refused := await session.once(UNSIGNED, _nothing):
        return _unsigned("current stable", refused, wanted)
    if digests(before)["booted"] not in wanted.digests:
        return Skipped(NOT_RUN, "the upgrade did not succeed")
    answer = await session.guest.run("bootc", "rollback", within=session.scaled(60))
    if not is_queued(await _status(session)):
        return Found(
            [f"`bootc rollback` exits {answer.status} and queues nothing: {error_line(answer.text)}"],
            "a rollback",
            output=answer.text,
        )
    session.matches_before = len(session.machine.console.matches)
    await session.reboot()
    new = beyond(await _wrong(session), await session.once(STABLES_OWN, _nothing))
    return judge_rollback(before, await _status(session), await _lost(session), new)


async def _wrong(session: Session) -> list[str]:
    return (await look_again(session))[0]


def _unsigned(whose: str, refused: list[str], wanted: Upgrade) -> Skipped:
    """The policy of an image is its users' and is not touched: what it asks for is made when the candidate is released.

    The relay serves what signatures there are; a candidate has none yet by the key, and for the reference, of stable.
    """
    return Skipped(
        "refused-by-policy",
        f"the {whose}'s own policy.json asks for a signature for {wanted.reference}, which a candidate gets "
        f"with its release: {refused[0]}",
    )


def _said(text: str) -> Callable[[Session], Awaitable[list[str]]]:
    async def said(_: Session) -> list[str]:
        return [error_line(text)]

    return said


async def _nothing(_: Session) -> list[str]:
    return []


def beyond(findings: list[str], known: list[str]) -> list[str]:
    """The findings that are not among those known from before; figures in them may differ."""
    before = {_kind(finding) for finding in known}
    return [finding for finding in findings if _kind(finding) not in before]


def _kind(finding: str) -> str:
    return re.sub(r"\[ *#\.#\] ?| \(# times\)$", "", without_numbers(finding))


async def _upgrades_again(session: Session, wanted: Upgrade) -> tuple[list[str], str, str]:
    """Whether the candidate can upgrade: one that lost what bootc needs for it would leave its users behind for ever.

    What is wrong, what bootc said, and how the candidate's own policy refused, which leaves the question open.
    It is offered itself, so nothing changes; its bootc must ask the registry, fetch the manifest and find that out.
    """
    await _offer(session, wanted)
    findings, said, refused = list[str](), list[str](), ""
    for command in (("bootc", "upgrade", "--check"), ("bootc", "upgrade")):
        answer = await session.guest.run(*command, within=session.scaled(DOWNLOAD / 3))
        said.append(f"$ {' '.join(command)}\n{answer.text}")
        if not answer.ok and _POLICY_SAYS.search(answer.text):
            refused = error_line(answer.text)
            break
        if not answer.ok:
            findings.append(f"`{' '.join(command)}` on the candidate exits {answer.status}: {error_line(answer.text)}")
            break
    await _withdraw(session)
    staged = digests(await _status(session))["staged"]
    if not findings and staged not in (None, *wanted.digests):
        findings.append(f"`bootc upgrade` on the candidate stages {staged}")
    return findings, "\n".join(said), refused


def error_line(text: str) -> str:
    """What a program gave as its reason: its last line that says `error:`, or its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it says nothing"]
    return next((line for line in reversed(lines) if line.lower().startswith("error")), lines[-1])[:300]


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
    before: dict[str, Any], after: dict[str, Any], wanted: Upgrade, lost: list[str], wrong: list[str]
) -> Found:
    """The verdict on both states, on sentinels that are gone and on what else is wrong with the boot afterwards."""
    old, new = digests(before), digests(after)
    findings = [] if new["booted"] in wanted.digests else [f"after the upgrade {new['booted']} is booted"]
    if new["rollback"] != old["booted"]:
        findings.append(f"the way back leads to {new['rollback']} and not to {old['booted']}")
    if follows(after) != wanted.reference:
        findings.append(f"after the upgrade updates come from {follows(after)} and not from {wanted.reference}")
    findings += [*(f"{path} is lost" for path in lost), *wrong]
    return Found(findings, f"{wanted.digests[0]}, with everything kept", note=f"{old['booted']} became {new['booted']}")


def judge_rollback(before: dict[str, Any], after: dict[str, Any], lost: list[str], wrong: list[str]) -> Found:
    """The verdict on going back; `wrong` is what was not wrong before the upgrade."""
    old, new = digests(before), digests(after)
    findings = [] if new["booted"] == old["rollback"] else [f"after the rollback {new['booted']} is booted"]
    findings += [*(f"{path} is lost" for path in lost), *wrong]
    return Found(findings, f"{old['rollback']}, with everything kept", note=f"back on {new['booted']}")


def _image(host: dict[str, Any], name: str) -> dict[str, Any]:
    found: Any = host["status"]
    for key in (name, "image"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


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
    """Tell the guest's containers tools where the reference's repository has a mirror, and signatures."""
    looks = await session.guest.run("sh", "-c", attachments.FILES)
    told = {
        relay.DROP_IN: relay.drop_in(wanted.reference.rpartition(":")[0]),
        attachments.DROP_IN: attachments.drop_in(looks.out, wanted.reference),
    }
    script = 'mkdir -p "${1%/*}" && cat >"$1"'
    for path, content in told.items():
        if content:
            await session.guest.run("sh", "-c", script, "write", path, stdin=content.encode())


async def _withdraw(session: Session) -> None:
    await session.guest.run("rm", "-f", relay.DROP_IN, attachments.DROP_IN)


async def _leave_sentinels(session: Session) -> None:
    for path in SENTINELS:
        await session.guest.run("sh", "-c", 'cat >"$1"', "write", path, stdin=session.run.encode())


async def _lost(session: Session) -> list[str]:
    return [path for path in SENTINELS if await session.guest.out("cat", path) != session.run]


CHECK = VmCheck("upgrade", _upgrade, timeout=2 * DOWNLOAD + 600)
ROLLBACK = VmCheck("rollback", _rollback, timeout=600)
