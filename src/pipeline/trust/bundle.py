"""A signed statement: a DSSE envelope in a Sigstore bundle.

Sources: secure-systems-lab/dsse, protocol.md (version 1); sigstore/protobuf-specs, sigstore_bundle.proto (v0.3).
The older form is read, too, which `cosign attest-blob --bundle` writes unless told otherwise: base64Signature.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@dataclass(frozen=True)
class Signed:
    """What a bundle holds, of which nothing is believed yet."""

    payload_type: str
    payload: bytes
    signatures: tuple[bytes, ...]
    hint: str = ""
    """The fingerprint of the key that it says it was signed with."""
    keyless: bool = False
    """Whether a certificate is in it rather than the name of a key."""
    raw: bytes = b""
    """The bundle, of which the envelope is a part."""

    @property
    def message(self) -> bytes:
        """What the signatures are over."""
        return signed_bytes(self.payload, self.payload_type)


def signed_bytes(payload: bytes, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """DSSE's pre-authentication encoding (PAE) of a statement."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def bundle(payload: bytes, signature: bytes, hint: str) -> bytes:
    """The Sigstore bundle of a statement that was signed with a key, whose fingerprint is `hint`."""
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
    }
    document = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint}},
        "dsseEnvelope": envelope,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def read_bundle(content: bytes) -> Signed:
    """Take a bundle of either form apart; ValueError, saying what is there instead, for anything else."""
    try:
        document: dict[str, Any] = json.loads(content)
        if old := document.get("base64Signature"):
            keyless, hint = bool(document.get("cert")), ""
            envelope = json.loads(base64.b64decode(old, validate=True))
        elif "dsseEnvelope" in document:
            material = document["verificationMaterial"]
            keyless, hint = "publicKey" not in material, str((material.get("publicKey") or {}).get("hint", ""))
            envelope = document["dsseEnvelope"]
        else:
            raise ValueError("a bundle without a DSSE envelope")
        return Signed(
            payload_type=str(envelope["payloadType"]),
            payload=base64.b64decode(envelope["payload"], validate=True),
            signatures=tuple(base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"]),
            hint=hint,
            keyless=keyless,
            raw=content,
        )
    except (KeyError, TypeError, AttributeError, RecursionError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"no Sigstore bundle ({type(error).__name__}: {error})") from error
    except binascii.Error as error:
        raise ValueError(f"a Sigstore bundle whose base64 is broken ({error})") from error
