"""Who moved a channel, when and on what evidence: entries in the registry, each naming those before it.

An entry is an artifact manifest behind a tag of its own, which is written once and holds the entry's digest:

    PREFIX pipeline-ledger-CHANNEL-NUMBER-KIND-DIGEST

So nobody who writes can take away what somebody else wrote, however slow one of them is: two who write at the same
moment leave two entries of the same number (a fork), and the next entry names both. The ledger of a channel is the set
of these entries; their order follows from what they name. A hold is in force while no entry releases it, in whatever
branch it is.

The prefix is that of the image whose part of the repository is asked (`RepositoryClient.under`): each image has ledgers
of its own. An entry says what its channel and its version tag were called when it was written.

An entry says itself in an in-toto statement. One that lets a digest into a channel is a verification summary of it.
Where signatures are asked for, an entry without the right one does not exist: it has no number and holds nothing.

What a registry must guarantee for that: a tag whose PUT was acknowledged is in every later list of tags. It need not
compare and swap.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from enum import StrEnum
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Self, TypeVar

import anyio
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError

from pipeline.domain import Channel, Digest, Tag
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.policy.names import RECORDS, ledger_tag, read_ledger_tag
from pipeline.registry import media
from pipeline.registry.artifacts import artifact
from pipeline.registry.client import RepositoryClient
from pipeline.registry.clock import refuse_wrong_clock
from pipeline.registry.content import Manifest, sha256
from pipeline.registry.shown import show_to_others
from pipeline.report.model import Move
from pipeline.trust import statement as in_toto
from pipeline.trust.bundle import Signed, read_bundle
from pipeline.trust.notary import Refused
from pipeline.version import MODULE_VERSION

T = TypeVar("T")

_AT_ONCE = 8
_MOST_LOST = 1000
"""Entries that are written in the place of lost ones, at most: a tag may claim any number."""
_KINDS = (in_toto.VERIFICATION, in_toto.LEDGER)


class Kind(StrEnum):
    """What happened."""

    PROMOTION = "promotion"
    OVERRIDE = "override"
    """A promotion that went over a hold, or took a withdrawn digest again, because it was told to."""
    ROLLBACK = "rollback"
    HOLD = "hold"
    RELEASE = "release"
    LOSS = "loss"
    """In the place of an entry that is gone, by the word of a person."""


HOLDING = frozenset({Kind.HOLD, Kind.ROLLBACK, Kind.LOSS})
"""What keeps promotions away until it is released: what is lost may have been a hold."""


class Entry(BaseModel):
    """One line of a channel's history."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channel: Channel
    kind: Kind
    moves: list[Move] = []
    """The version tag, for a promotion to testing or stable, and last the channel; none for a hold and its end."""
    aliases: list[Move] = []
    """The tags that follow the channel, as they were to move after it."""
    evidence: list[Digest] = []
    """Manifests of the evidence that allowed it."""
    releases: list[Digest] = []
    """The entries whose hold ends with this one."""
    retakes: list[Digest] = []
    """The rollbacks, of any channel, that had taken back the digest which this one moves to all the same."""
    stands_for: Digest | None = None
    """The lost entry, where others name it."""
    by: str
    at: Annotated[AwareDatetime, AfterValidator(lambda at: at.astimezone(UTC))]
    """For people; no decision rests on it."""
    reason: str
    command: str
    number: int = 1
    """One more than the highest of those before it; filled by `append`."""
    previous: list[Digest] = []
    """The entries that no other named when this one was written: one, or several after a fork. Filled by `append`."""

    @property
    def channel_move(self) -> Move | None:
        """How the channel was to move, whatever it was called then."""
        return self.moves[-1] if self.moves else None

    @property
    def version(self) -> Tag | None:
        """The version tag that was promoted, as it is called in the registry."""
        return self.moves[0].tag if len(self.moves) > 1 else None

    @property
    def leaves_channel(self) -> bool:
        """Whether it only tells of a version tag whose channel went elsewhere: it takes the channel nowhere."""
        return len(self.moves) > 1 and self.moves[0].new != self.moves[-1].new


