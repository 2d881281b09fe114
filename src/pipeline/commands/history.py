"""What happened to a channel, and why a digest is where it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.commands.status import resolve
from pipeline.config import Image
from pipeline.domain import Channel, Digest, Tag
from pipeline.errors import PreconditionError
from pipeline.policy.candidate import REVISION_LABEL
from pipeline.registry import ledger
from pipeline.registry.evidence import find_evidence
from pipeline.report.text import table
from pipeline.stages.promotion import withdrawals
from pipeline.world import World


@dataclass(frozen=True)
class Happened:
    """One entry of a channel's ledger."""

    repository: str
    channel: Channel
    number: int
    at: datetime
    kind: ledger.Kind
    tags: list[Tag]
    old: Digest | None
    new: Digest | None
    """None for an entry that moved nothing, such as a hold."""
    evidence: list[Digest]
    by: str
    reason: str


@dataclass(frozen=True)
class Explained:
    """Everything that the registry knows about one digest."""

    repository: str
    digest: Digest
    commit: str
    tags: list[Tag]
    evidence: list["Found"]
    history: list[Happened]
    withdrawn: list[str]
    """Each rollback that keeps it from every channel, in words."""


@dataclass(frozen=True)
class Found:
    """What a gate found on a digest."""

    gate: Channel
    outcome: str
    reason: str
    at: datetime
    digest: Digest


async def history(world: World, image: Image, channel: Channel) -> list[Happened]:
    """The channel's ledger, newest first; PreconditionError where the chain is broken."""
    happened = []
    async for record in ledger.walk(world.repository(image, channel), channel):
        entry = record.entry
        channel_move = entry.channel_move
        happened.append(
            Happened(
                repository=str(image.home(channel)),
                channel=channel,
                number=entry.number,
                at=entry.at,
                kind=entry.kind,
                tags=[move.tag for move in (*entry.moves, *entry.aliases)],
                old=channel_move.old if channel_move else None,
                new=channel_move.new if channel_move else None,
                evidence=entry.evidence,
                by=entry.by,
                reason=entry.reason,
            )
        )
    return happened


def history_text(found: dict[str, list[Happened]], refused: Sequence[str] = ()) -> str:
    """The same for people, by repository; and what was met there and does not count."""
    told = [f"{repository}\n{_entries(entries)}" for repository, entries in found.items()]
    return "\n\n".join([*told, *(["\n".join(refused)] if refused else [])])


def _entries(entries: list[Happened]) -> str:
    if not entries:
        return "This channel has never moved."
    rows = [
        (
            f"{entry.at:%Y-%m-%d %H:%M}",
            entry.kind.value,
            entry.old.short if entry.old else "-",
            entry.new.short if entry.new else "-",
            entry.by or "-",
            entry.reason,
        )
        for entry in entries
    ]
    return table(("when (UTC)", "what", "from", "to", "by", "why"), rows)


async def why(world: World, image: Image, reference: str) -> Explained:
    """What put a tag or digest where it is: its commit, its tags, what each gate found, each move it was part of."""
    digest = await resolve(world, image, reference)
    homes = dict.fromkeys(world.repository(image, channel) for channel in Channel)
    holding = [registry for registry in homes if await registry.digest(digest)]
    if not holding:
        raise PreconditionError(f"{' and '.join(str(one.repository) for one in homes)} hold no {digest}.")
    found = {
        stored.digest: Found(
            gate,
            stored.evidence.result.outcome,
            stored.evidence.result.reason,
            stored.evidence.result.started,
            stored.digest,
        )
        for registry in holding
        for gate in Channel
        for stored in await find_evidence(registry, digest, gate)
        for result in [stored.evidence.result]
    }
    return Explained(
        repository=", ".join(str(registry.repository) for registry in holding),
        digest=digest,
        commit=(await holding[0].labels(digest)).get(REVISION_LABEL, ""),
        tags=[
            tag
            for registry in holding
            for tag in await registry.tags()
            if image.tags.read(tag) and await registry.digest(tag) == digest
        ],
        evidence=list(found.values()),
        history=[
            entry
            for channel in Channel
            for entry in await history(world, image, channel)
            if digest in (entry.old, entry.new)
        ],
        withdrawn=[
            f"{one.entry.channel} was taken back from it on {one.entry.at:%Y-%m-%d %H:%M} UTC by {one.entry.by or '-'} "
            f"({one.entry.reason or 'no reason given'}); no channel takes it again without --override-hold"
            for one in await withdrawals(world, image, digest)
        ],
    )


def why_text(found: Explained) -> str:
    """The same for people."""
    evidence = table(
        ("gate", "outcome", "when (UTC)", "finding"),
        [(one.gate.value, one.outcome, f"{one.at:%Y-%m-%d %H:%M}", one.reason) for one in found.evidence],
    )
    moves = table(
        ("channel", "when (UTC)", "what", "why"),
        [
            (
                entry.channel.value,
                f"{entry.at:%Y-%m-%d %H:%M}",
                f"{entry.kind.value} {'to' if entry.new == found.digest else 'away from'} it",
                entry.reason,
            )
            for entry in found.history
        ],
    )
    return "\n\n".join(
        [
            f"{found.repository}@{found.digest}\nbuilt from commit {found.commit or 'unknown'}\n"
            f"tags: {', '.join(found.tags) or 'none'}",
            *(f"Withdrawn: {one}." for one in found.withdrawn),
            f"What its gates found\n{evidence}" if found.evidence else "No gate left evidence on it.",
            f"The moves it was part of\n{moves}" if found.history else "No channel ever pointed at it.",
        ]
    )
