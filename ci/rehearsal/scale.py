"""What a disk costs on its way to a registry and back, beside skopeo with the same bytes in one layer.

On a real registry (Debian's docker-registry), without engine. The disk is random data, as that of an image whose files
do not compress; in the next release's a tenth of it is other data, in one piece, and all that follows has moved by a
block. `stored` is what the registry's disk grew by, as a share of the disk.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import anyio

from pipeline.containers.disk_store import MEMORY
from pipeline.domain import Repository, Tag
from pipeline.registry.chunks import BLOCK
from pipeline.registry.client import RegistryClient
from pipeline.registry.content import sha256
from pipeline.registry.download import measured as measured_file
from rehearsal.lab import MODULE
from rehearsal.tests import conftest

servers = conftest("contract")

_PIECE = 8 << 20
_BUILDER = "bench@sha256:0"


@dataclass(frozen=True)
class Cost:
    """Of one process."""

    seconds: float
    processor: float
    """Seconds of processors."""
    memory: int
    """Bytes, at most."""
    stored: int
    """Bytes by which the disk of the registry, or store, grew."""
    said: str

    def line(self, step: str, size: int) -> str:
        return (
            f"{step:<44}{self.seconds:>8.1f} s {self.processor:>8.1f} s {size / self.seconds / 1e6:>7.0f} MB/s "
            f"{self.memory / 1e6:>6.0f} MB {self.stored / size:>8.2f}"
        )


def measured(gigabytes: Sequence[float]) -> Iterator[str]:
    """The table, a line each."""
    yield f"{'disk, and what was done with it':<44}{'time':>10} {'processor':>10} {'':>12} {'memory':>9} {'stored':>8}"
    for size in gigabytes:
        with TemporaryDirectory(prefix="bootc-bench-", dir=os.environ.get("TMPDIR")) as folder, ExitStack() as stack:
            registry = Path(folder, "registry")
            registry.mkdir()
            address = stack.enter_context(servers.docker_registry(registry))
            yield from _one(Path(folder), registry, address, int(size * 1e9))


def _one(folder: Path, registry: Path, address: str, size: int) -> Iterator[str]:
    disk, following, copy = folder / "disk", folder / "following", folder / "copy"
    size = filled(disk, size)
    _changed(disk, following)
    where = Repository(address, f"bench/{uuid4().hex[:8]}")
    subject = anyio.run(_image, where)
    program = [sys.executable, "-m", "pipeline.registry.disk"]
    place = ["--repository", str(where), "--plain-http"]
    push = [*program, "push", *place, "--subject", subject, "--builder", _BUILDER, "--path"]
    title = f"{size / 1e9:.1f} GB"

    first = cost([*push, str(disk)], registry)
    yield first.line(f"{title}, stored in chunks", size)
    yield cost([*push, str(disk)], registry).line(f"{title}, stored again", size)
    yield cost([*push, str(following)], registry).line(f"{title}, the next one, a tenth of it new", size)
    record = json.loads(first.said)
    fetch = [*program, "fetch", *place, "--manifest", record["manifest"], "--sha256", record["sha256"]]
    yield cost([*fetch, "--path", str(copy)], registry).line(f"{title}, fetched", size)
    copy.unlink()

    following.unlink()
    skopeo, layout = servers.debian("skopeo"), folder / "layout"
    _as_layout(layout, disk)
    remote = f"docker://{address}/bench/whole:disk"
    here = f"dir:{layout}"
    yield cost([skopeo, "copy", "-q", "--dest-tls-verify=false", here, remote], registry).line(
        f"{title}, stored by skopeo in one layer", size
    )
    back = f"dir:{folder / 'back'}"
    yield cost([skopeo, "copy", "-q", "--src-tls-verify=false", remote, back], registry).line(
        f"{title}, fetched by skopeo", size
    )


def filled(path: Path, size: int) -> int:
    """Write random bytes; how many (whole pieces of `_PIECE`)."""
    with path.open("wb") as file:
        for _ in range(max(1, size // _PIECE)):
            file.write(os.urandom(_PIECE))
        return file.tell()


def _changed(source: Path, target: Path) -> None:
    """The same but for a tenth in the middle, behind which everything lies a block further."""
    size = source.stat().st_size
    begin = size // 2 // BLOCK * BLOCK
    end = begin + size // 10 // BLOCK * BLOCK
    with source.open("rb") as old, target.open("wb") as new:
        _copied(old.read, new.write, begin)
        _copied(os.urandom, new.write, end - begin + BLOCK)
        old.seek(end)
        _copied(old.read, new.write, size - end)


def _copied(read: Callable[[int], bytes], write: Callable[[bytes], object], size: int) -> None:
    while size > 0:
        write(read(min(_PIECE, size)))
        size -= _PIECE


def _as_layout(folder: Path, disk: Path) -> None:
    """skopeo's `dir:` of an image whose only layer is the file."""
    folder.mkdir()
    config = b"{}"
    digest, (layer, size) = sha256(config), measured_file(disk)
    disk.rename(folder / layer.hex)
    (folder / digest.hex).write_bytes(config)
    (folder / "version").write_text("Directory Transport Version: 1.1\n")
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": len(config)},
        "layers": [
            {
                "mediaType": "application/octet-stream",
                "digest": layer,
                "size": size,
            }
        ],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


async def _image(where: Repository) -> str:
    async with RegistryClient(plain_http={where.host}) as client:
        repo = client.repository(where)
        layer = await repo.push_blob(b"an image", "text/plain")
        return (await repo.push_artifact("application/x.image", [layer], tag=Tag("image"))).digest


def cost(command: list[str], held: Path, **environment: str) -> Cost:
    """Of a command that has to succeed; `held`: the folder whose growth counts as stored."""
    before, start = _used(held), time.monotonic()
    answer, into = os.pipe()
    pid = os.posix_spawnp(
        command[0],
        command,
        os.environ | MEMORY | {"PYTHONPATH": str(MODULE / "src")} | environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, into, 1)],
    )
    os.close(into)
    with os.fdopen(answer) as pipe:
        said = pipe.read()
    _, status, spent = os.wait4(pid, 0)
    seconds = time.monotonic() - start
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    return Cost(seconds, spent.ru_utime + spent.ru_stime, spent.ru_maxrss * 1024, _used(held) - before, said)


def _used(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