@dataclass(frozen=True)
class Record:
    """An entry with its place in the registry."""

    digest: Digest
    entry: Entry

    @property
    def who_and_why(self) -> str:
        """Of a hold: the name that release-hold takes, then who and why."""
        by = f" by {self.entry.by}" if self.entry.by else ""
        return f"{self.digest.short}{by} ({self.entry.reason or 'no reason given'})"


@dataclass(frozen=True, order=True)
class Name:
    """What the tag of an entry tells without reading it."""

    number: int
    digest: Digest
    channel: Channel
    kind: Kind
    prefix: str = ""

    @classmethod
    def parse(cls, tag: str) -> Self | None:
        """The name that a tag is, None for any other tag."""
        found = read_ledger_tag(tag)
        if not found or found[3] not in list(Kind):
            return None
        prefix, channel, number, kind, digest = found
        return cls(number, digest, channel, Kind(kind), prefix)

    @property
    def tag(self) -> Tag:
        """The tag that it is."""
        return ledger_tag(self.prefix, self.channel, self.number, self.kind, self.digest)


@dataclass(frozen=True)
class Standing:
    """What the ledger of a channel says today."""

    holds: tuple[Record, ...] = ()
    """Those in force, the newest first."""
    withdrawals: tuple[Record, ...] = ()
    """Every rollback: what it took back is withdrawn, unless it was taken again by an override since."""
    retaken: frozenset[Digest] = frozenset()
    """The rollbacks over which an override of this channel went."""


async def names(repo: RepositoryClient, channel: Channel, listed: Sequence[Tag] | None = None) -> list[Name]:
    """The entries of a channel by their tags (`listed` just now), newest first.

    PreconditionError where numbers are missing.
    """
    found = await _counting(repo, channel, await repo.tags() if listed is None else listed)
    if _hole(found):  # a list may have lost a line: what is missing twice is missing
        found = await _counting(repo, channel, await repo.tags())
    if hole := _hole(found):
        raise PreconditionError(_broken(repo, channel, f"entry {hole} is missing"))
    return found


async def walk(repo: RepositoryClient, channel: Channel) -> AsyncIterator[Record]:
    """The entries, newest first. PreconditionError, naming the entry, where the chain is broken."""
    for record in await entries(repo, channel):
        yield record


async def entries(repo: RepositoryClient, channel: Channel) -> list[Record]:
    """The same as a list."""
    found = await names(repo, channel)
    records = await _read(repo, found)
    numbers = {name.digest: name.number for name in found}
    numbers |= {record.entry.stands_for: record.entry.number for record in records if record.entry.stands_for}
    for record in records:
        before = [numbers.get(digest) for digest in record.entry.previous]
        if None in before or record.entry.number != 1 + max((number for number in before if number), default=0):
            here = f"entry {record.entry.number} ({record.digest}) names {', '.join(record.entry.previous) or 'none'}"
            raise PreconditionError(_broken(repo, channel, f"{here} before it, which are not all there"))
    return records


async def since(repo: RepositoryClient, channel: Channel, number: int) -> list[Record]:
    """The entries from a number on, newest first."""
    return await _read(repo, [name for name in await names(repo, channel) if name.number >= number])


async def heads(repo: RepositoryClient, channel: Channel) -> list[Record]:
    """The entries that no other names, newest first: one, several after a fork, none for a channel without history."""
    return await _heads(repo, await names(repo, channel))


async def promotions_to(repo: RepositoryClient, channel: Channel, digest: Digest) -> list[Record]:
    """The newest entry by which a promotion took the channel to a digest; several after a fork. Reads no older ones."""
    found = [name for name in await names(repo, channel) if name.kind in (Kind.PROMOTION, Kind.OVERRIDE)]
    for _, those in groupby(found, key=attrgetter("number")):
        records = await _read(repo, list(those))
        if there := [one for one in records if not one.entry.leaves_channel and _lets_in(one.entry) == digest]:
            return there
    return []


