"""What was read of a repository, for the next plan: what a digest names, which never changes, and what hung on it then.

It says nothing of what is still there. What hangs on a manifest changes, so that only a plan that deletes nothing may
go by an older answer.
"""

import sqlite3
import zlib
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from pipeline.domain import Digest
from pipeline.registry.content import Manifest, sha256

_TABLE = """
CREATE TABLE IF NOT EXISTS content (
  digest TEXT PRIMARY KEY, media_type TEXT NOT NULL, packed BLOB NOT NULL
) WITHOUT ROWID
"""

_HOLDS = timedelta(days=6)
"""How long an answer counts: a plan that is made once a week asks for everything, those in between do not."""


class Attached(BaseModel):
    """What the referrers API listed for a manifest, and when. Of what came or went since it says nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: str
    """The manifest's reference by digest: another repository's answer may be another."""
    at: AwareDatetime
    referrers: tuple[Digest, ...]


class Kept:
    """Manifests, configurations and answers in a file; a context manager that forgets what this run did not use.

    A file that cannot be read is begun anew, and what is not what its digest names is not there. One that breaks on the
    way, or a disk that is full, costs the memory and nothing else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._used: set[str] = set()
        self._base = self._opened()

    def get(self, digest: Digest) -> Manifest | None:
        """What lies under this digest, verified, with the type that the registry had given it."""
        row = self._row(digest)
        return Manifest(digest, *row) if row and sha256(row[1]) == digest else None

    def put(self, digest: Digest, content: bytes, media_type: str = "") -> None:
        """Keep what was read, and verified, under its digest."""
        self._put(digest, media_type, content)

    def attached(self, to: str, now: datetime) -> Attached | None:
        """What hung on the manifest `to` when it was last asked for, unless that is too long ago."""
        row = self._row(to)
        try:
            found = Attached.model_validate_json(row[1]) if row else None
        except ValidationError:
            return None
        return found if found and found.to == to and timedelta() <= now - found.at < _HOLDS else None

    def put_attached(self, answer: Attached) -> None:
        """Keep a whole answer, as it has just come."""
        self._put(answer.to, "", answer.model_dump_json().encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with closing(self._base), suppress(sqlite3.Error):
            unused = [row for row in self._base.execute("SELECT digest FROM content") if row[0] not in self._used]
            self._base.executemany("DELETE FROM content WHERE digest = ?", unused)
            self._base.commit()
            self._base.execute("VACUUM")

    def _row(self, key: str) -> tuple[str, bytes] | None:
        self._used.add(key)
        try:
            asked = self._base.execute("SELECT media_type, packed FROM content WHERE digest = ?", (key,))
            found = asked.fetchone()
            return (found[0], zlib.decompress(found[1])) if found else None
        except (sqlite3.Error, TypeError, zlib.error):
            return None

    def _put(self, key: str, media_type: str, content: bytes) -> None:
        self._used.add(key)
        row = key, media_type, zlib.compress(content)
        with suppress(sqlite3.Error):
            self._base.execute("INSERT OR REPLACE INTO content VALUES (?, ?, ?)", row)

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
