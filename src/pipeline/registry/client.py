"""An OCI distribution client: reads images by tag and digest, stores artifacts beside them.

Source of the rules: OCI distribution specification 1.1. Everything that comes in is verified against its digest.
`attempts` holds the single requests, `transport` how they are repeated.
"""

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio
from anyio import to_thread
from pydantic import ValidationError

from pipeline.domain import Digest, Repository, Tag, usual_platform
from pipeline.each import only_waiting
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.registry import media
from pipeline.registry.artifacts import EMPTY, Promoted, artifact, index_of, looks_promoted
from pipeline.registry.attached import referrers_tag
from pipeline.registry.attempts import Attempts, Page
from pipeline.registry.content import Descriptor, Manifest, Platform, children, parse_json, sha256
from pipeline.registry.credentials import Credentials
from pipeline.registry.download import Download, measured, unfinished
from pipeline.registry.transport import Body, Transient, Transport
from pipeline.trust.notary import Notary

T = TypeVar("T")

_CHUNK = 1 << 20
_IN_MEMORY = 64 << 20
"""Bytes of content that is read at once."""
_SLOWEST = 1 << 20
"""Bytes a second: transfers are given their size over this on top of the deadline."""
_SETTLE, _LONGEST = 0.25, 5.0
"""Seconds after which a write that another client had already begun should be visible: at least, at most."""


class RegistryClient:
    """All registries of a command, behind one connection pool and one set of logins; an async context manager."""

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        plain_http: Collection[str] = frozenset(),
        addresses: Mapping[str, str] | None = None,
        deadline: float = 120.0,
        promoted: Promoted = looks_promoted,
        notary: Notary | None = None,
    ) -> None:
        """Prepare a client; nothing is sent yet.

        `plain_http`: hosts, as named in references, spoken to without TLS. `addresses`: the host:port to really
        connect to for such a host. `deadline`: seconds after which an operation gives up on an outage. `promoted`: the
        tags that this client never writes. `notary`: who signs evidence and ledger entries, and whose signatures count;
        nobody signs, and everything counts, without.
        """
        self.notary = notary or Notary()
        self._transport = Transport(
            credentials,
            plain_http=frozenset(plain_http),
            addresses=addresses or {},
            deadline=deadline,
            promoted=promoted,
        )
        self._repositories: dict[Repository, RepositoryClient] = {}
        self._look = Look()

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._transport.__aexit__(*details)

    @property
    def requests(self) -> int:
        """HTTP requests sent so far, those for tokens included."""
        return self._transport.requests

    def repository(self, repository: Repository) -> "RepositoryClient":
        """The client of one repository; the same object each time."""
        if repository not in self._repositories:
            self._repositories[repository] = RepositoryClient(self._transport, repository, self._look, self.notary)
        return self._repositories[repository]

    @contextmanager
    def one_look(self) -> Iterator[None]:
        """Inside, what a tag names and what is attached to a digest is asked once: a decision rests on one answer.

        For deciding only: nothing is written inside, and what was decided is looked at again before it is written.
        """
        self._look.answers = {}
        try:
            yield
        finally:
            self._look.answers = None

    @contextmanager
    def no_look(self) -> Iterator[None]:
        """Inside, also in `one_look`, everything is asked, so that something may be written."""
        looking, self._look.answers = self._look.answers is not None, None
        try:
            yield
        finally:
            self._look.answers = {} if looking else None

    def look_again(self) -> None:
        """Forget the answers of this look: time has passed."""
        if self._look.answers:
            self._look.answers = {}


