"""Reads a whole repository into a graph. Any error ends it: a plan is made from everything or not at all."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from pipeline.domain import Digest, Tag
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.policy.retention import Graph, Manifest, Rules, UnsupportedDigest, plan, read_manifest, undecided
from pipeline.policy.retention.graph import CREATED, INDEX_TYPES, read_time
from pipeline.policy.retention.rules import Role
from pipeline.registry.client import RepositoryClient
from pipeline.registry.content import Manifest as Content
from pipeline.registry.retention.books import Books, read_books
from pipeline.registry.retention.driver import Driver, Snapshot
from pipeline.registry.retention.kept import Attached, Kept
from pipeline.registry.retention.waves import each


@dataclass(frozen=True)
class Listing:
    """The graph, and what came up while it was read."""

    graph: Graph
    books: Books
    warnings: tuple[str, ...] = ()
    remembered: tuple[datetime, ...] = ()
    """When earlier plans asked what hangs on a manifest, for each that was not asked about again."""


async def read(
    repository: RepositoryClient,
    driver: Driver,
    rules: Rules,
    now: datetime,
    *,
    leftovers: Collection[Digest] = (),
    wanted: Digest | None = None,
    whole: bool = False,
    kept: Kept | None = None,
) -> Listing:
    """List everything that a plan needs to know.

    Of manifests that no root holds, creation times are read too, and the referrers of what could go: those of others
    cannot be deleted and need not be known. Nor need the images of an index that has a date: they are not read. What is
    attached to the parts of an index that goes decides nothing but whether they go with it: it is read before they do.
    `leftovers`: digests from an interrupted run. `wanted`: a manifest to read in any case, with the subjects above it.
    `whole`: read what could go also where an index tells enough, as is right before it goes, and the images of every
    index that stays: one that is none, or has a subject, leads to what must stay. `kept`: what earlier runs
    have read; a manifest of it counts as there, and what hung on one then as all that does: with `whole` both are asked
    for again.
    Raises InfrastructureError and PreconditionError.
    """
    snapshot = await driver.snapshot()
    tags = await _all_tags(repository, snapshot, rules)
    books = await read_books(repository, tags)
    await _see_all_tags(repository, rules, tags, books)
    crawl = Crawl(repository, kept, whole=whole)
    await crawl.fetch_tags(tags)
    targets = [digest for history in books.histories for digest in history[: rules.rollback_targets]]
    await crawl.fetch([*snapshot.untagged, *books.entries, *leftovers, *targets])
    if wanted:
        await crawl.fetch_with_subjects(wanted)
    absent = await _dangling(repository, rules, crawl.absent, interrupted=bool(leftovers))

    def graph() -> Graph:
        return Graph(crawl.manifests, crawl.tags, snapshot.pushed, books.histories, frozenset(leftovers))

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
        if whole:
            await crawl.fetch_whole(doomed)
            await crawl.fetch_unread()
        parts = {child for digest in doomed for child in crawl.manifests[digest].children}
        await crawl.fetch_referrers((digest for digest in doomed if whole or digest not in parts), now)
    if driver.can_untag:
        await crawl.fetch_times(part for part in _shared(graph(), rules) if part not in dated)
    return Listing(graph(), books, (*_expiring(snapshot, rules), *absent), tuple(crawl.remembered))


class Crawl:
    """Follows digests from manifest to manifest, each read at most once."""

    def __init__(self, repository: RepositoryClient, kept: Kept | None = None, *, whole: bool = True) -> None:
        self._repository = repository
        self._kept = kept
        self._whole = whole
        self._answers = None if whole else kept
        self.manifests: dict[Digest, Manifest] = {}
        self.tags: dict[Tag, Digest] = {}
        self.absent: list[Tag] = []
        """Tags that were listed and lead nowhere."""
        self.remembered: list[datetime] = []
        """When the answers were given that were not asked for again."""
        self._missing: set[Digest] = set()
        self._referrers_api: bool | None = None
        """None before the first answer."""

    async def fetch_tags(self, tags: dict[Tag, Digest | None]) -> None:
        """Read what these tags point at, and all below."""

        async def one(tag: Tag) -> None:
            known = tags[tag]
            found = self.manifests.get(known) if known else None
            found = found if found and not found.unread else await self._read(known or tag)
            if found:
                self.tags[tag] = found.digest
            else:
                self.absent.append(tag)

        await each(list(tags), one)
        await self._fetch_below(list(self.manifests.values()))

    async def fetch(self, digests: Iterable[Digest]) -> None:
        """Read these manifests and all below; what is missing may be so: an index need not be complete."""
        wave = self._unknown(digests)
        await each(wave, self._read_or_miss)
        await self._fetch_below([self.manifests[digest] for digest in wave if digest in self.manifests])

    async def _fetch_below(self, manifests: list[Manifest]) -> None:
        """Read what these lead to; of the images of an index it is enough to know that they are listed."""
        while manifests:
            nested = {one.digest for above in manifests for one in above.listed if one.media_type in INDEX_TYPES}
            for image in (one for above in manifests for one in above.listed if one.is_image):
                if image.digest not in self._missing:
                    self.manifests.setdefault(image.digest, image.unread())
            wave = self._unknown(child for above in manifests for child in above.children)
            await each(wave, self._read_or_miss)
            if lost := sorted(nested & self._missing):
                raise PreconditionError(
                    f"{self._repository.repository} has no {lost[0]}, an index that another one lists: what it leads "
                    "to cannot be known. Nothing is deleted; push it again, or delete what lists it."
                )
            manifests = [self.manifests[digest] for digest in wave if digest in self.manifests]

    async def fetch_whole(self, digests: Iterable[Digest]) -> None:
        """Read those of these that are known only from their index, and all below."""
        unread = [digest for digest in digests if digest in self.manifests and self.manifests[digest].unread]
        for digest in unread:
            del self.manifests[digest]
        await self.fetch(unread)

    async def fetch_unread(self) -> None:
        """Read all that is known only from an index, and all below; what earlier runs have read does, by its digest."""
        seen: set[Digest] = set()

        async def one(digest: Digest) -> None:
            await self._read(digest, stays=True)

        while wave := [one.digest for one in self.manifests.values() if one.unread and one.digest not in seen]:
            seen.update(wave)
            await each(wave, one)
            await self._fetch_below([self.manifests[digest] for digest in wave])

    async def fetch_with_subjects(self, digest: Digest) -> None:
        """Read a manifest and what it refers to, up to the image."""
        at: Digest | None = digest
        while at and at not in self._missing:
            await self.fetch([at])
            await self.fetch_whole([at])
            found = self.manifests.get(at)
            at = found.subject if found and found.subject not in self.manifests else None

    async def fetch_referrers(self, digests: Iterable[Digest], now: datetime) -> None:
        """Read what the referrers API lists for these; fallback tags have been read with all other tags.

        An earlier plan's answer does, unless everything is to be read.
        """
        found: dict[Digest, None] = {}

        async def one(digest: Digest) -> None:
            to = self._repository.repository.at(digest)
            if self._answers and (known := self._answers.attached(to, now)):
                self.remembered.append(known.at)
                found.update(dict.fromkeys(known.referrers))
                return
            if self._referrers_api is False:
                return
            referrers = await self._repository.api_referrers(digest)
            if referrers is None and self._referrers_api:
                raise InfrastructureError(
                    f"{self._repository.repository} answered about referrers, and then had no such API: expected "
                    "what is attached to everything that may go. Nothing is deleted; run again."
                )
            self._referrers_api = referrers is not None
            listed = tuple(one.digest for one in referrers or ())
            found.update(dict.fromkeys(listed))
            if self._answers and referrers is not None:
                self._answers.put_attached(Attached(to=to, at=now.astimezone(UTC), referrers=listed))

        await each(digests, one)
        await self.fetch(found)

    async def fetch_times(self, digests: Iterable[Digest]) -> None:
        """Read from their configuration when these images were created."""

        async def one(digest: Digest) -> None:
            if self.manifests[digest].unread and await self._read(digest) is None:
                return
            manifest = self.manifests[digest]
            if (config := manifest.config) and not manifest.created:
                self.manifests[digest] = replace(manifest, created=await self._created(config))

        await each(digests, one)

    def _unknown(self, digests: Iterable[Digest]) -> list[Digest]:
        fresh = dict.fromkeys(digests)
        return [digest for digest in fresh if digest not in self.manifests and digest not in self._missing]

    async def _read_or_miss(self, digest: Digest) -> None:
        if await self._read(digest) is None and await self._read(digest) is None:
            self._missing.add(digest)

    async def _read(self, ref: Tag | Digest, *, stays: bool = False) -> Manifest | None:
        found = await self._found(ref, stays=stays)
        if found is None:
            return None
        known = self.manifests.get(found.digest)
        if known is None or known.unread:
            digest = ref if isinstance(ref, Digest) else found.digest
            try:
                self.manifests[digest] = read_manifest(digest, found.media_type, found.raw)
            except UnsupportedDigest as error:
                raise PreconditionError(
                    f"{self._repository.repository.at(found.digest)}: {error}. "
                    "Retention can follow sha256 only; nothing is deleted."
                ) from error
        return self.manifests[found.digest]

    async def _found(self, ref: Tag | Digest, *, stays: bool) -> Content | None:
        if isinstance(ref, Tag) or self._kept is None:
            return await self._repository.raw_manifest(ref)
        if (stays or not self._whole) and (known := self._kept.get(ref)):
            return known
        if found := await self._repository.raw_manifest(ref):
            self._kept.put(found.digest, found.raw, found.media_type)
        return found

    async def _created(self, config: Digest) -> datetime | None:
        """The later of the label and the configuration's own date, which may be that of the sources."""
        try:
            known = self._kept.get(config) if self._kept else None
            content = known.raw if known else await self._repository.blob(config)
            if self._kept and not known:
                self._kept.put(config, content)
            image = _Configuration.model_validate_json(content)
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
    """What has an extra tag beside one of its own right, and no date yet: the age decides over the extra tag."""
    roles = {tag: rules.role(tag) for tag in graph.tags}
    extra = (Role.CANDIDATE, Role.DATED)
    kept = {graph.tags[tag] for tag, role in roles.items() if role.is_root}
    both = {graph.tags[tag] for tag, role in roles.items() if role in extra and not rules.is_commit(tag)} & kept
    undated = [digest for digest in both if graph.time(digest) is None]
    parts = dict.fromkeys(part for digest in undated for part in (digest, *graph.manifests[digest].children))
    return [part for part in parts if part in graph.manifests]


