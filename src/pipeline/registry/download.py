"""A blob on its way into a file: how much has come, and what it hashes to."""

import hashlib
from pathlib import Path
from typing import Self

from pipeline.domain import Digest


def unfinished(path: Path) -> Path:
    """Where a file that is to be at `path` grows until it is whole."""
    return path.with_name(f".{path.name}.partial")


class Download:
    """Writes and hashes what comes; a context manager over the open file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._file.close()

    def restart(self) -> None:
        """Forget everything."""
        self.size = 0
        self._hash = hashlib.sha256()
        self._file.seek(0)
        self._file.truncate()

    def add(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def continues(self, content_range: str) -> bool:
        """Whether an answer with this Content-Range header (RFC 9110 section 14.4) goes on where we stopped."""
        return content_range.startswith(f"bytes {self.size}-")

    @property
    def digest(self) -> Digest:
        """Of what has come so far."""
        return Digest("sha256:" + self._hash.hexdigest())


def measured(path: Path) -> tuple[Digest, int]:
    """The digest and the size in bytes of a file."""
    with path.open("rb") as file:
        return Digest("sha256:" + hashlib.file_digest(file, "sha256").hexdigest()), file.tell()
