"""A file of any size as a list of chunks, in its order: each a blob of its own, compressed with zstd.

Cut where the content says, on the borders of file system blocks: what did not change is cut alike in the disk of the
next release, wherever it lies there, and is not sent again (docs/performance.md says how much that is). Several chunks
are under way at a time, each is retried alone, and no more than those are in memory.
"""

import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from io import BufferedIOBase
from pathlib import Path
from threading import local
from zlib import crc32

import zstandard
from anyio import to_thread

from pipeline.domain import Digest
from pipeline.each import in_turn
from pipeline.errors import PreconditionError, UsageError
from pipeline.quantities import size_text
from pipeline.registry.client import RepositoryClient
from pipeline.registry.content import Descriptor

BLOCK = 4096
"""Bytes of a block of the file systems in use: nothing in a disk moves by less."""
AVERAGE = 2 << 20
"""Bytes of a chunk, as a rule; all but the last have a quarter of that at least, and twice that at most."""
_MANY = 32 << 30
"""Bytes of a file above which its chunks are larger: a registry takes a manifest of 4 MiB, some 20,000 chunks."""
_LARGEST = 64 << 20
"""Bytes that a chunk has at most, whoever made it."""
_LEVEL = 3
"""zstd's own default. Equal chunks are found as long as it and the library stay (pyproject.toml pins that)."""
_MOST = _MANY * (_LARGEST // 2 // (AVERAGE * 2))
"""Bytes of the largest file: its chunks, and what is left of them by zstd where nothing is, stay below the largest."""
_AT_ONCE = 4
"""Chunks under way: so often the largest one, compressed and not, is the memory that this takes."""


def average(size: int) -> int:
    """Bytes of a chunk, as a rule, in a file of `size` bytes."""
    return AVERAGE << (max(size - 1, 0) // _MANY).bit_length()


def cut(file: BufferedIOBase, average: int = AVERAGE) -> Iterator[bytes]:
    """The chunks of an open file: one ends behind a block whose checksum says so."""
    smallest, largest, blocks = average // 4, average * 2, average // BLOCK
    ahead = memoryview(bytearray(largest))
    while size := file.readinto(ahead):
        ends = range(smallest + BLOCK, size, BLOCK)
        end = next((end for end in ends if crc32(ahead[end - BLOCK : end]) % blocks == 0), size)
        yield bytes(ahead[:end])
        file.seek(end - size, os.SEEK_CUR)


async def push_chunks(repo: RepositoryClient, path: Path, media_type: str) -> tuple[list[Descriptor], Digest, int]:
    """Store a file, reading it once: the chunks, and the file's digest and size in bytes. Repeating sends nothing.

    UsageError for one of more than 256 GiB, which nobody could fetch.
    """
    whole, size, chunks = hashlib.sha256(), 0, list[Descriptor]()

    async def read(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
        nonlocal size
        while chunk := await to_thread.run_sync(_next, chunks, whole):
            size += len(chunk)
            yield chunk

    async def push(chunk: bytes) -> Descriptor:
        compressed = await to_thread.run_sync(_compressed, chunk)
        return await repo.push_content(compressed, media_type)

    async def note(pushed: Descriptor) -> None:
        chunks.append(pushed)

    with path.open("rb") as file:
        if (there := os.fstat(file.fileno()).st_size) > _MOST:
            raise UsageError(
                f"{path} is {size_text(there)}; expected at most {size_text(_MOST)}, whose list of chunks a registry "
                "still takes. Build a smaller disk, or one in a form that leaves out what is empty (qcow2)."
            )
        cutter = cut(file, average(there))
        await in_turn(read(cutter), push, note, at_once=_AT_ONCE)
    return chunks, Digest(f"sha256:{whole.hexdigest()}"), size


async def fetch_chunks(repo: RepositoryClient, chunks: list[Descriptor], path: Path) -> tuple[Digest, int]:
    """Write the file that these are; its digest and size in bytes, of what was written.

    PreconditionError for what is no chunk or is not there.
    """
    whole, size = hashlib.sha256(), 0

    async def listed() -> AsyncIterator[Descriptor]:
        for chunk in chunks:
            yield chunk

    async def fetch(chunk: Descriptor) -> bytes:
        try:
            return await to_thread.run_sync(_unpacked, await repo.content(chunk))
        except (zstandard.ZstdError, ValueError) as error:
            raise PreconditionError(f"{repo.repository} holds {chunk.digest}, which is no chunk: {error}") from error

    async def write(chunk: bytes) -> None:
        nonlocal size
        await to_thread.run_sync(_written, file, whole, chunk)
        size += len(chunk)

    with path.open("wb") as file:
        await in_turn(listed(), fetch, write, at_once=_AT_ONCE)
    return Digest(f"sha256:{whole.hexdigest()}"), size


def _next(chunks: Iterator[bytes], whole: "hashlib._Hash") -> bytes:
    chunk = next(chunks, b"")
    whole.update(chunk)
    return chunk


def _written(file: BufferedIOBase, whole: "hashlib._Hash", chunk: bytes) -> None:
    file.write(chunk)
    whole.update(chunk)


class _Own(local):
    """What each thread has for all its chunks: anew for each, its memory would be, too."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=_LEVEL)


_own = _Own()


def _compressed(chunk: bytes) -> bytes:
    return _own.compressor.compress(chunk)


def _unpacked(content: bytes) -> bytes:
    size = zstandard.frame_content_size(content)
    if not 0 <= size <= _LARGEST:
        raise ValueError(f"it unpacks to {size} bytes; expected at most {_LARGEST}")
    return zstandard.ZstdDecompressor().decompress(content)
