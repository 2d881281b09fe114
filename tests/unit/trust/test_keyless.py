"""Signatures by an identity: a real bundle of the public Sigstore, and what is not one.

captures: of sigstore/sigstore-conformance at a73de4970176d258e0154c530b89d20b89444e4d,
test/assets/bundle-verify/rekor2-dsse-happy-path: a workflow that signs for everybody, with the root of that day.
"""

import base64
import json
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import respx

from pipeline.containers.identity import identity_token
from pipeline.errors import InfrastructureError, UsageError
from pipeline.trust.bundle import read_bundle
from pipeline.trust.keyless import Identity, Sigstore
from pipeline.trust.signers import Trust

CAPTURES = Path(__file__).parent / "captures"
BUNDLE, ROOT = (CAPTURES / "bundle.sigstore.json").read_bytes(), (CAPTURES / "trusted_root.json").read_text()
ISSUER = "https://token.actions.githubusercontent.com"
WORKFLOW = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/"
    "extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
SIGSTORE = Sigstore(ROOT)


def refusal(bundle: bytes, issuer: str, identity: str) -> str:
    trust = Trust({"testing": [Identity(issuer, identity, SIGSTORE)]})
    return trust.refusal(trust.signers["testing"], read_bundle(bundle).payload, bundle)


@pytest.mark.parametrize("identity", [WORKFLOW, WORKFLOW.replace("heads/main", "heads/*")])
def test_an_identity_that_is_named_counts(identity: str) -> None:
    assert refusal(BUNDLE, ISSUER, identity) == ""


@pytest.mark.parametrize(
    ("issuer", "identity"),
    [
        (ISSUER, WORKFLOW.replace("heads/main", "tags/v*")),
        (ISSUER, "https://github.com/OWNER/REPO/.github/workflows/test-qemu.yml@refs/tags/v*"),
        ("https://accounts.example.org", WORKFLOW),
    ],
)
def test_another_one_is_named_with_the_one_that_was_expected(issuer: str, identity: str) -> None:
    found = refusal(BUNDLE, issuer, identity)
    assert found.startswith(f"signed by {WORKFLOW} ({ISSUER}), or nobody at all; expected")
    assert found.endswith(f"{identity} ({issuer})")


def changed(*path: Any, to: Any) -> bytes:
    document = json.loads(BUNDLE)
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "bundle",
    [
        changed("dsseEnvelope", "payload", to=base64.b64encode(b'{"forged": true}').decode()),
        changed("dsseEnvelope", "signatures", to=[{"sig": base64.b64encode(b"x" * 70).decode()}]),
        changed("verificationMaterial", "tlogEntries", to=[]),
        changed("verificationMaterial", "timestampVerificationData", to={}),
        changed("verificationMaterial", "certificate", to={"rawBytes": "AAAA"}),
    ],
    ids=["payload", "signature", "no log", "no time: the certificate has expired", "certificate"],
)
def test_what_was_altered_does_not_count(bundle: bytes) -> None:
    assert "expected a signature by" in refusal(bundle, ISSUER, WORKFLOW)


def test_a_trusted_root_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"trust\.trusted_root"):
        _ = Sigstore('{"mediaType": "x"}').root


def token(**changes: Any) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "sub": "repo:o/r", "aud": "sigstore", "iat": now, "exp": now + 300} | changes
    return jwt.encode(claims, "canary-of-at-least-thirty-two-bytes", "HS256")


@pytest.mark.parametrize("wrong", ["canary", token(aud="other"), token(exp=1)], ids=["none", "audience", "expired"])
def test_a_token_that_sigstore_does_not_take_is_refused_without_showing_it(wrong: str) -> None:
    with pytest.raises(UsageError, match="identity-token") as refused:
        SIGSTORE.sign(b"{}", wrong)
    assert wrong not in str(refused.value)


def test_a_sigstore_that_is_away_is_an_outage() -> None:
    away = Sigstore(ROOT, "http://127.0.0.1:9", "http://127.0.0.1:9")
    statement = read_bundle(BUNDLE).payload
    with pytest.raises(InfrastructureError, match=r"http://127.0.0.1:9 .* gave no signature"):
        away.sign(statement, token())


@respx.mock
async def test_a_token_is_asked_for_when_it_is_needed() -> None:
    asked = respx.get("https://pipelines.test/token", params={"api": "2", "audience": "sigstore"})
    asked.respond(json={"value": "fresh"})
    assert await identity_token(["https://pipelines.test/token?api=2", "canary"]) == "fresh"
    assert asked.calls.last.request.headers["authorization"] == "Bearer canary"
    asked.mock(side_effect=httpx.ConnectError("canary"))
    with pytest.raises(InfrastructureError, match="gave no identity token") as away:
        await identity_token(["https://pipelines.test/token?api=2", "canary"])
    assert "canary" not in str(away.value)
    with pytest.raises(UsageError, match="neither a token"):
        await identity_token(["http://pipelines.test/token", "canary"])
