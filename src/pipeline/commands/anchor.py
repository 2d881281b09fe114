"""Anchors: the newest entry of each ledger, kept where whoever writes into the registry cannot reach, as in a git tag.

Signatures show who wrote what is there; that something is not there any more, only somebody who remembers it can tell.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

from pipeline.config import Image
from pipeline.domain import Channel, Digest
from pipeline.errors import PreconditionError, UsageError
from pipeline.registry import ledger
from pipeline.report.model import Check, CheckStatus
from pipeline.trust import statement as in_toto
from pipeline.trust.bundle import read_bundle
from pipeline.world import World

NAME = "anchor"

_ANYWHERE = ""
"""The place of an entry that was named by its digest alone."""


async def anchor(world: World, channels: Sequence[Channel]) -> str:
    """The newest entries of these channels' ledgers, as one line, signed as the entries are.

    PreconditionError when there is none yet, and when the signature would not count for one of these channels.
    """
    heads = {channel: await _heads(world, channel) for channel in channels}
    if not any(heads.values()):
        raise PreconditionError("No ledger of these images and channels has an entry yet; expected one to anchor.")
    said = in_toto.written([one for those in heads.values() for one in those], in_toto.ANCHOR, {}, {})
    signed = [await world.notary.signed(channel, said, ledger=True) for channel, those in heads.items() if those]
    return (signed[0] or said).decode()


async def held(world: World, anchors: Sequence[str]) -> list[Check]:
    """A check for each anchor: whether the ledgers of these images still have what it names.

    An anchor is the digest of an entry, or a git tag whose message is what `anchor` printed. UsageError for neither.
    """
    if not anchors:
        return []
    mine = [(image, channel) for image in world.images for channel in Channel]
    there = {_place(world, image, channel): await _entries(world, image, channel) for image, channel in mine}
    return [await _held(world, one, there) for one in anchors]


async def _held(world: World, name: str, there: Mapping[str, set[Digest]]) -> Check:
    try:
        named = [(_ANYWHERE, _digest(name))] if ":" in name else await _of_tag(world, name)
    except ValueError as error:
        return Check(name=NAME, status=CheckStatus.FAILED, reason=f"{name} is no anchor that counts: {error}")
    all_of_them = {digest for those in there.values() for digest in those}
    lost = [
        f"entry {digest} was in {f'the ledger of {place}' if place else 'a ledger'} and is in none that counts now: "
        "it was cut or replaced"
        for place, digest in named
        if digest not in (there[place] if place else all_of_them)
    ]
    if lost:
        return Check(name=NAME, status=CheckStatus.FAILED, reason="; ".join(lost))
    return Check(name=NAME, status=CheckStatus.PASSED, reason=f"{name}: its entries are there ({len(named)})")


def _digest(text: str) -> Digest:
    try:
        return Digest(text)
    except ValueError as error:
        raise UsageError(f"--anchor: {error}. Expected the digest of an entry, as verify told it.") from error


async def _of_tag(world: World, name: str) -> list[tuple[str, Digest]]:
    """What a git tag's message names, of the images looked at. ValueError for what does not count."""
    message = await world.history.message_of_tag(name)
    if message is None:
        raise UsageError(
            f"--anchor: {name} is no digest (sha256:…), and no git tag of the source. Expected what `anchor` printed "
            "as the message of a tag; fetch tags (actions/checkout: fetch-depth: 0)."
        )
    content, bundle = message.encode(), None
    with suppress(ValueError):  # an unsigned one is told as that
        content, bundle = read_bundle(content).payload, content
    trust, found = world.notary.trust, in_toto.read(content, in_toto.ANCHOR)
    places = {
        _place(world, image, channel): (image, channel) for image in world.config.images.values() for channel in Channel
    }
    for one in found.subjects:
        if one.name not in places:
            raise ValueError(f"it names {one.name}, which is no channel of pipeline.toml")
        if why := trust.refusal(trust.of(places[one.name][1], ledger=True), content, bundle):
            raise ValueError(f"for {one.name}, it is {why}")
    if named := [(one.name, one.digest) for one in found.subjects if places[one.name][0] in world.images]:
        return named
    raise ValueError(f"it names no entry of {', '.join(image.name for image in world.images)}")


async def _heads(world: World, channel: Channel) -> list[in_toto.Subject]:
    return [
        in_toto.Subject(_place(world, image, channel), record.digest)
        for image in world.images
        for record in await ledger.heads(world.repository(image, channel), channel)
    ]


async def _entries(world: World, image: Image, channel: Channel) -> set[Digest]:
    try:
        return {record.digest for record in await ledger.entries(world.repository(image, channel), channel)}
    except PreconditionError:  # a broken ledger is a finding of its channel
        return set()


def _place(world: World, image: Image, channel: Channel) -> str:
    return ledger.place(world.repository(image, channel), channel)
