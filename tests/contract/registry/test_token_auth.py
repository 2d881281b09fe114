"""Token authentication against real registries (docker-registry 2.8, distribution 3) and a token server of our own."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from pipeline.domain import Repository
from pipeline.errors import PreconditionError
from pipeline.registry.client import RegistryClient
from pipeline.registry.content import sha256
from pipeline.registry.credentials import Credentials

ISSUER, SERVICE = "lab", "lab-registry"


class TokenServer(ThreadingHTTPServer):
    """Signs what the distribution documentation calls a token; pull for everybody, all else for the right password."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.certificate = _certificate(self.key)
        self.scopes: list[str] = []
        self.rights = {"pull", "push", "delete"}
        """What the account may do."""
        self.login = "Basic " + base64.b64encode(b"me:right").decode()

    def token(self, scopes: list[str], rights: set[str]) -> str:
        access = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            allowed = set() if name == "closed/source" else rights
            access.append({"type": kind, "name": name, "actions": sorted(set(actions.split(",")) & allowed)})
        now = int(time.time())
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        claims = {"iss": ISSUER, "sub": "me", "aud": SERVICE, "exp": now + 60, "nbf": now - 5, "iat": now}
        claims |= {"jti": uuid4().hex, "access": access}
        signed = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        signature = self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_encoded(signature)}"


class _Answer(BaseHTTPRequestHandler):
    server: TokenServer

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        login = self.headers.get("authorization")
        if login not in (None, self.server.login):
            self.send_error(401)
            return
        self.server.scopes.append(" ".join(query["scope"]))
        rights = self.server.rights if login else {"pull"}
        body = json.dumps({"token": self.server.token(query["scope"], rights), "expires_in": 60}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *details: Any) -> None:
        pass


@pytest.fixture(scope="module")
def tokens() -> Iterator[TokenServer]:
    with TokenServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=["docker-registry", "distribution"])
def token_registry(
    request: pytest.FixtureRequest, tokens: TokenServer, start_registry: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    binary = request.getfixturevalue("distribution") if request.param == "distribution" else ""
    folder: Path = tmp_path_factory.mktemp("token")
    (folder / "root.pem").write_bytes(tokens.certificate.public_bytes(serialization.Encoding.PEM))
    realm = f"http://127.0.0.1:{tokens.server_port}/token"
    signer = f"issuer: {ISSUER}, rootcertbundle: {folder}/root.pem"
    auth = f"auth: {{token: {{realm: '{realm}', service: {SERVICE}, {signer}}}}}\n"
    started: AbstractContextManager[str] = start_registry(folder, auth, binary)
    with started as address:
        yield address


def credentials(registry: str, password: str) -> Credentials:
    auth = base64.b64encode(f"me:{password}".encode()).decode()
    return Credentials.parse(json.dumps({"auths": {registry: {"auth": auth}}}))


async def test_one_token_for_all_that_is_pushed_and_read(tokens: TokenServer, token_registry: str) -> None:
    path = f"test/{uuid4().hex}"
    tokens.scopes.clear()
    async with RegistryClient(credentials(token_registry, "right"), plain_http={token_registry}) as client:
        repo = client.repository(Repository(token_registry, path))
        layer = await repo.push_blob(b"data", "text/plain")
        stored = await repo.push_artifact("x/y", [layer])
        assert (found := await repo.manifest(stored.digest))
        assert await repo.blob(found.layers[0].digest) == b"data"
        assert await repo.delete(stored.digest)
    assert tokens.scopes == [f"repository:{path}:pull,push", f"repository:{path}:delete"]


async def test_anybody_may_read_and_only_an_account_may_write(tokens: TokenServer, token_registry: str) -> None:
    where = Repository(token_registry, f"test/{uuid4().hex}")
    async with RegistryClient(plain_http={token_registry}) as client:
        assert await client.repository(where).tags() == []
        with pytest.raises(PreconditionError, match=r"refuses POST .* without a login.*--registry-auth"):
            await client.repository(where).push_blob(b"data", "text/plain")


async def test_a_wrong_password_is_said_to_be_refused(token_registry: str) -> None:
    where = Repository(token_registry, "test/x")
    async with RegistryClient(credentials(token_registry, "wrong"), plain_http={token_registry}) as client:
        with pytest.raises(PreconditionError, match=r"as me: .*--registry-auth"):
            await client.repository(where).tags()


async def test_a_blob_is_taken_over_with_both_scopes(tokens: TokenServer, token_registry: str) -> None:
    here, there = f"test/{uuid4().hex}", f"test/{uuid4().hex}"
    async with RegistryClient(credentials(token_registry, "right"), plain_http={token_registry}) as client:
        source = client.repository(Repository(token_registry, here))
        target = client.repository(Repository(token_registry, there))
        layer = await source.push_blob(b"data", "text/plain")
        tokens.scopes.clear()
        assert await target.take_blob(layer.digest, source.repository)
        assert tokens.scopes == [f"repository:{there}:pull,push repository:{here}:pull"]
        assert await target.blob(layer.digest) == b"data"


async def test_a_blob_that_cannot_be_taken_over_is_copied(token_registry: str, tokens: TokenServer) -> None:
    async with RegistryClient(credentials(token_registry, "right"), plain_http={token_registry}) as client:
        target = client.repository(Repository(token_registry, f"test/{uuid4().hex}"))
        assert not await target.take_blob(sha256(b"data"), Repository(token_registry, "closed/source"))
        await target.push_blob(b"data", "text/plain")


async def test_a_login_that_pushes_and_does_not_delete_may_push(
    tokens: TokenServer, token_registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "rights", {"pull", "push"})
    async with RegistryClient(credentials(token_registry, "right"), plain_http={token_registry}) as client:
        await client.repository(Repository(token_registry, f"test/{uuid4().hex}")).ask_to_push()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ISSUER)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = (
        builder.serial_number(1).not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
    )
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    return builder.add_extension(constraints, critical=True).sign(key, hashes.SHA256())
