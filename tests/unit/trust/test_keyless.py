"""Signatures by an identity: who is asked for them, and what becomes of it when nobody answers."""

import time
from typing import Any

import httpx
import jwt
import pytest
import respx

from pipeline.containers.identity import identity_token
from pipeline.errors import InfrastructureError, UsageError
from pipeline.trust.keyless import Sigstore

ISSUER = "https://token.actions.githubusercontent.com"
SIGSTORE = Sigstore()


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
    away = Sigstore("", "http://127.0.0.1:9", "http://127.0.0.1:9")
    with pytest.raises(InfrastructureError, match=r"http://127.0.0.1:9 .* gave no signature"):
        away.sign(b"{}", token())


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
