"""An OCI image layout whose blobs are still on their way: containers storage takes each of them while it comes in.

So an image of gigabytes crosses the network once, and unpacking it does not wait for its last byte. What takes it sees
an ordinary registry on this machine, and verifies every digest itself.
"""

import socketserver
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedIOBase, FileIO
from pathlib import Path
from threading import Thread

from pipeline.domain import Digest, Tag
from pipeline.image.podman import run
from pipeline.policy.blame import Work, blamed
from pipeline.policy.platforms import choice
from pipeline.registry.download import unfinished
from pipeline.vm.relay import Layout, serve

_HERE = "127.0.0.1"
_PIECE = 1 << 20
_SOON = 0.02
"""Seconds between two looks for more of a blob."""
_NO_LOG = Path("/dev/null")


class Arriving(Layout):
    """Manifests are there; of a blob in `sizes` (bytes) that is not there yet, what comes is passed on."""

    def __init__(self, folder: Path, sizes: Mapping[Digest, int]) -> None:
        super().__init__(folder)
        self._sizes = {folder / "blobs" / "sha256" / digest.hex: size for digest, size in sizes.items()}

    def blob(self, digest: str) -> Path | None:
        """The file of a digest, which may be one that is to come."""
        coming = next((path for path in self._sizes if f"sha256:{path.name}" == digest), None)
        return coming or super().blob(digest)

    def size(self, file: Path) -> int:
        """Bytes that it will have."""
        return self._sizes[file] if file in self._sizes else super().size(file)

    def send(self, file: Path, to: BufferedIOBase) -> None:
        """All of it, waiting for what has not come; a download that begins anew brings the same bytes.

        Hangs up when the whole file is shorter than its descriptor says.
        """
        left = self.size(file)
        with _opened(file) as content:
            while left:
                whole = file.exists()
                if piece := content.read(min(left, _PIECE)):
                    to.write(piece)
                    left -= len(piece)
                elif whole:
                    raise ConnectionAbortedError(f"{file.name} has {left} bytes less than its descriptor says")
                else:
                    time.sleep(_SOON)


def _opened(file: Path) -> FileIO:
    """As soon as there is anything of it; the same file is renamed when it is whole."""
    while True:
        for path in (file, unfinished(file)):
            with suppress(FileNotFoundError):
                return path.open("rb", buffering=0)
        time.sleep(_SOON)


async def load(layout: Layout, tag: Tag, name: str, platform: str, *, deadline: float) -> None:
    """Put the image behind `tag` into containers storage as `name`. Raises what skopeo's words mean."""
    with _registry(layout) as host:
        source = f"docker://{host}/candidate:{tag}"
        words = ["skopeo", *choice(platform), "copy", "--quiet", "--src-tls-verify=false"]
        done = await run([*words, source, f"containers-storage:{name}"], deadline=deadline)
    if done.code:
        raise blamed(Work.COPY, done.output, f"skopeo could not load the candidate as {name}")


@contextmanager
def _registry(layout: Layout) -> Iterator[str]:
    """HOST:PORT of this machine, where the layout is served."""

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):  # one of us hung up
                serve(self.request, layout, _NO_LOG)

    with socketserver.ThreadingTCPServer((_HERE, 0), Connection) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"{_HERE}:{server.server_address[1]}"
        finally:
            server.shutdown()
