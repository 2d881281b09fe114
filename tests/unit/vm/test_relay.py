"""The registry that a guest upgrades from: the candidate, and nothing else."""

import contextlib
import hashlib
import json
import socket
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from pipeline.vm import relay

BLOB = b"a layer"
INDEX = b'{"schemaVersion": 2, "manifests": []}'
MANIFEST = json.dumps(
    {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
).encode()


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    folder = tmp_path / "candi, date"
    (folder / "blobs" / "sha256").mkdir(parents=True)
    for content in BLOB, INDEX, MANIFEST:
        (folder / "blobs" / "sha256" / digest(content)[7:]).write_bytes(content)
    named = {"mediaType": "a/b", "digest": digest(MANIFEST), "annotations": {relay.REF_NAME: "stable"}}
    (folder / "index.json").write_text(json.dumps({"manifests": [{"digest": digest(INDEX)}, named]}))
    return folder


@pytest.fixture
def connect(layout: Path, tmp_path: Path) -> Iterator[Callable[[], socket.socket]]:
    """Start the program as QEMU does: the connection is its standard input, output and error."""
    started = []

    def start() -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.settimeout(20)
        command = [sys.executable, "-I", relay.__file__, str(layout), str(tmp_path / "log")]
        with theirs:
            started.append(subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd="/"))
        return ours

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def ask(connect: Callable[[], socket.socket]) -> Callable[..., tuple[HTTPResponse, bytes]]:
    """All over one connection, as clients do."""
    connection = HTTPConnection("relay")
    connection.sock = connect()

    def request(path: str, method: str = "GET") -> tuple[HTTPResponse, bytes]:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer, answer.read()

    return request


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/v2/", 200, b"{}"),
        ("/v2/owner/os/manifests/stable", 200, MANIFEST),
        (f"/v2/owner/os/manifests/{digest(MANIFEST)}", 200, MANIFEST),
        (f"/v2/owner/os/manifests/{digest(INDEX)}", 200, INDEX),
        (f"/v2/owner/os/blobs/{digest(BLOB)}", 200, BLOB),
        ("/v2/owner/os/manifests/latest", 404, None),
        ("/v2/owner/os/manifests/../index.json", 404, None),
        ("/v2/owner/os/blobs/index.json", 404, None),
        (f"/v2/owner/os/blobs/sha256:{'0' * 64}", 404, None),
        ("/v2/owner/os/tags/list", 404, None),
        ("/etc/passwd", 404, None),
    ],
)
def test_it_has_the_candidate_and_nothing_else(ask, path, status, body) -> None:
    answer, content = ask(path)
    assert (answer.status, content if body else None) == (status, body)
    head, nothing = ask(path, "HEAD")
    assert (head.status, head.headers["content-length"], nothing) == (status, str(len(content)), b"")


def test_a_manifest_comes_with_its_own_type_and_digest(ask) -> None:
    answer, _ = ask("/v2/owner/os/manifests/stable")
    assert answer.headers["docker-content-digest"] == digest(MANIFEST)
    types = [
        ask(f"/v2/owner/os/manifests/{digest(content)}")[0].headers["content-type"] for content in (MANIFEST, INDEX)
    ]
    assert types == [
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.index.v1+json",
    ]


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_nothing_can_be_written(ask, method) -> None:
    assert ask("/v2/owner/os/manifests/stable", method)[0].status == 501


def test_what_was_fetched_is_in_the_log(ask, tmp_path) -> None:
    for path in "manifests/stable", f"blobs/{digest(BLOB)}", f"blobs/sha256:{'0' * 64}":
        ask(f"/v2/owner/os/{path}")
    assert relay.fetched(relay.told(tmp_path / "log")) == (1, len(BLOB))
    assert relay.told(tmp_path / "another") == ""


def test_a_blob_that_is_fetched_twice_counts_once() -> None:
    config, layer = f"sha256:{'4' * 64}", f"sha256:{'9' * 64}"
    log = f"GET /v2/ 200 2\nGET /v2/os/blobs/{config} 200 2585\n" * 2 + f"GET /v2/os/blobs/{layer} 200 510\n"
    assert relay.fetched(log) == (2, 3095)


def test_whoever_tries_tls_is_sent_on_at_once(connect) -> None:
    with connect() as connection:
        connection.send(b"\x16\x03\x01\x02\x00\x01")
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""


def test_the_guest_is_told_of_one_repository() -> None:
    (one,) = tomllib.loads(relay.drop_in("ghcr.io/owner/os"))["registry"]
    assert one["prefix"] == one["location"] == "ghcr.io/owner/os"
    assert one["mirror"] == [{"location": "10.0.2.100:5000/owner/os", "insecure": True}]


def test_qemu_is_told_in_one_option(layout: Path) -> None:
    option = relay.guestfwd(layout, Path("/report/relay.log"))
    assert option.startswith("guestfwd=tcp:10.0.2.100:5000-cmd:")
    assert option.replace(",,", "").count(",") == 0