def _expiring(snapshot: Snapshot, rules: Rules) -> tuple[str, ...]:
    """Tags that should stay for ever and will not (`quay.expires-after`, an expiration set by hand)."""
    found = {tag: time for tag, time in snapshot.expiring.items() if rules.role(tag).is_root}
    return tuple(f"the registry removes the tag {tag} on {time:%Y-%m-%d}" for tag, time in sorted(found.items()))


async def _all_tags(repository: RepositoryClient, snapshot: Snapshot, rules: Rules) -> dict[Tag, Digest | None]:
    """What the driver listed and what the registry itself lists; the channels are asked for by name as well.

    Lists in pages can lose a line when somebody deletes meanwhile, and one lost tag would be one lost root.
    """
    tags = dict(snapshot.tags)
    for tag in await repository.tags():
        tags.setdefault(tag, None)
    for tag in rules.channels:
        if tag not in tags and await repository.raw_manifest(tag):
            raise InfrastructureError(
                f"{repository.repository} has a tag {tag} that its list of tags does not show: expected a whole list. "
                "Nothing is deleted; run again when the registry is quiet."
            )
    return tags


async def _see_all_tags(
    repository: RepositoryClient, rules: Rules, tags: Mapping[Tag, Digest | None], books: Books
) -> None:
    """A channel or version that a ledger knows and the list of tags lacks would be a lost root."""
    for tag in sorted(tag for tag in books.tags if tag not in tags and rules.must_be_there(tag)):
        if await repository.raw_manifest(tag):
            raise InfrastructureError(
                f"{repository.repository} has a tag {tag} that its list of tags does not show: expected a whole list. "
                "Nothing is deleted; run again when the registry is quiet."
            )
        raise PreconditionError(
            f"{repository.repository} has no tag {tag}, which its ledger says was written: expected all that was "
            "released. Nothing is deleted; run an interrupted promotion again, push a lost tag by its "
            "digest (`history` tells it), or name one that was deleted on purpose in forget_tags of [retention]."
        )


async def _dangling(
    repository: RepositoryClient, rules: Rules, absent: list[Tag], *, interrupted: bool
) -> tuple[str, ...]:
    """Look again at tags that lead nowhere: PreconditionError for one, unless an interrupted prune left it behind."""
    warnings = []
    listed = set(await repository.tags()) if absent else set()
    for tag in sorted(listed & set(absent)):
        if not interrupted or rules.role(tag).is_root or await repository.raw_manifest(tag):
            raise PreconditionError(
                f"{repository.repository} lists the tag {tag}, but answered that there is no manifest behind it: "
                "what it should keep cannot be known. Nothing is deleted; push the tag again or remove it."
            )
        warnings.append(f"the tag {tag} leads nowhere")
    return tuple(warnings)
