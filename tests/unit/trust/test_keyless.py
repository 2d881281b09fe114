"""Signatures by an identity: who is asked for them, and what becomes of it when nobody answers."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, cast

import httpx
import jwt
import pytest
import respx

from pipeline.containers import identity, persistent
from pipeline.containers.identity import identity_token, sign_with_identity
from pipeline.errors import InfrastructureError, PipelineError, UsageError
from pipeline.trust.keyless import Sigstore

from .little_sigstore import LittleSigstore

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


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A Fulcio that says the same to everybody."""

    class Fulcio(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is the base class's
            """Nobody reads it."""

    with HTTPServer(("127.0.0.1", 0), Fulcio) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "kind", "found"),
    [
        (400, UsageError, r"refused to sign as --identity-token \(HTTP 400\)"),
        (403, UsageError, r"refused to sign as --identity-token \(HTTP 403\)"),
        (429, InfrastructureError, r"gave no signature \(HTTP 429\)"),
        (503, InfrastructureError, r"gave no signature \(HTTP 503\)"),
    ],
)
def test_a_refusal_is_the_callers_and_an_outage_is_not(status: int, kind: type[PipelineError], found: str) -> None:
    with answering(status) as fulcio, pytest.raises(kind, match=found) as refused:
        Sigstore(LittleSigstore().root, fulcio).sign(b"{}", token())
    assert token().split(".")[0] not in str(refused.value)


@dataclass
class Instance:
    """In the place of a Sigstore: what it does at each signature, one after the other."""

    acts: list[Callable[[], bytes]]
    tokens: list[str] = field(default_factory=list)
    fulcio = rekor = "http://sigstore.test"

    def sign(self, statement: bytes, token: str) -> bytes:
        self.tokens.append(token)
        return self.acts.pop(0)()

    async def signed(self, secret: str = "canary") -> bytes:
        return await sign_with_identity(cast("Any", self), cast("Any", Given(secret)), b"{}")


@dataclass
class Given:
    """In the place of a secret."""

    text: str

    async def plaintext(self) -> str:
        return self.text


def raising(error: Exception) -> Callable[[], bytes]:
    def act() -> bytes:
        raise error

    return act


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persistent, "_PAUSES", (0.0, 0.0, 0.0))


@pytest.mark.usefixtures("without_pauses")
async def test_a_signature_is_asked_for_again_after_an_outage_and_not_after_a_refusal() -> None:
    away = raising(InfrastructureError("HTTP 429"))
    instance = Instance([away, away, lambda: b"signed"])
    assert await instance.signed() == b"signed"
    assert instance.tokens == ["canary"] * 3
    with pytest.raises(InfrastructureError, match="HTTP 429"):
        await Instance([away] * 4).signed()
    refused = Instance([raising(UsageError("HTTP 401")), lambda: b"signed"])
    with pytest.raises(UsageError, match="HTTP 401"):
        await refused.signed()
    assert len(refused.acts) == 1


@pytest.mark.usefixtures("without_pauses")
@respx.mock
async def test_who_vouches_for_the_job_may_be_away_for_a_while_and_is_asked_at_each_try() -> None:
    tokens = [httpx.Response(200, json={"value": one}) for one in ("first", "second")]
    respx.get("https://pipelines.test/token").mock(
        side_effect=[httpx.ConnectError("canary"), httpx.Response(429), *tokens]
    )
    instance = Instance([raising(InfrastructureError("HTTP 503")), lambda: b"signed"])
    assert await instance.signed("https://pipelines.test/token canary") == b"signed"
    assert instance.tokens == ["first", "second"]


@pytest.mark.usefixtures("without_pauses")
async def test_nobody_waits_for_ever_for_a_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_DEADLINE", 0.05)

    def slow() -> bytes:
        time.sleep(1)
        return b"too late"

    with pytest.raises(InfrastructureError, match=r"gave no signature within"):
        await Instance([slow] * 4).signed()
    assert await Instance([slow, lambda: b"signed"]).signed() == b"signed"


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
