"""cosign signs, and takes what was signed, in containers of the engine."""

import base64
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import dagger
import pytest
from dagger import dag

from pipeline.containers import persistent
from pipeline.containers.base import Reach, debian
from pipeline.containers.cosign import Hand, Signing
from pipeline.containers.execution import Ran, attempt
from pipeline.domain import Channel, Digest, Outcome, Repository, Tag
from pipeline.errors import InfrastructureError, UsageError
from pipeline.registry import ledger
from pipeline.registry.client import RegistryClient
from pipeline.registry.content import sha256
from pipeline.registry.evidence import Evidence, attach_evidence
from pipeline.registry.sbom import attach_sbom
from pipeline.report.model import Check, CheckStatus, Move, Result
from pipeline.trust.bundle import read_bundle
from pipeline.trust.keys import PublicKey
from pipeline.trust.notary import Notary

PASSWORD = "canary-signing-password"
BLOB = "an image"
PLUGIN = Path(__file__).with_name("kms_plugin.py")
DOCS = Path(__file__).parents[3] / "docs" / "trust.md"
OFFLINE = [
    "--key",
    "/given/cosign.pub",
    "--new-bundle-format",
    "--insecure-ignore-tlog",
    "--trusted-root",
    "/given/root.json",
]
NO_ROOT = '{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'
"""Else cosign asks Sigstore's servers for what a key does not need."""
HOST = "registry.local"
"""cosign reads bundles without TLS only from hosts of such names (go-containerregistry, name.Registry.Scheme)."""
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
VERIFICATION = "https://slsa.dev/verification_summary/v1"
BILL = json.dumps(
    {
        "spdxVersion": "SPDX-2.3",
        "packages": [{"SPDXID": f"a{one}", "name": f"hello-{one}", "comment": "x" * 1000} for one in range(4000)],
    }
).encode()
"""As long as that of a desktop."""
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
    hand = Hand(Reach(), pair.signing())
    bundle = await hand.attest(STATEMENT)
    signed, key = read_bundle(bundle), PublicKey.parse(pair.public.encode())
    assert signed.payload == STATEMENT
    assert signed.hint == key.fingerprint == (await hand.key()).fingerprint
    assert key.signed(signed.message, signed.signatures[0])
    assert not key.signed(signed.message + b" ", signed.signatures[0])
    assert PASSWORD.encode() not in bundle
    assert "Verified OK" in await cosign_says(bundle.decode(), pair)
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
        await Hand(Reach(), wrong).attest(STATEMENT)
    assert "canary" not in str(refused.value)


@dataclass(frozen=True)
class WithKms(Reach):
    """Whatever image is asked for is one with cosign and the driver of a KMS."""

    async def image(self, address: str) -> dagger.Container:
        return (
            debian("cosign", "openssl")
            .with_exec(["openssl", "ecparam", "-name=prime256v1", "-genkey", "-noout", "-out=/releases.pem"])
            .with_exec(["install", "-D", "/releases.pem", "/kms/releases.pem"])
            .with_new_file("/usr/local/bin/sigstore-kms-lab", PLUGIN.read_text(), permissions=0o755)
            .with_entrypoint(["cosign"])
        )


