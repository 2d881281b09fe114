"""A registry for one guest: it answers with the files of one OCI image layout, read-only, and has nothing else.

The system of the current stable is to update itself as its users' systems will, to an image that no channel names yet.
So the guest runs a plain `bootc upgrade` and keeps its own update reference; the gate only tells its containers tools,
in a drop-in that is gone before the reboot (containers-registries.conf.d(5)), that this one repository has a mirror at
ADDRESS, and there the reference's tag is the candidate. bootc pulls from mirrors (its documentation, "Accessing
registries and disconnected updates"). `bootc switch` to another name would be simpler, and would leave a system that
follows a reference which no user has, under a signature policy that is not theirs.

The mirror holds files: the candidate's bytes were fetched by digest before, in a container that has the registry's
login (`pipeline.image.oci_layout`). So plain HTTP, logins and redirects are no matter of the guest, no secret is on the
machine beside it, no outage can come in between, and the guest sees no network but this. The price is one more copy of
the image, also of the layers that an installed system has already.

QEMU starts this program for each connection to ADDRESS (`guestfwd`), with the connection as standard input: no port is
open on this machine. It must not import the package, and it writes what it answered to a log.
"""

import json
import os
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BufferedIOBase
from pathlib import Path
from typing import Any

ADDRESS, PORT = "10.0.2.100", 5000
"""Where the guest finds it, in the network that QEMU makes up for it."""

LOG = "relay.log"
"""What was answered, in the report's folder."""

DROP_IN = "/etc/containers/registries.conf.d/zz-vm-gate.conf"
"""The last one wins, also over a setting that the image brings for the same repository."""

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation in index.json that holds a tag (OCI image specification, annotations)."""

_IDLE = 600.0
_MOST_TOLD = 1 << 20
_PATH = re.compile(r"/v2/.+/(?P<kind>manifests|blobs)/(?P<ref>[A-Za-z0-9_.:-]+)")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TLS_HANDSHAKE = b"\x16"
_INDEX = "application/vnd.oci.image.index.v1+json"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def guestfwd(layout: Path, log: Path) -> str:
    """The option of QEMU's user network that serves `layout` to the guest and appends to `log`."""
    command = shlex.join([sys.executable, "-I", __file__, str(layout), str(log)])
    return f"guestfwd=tcp:{ADDRESS}:{PORT}-cmd:{command}".replace(",", ",,")


def drop_in(repository: str) -> str:
    """The configuration that makes this the mirror of a repository, for everything that pulls from there."""
    path = repository.partition("/")[2]
    return (
        f'[[registry]]\nprefix = "{repository}"\nlocation = "{repository}"\n\n'
        f'[[registry.mirror]]\nlocation = "{ADDRESS}:{PORT}/{path}"\ninsecure = true\n'
    )


def told(log: Path) -> str:
    """What the guest asked for, one answer a line; empty when it asked for nothing."""
    if not log.exists():
        return ""
    with log.open(errors="replace") as file:
        return file.read(_MOST_TOLD)


def fetched(log: str) -> tuple[int, int]:
    """How many distinct blobs went to the guest, and their bytes; bootc fetches some of them twice."""
    sizes = dict(re.findall(r"^GET \S+/blobs/([^/\s]+) 200 (\d+)$", log, re.MULTILINE))
    return len(sizes), sum(map(int, sizes.values()))


def told_fetched(log: str) -> str:
    """The same in words, see `bytes_told`."""
    blobs, size = fetched(log)
    return f"{blobs} blobs of {size} bytes came in"


def bytes_told(text: str) -> int | None:
    """The bytes in what `told_fetched` said, wherever it stands; None in other texts."""
    found = re.search(r"blobs of (\d{1,18}) bytes came in", text)
    return int(found[1]) if found else None


