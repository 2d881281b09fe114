"""Reads a whole repository into a graph. Any error ends it: a plan is made from everything or not at all."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from pipeline.domain import Channel, Digest, Tag
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.policy.retention import Graph, Manifest, Rules, UnsupportedDigest, plan, read_manifest, undecided
from pipeline.policy.retention.graph import CREATED, read_time
from pipeline.policy.retention.rules import Role
from pipeline.registry import ledger
from pipeline.registry.client import RepositoryClient
from pipeline.registry.retention.driver import Driver, Snapshot
from pipeline.registry.retention.waves import each


@dataclass(frozen=True)
class Listing:
    """The graph, and what came up while it was read."""

    graph: Graph
    warnings: tuple[str, ...] = ()


async def read(
    repository: RepositoryClient,
    driver: Driver,
    rules: Rules,
    now: datetime,
    *,
    leftovers: Iterable[Digest] = (),
    wanted: Digest | None = None,
) -> Listing:
    """List everything that a plan needs to know.

    Of manifests that no root holds, creation times are read too, and the referrers of what could go: those of others
    cannot be deleted and need not be known. `leftovers`: digests from an interrupted run. `wanted`: a manifest to read
    in any case, with the subjects above it. Raises InfrastructureError and PreconditionError.
    """
    snapshot = await driver.snapshot()
    history, entries = await _ledgers(repository)
    crawl = Crawl(repository)
    await crawl.fetch_tags(await _all_tags(repository, snapshot))
    await crawl.fetch([*snapshot.untagged, *entries, *leftovers, *history[: rules.rollback_targets]])
    crawl.link(entries)
    if wanted:
        await crawl.fetch_with_subjects(wanted)
    absent = await _dangling(repository, rules, crawl.absent)

    def graph() -> Graph:
        return Graph(crawl.manifests, crawl.tags, snapshot.pushed, history, frozenset(leftovers))

    dated: set[Digest] = set()
    asked: set[Digest] = set()
    while True:
        fresh = [digest for digest in _undated(graph(), rules, now) if digest not in dated]
        dated.update(fresh)
        await crawl.fetch_times(fresh)
        doomed = [one.digest for one in plan(graph(), rules, now).deletions if one.digest not in asked]
        if not doomed:
            break
        asked.update(doomed)
        await crawl.fetch_referrers(doomed)
    if driver.can_untag:
        await crawl.fetch_times(part for part in _shared(graph(), rules) if part not in dated)
    return Listing(graph(), (*_expiring(snapshot, rules), *absent))


class Crawl:
    """Follows digests from manifest to manifest, each read once."""

    def __init__(self, repository: RepositoryClient) -> None:
        self._repository = repository
        self.manifests: dict[Digest, Manifest] = {}
        self.tags: dict[Tag, Digest] = {}
        self.absent: list[Tag] = []
        """Tags that were listed and lead nowhere."""
        self._missing: set[Digest] = set()
        self._has_referrers_api = True

    async def fetch_tags(self, tags: dict[Tag, Digest | None]) -> None:
        """Read what these tags point at, and all below."""

        async def one(tag: Tag) -> None:
            known = tags[tag]
            found = self.manifests.get(known) if known else None
            found = found or await self._read(known or tag)
            if found:
                self.tags[tag] = found.digest
            else:
                self.absent.append(tag)

        await each(list(tags), one)
        await self.fetch(child for manifest in list(self.manifests.values()) for child in manifest.children)

    async def fetch(self, digests: Iterable[Digest]) -> None:
        """Read these manifests and all below; what is missing may be so: an index need not be complete."""
        wave = self._unknown(digests)
        while wave:
            await each(wave, self._read_or_miss)
            wave = self._unknown(
                child for digest in wave if digest in self.manifests for child in self.manifests[digest].children
            )

    async def fetch_with_subjects(self, digest: Digest) -> None:
        """Read a manifest and what it refers to, up to the image."""
        at: Digest | None = digest
        while at and at not in self._missing:
            await self.fetch([at])
            found = self.manifests.get(at)
            at = found.subject if found and found.subject not in self.manifests else None

    async def fetch_referrers(self, digests: Iterable[Digest]) -> None:
        """Read what the referrers API lists for these; fallback tags have been read with all other tags."""
        found: dict[Digest, None] = {}

        async def one(digest: Digest) -> None:
            if self._has_referrers_api:
                referrers = await self._repository.api_referrers(digest)
                self._has_referrers_api = referrers is not None
                found.update(dict.fromkeys(one.digest for one in referrers or ()))

        await each(digests, one)
        await self.fetch(found)

    async def fetch_times(self, digests: Iterable[Digest]) -> None:
        """Read from their configuration when these images were created."""

        async def one(digest: Digest) -> None:
            manifest = self.manifests[digest]
            if (config := manifest.config) and not manifest.created:
                self.manifests[digest] = replace(manifest, created=await self._created(config))

        await each(digests, one)

    def link(self, entries: dict[Digest, Digest | None]) -> None:
        """Note which entry of a ledger comes before which."""
        for digest, previous in entries.items():
            if digest in self.manifests:
                self.manifests[digest] = replace(self.manifests[digest], previous=previous)

    def _unknown(self, digests: Iterable[Digest]) -> list[Digest]:
        fresh = dict.fromkeys(digests)
        return [digest for digest in fresh if digest not in self.manifests and digest not in self._missing]

    async def _read_or_miss(self, digest: Digest) -> None:
        if await self._read(digest) is None and await self._read(digest) is None:
            self._missing.add(digest)

    async def _read(self, ref: Tag | Digest) -> Manifest | None:
        found = await self._repository.raw_manifest(ref)
        if found is None:
            return None
        if found.digest not in self.manifests:
            digest = ref if isinstance(ref, Digest) else found.digest
            try:
                self.manifests[digest] = read_manifest(digest, found.media_type, found.raw)
            except UnsupportedDigest as error:
                raise PreconditionError(
                    f"{self._repository.repository.at(found.digest)}: {error}. "
                    "Retention can follow sha256 only; nothing is deleted."
                ) from error
        return self.manifests[found.digest]

    async def _created(self, config: Digest) -> datetime | None:
        """The later of the label and the configuration's own date, which may be that of the sources."""
        try:
            image = _Configuration.model_validate_json(await self._repository.blob(config))
        except (PreconditionError, ValidationError):
            return None  # a broken image: of unknown age, so it stays
        labels = (image.config and image.config.labels) or {}
        times = [read_time(image.created), read_time(labels.get(CREATED))]
        return max((time for time in times if time), default=None)


