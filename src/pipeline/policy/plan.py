"""The plan of a promotion: desired tags minus actual tags, and the order in which they are written."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import ConflictError
from pipeline.policy.names import Kind
from pipeline.report.model import Move


@dataclass(frozen=True)
class Desired:
    """What a tag of an image should name after the promotion."""

    image: str
    """Its name in the configuration."""
    repository: Repository
    tag: Tag
    kind: Kind
    digest: Digest


Actual = Mapping[tuple[Repository, Tag], Digest | None]
"""What the tags name now, as read from the registry."""

ORDER = (Kind.VERSION, Kind.CHANNEL, Kind.ALIAS)
"""What is written of all images before the next kind begins."""


def tag_moves(desired: Iterable[Desired], actual: Actual) -> list[Move]:
    """The moves that are left to make: version tags first, then channels, then aliases, images in the order given.

    Raises ConflictError for a version tag that names another digest already: those are written once.
    """
    moves = []
    for wish in sorted(desired, key=lambda wish: ORDER.index(wish.kind)):
        old = actual[wish.repository, wish.tag]
        if old == wish.digest:
            continue
        if old is not None and wish.kind is Kind.VERSION:
            raise ConflictError(
                f"{wish.repository.tagged(wish.tag)} is {old} already, expected {wish.digest}. "
                "A version tag is written once and never moved: take a new version."
            )
        moves.append(Move(repository=str(wish.repository), tag=wish.tag, old=old, new=wish.digest))
    return moves