class Look:
    """The answers of one look at the registries."""

    def __init__(self) -> None:
        self.answers: dict[Any, Any] | None = None
        """By question; None outside a look."""

    async def once(self, what: Any, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to a question; outside `one_look` it is asked each time."""
        if self.answers is None:
            return await ask()
        if what not in self.answers:
            self.answers[what] = await ask()
        answer: T = self.answers[what]
        return answer


class RepositoryClient:
    """What one repository holds. Every method may raise InfrastructureError (outage) and PreconditionError (denied)."""

    def __init__(self, transport: Transport, repository: Repository, look: Look, notary: Notary) -> None:
        self.repository = repository
        self.notary = notary
        self._transport = transport
        self._once = Attempts(transport, repository)
        self._look = look
        self._present: set[Digest] = set()
        """Blobs known to be there, not to be asked for again."""
        self._tagged: set[Tag] = set()
        """Tags that this client wrote: the registry said that it has them."""
        self._named: set[Tag] = set()
        """Tags that this client read: something was behind them."""
        self._expected: set[Tag] = set()
        """Tags that would be there, were there any."""
        self._absent: set[Tag] = set()
        """Tags that were asked for when a list did not have them, and were not there either."""
        self._seen: dict[Digest, Manifest] = {}
        self._configs: dict[Digest, dict[str, Any]] = {}
        self.prefix = ""
        """Before every tag of the image whose part of the repository this is; evidence and disks have none."""
        self._parts: dict[str, RepositoryClient] = {"": self}

    def under(self, prefix: str) -> "RepositoryClient":
        """The part of the repository that belongs to an image, with all that was read here; the same object each time.

        What is asked for by digest or by a whole tag is the same in every part; a ledger is that of the prefix.
        """
        if prefix not in self._parts:
            part = copy(self)
            part.prefix = prefix
            self._parts[prefix] = part
        return self._parts[prefix]

    def expect(self, tag: Tag) -> None:
        """Ask for this tag before an empty list of tags is believed."""
        self._expected.add(tag)

    def refuse_promoted(self, tag: Tag) -> None:
        """ValueError for tags that only a promotion writes."""
        self._transport.refuse_promoted(self.repository, tag)

    async def persist(self, asked: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Call `attempt` until it raises neither Transient nor a transport error; see Transport.persist."""
        return await self._transport.persist(asked, attempt)

    async def ask_to_push(self) -> None:
        """Find out whether the login may push, without leaving anything; PreconditionError when it may not."""
        await self.persist(f"POST upload to {self.repository}", self._once.ask_to_push)

    # Reading ---------------------------------------------------------------------------------------------------------

    async def manifest(self, ref: Tag | Digest) -> Manifest | None:
        """The manifest or index behind `ref`, verified; None when the registry says that there is none."""
        return await self.persist(self._asked("GET manifest", ref), partial(self.read_once, ref))

    async def read_once(self, ref: Tag | Digest) -> Manifest | None:
        """One attempt of `manifest`, for use inside `persist`."""
        manifest = await self._once.manifest(ref)
        if manifest:
            self._seen[manifest.digest] = manifest
        if isinstance(ref, Tag):
            (self._named.add if manifest else self._named.discard)(ref)
        return manifest

    async def known(self, digest: Digest) -> Manifest | None:
        """The same, read or written once in a command: what a digest names never changes, but may be deleted since."""
        return self._seen.get(digest) or await self.manifest(digest)

    async def raw_manifest(self, ref: Tag | Digest) -> Manifest | None:
        """What lies behind `ref`, of any type and shape, by its own digest; None when there is nothing.

        For whoever has to see everything in a repository; images are read with `manifest`.
        """
        attempt = partial(self._once.manifest, ref, of_any_type=True)
        return await self.persist(self._asked("GET manifest", ref), attempt)

    async def digest(self, ref: Tag | Digest) -> Digest | None:
        """What `ref` points at, None when there is nothing.

        A tag is read with its manifest: of a HEAD's answer nothing could be verified, and it costs the same request.
        """
        if isinstance(ref, Digest):
            described = await self.describe(ref)
            return described.digest if described else None
        found = await self._behind(ref)
        return found.digest if found else None

    async def listed(self, tag: Tag) -> Manifest:
        """What is behind a tag of the list; InfrastructureError when the registry says that there is nothing."""
        if found := await self._behind(tag):
            return found
        raise InfrastructureError(
            f"{self.repository} lists the tag {tag}, but answers that there is no manifest behind it. "
            "Nothing has moved; run again, and if it stays so, find out who deleted it."
        )

    async def _behind(self, tag: Tag) -> Manifest | None:
        return await self._look.once((self.repository, tag), partial(self.manifest, tag))

    async def describe(self, ref: Tag | Digest) -> Descriptor | None:
        """The descriptor of the manifest behind `ref`, by HEAD; by GET where HEAD does not tell enough."""
        return await self.persist(self._asked("HEAD manifest", ref), partial(self._once.described, ref))

    async def tags(self) -> list[Tag]:
        """All tags, sorted; none for a repository that does not exist (yet)."""
        return await self._look.once((self.repository, "tags"), self._tags)

    async def _tags(self) -> list[Tag]:
        async def attempt() -> list[Tag]:
            listed = await self._list_tags()
            await self._see_known(listed)
            return listed

        return await self.persist(f"GET tags of {self.repository}", attempt)

    async def _see_known(self, listed: list[Tag]) -> None:
        """Transient for a list that lacks what is there: it is an old one, or a part, and tells nothing of absence.

        That is what this client wrote; what it read, if it is there still; in an empty list, any that is expected.
        """
        if missing := sorted(self._tagged - set(listed)):
            raise Transient(f"a list of tags without {missing[0]}, which it had taken")
        known = self._named if listed else self._named | self._worth_asking
        for tag in sorted(known - set(listed)):
            if await self.read_once(tag):
                raise Transient(f"a list of tags without {tag}, which is there")
            self._absent.add(tag)

    @property
    def _worth_asking(self) -> set[Tag]:
        """What is expected: of this image each time, of the others once, since a fleet would ask for all of them."""
        return {tag for tag in self._expected if tag.startswith(self.prefix)} | (self._expected - self._absent)

    async def _list_tags(self) -> list[Tag]:
        """A list that ends is asked once more for what comes after its last tag: some registries cut it silently."""
        tags: set[Tag] = set()
        page: Page = None
        pages: set[Page] = set()
        with self._transport.patience():
            while page not in pages:
                pages.add(page)
                names, following = await self.persist(f"GET tags of {self.repository}", partial(self._once.tags, page))
                fresh = not tags.issuperset(names)
                tags.update(names)
                page = following or (self._once.tags_after(names[-1]) if fresh else None)
                if page is None:
                    break
        return sorted(tags)

    async def platforms(self, digest: Digest) -> dict[str, Digest]:
        """The same by platform; of two for one platform the first, whose labels are read as well."""
        found: dict[str, Digest] = {}
        for platform, image in await self.images(digest):
            found.setdefault(platform, image)
        return found

    async def images(self, digest: Digest) -> list[tuple[str, Digest]]:
        """The image manifests behind `digest`, each with its platform (`linux/amd64`), through nested indexes.

        PreconditionError when `digest` or one whose platform must be read is not there, and when an index calls another
        index an image. A single image counts under its config's platform.
        """
        with self._transport.patience():
            found = list(dict.fromkeys((str(platform), image) for platform, image in await self._images(digest)))
            for _, image in found:
                await self._see_image(image)
        return found

    async def labels(self, digest: Digest, platform: str = "linux/amd64") -> dict[str, str]:
        """The labels of the image behind `digest`; of any other platform where an index lacks `platform`.

        PreconditionError when there is no such image.
        """
        image, config = await self._image_config(digest, platform)
        settings = config.get("config") or {}
        labels = (settings.get("Labels") or {}) if isinstance(settings, dict) else None
        if not isinstance(labels, dict):
            raise PreconditionError(
                f"{self.repository.at(image)} has no readable labels in its configuration; expected an "
                "object of texts (OCI image specification, config). Build the image again."
            )
        return {str(key): str(value) for key, value in labels.items()}

    async def layers(self, digest: Digest, platform: str = "linux/amd64") -> list[str]:
        """The digests of the image's unpacked layers, bottom first (OCI image specification, config: diff_ids)."""
        _, config = await self._image_config(digest, platform)
        unpacked = config.get("rootfs")
        found = unpacked.get("diff_ids") if isinstance(unpacked, dict) else None
        return [str(one) for one in found] if isinstance(found, list) else []

    async def _image_config(self, digest: Digest, platform: str) -> tuple[Digest, dict[str, Any]]:
        """The image for a platform, any other where an index lacks it, with its configuration."""
        with self._transport.patience():
            manifest = await self._there(digest)
            if manifest.is_index:
                images = await self._listed(manifest)
                if not images:
                    raise PreconditionError(f"{self.repository.at(digest)} is an index that lists no image")
                fitting = [image for found, image in images if str(found) == usual_platform(platform)]
                manifest = await self._there(await self._see_image((fitting or [image for _, image in images])[0]))
            return manifest.digest, await self._config(manifest)

    async def blob(self, digest: Digest) -> bytes:
        """The whole blob in memory, verified; PreconditionError when it is not there."""
        return await self.persist(self._asked("GET blob", digest), partial(self._once.blob, digest))

    async def content(self, descriptor: Descriptor) -> bytes:
        """What a descriptor points at: embedded in it, or the blob."""
        embedded = descriptor.embedded
        if embedded is not None:
            return embedded
        if descriptor.size > _IN_MEMORY:
            raise PreconditionError(
                f"{self.repository} names {descriptor.digest} with {descriptor.size} bytes; expected no more than "
                f"{_IN_MEMORY} for what is no layer"
            )
        attempt = partial(self._once.blob, descriptor.digest, descriptor.size)
        return await self.persist(self._asked("GET blob", descriptor.digest), attempt)

    async def fetch_file(self, digest: Digest, path: Path, *, size: int = 0) -> None:
        """Stream a blob of `size` bytes into `path`, which appears only whole and verified.

        Goes on where a broken transfer stopped, when the registry can. PreconditionError when the blob is not there.
        """
        growing = unfinished(path)
        try:
            with Download(growing) as download, self._transport.patience(size / _SLOWEST):
                attempt = partial(self._once.download, digest, download, size)
                await self.persist(self._asked("GET blob", digest), attempt)
            await to_thread.run_sync(os.replace, growing, path)
        finally:
            growing.unlink(missing_ok=True)

    async def referrers(self, digest: Digest, artifact_type: str | None = None) -> list[Descriptor]:
        """What is attached to `digest`: by the referrers API and by the fallback tag, which is read in any case.

        A registry may have got the API later than what hangs on the tag, and an API that seems to be absent must not
        hide it.
        What others attached under another hash than sha256 is left out.
        """
        asked = (self.repository, digest, artifact_type)
        listed = await self._look.once(asked, partial(self._referrers, digest, artifact_type))
        found = [Descriptor.model_validate(one) for one in listed if _is_sha256(one)]
        return [one for one in found if artifact_type in (None, one.artifact_type)]

    async def _referrers(self, digest: Digest, artifact_type: str | None) -> list[dict[str, Any]]:
        with self._transport.patience():
            listed = await self._api_referrers(digest, artifact_type) or []
            asked = self._asked("GET manifest", referrers_tag(digest))
            further = await self.persist(asked, partial(self._once.fallback_referrers, digest))
        known = {one.get("digest") for one in listed}
        return [*listed, *(one for one in further if one.get("digest") not in known)]

    async def api_referrers(self, digest: Digest) -> list[Descriptor] | None:
        """What the referrers API lists for `digest`; None when the registry has no such API."""
        with self._transport.patience():
            listed = await self._api_referrers(digest, None)
        return None if listed is None else children(index_of(listed))

    async def clock(self) -> datetime | None:
        """The registry's time (RFC 9110 section 6.6.1, Date), to the second; None when it does not tell."""

        async def attempt() -> datetime | None:
            async with self._transport.exchange(self.repository, "GET", "tags/list?n=1"):
                off = self.clock_is_ahead_by()
                return None if off is None else datetime.now(UTC) - off

        return await self.persist(f"GET time of {self.repository.host}", attempt)

    def clock_is_ahead_by(self) -> timedelta | None:
        """How far this machine's clock is ahead of the registry's, by its last answer; None when it does not tell."""
        return self._transport.ahead.get(self.repository.host)

    # Writing ---------------------------------------------------------------------------------------------------------

    async def push_blob(self, data: bytes, media_type: str) -> Descriptor:
        """Store small content; the descriptor embeds it when it is very small."""
        descriptor = Descriptor.of(data, media_type)
        if descriptor.digest not in self._present:
            attempt = partial(self._once.upload, descriptor.digest, descriptor.size, data)
            await self.persist(self._asked("push of blob", descriptor.digest), attempt)
            self._present.add(descriptor.digest)
        return descriptor

    async def push_content(self, data: bytes, media_type: str) -> Descriptor:
        """Store content that is in memory; sends nothing when the registry has it already."""
        digest = await to_thread.run_sync(sha256, data)
        await self._ensure(digest, len(data), data)
        return Descriptor(media_type=media_type, digest=digest, size=len(data))

    async def push_file(self, path: Path, media_type: str) -> Descriptor:
        """Store a file of any size by streaming it; sends nothing when the registry has it already."""
        digest, size = await to_thread.run_sync(measured, path)

        async def stream() -> AsyncIterator[bytes]:
            async with await anyio.open_file(path, "rb") as file:
                while chunk := await file.read(_CHUNK):
                    yield chunk

        await self._ensure(digest, size, stream)
        return Descriptor(media_type=media_type, digest=digest, size=size)

    async def has_blob(self, digest: Digest) -> bool:
        """Whether the blob is here."""
        return await self.persist(self._asked("HEAD blob", digest), partial(self._once.has_blob, digest))

    async def take_blob(self, digest: Digest, source: Repository) -> bool:
        """Whether the blob is here, or could be taken over from `source` inside the same registry."""
        if digest in self._present:
            return True

        async def attempt() -> bool:
            if source.host == self.repository.host and await self._once.mount(digest, source):
                return True
            return await self._once.has_blob(digest)

        taken = await self.persist(self._asked("push of blob", digest), attempt)
        if taken:
            self._present.add(digest)
        return taken

    async def push_artifact(
        self,
        artifact_type: str,
        layers: list[Descriptor],
        *,
        subject: Descriptor | None = None,
        annotations: Mapping[str, str] | None = None,
        tag: Tag | None = None,
    ) -> Descriptor:
        """Store an artifact manifest over `layers` already pushed, attached to `subject`; equal input, equal digest.

        ValueError for a tag that could be a channel or version: those are written by promotion (skopeo) alone.
        """
        if tag is not None:
            self.refuse_promoted(tag)
        with self._transport.patience():
            await self.push_empty()
            return await self.push_manifest(
                artifact(artifact_type, layers, subject=subject, annotations=annotations), tag
            )

    async def push_manifest(self, manifest: Manifest, tag: Tag | None = None) -> Descriptor:
        """Store a manifest as it is, by digest or also at a tag, and list it with its subject if it has one."""
        return (await self.push_manifests([manifest], tag))[0]

    async def push_manifests(self, manifests: Sequence[Manifest], tag: Tag | None = None) -> list[Descriptor]:
        """The same for several, listed with each subject in one go."""
        unlisted: dict[Digest, list[Descriptor]] = {}
        described = [_as_referrer(manifest) for manifest in manifests]
        with self._transport.patience():
            for manifest, descriptor in zip(manifests, described, strict=True):
                ref = tag or manifest.digest
                attempt = partial(self.put_manifest, manifest, ref)
                understood = await self.persist(self._asked("PUT manifest", ref), attempt)
                if manifest.subject and not understood:
                    unlisted.setdefault(manifest.subject, []).append(descriptor)
            for subject, descriptors in unlisted.items():
                await self._add_to_fallback(subject, descriptors)
        return described

    async def push_empty(self) -> None:
        """Make sure that the config of artifacts is there."""
        await self._ensure(sha256(EMPTY), len(EMPTY), EMPTY)

    async def put_manifest(self, manifest: Manifest, ref: Tag | Digest) -> bool:
        """One attempt to write `manifest` at `ref`; Transient when it may or may not have worked.

        Returns whether the registry keeps referrers itself (header OCI-Subject). Not to be repeated blindly at a tag:
        somebody else may have moved it between the attempts.
        """
        understood = await self._once.put_manifest(manifest, ref)
        self._seen[manifest.digest] = manifest
        if isinstance(ref, Tag):
            self._tagged.add(ref)
        return understood

    async def settle(self, since: float) -> None:
        """Wait until what others had begun to write, when we began at `since` (anyio clock), should be visible.

        A registry cannot compare and swap: who writes last wins, so each writer has to look again a while later. How
        long others may be on their way is judged by how long we were.
        """
        pause = min(_LONGEST, max(_SETTLE, 3 * (anyio.current_time() - since)))
        with only_waiting():
            await anyio.sleep(pause)

    async def delete(self, ref: Tag | Digest) -> bool:
        """Delete a manifest (by digest, all its tags go with it) or, where the registry can, only a tag.

        False when it was gone already. PreconditionError when this registry does not delete.
        """
        if isinstance(ref, Digest):
            self._seen.pop(ref, None)
        self._tagged.clear()  # a manifest takes all its tags with it
        return await self.persist(self._asked("DELETE manifest", ref), partial(self._once.delete_manifest, ref))

    # Composed --------------------------------------------------------------------------------------------------------

    def _asked(self, what: str, ref: str) -> str:
        return f"{what} {ref} of {self.repository}"

    async def _ensure(self, digest: Digest, size: int, body: Body) -> None:
        if digest in self._present:
            return

        async def attempt() -> None:
            # asked at each attempt: the upload may have taken effect although its answer was lost
            if not await self._once.has_blob(digest):
                await self._once.upload(digest, size, body)

        with self._transport.patience(size / _SLOWEST):
            await self.persist(self._asked("push of blob", digest), attempt)
        self._present.add(digest)

    async def _api_referrers(self, digest: Digest, artifact_type: str | None) -> list[dict[str, Any]] | None:
        found: list[dict[str, Any]] = []
        page: Page = None
        pages: set[Page] = set()
        while self._transport.referrers_api.get(self.repository.host) is not False and page not in pages:
            pages.add(page)
            attempt = partial(self._once.referrers, digest, artifact_type, page)
            answer = await self.persist(f"GET referrers of {self.repository.at(digest)}", attempt)
            if answer is None:
                return None
            listed, page = answer
            found += listed
            if page is None:
                return found
        return found if pages else None

    async def _add_to_fallback(self, subject: Digest, descriptors: Sequence[Descriptor]) -> None:
        """Add to the list behind the fallback tag until all is still there some time later; a retry reads first."""
        tag = referrers_tag(subject)

        async def attempt() -> None:
            start = anyio.current_time()
            others = await self._once.fallback_referrers(subject)
            missing = _not_in(others, descriptors)
            if not missing:
                return
            await self.put_manifest(index_of([*others, *(one.to_json() for one in missing)]), tag)
            await self.settle(start)
            if _not_in(await self._once.fallback_referrers(subject), descriptors):
                raise Transient("a list of referrers that another client overwrote", pause=0.0)

        await self.persist(self._asked("update of referrers tag", tag), attempt)

    async def _there(self, digest: Digest) -> Manifest:
        manifest = await self.known(digest)
        if manifest is None:
            raise PreconditionError(f"{self.repository} holds no manifest {digest}; expected the image there")
        return manifest

    async def _config(self, manifest: Manifest) -> dict[str, Any]:
        if known := self._configs.get(manifest.digest):
            return known
        try:
            document = parse_json(await self.content(manifest.config))
        except ValueError as error:
            document = error
        if not isinstance(document, dict):
            raise PreconditionError(
                f"{self.repository.at(manifest.digest)} has no readable image configuration: {document}"
            )
        self._configs[manifest.digest] = document
        return document

    async def _images(self, digest: Digest) -> list[tuple[Platform, Digest]]:
        manifest = await self._there(digest)
        if manifest.is_index:
            return await self._listed(manifest)
        config = await self._config(manifest)
        known = {key: config.get(key) or "unknown" for key in ("os", "architecture")}
        try:
            platform = Platform.model_validate({**known, "variant": config.get("variant") or None})
        except ValidationError:
            platform = Platform(os="unknown", architecture="unknown")
        return [(platform, digest)]

    async def _see_image(self, digest: Digest) -> Digest:
        """What an index calls an image; PreconditionError when it is an index itself. One that is gone is none."""
        manifest = await self.known(digest)
        if manifest and manifest.is_index:
            raise PreconditionError(
                f"{self.repository.at(digest)} is an index, and the index that lists it calls it an image: no two "
                "tools would read the same there. Build it again, and push it flat (podman manifest push --all)."
            )
        return digest

    async def _listed(self, index: Manifest) -> list[tuple[Platform, Digest]]:
        """What an index calls images; they are read only where it leaves the platform open."""
        images: list[tuple[Platform, Digest]] = []
        for child in children(index):
            if child.media_type in media.INDEXES:
                images += await self._images(child.digest)
            elif child.platform is None:
                images += await self._images(await self._see_image(child.digest))
            elif child.platform.os != "unknown":  # attestations of docker buildx hide under unknown/unknown
                images.append((child.platform, child.digest))
        return images


def _as_referrer(manifest: Manifest) -> Descriptor:
    """As lists of referrers name it."""
    told = {"artifact_type": manifest.artifact_type, "annotations": manifest.annotations}
    return manifest.descriptor.model_copy(update=told)


def _not_in(listed: list[dict[str, Any]], descriptors: Sequence[Descriptor]) -> list[Descriptor]:
    there = {one.get("digest") for one in listed}
    return [one for one in descriptors if one.digest not in there]


def _is_sha256(descriptor: dict[str, Any]) -> bool:
    return str(descriptor.get("digest")).startswith("sha256:")
