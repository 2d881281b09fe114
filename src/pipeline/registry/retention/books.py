"""What the ledgers say, as far as retention has to know. Nothing else here reads them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.domain import Channel, Digest, Repository, Tag
from pipeline.errors import InfrastructureError
from pipeline.policy.names import PRUNED, RECORDS, read_ledger_tag
from pipeline.registry import ledger
from pipeline.registry.client import RepositoryClient

_LEDGER = f"{RECORDS}ledger-"


@dataclass(frozen=True)
class Books:
    """The ledgers of one repository, of all images that are there, read to their ends."""

    entries: frozenset[Digest] = frozenset()
    """Every entry; each has a tag of its own, which keeps it."""
    histories: tuple[tuple[Digest, ...], ...] = ()
    """What stable pointed at, newest first, for each image."""
    tags: frozenset[Tag] = frozenset()
    """Every tag that was ever moved here."""
    named: frozenset[Digest] = frozenset()
    """Every digest that a tag was ever moved to or from here."""


async def read_books(repository: RepositoryClient, tags: Iterable[Tag]) -> Books:
    """Read them, given all `tags` of the repository.

    PreconditionError for a broken ledger, InfrastructureError when there are tags of one that does not show.
    """
    entries: set[Digest] = set()
    histories = defaultdict[str, list[Digest]](list)
    moved: set[Tag] = set()
    named: set[Digest] = set()
    for prefix, channel in _ledgers(tags):
        before = len(entries)
        async for record in ledger.walk(repository.under(prefix), channel):
            entries.add(record.digest)
            moves = [move for move in record.entry.moves if _names(move.repository, repository.repository)]
            moved |= {move.tag for move in moves}
            named |= {digest for move in moves for digest in (move.new, move.old) if digest}
            if channel is Channel.STABLE and (stable := record.entry.channel_move):
                histories[prefix] += [digest for digest in (stable.new, stable.old) if digest]
        if len(entries) == before and (shown := _of(prefix, channel, tags)):
            raise InfrastructureError(
                f"{repository.repository} lists {shown[0]}, but shows no entry of the {channel} ledger: expected its "
                f"history. Nothing is deleted; run again.{_why(repository, channel)}"
            )
    read = tuple(tuple(dict.fromkeys(history)) for history in histories.values())
    return Books(frozenset(entries), read, frozenset(moved), frozenset(named))


def _names(text: str, repository: Repository) -> bool:
    """Whether an entry means this repository, also one of a time when its host was written in capitals."""
    try:
        return Repository.parse(text) == repository
    except ValueError:
        return False


def _ledgers(tags: Iterable[Tag]) -> list[tuple[str, Channel]]:
    """Of every image that has left an entry, also of one that no configuration here knows."""
    prefixes = {found[0] for tag in tags if (found := read_ledger_tag(tag))}
    return [(prefix, channel) for prefix in sorted({"", *prefixes}) for channel in Channel]


def _why(repository: RepositoryClient, channel: Channel) -> str:
    refused = repository.notary.refusals(channel)
    return f" {len(refused)} do not count, the first because: {refused[0]}." if refused else ""


async def promised(repository: RepositoryClient, tag: Tag, known: Iterable[Digest]) -> set[Digest]:
    """What the entries of the ledger that `tag` belongs to move channels to, those in `known` left out."""
    old = set(known)
    found = read_ledger_tag(tag)
    ledgers = [found[:2]] if found else [("", channel) for channel in Channel if _of("", channel, [tag])]
    return {
        move.new
        for prefix, channel in ledgers
        async for record in ledger.walk(repository.under(prefix), channel)
        if record.digest not in old
        for move in (*record.entry.moves, *record.entry.aliases)
    }


def is_written_once(tag: Tag) -> bool:
    """Whether it is a record of ours that nobody writes again."""
    return bool(ledger.Name.parse(tag)) or tag.startswith(PRUNED)


def _of(prefix: str, channel: Channel, tags: Iterable[Tag]) -> list[Tag]:
    head = f"{prefix}{_LEDGER}{channel.value}"
    return [tag for tag in tags if tag == head or tag.startswith(f"{head}-")]
