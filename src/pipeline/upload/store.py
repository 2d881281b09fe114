"""What any place that takes uploads can do; one driver for each kind in the files beside this one."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Upload:
    """A file, and what a correct copy of it looks like."""

    path: Path
    key: str
    size: int
    sha256: str

    @classmethod
    def of(cls, path: Path, key: str, sha256: str | None = None) -> Self:
        """Of a file, which is read once for its checksum unless that is known."""
        if sha256 is None:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path, key, path.stat().st_size, sha256)


class Store(Protocol):
    """A place that takes uploads."""

    async def create(self, upload: Upload) -> bool:
        """Write the object unless its key exists: whether it was written. Callers have looked the key up before.

        Raises Passing for what may work later, and PreconditionError for a refusal.
        """

    async def size(self, key: str) -> int | None:
        """The size of an object as the store itself sees it; None when there is none."""

    async def holds(self, upload: Upload) -> bool | None:
        """Whether the object has the file's checksum, by the store's own word; None when it says nothing of that."""


class Passing(Exception):
    """Something that may be gone at the next try."""