async def standing(repo: RepositoryClient, channel: Channel, listed: Sequence[Tag] | None = None) -> Standing:
    """What is on hold and what is withdrawn; reads only the entries that say so."""
    found = await names(repo, channel, listed)
    said = await _read(repo, [name for name in found if name.kind is not Kind.PROMOTION])
    released = {digest for record in said for digest in record.entry.releases}
    return Standing(
        holds=tuple(record for record in said if record.entry.kind in HOLDING and record.digest not in released),
        withdrawals=tuple(record for record in said if record.entry.kind is Kind.ROLLBACK),
        retaken=frozenset(digest for record in said for digest in record.entry.retakes),
    )


async def signature(repo: RepositoryClient, record: Record) -> Signed | None:
    """What an entry is signed with; None for one without."""
    manifest = await repo.known(record.digest)
    bundle = next((layer for layer in manifest.layers if layer.media_type == media.BUNDLE), None) if manifest else None
    return read_bundle(await repo.content(bundle)) if bundle else None


async def append(repo: RepositoryClient, entry: Entry) -> Record:
    """Write `entry` after all that are there, signed, and wait until the registry lists it.

    Others may write at the same moment: both entries stand. After an InfrastructureError the same call may be
    repeated: an entry that got through is recognised while it is the newest. PreconditionError when clocks differ, and
    when the signature would not count.
    """
    await refuse_wrong_clock(repo, entry.at)
    before = await heads(repo, entry.channel)
    if again := next((record for record in before if _same(record.entry, entry)), None):
        return again
    return await _write(repo, _after(before, entry))


async def record_loss(repo: RepositoryClient, told: Entry) -> list[Record]:
    """Write an entry in the place of each one that is gone, so that the rest counts again; what was written.

    `told`: by whom and why. Each holds the channel until it is released, since what is lost may have been a hold.
    """
    await refuse_wrong_clock(repo, told.at)
    there = {name.number for name in await _counting(repo, told.channel, await repo.tags())}
    if (lacking := max(there, default=0) - len(there)) > _MOST_LOST:
        last = f"entry {max(there)} is there and {lacking} before it are not, which nobody ever wrote: delete its tag"
        raise PreconditionError(_broken(repo, told.channel, last))
    written = []
    while await _missing(repo, told.channel) and (lost := await _missing(repo, told.channel)):
        # a list may have lost a line: what is missing twice is missing
        number, stands_for, before = lost
        place = {"number": number, "stands_for": stands_for, "previous": before}
        written.append(await _write(repo, told.model_copy(update=place)))
    return written


async def _missing(repo: RepositoryClient, channel: Channel) -> tuple[int, Digest | None, list[Digest]] | None:
    return _lost(await _read(repo, await _counting(repo, channel, await repo.tags())))


def _lost(records: Sequence[Record]) -> tuple[int, Digest | None, list[Digest]] | None:
    """The lowest place where an entry is missing: its number, its digest if somebody names it, what is before it."""
    at = defaultdict[int, list[Record]](list)
    for record in records:
        at[record.entry.number].append(record)
    there = {digest for record in records for digest in (record.digest, record.entry.stands_for) if digest}
    for number in range(1, max(at, default=0)):
        named = [digest for record in at[number + 1] for digest in record.entry.previous if digest not in there]
        if named or not at[number]:
            return number, next(iter(named), None), [record.digest for record in at[number - 1]]
    return None


async def _write(repo: RepositoryClient, entry: Entry) -> Record:
    said = _statement(repo, entry)
    bundle = await repo.notary.signed(entry.channel, said, ledger=True)
    layers = [await repo.push_blob(said, media.IN_TOTO)]
    if bundle:
        layers.append(await repo.push_blob(bundle, media.BUNDLE))
    await repo.push_empty()
    written = artifact(media.LEDGER, layers)
    name = Name(entry.number, written.digest, entry.channel, entry.kind, repo.prefix)
    await repo.push_manifest(written, name.tag)
    if bundle and (passed := _lets_in(entry)):
        await show_to_others(repo, passed, layers[1])
    await repo.tags()  # does not answer before it has the tag
    return Record(written.digest, entry)


