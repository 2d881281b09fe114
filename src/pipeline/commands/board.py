"""board: where all channels stand, as a page to publish. Nothing is moved or judged."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

from pipeline.commands.history import Happened, history
from pipeline.commands.packages import packages_between
from pipeline.commands.status import channels
from pipeline.config import Image
from pipeline.domain import Channel, Digest, Outcome
from pipeline.each import each
from pipeline.errors import PreconditionError
from pipeline.gates.baseline import baseline, image_size
from pipeline.gates.evidence import verdict_on
from pipeline.policy.attached import evidence_subjects
from pipeline.policy.candidate import REVISION_LABEL
from pipeline.policy.platforms import short_name
from pipeline.policy.tags import release_tags
from pipeline.registry import ledger
from pipeline.registry.client import RepositoryClient
from pipeline.registry.evidence import Evidence
from pipeline.report import board as page
from pipeline.report.board import Between, Ending, Released, Report, Standing, Step
from pipeline.report.notes import links_in
from pipeline.report.text import ChannelLine
from pipeline.vm.relay import bytes_told
from pipeline.world import World

_RELEASES = 10
_READ = 40
"""Digests that no channel took whose evidence is read: a repository that is pruned has fewer."""
_FAILED = 5
"""Reports of failed gates that are shown."""


async def board(world: World) -> dict[str, str]:
    """index.html, the reports that it links, and the badges, as text by path."""
    images = await each(world.images, lambda image: _standing(world, image))
    return page.board(images, [Ending(one.until, one.text) for one in world.config.waivers], datetime.now(UTC))


async def _standing(world: World, image: Image) -> Standing:
    limits = {channel.value: getattr(world.config.stale_after, channel.value) for channel in Channel}
    lines = await channels(world, image)
    moves = {channel: await _moves(world, image, channel) for channel in Channel}
    taken = {channel: {one.new for one in moves[channel] if one.new} for channel in Channel}
    failed, unread = await _failed(world, image, taken)
    return Standing(
        name=image.name,
        place=image.place,
        lines=lines,
        stale_after={name: limit for name, limit in limits.items() if limit is not None},
        signed=[channel for channel in Channel if world.notary.trust.of(channel)],
        between=await _between(world, image, lines),
        releases=await _releases(world, image, moves[Channel.STABLE]),
        reports=await _reports(world, image, lines),
        failed=failed,
        unread=unread,
        steps=[Step(one.at, one.kind.value, one.tags, one.by, one.reason) for one in moves[Channel.STABLE]],
    )


async def _moves(world: World, image: Image, channel: Channel) -> list[Happened]:
    """Newest first; none of a broken ledger, of which the channel's line says what is wrong."""
    try:
        return await history(world, image, channel)
    except PreconditionError:
        return []


async def _between(world: World, image: Image, lines: Sequence[ChannelLine]) -> list[Between]:
    """From each channel to the one behind it, where they differ."""
    found = []
    for ahead, behind in pairwise(lines):
        if ahead.digest and behind.digest and ahead.digest != behind.digest:
            homes = [(world.repository(image, line.channel), line.digest) for line in (behind, ahead)]
            older, newer = [(await home.labels(digest)).get(REVISION_LABEL, "") for home, digest in homes if digest]
            changes = await packages_between(*homes)
            found.append(
                Between(
                    ahead.channel,
                    behind.channel,
                    count=await world.history.count(older, newer),
                    commits=await world.history.subjects(older, newer),
                    days=None if behind.age is None or ahead.age is None else (behind.age - ahead.age) / 86400,
                    packages=changes.lines if changes else None,
                    compared=changes.source if changes else "",
                )
            )
    return found


async def _releases(world: World, image: Image, moves: Sequence[Happened]) -> list[Released]:
    """The last versions of stable, by their promotions."""
    home, found = world.repository(image, Channel.STABLE), list[Released]()
    taken_back = {move.old for move in moves if move.kind is ledger.Kind.ROLLBACK}
    for move in moves:
        versions = release_tags(image.tags.versions(move.tags))
        if move.new and versions and len(found) < _RELEASES and all(one.digest != move.new for one in found):
            one = await _released(world, image, home, str(versions[-1].tag), move.at, move.new)
            found.append(replace(one, taken_back=move.new in taken_back))
    return found


async def _released(
    world: World, image: Image, home: RepositoryClient, version: str, at: datetime, digest: Digest
) -> Released:
    platform = (world.config.gates.testing.platforms or image.platforms)[0]
    tested = await verdict_on(home, digest, Channel.TESTING)
    if tested is None:
        return Released(version, at, digest, size=await image_size(home, digest, platform))
    measured = baseline(digest, await image_size(home, digest, platform), tested.result, short_name(platform))
    return Released(
        version,
        at,
        digest,
        boot=sum(measured.phases.values()) if measured.phases else None,
        emulated=measured.accelerator not in ("", "kvm"),
        size=measured.image_size,
        upgrade=next((told for one in tested.result.checks if (told := bytes_told(one.reason)) is not None), None),
    )


async def _reports(world: World, image: Image, lines: Sequence[ChannelLine]) -> list[Report]:
    """Of every gate that a channel's digest came through."""
    return [
        _report(gate, line.digest, found)
        for line in lines
        for gate in Channel
        if line.digest and (found := await verdict_on(world.repository(image, line.channel), line.digest, gate))
    ]


async def _failed(world: World, image: Image, taken: Mapping[Channel, Collection[Digest]]) -> tuple[list[Report], int]:
    """The last gates that stopped a digest; and how many digests were not asked for."""
    home = world.repository(image)
    subjects = [
        (gate, digest)
        for gate in (Channel.TESTING, Channel.STABLE)
        for digest in sorted(evidence_subjects(await home.tags(), gate) - set(taken[gate]))
    ]
    found = [
        _report(gate, digest, said)
        for gate, digest in subjects[:_READ]
        if (said := await verdict_on(home, digest, gate)) and said.verdict is Outcome.GATE_FAILED
    ]
    found.sort(key=lambda one: one.result.started, reverse=True)
    return found[:_FAILED], max(0, len(subjects) - _READ)


def _report(gate: Channel, digest: Digest, found: Evidence) -> Report:
    return Report(gate, digest, found.result, links_in(found.result.inputs.items()))
