"""Signatures of images in the form that podman, skopeo, bootc and cosign check: simple signing.

A signature is about a digest and about the reference under which it may be installed. Sources: cosign,
specs/SIGNATURE_SPEC.md; containers/image, signature/internal/sigstore_payload.go (what a reader accepts).
"""

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.domain import Digest
from pipeline.trust.keys import PublicKey

MEDIA_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
"""Of what is signed."""
SIGNATURE = "dev.cosignproject.cosign/signature"
"""The annotation with the signature over it, in base64."""
_TYPE = "cosign container image signature"


@dataclass(frozen=True)
class Pen:
    """What images are signed with."""

    key: Callable[[], Awaitable[PublicKey]]
    """Its public half."""
    sign: Callable[[Sequence[bytes]], Awaitable[list[bytes]]]
    """The signatures over some payloads, in their order."""


def payload(reference: str, digest: Digest) -> bytes:
    """What says that `reference` (`ghcr.io/owner/image:stable`) may name `digest`; always the same bytes."""
    critical = {
        "identity": {"docker-reference": reference},
        "image": {"docker-manifest-digest": digest},
        "type": _TYPE,
    }
    return json.dumps({"critical": critical, "optional": None}, sort_keys=True, separators=(",", ":")).encode()


def signs(content: bytes, annotations: Mapping[str, str], keys: Iterable[PublicKey]) -> bool:
    """Whether a layer of signed content with these annotations is signed by one of the keys."""
    try:
        signature = base64.b64decode(annotations.get(SIGNATURE, ""), validate=True)
    except binascii.Error:
        return False
    return any(key.signed(content, signature) for key in keys)


def annotated(signature: bytes) -> dict[str, str]:
    """The annotations of a signed layer."""
    return {SIGNATURE: base64.b64encode(signature).decode()}
