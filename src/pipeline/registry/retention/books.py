"""What the ledgers say, as far as retention has to know. Nothing else here reads them."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.domain import Channel, Digest, Tag
from pipeline.errors import InfrastructureError
from pipeline.registry import ledger
from pipeline.registry.client import RepositoryClient

_LEDGER = "pipeline-ledger-"
_PRUNED = re.compile(r"pipeline-pruned-[0-9a-f]{12,64}")


@dataclass(frozen=True)
class Books:
    """The ledgers of one repository, read to their ends."""

    entries: frozenset[Digest] = frozenset()
    """Every entry; each has a tag of its own, which keeps it."""
    history: tuple[Digest, ...] = ()
    """What stable pointed at, newest first."""
    tags: frozenset[Tag] = frozenset()
    """Every tag that was ever moved here."""
    named: frozenset[Digest] = frozenset()
    """Every digest that a tag was ever moved to or from here."""


async def read_books(repository: RepositoryClient, tags: Iterable[Tag]) -> Books:
    """Read them, given all `tags` of the repository.

    PreconditionError for a broken ledger, InfrastructureError when there are tags of one that does not show.
    """
    entries: set[Digest] = set()
    history: list[Digest] = []
    moved: set[Tag] = set()
    named: set[Digest] = set()
    for channel in Channel:
        before = len(entries)
        async for record in ledger.walk(repository, channel):
            entries.add(record.digest)
            moves = [move for move in record.entry.moves if move.repository == str(repository.repository)]
            moved |= {move.tag for move in moves}
            named |= {digest for move in moves for digest in (move.new, move.old) if digest}
            if channel is Channel.STABLE:
                stable = [move for move in record.entry.moves if move.tag == channel.tag]
                history += [digest for move in stable for digest in (move.new, move.old) if digest]
        if len(entries) == before and (shown := _of(channel, tags)):
            raise InfrastructureError(
                f"{repository.repository} lists {shown[0]}, but shows no entry of the {channel} ledger: expected its "
                "history. Nothing is deleted; run again."
            )
    return Books(frozenset(entries), tuple(dict.fromkeys(history)), frozenset(moved), frozenset(named))


async def promised(repository: RepositoryClient, tag: Tag, known: Iterable[Digest]) -> set[Digest]:
    """What the entries of the ledger that `tag` belongs to move channels to, those in `known` left out."""
    old = set(known)
    channels = [channel for channel in Channel if _of(channel, [tag])]
    return {
        move.new
        for channel in channels
        async for record in ledger.walk(repository, channel)
        if record.digest not in old
        for move in record.entry.moves
    }


def is_written_once(tag: Tag) -> bool:
    """Whether it is a record of ours that nobody writes again."""
    return bool(ledger.Name.parse(tag) or _PRUNED.fullmatch(tag))


def _of(channel: Channel, tags: Iterable[Tag]) -> list[Tag]:
    head = f"{_LEDGER}{channel.value}"
    return [tag for tag in tags if tag == head or tag.startswith(f"{head}-")]
