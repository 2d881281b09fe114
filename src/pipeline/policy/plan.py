"""The plan of a promotion: desired tags minus actual tags, and the order in which they are written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.domain import Channel, Digest, Repository, Tag
from pipeline.errors import ConflictError
from pipeline.policy.tags import is_version_tag
from pipeline.report.model import Move


@dataclass(frozen=True)
class Desired:
    """What a tag should name after the promotion."""

    repository: Repository
    tag: Tag
    digest: Digest


Actual = Mapping[tuple[Repository, Tag], Digest | None]
"""What the tags name now, as read from the registry."""


def tag_moves(desired: Iterable[Desired], actual: Actual) -> list[Move]:
    """The moves that are left to make: version tags first, channels last, images in the order given.

    Raises ConflictError for a version tag that names another digest already: those are written once.
    """
    moves = []
    for wish in desired:
        old = actual[wish.repository, wish.tag]
        if old == wish.digest:
            continue
        if old is not None and is_version_tag(wish.tag):
            raise ConflictError(
                f"{wish.repository.tagged(wish.tag)} is {old} already, expected {wish.digest}. "
                "A version tag is written once and never moved: take a new version."
            )
        moves.append(Move(repository=str(wish.repository), tag=wish.tag, old=old, new=wish.digest))
    return sorted(moves, key=lambda move: is_channel(move.tag))


def is_channel(tag: str) -> bool:
    """Whether the tag is one of the moving ones."""
    return tag in {channel.value for channel in Channel}