class Layout:
    """The files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def blob(self, digest: str) -> Path | None:
        """The file of a digest."""
        if not _DIGEST.fullmatch(digest):
            return None
        path = self._folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
        return path if path.is_file() else None

    def size(self, file: Path) -> int:
        """Bytes of what `send` writes."""
        return file.stat().st_size

    def send(self, file: Path, to: BufferedIOBase) -> None:
        """All of one of them."""
        with file.open("rb") as content:
            shutil.copyfileobj(content, to, 1 << 20)

    def manifest(self, ref: str) -> tuple[str, str, Path] | None:
        """Digest, media type and file of a manifest, by tag or digest."""
        if path := self.blob(ref):
            return ref, self._media_type(path), path
        for described in self.named():
            if (described.get("annotations") or {}).get(REF_NAME) == ref and (path := self.blob(described["digest"])):
                return described["digest"], described["mediaType"], path
        return None

    def named(self) -> Iterator[dict[str, Any]]:
        """What index.json lists."""
        yield from json.loads((self._folder / "index.json").read_text())["manifests"]

    def _media_type(self, path: Path) -> str:
        try:
            document = json.loads(path.read_text())
            return str(document.get("mediaType") or (_INDEX if "manifests" in document else _MANIFEST))
        except (ValueError, AttributeError):
            return "application/octet-stream"


class Registry(BaseHTTPRequestHandler):
    """The reading half of the distribution specification 1.1."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "vm-gate", ""
    timeout = _IDLE

    def __init__(self, connection: socket.socket, layout: Layout, log: Path) -> None:
        self._layout, self._log = layout, log
        super().__init__(connection, (ADDRESS, PORT), None)  # type: ignore[arg-type]  # there is no server

    def do_GET(self) -> None:
        """Answer with a body."""
        self._serve()

    def do_HEAD(self) -> None:
        """Answer without one."""
        self._serve()

    def _serve(self) -> None:
        path = self.path.partition("?")[0]
        asked = _PATH.fullmatch(path)
        if path.rstrip("/") == "/v2":
            return self._send(HTTPStatus.OK, "application/json", body=b"{}")
        if asked and asked["kind"] == "blobs" and (file := self._layout.blob(asked["ref"])):
            return self._send(HTTPStatus.OK, "application/octet-stream", asked["ref"], file)
        if asked and asked["kind"] == "manifests" and (found := self._layout.manifest(asked["ref"])):
            digest, media_type, file = found
            return self._send(HTTPStatus.OK, media_type, digest, file)
        unknown = "BLOB_UNKNOWN" if asked and asked["kind"] == "blobs" else "MANIFEST_UNKNOWN"
        body = json.dumps({"errors": [{"code": unknown, "message": "not part of the candidate"}]}).encode()
        return self._send(HTTPStatus.NOT_FOUND, "application/json", body=body)

    def _send(
        self, status: HTTPStatus, media_type: str, digest: str = "", file: Path | None = None, body: bytes = b""
    ) -> None:
        size = self._layout.size(file) if file else len(body)
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(size))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command != "HEAD":
            if file:
                self._layout.send(file, self.wfile)
            else:
                self.wfile.write(body)
        self._note(f"{self.command} {self.path} {status.value} {size}")

    def _note(self, line: str) -> None:
        with self._log.open("a") as log:
            if log.tell() < _MOST_TOLD:
                log.write(line + "\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is the base class's
        """Say nothing on standard error, which is the guest's connection; `_send` keeps the log."""


def serve(connection: socket.socket, layout: Layout, log: Path) -> None:
    """Answer one connection until the guest hangs up.

    Whoever may speak plain HTTP tries TLS first: hanging up at once sends it on.
    """
    if connection.recv(1, socket.MSG_PEEK) not in (b"", _TLS_HANDSHAKE):
        Registry(connection, layout, log)


def main(layout: str, log: str) -> None:
    """The connection is standard input, output and error; only the first is used."""
    connection = socket.socket(fileno=os.dup(0))
    with Path(log).open("ab") as file, connection:
        os.dup2(file.fileno(), 2)
        try:
            serve(connection, Layout(Path(layout)), Path(log))
        except OSError:
            return  # the guest hung up, or the machine is off


if __name__ == "__main__":
    main(*sys.argv[1:])
