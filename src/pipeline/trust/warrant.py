"""A gate's findings are not lost when they cannot be signed: a key of the moment signs for whoever was to sign.

Before a gate, which takes hours, a key pair is made that never leaves the process, and its public half is signed: the
warrant. Should the signer be away when the gate is through, the pair signs what was found, and the warrant is stored
beside it. So it counts as the signer's own, for the gate that the warrant names, and is not tested again.
"""

from dataclasses import dataclass
from typing import Self

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline.domain import Channel, Digest
from pipeline.trust import statement as in_toto
from pipeline.trust.bundle import Signed, bundle, signed_bytes
from pipeline.trust.keys import PublicKey

_KIND = "urn:bootc-pipeline:warrant:v1"
_OF_NOTHING = in_toto.Subject("warrant", Digest(f"sha256:{'0' * 64}"))


@dataclass(frozen=True)
class Warrant:
    """A key of the moment, for one gate."""

    statement: bytes
    """To be signed by whoever would sign what the gate finds; it claims nothing of any image."""
    _private: ec.EllipticCurvePrivateKey
    _public: PublicKey

    @classmethod
    def new(cls, gate: Channel) -> Self:
        """With a fresh key pair."""
        private = ec.generate_private_key(ec.SECP256R1())
        kind = serialization.PublicFormat.SubjectPublicKeyInfo
        public = PublicKey.parse(private.public_key().public_bytes(serialization.Encoding.PEM, kind))
        claim = {"gate": gate, "key": public.pem.decode()}
        return cls(in_toto.written([_OF_NOTHING], _KIND, {}, claim), private, public)

    def sign(self, statement: bytes) -> bytes:
        """The bundle of a statement."""
        signature = self._private.sign(signed_bytes(statement), ec.ECDSA(hashes.SHA256()))
        return bundle(statement, signature, self._public.fingerprint)


def warranted(gate: Channel, warrant: Signed) -> PublicKey | None:
    """The key for which a warrant, that somebody signed who may, says that it signs for this gate."""
    try:
        claim = in_toto.read(warrant.payload, _KIND).claim
        return PublicKey.parse(str(claim["key"]).encode()) if claim["gate"] == gate else None
    except (ValueError, KeyError):
        return None
