"""A Sigstore of our own out of the real programs: Fulcio, Rekor, the log of certificates, and who tells identities."""

import base64
import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import jwt
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

GITHUB = "https://github.com"
"""Where the workflows of the tests are, by what their certificates say."""
_SINCE = {"start": "2021-01-01T00:00:00Z"}
_PROVIDER = {
    "default-template-values": {"url": GITHUB},
    "extension-templates": {
        "github-workflow-repository": "repository",
        "github-workflow-ref": "ref",
        "build-signer-uri": "{{ .url }}/{{ .job_workflow_ref }}",
        "source-repository-uri": "{{ .url }}/{{ .repository }}",
        "build-config-uri": "{{ .url }}/{{ .workflow_ref }}",
    },
    "subject-alternative-name-template": "{{ .url }}/{{ .job_workflow_ref }}",
}
"""What Fulcio writes of a workflow's token, as for GitHub's in its config/identity/config.yaml."""
_HASHED = "SHA2_256"


@dataclass
class Issuer:
    """Vouches for workflows, as GitHub does for its own."""

    address: str
    key: ec.EllipticCurvePrivateKey

    def token(self, workflow: str, called: str = "", **changes: Any) -> str:
        """For `owner/repository/.github/workflows/x.yml@refs/…`, in a job of another one that it `called`."""
        path, _, ref = workflow.partition("@")
        repository, now = "/".join(path.split("/")[:2]), int(time.time())
        claims = {"iss": self.address, "sub": f"repo:{repository}", "aud": "sigstore", "iat": now, "exp": now + 300}
        claims |= {
            "repository": repository,
            "ref": ref,
            "workflow_ref": workflow,
            "job_workflow_ref": called or workflow,
        }
        return jwt.encode(claims | changes, self.key, "ES256", {"kid": "lab"})


@dataclass
class Servers:
    """Addresses, and what somebody who trusts them keeps."""

    issuer: Issuer
    fulcio: str
    rekor: str
    root: str
    """trusted_root.json."""
    authority: str
    """Fulcio's own certificates, PEM."""
    processes: Mapping[str, subprocess.Popen[bytes]]
    """By `fulcio`, `rekor`, `certificates`, `trillian`."""


@contextmanager
def sigstore(program: Path, folder: Path, port: Callable[[], int]) -> Iterator[Servers]:
    """All of it, until the block ends. `program`: that of tests/contract/sigstore; `port`: one that is free."""
    with ExitStack() as stack:
        running: dict[str, subprocess.Popen[bytes]] = {}

        def start(name: str, *arguments: str) -> None:
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            running[name] = subprocess.Popen([program, name, *arguments], stdout=log, stderr=log, cwd=folder)
            stack.callback(_end, running[name])

        issuer = stack.enter_context(_issuer())
        trees, certificates, rekor, fulcio, grpc, metrics = (port() for _ in range(6))
        log_key = _key()
        (folder / "log.der").write_bytes(_private(log_key))
        provider = {"issuer-url": issuer.address, "client-id": "sigstore", "type": "ci-provider", "ci-provider": "lab"}
        told = {"oidc-issuers": {issuer.address: provider}, "ci-issuer-metadata": {"lab": _PROVIDER}}
        (folder / "fulcio.yaml").write_text(yaml.safe_dump(told))
        start("trillian", f"127.0.0.1:{trees}")
        start(
            *("fulcio", "serve", "--ca=ephemeralca", "--config-path=fulcio.yaml", "--host=127.0.0.1"),
            *(f"--port={fulcio}", "--grpc-host=127.0.0.1", f"--grpc-port={grpc}", f"--metrics-port={metrics}"),
            *(f"--ct-log-url=http://127.0.0.1:{certificates}/certificates", "--legacy-unix-domain-socket=fulcio.sock"),
        )
        chains = json.loads(_answer(f"http://127.0.0.1:{fulcio}/api/v2/trustBundle", running["fulcio"]))["chains"]
        authority = [one.encode() for one in chains[0]["certificates"]]
        (folder / "roots.pem").write_bytes(b"".join(authority))
        start("certificates", f"127.0.0.1:{trees}", f"127.0.0.1:{certificates}", "roots.pem", "log.der")
        start(
            *("rekor", "serve", "--rekor_server.address=127.0.0.1", f"--port={rekor}", "--rekor_server.signer=memory"),
            *("--rekor_server.hostname=rekor.test", f"--trillian_log_server.port={trees}"),
            *("--enable_retrieve_api=false", "--enabled_api_endpoints=createLogEntry,getLogEntryByUUID,getPublicKey"),
        )
        rekor_key = _answer(f"http://127.0.0.1:{rekor}/api/v1/log/publicKey", running["rekor"])
        _answer(f"http://127.0.0.1:{certificates}/certificates/ct/v1/get-sth", running["certificates"])
        public = serialization.load_pem_public_key(rekor_key)
        root = _root(authority, _der(log_key.public_key()), _der(public))
        addresses = f"http://127.0.0.1:{fulcio}", f"http://127.0.0.1:{rekor}"
        yield Servers(issuer, *addresses, root, b"".join(authority).decode(), running)


def _root(authority: list[bytes], certificates: bytes, rekor: bytes) -> str:
    """Source: sigstore/protobuf-specs, sigstore_trustroot.proto."""

    def log(key: bytes) -> dict[str, Any]:
        held = {"rawBytes": _text(key), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": _SINCE}
        name = {"keyId": _text(hashlib.sha256(key).digest())}
        return {"baseUrl": "https://log.test", "hashAlgorithm": _HASHED, "publicKey": held, "logId": name}

    chain = [{"rawBytes": _text(_certificate(one))} for one in authority]
    return json.dumps(
        {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(rekor)],
            "certificateAuthorities": [
                {
                    "subject": {"organization": "lab", "commonName": "lab"},
                    "uri": "https://fulcio.test",
                    "certChain": {"certificates": chain},
                    "validFor": _SINCE,
                }
            ],
            "ctlogs": [log(certificates)],
        }
    )


@contextmanager
def _issuer() -> Iterator[Issuer]:
    """Serves what OpenID Connect Discovery 1.0 asks for, and the key."""
    key = _key()

    class Told(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "lab", "alg": "ES256", "use": "sig"}
            document = {"issuer": issuer.address, "jwks_uri": f"{issuer.address}/keys"}
            document |= {"id_token_signing_alg_values_supported": ["ES256"]}
            body = json.dumps({"keys": [jwk]} if self.path == "/keys" else document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name is the base class's
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Told)
    issuer = Issuer(f"http://127.0.0.1:{server.server_port}", key)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()


def _answer(url: str, process: subprocess.Popen[bytes]) -> bytes:
    until = time.monotonic() + 60
    while True:
        try:
            return httpx.get(url).raise_for_status().content
        except httpx.HTTPError:
            if process.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.05)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()  # also one that a test has stopped
    process.wait()


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())


def _der(key: Any) -> bytes:
    der: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return der


def _certificate(pem: bytes) -> bytes:
    return x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
