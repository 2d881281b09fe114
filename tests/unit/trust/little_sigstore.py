"""A Sigstore of one certificate authority and one log of one entry, which signs what and when a test wants it.

What it writes is what Fulcio, its certificate log and Rekor write: RFC 6962 (sections 3.2 and 3.3), sigstore/fulcio
(docs/certificate-specification.md), sigstore/rekor (types/dsse), transparency-dev/formats (log).
"""

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pipeline.trust.bundle import MEDIA_TYPE, PAYLOAD_TYPE, signed_bytes

_ISSUER, _ISSUER_AS_STRING, _SOURCE, _BEGUN = (
    x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}") for number in (1, 8, 12, 18)
)
_CALLER = (x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.5"), x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.6"))
_SCTS = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
_LIFE = timedelta(minutes=10)


def _new() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _der(key: ec.EllipticCurvePrivateKey) -> bytes:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.DER, kind)


def _id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_der(key)).digest()


def _sign(key: ec.EllipticCurvePrivateKey, content: bytes) -> bytes:
    return key.sign(content, ec.ECDSA(hashes.SHA256()))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _usage(**granted: bool) -> x509.KeyUsage:
    others = dict.fromkeys((*_USAGES, "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(**others | granted)


@dataclass(frozen=True)
class LittleSigstore:
    """Its keys, and what it does with them."""

    fulcio: ec.EllipticCurvePrivateKey = field(default_factory=_new)
    certificates: ec.EllipticCurvePrivateKey = field(default_factory=_new)
    rekor: ec.EllipticCurvePrivateKey = field(default_factory=_new)

    @property
    def root(self) -> str:
        """Its trusted_root.json."""

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            held = {"rawBytes": _text(_der(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since}
            told = {"publicKey": held, "logId": {"keyId": _text(_id(key))}}
            return {"baseUrl": "https://log.test", "hashAlgorithm": "SHA2_256", **told}

        since = {"start": "2021-01-01T00:00:00Z"}
        authority = self._authority().public_bytes(serialization.Encoding.DER)
        fulcio = {"subject": {"organization": "test", "commonName": "test"}, "uri": "https://fulcio.test"}
        fulcio |= {"certChain": {"certificates": [{"rawBytes": _text(authority)}]}, "validFor": since}
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [log(self.rekor)],
                "certificateAuthorities": [fulcio],
                "ctlogs": [log(self.certificates)],
            }
        )

    def bundle(
        self,
        statement: bytes,
        identity: str,
        issuer: str,
        *,
        after: timedelta = timedelta(minutes=1),
        begun: tuple[str, str] | None = None,
    ) -> bytes:
        """Of a statement, with an entry in the log so long after the certificate was issued.

        `begun`: the source repository, and the workflow in it that called the one with this identity.
        """
        key, issued = _new(), datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
        cert = self._leaf(key, identity, issuer, issued, begun)
        signature = _sign(key, signed_bytes(statement))
        envelope = {"payload": _text(statement), "payloadType": PAYLOAD_TYPE, "signatures": [{"sig": _text(signature)}]}
        material = {
            "certificate": {"rawBytes": _text(cert.public_bytes(serialization.Encoding.DER))},
            "tlogEntries": [self._entry(statement, signature, cert, int((issued + after).timestamp()))],
        }
        told = {"mediaType": MEDIA_TYPE, "verificationMaterial": material, "dsseEnvelope": envelope}
        return json.dumps(told).encode()

    def _authority(self) -> x509.Certificate:
        name, key = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")]), self.fulcio.public_key()
        made = x509.CertificateBuilder(name, name, key, 1, datetime(2021, 1, 1), datetime(2051, 1, 1))
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        made = made.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        return made.sign(self.fulcio, hashes.SHA256())

    def _leaf(
        self,
        key: ec.EllipticCurvePrivateKey,
        identity: str,
        issuer: str,
        issued: datetime,
        begun: tuple[str, str] | None,
    ) -> x509.Certificate:
        above = self._authority()
        made = x509.CertificateBuilder(above.subject, x509.Name([]), key.public_key(), 2, issued, issued + _LIFE)
        made = made.add_extension(_usage(digital_signature=True), critical=True)
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        known = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.fulcio.public_key())
        made = made.add_extension(known, critical=False)
        named = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
        made = made.add_extension(named, critical=True)
        made = made.add_extension(x509.UnrecognizedExtension(_ISSUER, issuer.encode()), critical=False)
        if begun:
            for name, told in zip(_CALLER, (begun[0].partition(".com/")[2], begun[1].partition("@")[2]), strict=True):
                made = made.add_extension(x509.UnrecognizedExtension(name, told.encode()), critical=False)
        texts = {_ISSUER_AS_STRING: issuer, **dict(zip((_SOURCE, _BEGUN), begun or (), strict=False))}
        for name, text in texts.items():
            made = made.add_extension(x509.UnrecognizedExtension(name, asn1.encode_der(text)), critical=False)
        unlogged = made.sign(self.fulcio, hashes.SHA256()).tbs_certificate_bytes
        when = int(issued.timestamp() * 1000)
        entry = _id(self.fulcio) + struct.pack("!I", len(unlogged))[1:] + unlogged
        signature = _sign(self.certificates, struct.pack("!BBQH", 0, 0, when, 1) + entry + b"\0\0")
        told = struct.pack("!B32sQHBBH", 0, _id(self.certificates), when, 0, 4, 3, len(signature)) + signature
        listed = struct.pack("!HH", len(told) + 2, len(told)) + told
        scts = x509.UnrecognizedExtension(_SCTS, bytes([4, len(listed)]) + listed)
        return made.add_extension(scts, critical=False).sign(self.fulcio, hashes.SHA256())

    def _entry(self, statement: bytes, signature: bytes, cert: x509.Certificate, at: int) -> dict[str, Any]:
        verifier = _text(cert.public_bytes(serialization.Encoding.PEM))
        payload = {"algorithm": "sha256", "value": hashlib.sha256(statement).hexdigest()}
        spec = {"envelopeHash": payload, "payloadHash": payload}
        spec |= {"signatures": [{"signature": _text(signature), "verifier": verifier}]}
        body = json.dumps({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec}, sort_keys=True).encode()
        leaf = hashlib.sha256(b"\0" + body).digest()
        note = f"log.test - 1\n1\n{_text(leaf)}\n"
        signed = _text(_id(self.rekor)[:4] + _sign(self.rekor, note.encode()))
        promised = {"body": _text(body), "integratedTime": at, "logID": _id(self.rekor).hex(), "logIndex": 0}
        promise = _sign(self.rekor, json.dumps(promised, sort_keys=True, separators=(",", ":")).encode())
        proof = {"logIndex": "0", "rootHash": _text(leaf), "treeSize": "1", "hashes": []}
        return {
            "logIndex": "0",
            "logId": {"keyId": _text(_id(self.rekor))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(at),
            "inclusionPromise": {"signedEntryTimestamp": _text(promise)},
            "inclusionProof": proof | {"checkpoint": {"envelope": f"{note}\n\u2014 log.test {signed}\n"}},
            "canonicalizedBody": _text(body),
        }
