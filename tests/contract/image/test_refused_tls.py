"""A registry whose TLS nobody trusts, or that has none: asked by our client, and by the engine that pulls a builder."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pipeline.containers.base import Reach
from pipeline.containers.disk_builder import builders_address
from pipeline.domain import Repository
from pipeline.errors import PreconditionError, UsageError
from pipeline.registry.client import RegistryClient

pytestmark = pytest.mark.anyio


@pytest.fixture
def own_authority(tmp_path: Path) -> Iterator[str]:
    """HOST:PORT of a server with a certificate that it made itself."""
    pem = tmp_path / "server.pem"
    pem.write_bytes(_certificate(address()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with _server(context) as host:
        yield host


@pytest.fixture
def no_tls() -> Iterator[str]:
    """HOST:PORT of one that speaks plain HTTP."""
    with _server(None) as host:
        yield host


async def test_a_certificate_of_an_own_authority(engine: None, own_authority: str) -> None:
    async with RegistryClient(None) as client:
        with pytest.raises(PreconditionError, match="certificate"):
            await client.repository(Repository(own_authority, "os")).tags()
    with pytest.raises(PreconditionError, match="the engine trusts no such certificate"):
        await builders_address(Reach(), f"{own_authority}/builder:1")


async def test_a_registry_without_tls(engine: None, no_tls: str) -> None:
    async with RegistryClient(None) as client:
        with pytest.raises((PreconditionError, UsageError), match="does not speak TLS"):
            await client.repository(Repository(no_tls, "os")).tags()
    with pytest.raises(PreconditionError, match="its registry speaks plain HTTP, and the engine expects TLS"):
        await builders_address(Reach(), f"{no_tls}/builder:1")


def address() -> str:
    """Of this machine, and not localhost, with which the engine speaks plain HTTP; nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.254", 9))
        found: str = probe.getsockname()[0]
        return found


@contextmanager
def _server(context: ssl.SSLContext | None) -> Iterator[str]:
    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            """Nobody reads it."""

    with ThreadingHTTPServer((address(), 0), Nothing) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"{address()}:{server.server_address[1]}"
        server.shutdown()


def _certificate(host: str) -> bytes:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + made.public_bytes(Encoding.PEM)