async def sign_ahead(repo: RepositoryClient, entry: Entry) -> None:
    """Sign what `append` would write now, so that a signature that cannot be had is missed before anything moves."""
    if repo.notary.sign:
        entry = _after(await heads(repo, entry.channel), entry)
        await repo.notary.signed(entry.channel, _statement(repo, entry), ledger=True)


def _after(before: Sequence[Record], entry: Entry) -> Entry:
    number = 1 + max((record.entry.number for record in before), default=0)
    return entry.model_copy(update={"previous": [record.digest for record in before], "number": number})


async def _counting(repo: RepositoryClient, channel: Channel, listed: Sequence[Tag]) -> list[Name]:
    """What is listed; where signatures are asked for, what has the right one, for which each entry must be read."""
    found = _named(listed, channel, repo.prefix)
    if not repo.notary.trust.of(channel, ledger=True):
        return found
    counts = await _of_each(found, partial(_counts, repo))
    return [name for name in found if counts[name]]


async def _counts(repo: RepositoryClient, name: Name) -> bool:
    why = await _refusal(repo, name, await _manifest(repo, name))
    if why:
        what = f"entry {name.number} ({name.kind}) of the {name.channel} ledger"
        repo.notary.refused[name.digest] = Refused(what, str(repo.repository), name.digest, name.channel, why)
    return not why


async def _refusal(repo: RepositoryClient, name: Name, manifest: Manifest) -> str:
    trust = repo.notary.trust
    try:
        layers = {layer.media_type: layer for layer in manifest.layers}
        content = await repo.content(layers[media.IN_TOTO])
        bundle = await repo.content(layers[media.BUNDLE]) if media.BUNDLE in layers else None
        if why := trust.refusal(trust.of(name.channel, ledger=True), content, bundle):
            return why
        said = in_toto.read(content, *_KINDS)
    except (ValueError, KeyError, PreconditionError) as error:
        return f"it is no entry: {error}"
    if said.subjects[0].name != place(repo, name.channel):
        return f"it is about {said.subjects[0].name}, expected {place(repo, name.channel)}"
    return ""


def place(repo: RepositoryClient, channel: Channel) -> str:
    """What statements call the ledger of a channel: the reference that the channel has unless it is renamed."""
    return f"{repo.repository}:{repo.prefix}{channel}"


def _statement(repo: RepositoryClient, entry: Entry) -> bytes:
    """About the digest that the entry lets into the channel; without one, about the entry itself."""
    claim = entry.model_dump(mode="json")
    name = place(repo, entry.channel)
    if (passed := _lets_in(entry)) is None:
        about = in_toto.Subject(name, sha256(entry.model_dump_json().encode()))
        return in_toto.written([about], in_toto.LEDGER, {}, claim)
    resource = repo.repository.at(passed)
    summary = in_toto.verification(entry.channel, resource, entry.at, entry.evidence, MODULE_VERSION)
    return in_toto.written([in_toto.Subject(name, passed)], in_toto.VERIFICATION, summary, claim)


def _lets_in(entry: Entry) -> Digest | None:
    """The digest that an entry lets into the channel because it passed its gates; a rollback is another matter."""
    return entry.channel_move.new if entry.channel_move and entry.kind is not Kind.ROLLBACK else None


def _same(written: Entry, entry: Entry) -> bool:
    return written.model_copy(update={"number": entry.number, "previous": entry.previous}) == entry


def _named(tags: Iterable[Tag], channel: Channel, prefix: str) -> list[Name]:
    beginning = f"{prefix}{RECORDS}ledger-{channel}-"  # most tags of a fleet are others'
    found = (Name.parse(tag) for tag in tags if tag.startswith(beginning))
    mine = (name for name in found if name and (name.channel, name.prefix) == (channel, prefix))
    return sorted(mine, reverse=True)


