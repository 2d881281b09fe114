"""What was read of a repository, by digest, for the next plan: what a digest names never changes.

It says nothing of what is still there.
"""

import sqlite3
import zlib
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

from pipeline.domain import Digest
from pipeline.registry.content import Manifest, sha256

_TABLE = """
CREATE TABLE IF NOT EXISTS content (
  digest TEXT PRIMARY KEY, media_type TEXT NOT NULL, packed BLOB NOT NULL
) WITHOUT ROWID
"""


class Kept:
    """Manifests and configurations in a file; a context manager that forgets what this run did not use.

    A file that cannot be read is begun anew, and what is not what its digest names is not there. One that breaks on the
    way, or a disk that is full, costs the memory and nothing else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._used: set[Digest] = set()
        self._base = self._opened()

    def get(self, digest: Digest) -> Manifest | None:
        """What lies under this digest, verified, with the type that the registry had given it."""
        self._used.add(digest)
        try:
            asked = self._base.execute("SELECT media_type, packed FROM content WHERE digest = ?", (digest,))
            found = asked.fetchone()
            content = zlib.decompress(found[1]) if found else None
        except (sqlite3.Error, TypeError, zlib.error):
            return None
        return Manifest(digest, found[0], content) if content is not None and sha256(content) == digest else None

    def put(self, digest: Digest, content: bytes, media_type: str = "") -> None:
        """Keep what was read, and verified, under its digest."""
        self._used.add(digest)
        row = digest, media_type, zlib.compress(content)
        with suppress(sqlite3.Error):
            self._base.execute("INSERT OR REPLACE INTO content VALUES (?, ?, ?)", row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with closing(self._base), suppress(sqlite3.Error):
            unused = [row for row in self._base.execute("SELECT digest FROM content") if row[0] not in self._used]
            self._base.executemany("DELETE FROM content WHERE digest = ?", unused)
            self._base.commit()
            self._base.execute("VACUUM")

    def _opened(self) -> sqlite3.Connection:
        try:
            return self._tried()
        except sqlite3.DatabaseError:
            self._path.unlink()
            return self._tried()

    def _tried(self) -> sqlite3.Connection:
        base = sqlite3.connect(self._path)
        base.execute(_TABLE)
        base.execute("SELECT digest, media_type, packed FROM content LIMIT 1").fetchone()
        return base
