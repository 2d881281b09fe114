"""Public keys, as cosign writes them: PEM, SubjectPublicKeyInfo."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa


@dataclass(frozen=True)
class PublicKey:
    """Whose signatures can be checked."""

    key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
    fingerprint: str
    """`SHA256:` and the base64 of the key's DER form, by which people and bundles name it."""

    @classmethod
    def parse(cls, pem: bytes) -> Self:
        """ValueError for anything else than one public key of a kind that cosign signs with."""
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ValueError("no public key in PEM form (-----BEGIN PUBLIC KEY-----, as in cosign.pub)") from error
        if not isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey):
            raise ValueError(f"a public key of kind {type(key).__name__}; expected ECDSA, Ed25519 or RSA")  # noqa: TRY004
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        digest = base64.b64encode(hashlib.sha256(der).digest()).decode()
        return cls(key, f"SHA256:{digest.rstrip('=')}")

    @property
    def pem(self) -> bytes:
        """As cosign writes it."""
        kind = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_bytes(serialization.Encoding.PEM, kind)

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature over `message` is by this key (ECDSA and RSA over its SHA-256)."""
        try:
            match self.key:
                case ec.EllipticCurvePublicKey():
                    self.key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
                case ed25519.Ed25519PublicKey():
                    self.key.verify(signature, message)
                case rsa.RSAPublicKey():
                    self.key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True
