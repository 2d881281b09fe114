"""Registries that delete, a way to fill them, and skopeo to pull with."""

import hashlib
import json
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.domain import Digest, Repository
from pipeline.registry import media
from pipeline.registry.client import RegistryClient


@dataclass
class Server:
    """A running registry."""

    address: str
    binary: str = ""
    config: Path | None = None
    """Of a registry that has garbage collection."""

    def collect(self) -> None:
        """Run the registry's garbage collection, where it has one."""
        if self.config:
            subprocess.run([self.binary, "garbage-collect", str(self.config)], check=True, capture_output=True)


@dataclass
class Shelf:
    """Writes into one repository as build tools do, by plain HTTP."""

    repository: Repository
    http: httpx.Client
    known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def blob(self, data: bytes, kind: str) -> dict[str, Any]:
        digest = sha256(data)
        location = self.http.post("blobs/uploads/").raise_for_status().headers["location"]
        url = self.http.base_url.join(location).copy_merge_params({"digest": digest})
        self.http.put(url, content=data, headers={"content-type": "application/octet-stream"}).raise_for_status()
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    def put(self, document: dict[str, Any], *tags: str) -> Digest:
        raw = json.dumps(document).encode()
        for ref in tags or (sha256(raw),):
            answer = self.http.put(f"manifests/{ref}", content=raw, headers={"content-type": document["mediaType"]})
            answer.raise_for_status()
        self.known[sha256(raw)] = {"mediaType": document["mediaType"], "digest": sha256(raw), "size": len(raw)}
        return sha256(raw)

    def image(self, *tags: str, days: float = 100, arch: str = "amd64", text: str = "", **more: Any) -> Digest:
        layer = os.urandom(2000) if not text else text.encode()
        rootfs = {"type": "layers", "diff_ids": [sha256(layer)]}
        created = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        config = {"os": "linux", "architecture": arch, "created": created, "rootfs": rootfs, "config": {}}
        document = {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "config": self.blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": [self.blob(layer, "application/vnd.oci.image.layer.v1.tar")],
        }
        return self.put(document | more, *tags)

    def index(self, *children: Digest, tags: tuple[str, ...] = ()) -> Digest:
        listed = [
            self.known[child] | {"platform": {"os": "linux", "architecture": arch}}
            for child, arch in zip(children, ["amd64", "arm64", "s390x", "ppc64le"], strict=False)
        ]
        return self.put({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": listed}, *tags)

    def retag(self, digest: Digest, tag: str) -> None:
        """Write what is behind `digest` to another tag, as a promotion does."""
        kind = self.known[digest]["mediaType"]
        found = self.http.get(f"manifests/{digest}", headers={"accept": kind}).raise_for_status()
        answer = self.http.put(f"manifests/{tag}", content=found.content, headers={"content-type": kind})
        answer.raise_for_status()

    def tags(self) -> set[str]:
        return set(self.http.get("tags/list").json()["tags"] or [])

    def has(self, digest: Digest) -> bool:
        types = ", ".join(sorted(media.MANIFESTS))
        return self.http.get(f"manifests/{digest}", headers={"accept": types}).status_code == 200

    def pull(self, ref: str, directory: Path) -> None:
        """Fetch everything below `ref` with skopeo."""
        separator = "@" if ref.startswith("sha256:") else ":"
        source = f"docker://{self.repository}{separator}{ref}"
        command = [
            "skopeo",
            "copy",
            "--all",
            "--preserve-digests",
            "--src-tls-verify=false",
            source,
            f"dir:{directory}",
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def check_whole(self, ref: str) -> None:
        """Look at every manifest and blob below `ref`, also in nested indexes, which skopeo does not copy."""
        types = ", ".join(sorted(media.MANIFESTS))
        document = self.http.get(f"manifests/{ref}", headers={"accept": types}).raise_for_status().json()
        for child in document.get("manifests", []):
            self.check_whole(child["digest"])
        for blob in [document.get("config"), *document.get("layers", [])]:
            if blob:
                self.http.head(f"blobs/{blob['digest']}").raise_for_status()


def sha256(data: bytes) -> Digest:
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


@pytest.fixture
def docker_registry(tmp_path: Path) -> Iterator[Server]:
    """Debian's docker-registry 2.8: no referrers API, no untagging."""
    yield from _distribution("docker-registry", tmp_path)


@pytest.fixture
def distribution_registry(distribution: str, tmp_path: Path) -> Iterator[Server]:
    """Distribution 3: no referrers API, untags."""
    yield from _distribution(distribution, tmp_path)


def _distribution(binary: str, tmp_path: Path) -> Iterator[Server]:
    address, config = f"127.0.0.1:{_port()}", tmp_path / "config.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage:\n  filesystem: {{rootdirectory: {tmp_path}/data}}\n  delete: {{enabled: true}}\n"
        f"http: {{addr: '{address}'}}\n"
    )
    yield from _serve([binary, "serve", str(config)], Server(address, binary, config))


@pytest.fixture(params=["docker_registry", "distribution_registry", "crane_registry"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each kind of registry in turn; crane's has the referrers API and keeps tags of a deleted digest."""
    found = request.getfixturevalue(request.param)
    return found if isinstance(found, Server) else Server(found)


@pytest.fixture
def shelf(server: Server) -> Iterator[Shelf]:
    repository = Repository.parse(f"{server.address}/os/r{time.monotonic_ns()}")
    with httpx.Client(base_url=f"http://{server.address}/v2/{repository.path}/") as http:
        yield Shelf(repository, http)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[RegistryClient]:
    async with RegistryClient(plain_http={server.address}, deadline=20) as opened:
        yield opened


def _serve(command: list[str], server: Server) -> Iterator[Server]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"http://{server.address}/v2/")
                break
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{command[0]} did not start") from None
                time.sleep(0.02)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=10)


def _port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