class _Labelled(BaseModel):
    labels: dict[str, Any] | None = Field(None, alias="Labels")


class _Configuration(BaseModel):
    """What a date is taken from (OCI image specification, image configuration)."""

    created: Any = None
    config: _Labelled | None = None


def _undated(graph: Graph, rules: Rules, now: datetime) -> list[Digest]:
    """What the rules decide over by an age that is not known yet: not the parts of an index that has a date."""
    digests = undecided(graph, rules, now)
    parts = {
        child
        for digest in digests
        if graph.pushed.get(digest) or graph.manifests[digest].created
        for child in graph.manifests[digest].children
    }
    return [
        digest for digest in digests if graph.time(digest) is None and (digest not in parts or graph.tags_of(digest))
    ]


def _shared(graph: Graph, rules: Rules) -> list[Digest]:
    """What has a commit's tag beside one of its own right, and no date yet: the age decides over the extra tag."""
    roles = {tag: rules.role(tag) for tag in graph.tags}
    kept = {graph.tags[tag] for tag, role in roles.items() if role.is_root}
    both = {graph.tags[tag] for tag, role in roles.items() if role is Role.CANDIDATE} & kept
    undated = [digest for digest in both if graph.time(digest) is None]
    parts = dict.fromkeys(part for digest in undated for part in (digest, *graph.manifests[digest].children))
    return [part for part in parts if part in graph.manifests]


def _expiring(snapshot: Snapshot, rules: Rules) -> tuple[str, ...]:
    """Tags that should stay for ever and will not (`quay.expires-after`, an expiration set by hand)."""
    found = {tag: time for tag, time in snapshot.expiring.items() if rules.role(tag).is_root}
    return tuple(f"the registry removes the tag {tag} on {time:%Y-%m-%d}" for tag, time in sorted(found.items()))


async def _all_tags(repository: RepositoryClient, snapshot: Snapshot) -> dict[Tag, Digest | None]:
    """What the driver listed and what the registry itself lists; the channels are asked for by name as well.

    Lists in pages can lose a line when somebody deletes meanwhile, and one lost tag would be one lost root.
    """
    tags = dict(snapshot.tags)
    for tag in await repository.tags():
        tags.setdefault(tag, None)
    for tag in [channel.tag for channel in Channel]:
        if tag not in tags and await repository.raw_manifest(tag):
            raise InfrastructureError(
                f"{repository.repository} has a tag {tag} that its list of tags does not show: expected a whole list. "
                "Nothing is deleted; run again when the registry is quiet."
            )
    return tags


async def _ledgers(repository: RepositoryClient) -> tuple[tuple[Digest, ...], dict[Digest, Digest | None]]:
    """What stable pointed at, newest first, and every entry with the one before it."""
    history: list[Digest] = []
    entries: dict[Digest, Digest | None] = {}
    for channel in Channel:
        async for record in ledger.walk(repository, channel):
            entries[record.digest] = None
            if channel is Channel.STABLE:
                moves = [move for move in record.entry.moves if move.tag == channel.tag]
                history += [digest for move in moves for digest in (move.new, move.old) if digest]
    return tuple(dict.fromkeys(history)), entries


async def _dangling(repository: RepositoryClient, rules: Rules, absent: list[Tag]) -> tuple[str, ...]:
    """Look again at tags that lead nowhere: PreconditionError for one that should keep something."""
    warnings = []
    listed = set(await repository.tags()) if absent else set()
    for tag in sorted(listed & set(absent)):
        if rules.role(tag).is_root or await repository.raw_manifest(tag):
            raise PreconditionError(
                f"{repository.repository} lists the tag {tag}, but answered that there is no manifest behind it: "
                "what it should keep cannot be known. Nothing is deleted; push the tag again or remove it."
            )
        warnings.append(f"the tag {tag} leads nowhere")
    return tuple(warnings)
