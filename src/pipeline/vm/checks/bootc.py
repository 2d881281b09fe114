"""bootc booted the digest under test, and follows the reference that users will get their updates from.

The document is `bootc status --json` (bootc documentation, bootc-status; crates/lib/src/spec.rs): `status.booted.image`
has the manifest digest and, in `image.image`, the origin. Older systems give v1alpha1, which has the same fields.
"""

import json
from typing import Any

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found, Skipped

VERSIONS = {"org.containers.bootc/v1", "org.containers.bootc/v1alpha1"}


async def _digest(session: Session) -> Found | Skipped:
    text = await session.once("bootc status", _status)
    spec = session.spec
    return text if isinstance(text, Skipped | Found) else judge_digest(text, spec.digest, spec.platform_digest)


async def _origin(session: Session) -> Found | Skipped:
    text = await session.once("bootc status", _status)
    return text if isinstance(text, Skipped | Found) else judge_origin(text, session.spec.update_ref)


async def _status(session: Session) -> str | Skipped | Found:
    if not await session.guest.has("bootc"):
        return Skipped("no-bootc", "the guest finds no bootc program")
    answer = await session.guest.run("bootc", "status", "--json", within=session.scaled(60))
    (session.folder / "bootc-status.json").write_text(answer.out)
    if not answer.ok:
        return Found([f"`bootc status --json` exits {answer.status}: {answer.text}"], "a status document")
    return answer.out


def judge_digest(document: str, expected: str | None, platform: str | None = None) -> Found | Skipped:
    """The verdict on the booted digest; `platform` is that of this platform's image in the expected index."""
    if not expected:
        return Skipped("not-configured", "no digest is expected")
    image, problem = _booted(document)
    if problem:
        return Found([problem], f"a system booted from {expected}", output=document)
    booted = image.get("imageDigest")
    if not booted or booted not in (expected, platform):
        return Found([f"booted from {booted}"], expected, output=document)
    return Found(note=booted)


def judge_origin(document: str, expected: str | None) -> Found | Skipped:
    """The verdict on the update origin."""
    if not expected:
        return Skipped("not-configured", "no update reference is expected")
    image, problem = _booted(document)
    if problem:
        return Found([problem], f"a system that follows {expected}", output=document)
    origin = image.get("image") or {}
    if origin.get("image") != expected or origin.get("transport") != "registry":
        found = f"updates come from {origin.get('image')} (transport {origin.get('transport')})"
        return Found([found], f"{expected} (transport registry)", output=document)
    return Found(note=expected)


def _booted(document: str) -> tuple[dict[str, Any], str]:
    """The booted image's entry, or what is wrong with the document."""
    try:
        status = json.loads(document)
    except ValueError as error:
        return {}, f"`bootc status --json` is not JSON: {error}"
    if not isinstance(status, dict):
        return {}, "`bootc status --json` is no document"
    if status.get("apiVersion") not in VERSIONS or status.get("kind") != "BootcHost":
        return {}, f"`bootc status` speaks {status.get('apiVersion')} {status.get('kind')}, known is BootcHost v1"
    booted = (status.get("status") or {}).get("booted") or {}
    if not booted.get("image"):
        return {}, "bootc says that the system was not booted from an image"
    if booted.get("incompatible"):
        return {}, "bootc calls the booted system incompatible (it was changed by hand)"
    return booted["image"], ""


DIGEST = VmCheck("bootc-digest", _digest)
ORIGIN = VmCheck("bootc-origin", _origin)
