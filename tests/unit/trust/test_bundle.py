"""Signed statements and the keys that they are checked with."""

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519

from pipeline.trust.bundle import bundle, read_bundle, signed_bytes
from pipeline.trust.keys import PublicKey

PAYLOAD = b'{"_type":"https://in-toto.io/Statement/v1"}'
SHA256 = hashes.SHA256()


def pem(key: object) -> bytes:
    return key.public_key().public_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def test_the_bytes_that_are_signed_are_those_of_dsse():
    assert signed_bytes(b"hello world", "http://example.com/HelloWorld") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"  # the example in its protocol.md
    )


def test_a_bundle_reads_back():
    signed = read_bundle(bundle(PAYLOAD, b"signature", "SHA256:x"))
    assert (signed.payload, signed.signatures, signed.hint) == (PAYLOAD, (b"signature",), "SHA256:x")
    assert not signed.keyless
    assert signed.message == signed_bytes(PAYLOAD)


def test_the_older_form_reads_as_well():
    new = json.loads(bundle(PAYLOAD, b"signature", ""))
    old = {"base64Signature": base64.b64encode(json.dumps(new["dsseEnvelope"]).encode()).decode(), "cert": ""}
    older, newer = (read_bundle(json.dumps(one).encode()) for one in (old, new))
    assert (older.message, older.signatures) == (newer.message, newer.signatures)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"{", "no Sigstore bundle"),
        (b"\xff", "no Sigstore bundle"),
        (b"[]", "no Sigstore bundle"),
        (b"[" * 100_000, "no Sigstore bundle"),
        (b'{"messageSignature": {}, "verificationMaterial": {}}', "without a DSSE envelope"),
        (b'{"dsseEnvelope": {}, "verificationMaterial": {"publicKey": {}}}', "no Sigstore bundle"),
        (b'{"dsseEnvelope": {"payload": "%", "payloadType": ""}, "verificationMaterial": {}}', "base64"),
        (b'{"base64Signature": "%"}', "base64"),
    ],
)
def test_anything_else_is_no_bundle(content: bytes, found: str):
    with pytest.raises(ValueError, match=found):
        read_bundle(content)


def test_each_kind_of_key_signs_and_another_does_not():
    curve, other, edwards = (
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP256R1()),
        ed25519.Ed25519PrivateKey.generate(),
    )
    factors = rsa.generate_private_key(65537, 2048)
    signatures = {
        curve: curve.sign(PAYLOAD, ec.ECDSA(SHA256)),
        edwards: edwards.sign(PAYLOAD),
        factors: factors.sign(PAYLOAD, padding.PKCS1v15(), SHA256),
    }
    for key, signature in signatures.items():
        assert PublicKey.parse(pem(key)).signed(PAYLOAD, signature)
        assert not PublicKey.parse(pem(key)).signed(PAYLOAD + b".", signature)
        assert not PublicKey.parse(pem(other)).signed(PAYLOAD, signature)


@pytest.mark.parametrize("text", [b"", b"hello", pem(x25519.X25519PrivateKey.generate())])
def test_anything_else_is_no_key(text: bytes):
    with pytest.raises(ValueError, match="public key"):
        PublicKey.parse(text)
