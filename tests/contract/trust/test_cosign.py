"""cosign signs, and takes what was signed, in containers of the engine."""

import base64
import json
from dataclasses import dataclass

import pytest
from dagger import dag

from pipeline.containers.base import Reach, debian
from pipeline.containers.cosign import Signing, attest, public_key
from pipeline.containers.execution import attempt
from pipeline.errors import UsageError
from pipeline.registry.content import sha256
from pipeline.trust.bundle import read_bundle
from pipeline.trust.keys import PublicKey

PASSWORD = "canary-signing-password"
BLOB = "an image"
NO_ROOT = '{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'
"""Else cosign asks Sigstore's servers for what a key does not need."""
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
STATEMENT = json.dumps(
    {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "os", "digest": {"sha256": sha256(BLOB.encode()).hex}}],
        "predicateType": TEST_RESULT,
        "predicate": {"result": "PASSED", "configuration": []},
    }
).encode()


@dataclass(frozen=True)
class Pair:
    """What `cosign generate-key-pair` wrote."""

    private: str
    public: str

    def signing(self, password: str = PASSWORD) -> Signing:
        return Signing(dag.set_secret("key", self.private), dag.set_secret(password, password))


@pytest.fixture
async def pair(engine: None) -> Pair:
    made = (
        debian("cosign", "ca-certificates")
        .with_workdir("/keys")
        .with_env_variable("COSIGN_PASSWORD", PASSWORD)
        .with_exec(["cosign", "generate-key-pair"])
    )
    return Pair(await made.file("cosign.key").contents(), await made.file("cosign.pub").contents())


async def test_a_signed_statement_is_taken_by_cosign_and_by_us(pair: Pair) -> None:
    bundle = await attest(Reach(), pair.signing(), STATEMENT)
    signed, key = read_bundle(bundle), PublicKey.parse(pair.public.encode())
    assert signed.payload == STATEMENT
    assert signed.hint == key.fingerprint == (await public_key(Reach(), pair.signing())).fingerprint
    assert key.signed(signed.message, signed.signatures[0])
    assert not key.signed(signed.message + b" ", signed.signatures[0])
    assert PASSWORD.encode() not in bundle
    assert "verified OK" in await cosign_says(bundle.decode(), pair)
    forged = json.loads(bundle)
    forged["dsseEnvelope"]["payload"] = base64.b64encode(STATEMENT.replace(b"PASSED", b"FAILED")).decode()
    assert "threshold" in await cosign_says(json.dumps(forged), pair)


@pytest.mark.parametrize(
    ("private", "password", "found"), [(None, "canary-wrong", "decryption failed"), ("hello", PASSWORD, "pem block")]
)
async def test_what_cannot_sign_is_said_without_showing_it(
    pair: Pair, private: str | None, password: str, found: str
) -> None:
    wrong = Pair(private or pair.private, pair.public).signing(password)
    with pytest.raises(UsageError, match=found) as refused:
        await attest(Reach(), wrong, STATEMENT)
    assert "canary" not in str(refused.value)


async def cosign_says(bundle: str, pair: Pair) -> str:
    """By cosign alone."""
    container = (
        debian("cosign", "ca-certificates")
        .with_new_file("/bundle.json", bundle)
        .with_new_file("/cosign.pub", pair.public)
        .with_new_file("/root.json", NO_ROOT)
        .with_new_file("/blob", BLOB)
    )
    command = ["cosign", "verify-blob-attestation", "--key", "/cosign.pub", "--bundle", "/bundle.json"]
    told = ["--new-bundle-format", "--insecure-ignore-tlog", "--trusted-root", "/root.json", "--type", TEST_RESULT]
    ran = await attempt(container, [*command, *told, "/blob"])
    return ran.said