@pytest.mark.usefixtures("engine")
async def test_a_key_in_a_kms_signs_by_its_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its driver gets the reference and the login, which nobody else sees."""
    monkeypatch.setattr(persistent, "_PAUSES", ())

    def hand(reference: str, login: str) -> Hand:
        auth = dag.set_secret(f"kms {uuid4().hex}", login)
        return Hand(WithKms(), Signing(kms=reference, kms_auth=auth, image="registry.test/cosign"))

    kms = hand("lab://releases", "LAB_KMS_TOKEN=canary-kms-token\n")
    bundle, key = await kms.attest(STATEMENT), await kms.key()
    signed = read_bundle(bundle)
    assert key.signed(signed.message, signed.signatures[0])
    assert "Verified OK" in await cosign_says(bundle.decode(), Pair("", key.pem.decode()))
    for reference, login, found in [
        ("lab://releases", "LAB_KMS_TOKEN=canary-wrong", "403: permission denied"),
        ("lab://another", "LAB_KMS_TOKEN=canary-kms-token", "404: no key another"),
    ]:
        with pytest.raises(InfrastructureError, match=found) as refused:
            await hand(reference, login).attest(STATEMENT)
        assert "canary" not in str(refused.value)
    with pytest.raises(UsageError, match="KMS reference"):
        await hand("elsewhere://releases", "LAB_KMS_TOKEN=canary-kms-token").attest(STATEMENT)


async def test_what_lies_in_a_registry_is_taken_by_cosign_alone(pair: Pair, any_registry: str) -> None:
    """No code of ours: the public key, and the policies that docs/trust.md shows."""
    sign = Hand(Reach(), pair.signing()).attest
    tested, passed = re.findall(r"```cue\n(.*?)```", DOCS.read_text(), re.DOTALL)
    host = int(any_registry.rpartition(":")[2])
    container = with_cosign(pair).with_service_binding(
        HOST, dag.host().service([dagger.PortForward(backend=host, frontend=5000)])
    )
    async with RegistryClient(plain_http={any_registry}, notary=Notary(sign=sign)) as client:
        repo = client.repository(Repository(any_registry, f"test/{uuid4().hex}"))
        layer = await repo.push_blob(b"an image", "text/plain")
        digest = (await repo.push_artifact("application/x.image", [layer])).digest

        async def says(kind: str, policy: str) -> Ran:
            command = ["cosign", "verify-attestation", *OFFLINE, "--type", kind, "--policy", "/policy.cue"]
            asked = container.with_new_file("/policy.cue", policy).with_env_variable("RUN", uuid4().hex)
            return await attempt(asked, [*command, f"{HOST}:5000/{repo.repository.path}@{digest}"])

        stored = await attach_evidence(repo, digest, evidence(digest, Outcome.PASSED), b"report")
        move = Move(repository=str(repo.repository), tag=Tag("stable"), old=None, new=digest)
        told = {"moves": [move], "evidence": [stored.digest], "by": "alice", "at": datetime.now(UTC), "reason": ""}
        kind = {"channel": Channel.STABLE, "kind": ledger.Kind.PROMOTION, "command": "promote-stable"}
        await ledger.append(repo, ledger.Entry.model_validate(told | kind))
        await attach_sbom(repo, digest, BILL)
        for asked_for, policy, code in [
            (TEST_RESULT, tested, 0),
            (TEST_RESULT, tested.replace("testing", "next"), 1),
            (VERIFICATION, passed, 0),
            (VERIFICATION, passed.replace("STABLE", "NEXT"), 1),
            ("https://spdx.dev/Document", 'predicate: packages: [{name: "hello-0", ...}, ...]', 0),
        ]:
            ran = await says(asked_for, policy)
            assert ran.code == code, ran.said
        await attach_evidence(repo, digest, evidence(digest, Outcome.GATE_FAILED), b"report")
        assert (await says(TEST_RESULT, tested)).code  # whichever of the two came first
        assert not (await says(VERIFICATION, passed)).code


def evidence(digest: Digest, outcome: Outcome) -> Evidence:
    checks = [Check(name="boot", status=CheckStatus.PASSED if outcome is Outcome.PASSED else CheckStatus.FAILED)]
    result = Result(command="gate", outcome=outcome, reason="fine", digest=digest, checks=checks)
    return Evidence(gate=Channel.TESTING, gate_version="1", result=result)


async def cosign_says(bundle: str, pair: Pair) -> str:
    """By cosign alone."""
    container = with_cosign(pair).with_new_file("/bundle.json", bundle).with_new_file("/blob", BLOB)
    command = ["cosign", "verify-blob-attestation", *OFFLINE, "--bundle", "/bundle.json", "--type", TEST_RESULT]
    return (await attempt(container, [*command, "/blob"])).said


def with_cosign(pair: Pair) -> dagger.Container:
    files = dag.directory().with_new_file("cosign.pub", pair.public).with_new_file("root.json", NO_ROOT)
    return debian("cosign", "ca-certificates").with_directory("/given", files)