def _hole(found: Sequence[Name]) -> int:
    """The lowest number that is missing; 0 when none is."""
    there = {name.number for name in found}
    return next((number for number in range(1, max(there, default=0)) if number not in there), 0)


async def _heads(repo: RepositoryClient, found: Sequence[Name]) -> list[Record]:
    """Of a number that only one entry has, the entry is named by every one of the next number: see `Entry.number`.

    So only the highest ones, and those that share their number with others, can be heads.
    """
    at = defaultdict[int, list[Name]](list)
    for name in found:
        at[name.number].append(name)
    highest = max(at, default=0)
    return [
        record
        for number in sorted(at, reverse=True)
        if number == highest or len(at[number]) > 1
        for record in await _read(repo, at[number])
        if not await _is_named(repo, record.digest, [at[later] for later in range(number + 1, highest + 1)])
    ]


async def _is_named(repo: RepositoryClient, digest: Digest, later: Iterable[Collection[Name]]) -> bool:
    for those in later:
        if any(digest in record.entry.previous for record in await _read(repo, those)):
            return True
    return False


async def _read(repo: RepositoryClient, found: Collection[Name]) -> list[Record]:
    """The entries themselves, in the same order; what was read once in a command is not asked for again."""
    records = await _of_each(found, partial(_record, repo))
    return [records[name] for name in found]


async def _of_each(found: Collection[Name], ask: Callable[[Name], Awaitable[T]]) -> dict[Name, T]:
    """The answers to a question about each, some at once; the first error ends it."""
    answers: dict[Name, T] = {}
    limiter = anyio.CapacityLimiter(_AT_ONCE)
    errors: list[Exception] = []

    async def one(name: Name) -> None:
        async with limiter:
            if errors:
                return
            try:
                answers[name] = await ask(name)
            except Exception as error:
                errors.append(error)

    async with anyio.create_task_group() as group:
        for name in found:
            group.start_soon(one, name)
    if errors:
        raise errors[0]
    return answers


async def _record(repo: RepositoryClient, name: Name) -> Record:
    manifest = await _manifest(repo, name)
    try:
        entry = await _entry(repo, manifest)
        if (entry.channel, entry.number, entry.kind) != (name.channel, name.number, name.kind):
            raise ValueError(f"it says {entry.channel}, {entry.number}, {entry.kind}")
    except (ValueError, ValidationError, RecursionError, OverflowError) as error:
        raise PreconditionError(_broken(repo, name.channel, f"{name.tag} is not one of it: {error}")) from error
    return Record(name.digest, entry)


async def _manifest(repo: RepositoryClient, name: Name) -> Manifest:
    manifest = await repo.known(name.digest)
    if manifest is None:
        raise InfrastructureError(
            f"{repo.repository} lists the tag {name.tag}, but answers that it holds no {name.digest}. "
            "Nothing has moved; run again, and if it stays so, find out who deleted it."
        )
    return manifest


async def _entry(repo: RepositoryClient, manifest: Manifest) -> Entry:
    if manifest.artifact_type != media.LEDGER:
        raise ValueError(f"it is a {manifest.artifact_type}")
    told = next((layer for layer in manifest.layers if layer.media_type == media.IN_TOTO), None)
    if told is None:
        raise ValueError("it has no statement")
    return Entry.model_validate(in_toto.read(await repo.content(told), *_KINDS).claim)


def _broken(repo: RepositoryClient, channel: Channel, found: str) -> str:
    refused = "".join(f"\n{one}." for one in repo.notary.refusals(channel)[:3])
    return (
        f"the {channel.value} ledger of {repo.repository} is broken: {found}. Expected every entry from 1 on; "
        f"somebody rewrote or deleted history, so find out who before anything moves; `record-loss` goes on without "
        f"what nobody has any more.{refused}"
    )
