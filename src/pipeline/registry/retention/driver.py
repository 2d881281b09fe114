"""What a registry can do about deleting, apart from how: every kind of registry has one driver."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pipeline.domain import Digest, Tag


@dataclass(frozen=True)
class Snapshot:
    """What a registry tells about a whole repository before any manifest is read."""

    tags: Mapping[Tag, Digest | None]
    """All tags; None where the registry does not say here what a tag points at."""
    untagged: frozenset[Digest] = frozenset()
    """Manifests without a tag, where the registry lists those."""
    pushed: Mapping[Digest, datetime] = field(default_factory=dict)
    expiring: Mapping[Tag, datetime] = field(default_factory=dict)
    """Tags that the registry itself will remove one day."""


class Done(StrEnum):
    """What became of a request to delete."""

    DELETED = "deleted"
    GONE = "gone already"
    SKIPPED = "skipped"
    """The registry has a rule against it: the manifest stays, and all that it needs."""


@dataclass(frozen=True)
class Result:
    """What became of it, and the registry's words where it said more."""

    done: Done
    note: str = ""


class Driver(Protocol):
    """One repository, for deleting. Every method may raise InfrastructureError (outage), PreconditionError (denied)."""

    name: str
    can_untag: bool
    """Whether one tag can be taken from a digest that keeps others (perhaps; `untag` finds out)."""

    async def snapshot(self) -> Snapshot:
        """List everything, or raise: never a part."""
        ...

    async def delete(self, digest: Digest, tags: tuple[Tag, ...]) -> Result:
        """Delete a manifest with the tags that point at it.

        ConflictError when the registry knows of other tags on it than these.
        """
        ...

    async def untag(self, tag: Tag, digest: Digest) -> Result:
        """Take `tag` away from `digest`, which stays under its other tags."""
        ...
