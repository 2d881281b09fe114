"""An OCI distribution client: reads images by tag and digest, stores artifacts beside them.

Source of the rules: OCI distribution specification 1.1. Everything that comes in is verified against its digest, and
"it is not there" is only believed from a registry that says so in its own words: an outage never looks like absence.
"""

import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

import anyio
import httpx
from anyio import to_thread

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import PreconditionError
from pipeline.registry import media
from pipeline.registry.content import Descriptor, Manifest, Platform, sha256
from pipeline.registry.credentials import Credentials
from pipeline.registry.transport import Transient, Transport

T = TypeVar("T")

_ACCEPT = ", ".join(sorted(media.MANIFESTS))
_MISSING = frozenset({"NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN", "BLOB_UPLOAD_UNKNOWN", "NOT_FOUND"})
_PAGE = 1000
_CHUNK = 1 << 20
_SLOWEST = 1 << 20
"""Bytes a second: transfers are given their size over this on top of the deadline."""
_SETTLE = 0.25
"""Seconds after which a write that another client had already begun should be visible; see `add_to_index`."""
_EMPTY = b"{}"


class RegistryClient:
    """All registries of a command, behind one connection pool and one set of logins; an async context manager."""

    def __init__(
        self,
        credentials: Credentials | None = None,
        *,
        plain_http: Collection[str] = frozenset(),
        addresses: Mapping[str, str] | None = None,
        deadline: float = 120.0,
    ) -> None:
        """Prepare a client; nothing is sent yet.

        `plain_http`: hosts, as named in references, spoken to without TLS. `addresses`: the host:port to really
        connect to for such a host. `deadline`: seconds after which an operation gives up on an outage.
        """
        self._transport = Transport(
            credentials, plain_http=frozenset(plain_http), addresses=addresses or {}, deadline=deadline
        )
        self._repositories: dict[Repository, RepositoryClient] = {}

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    @property
    def requests(self) -> int:
        """HTTP requests sent so far, those for tokens included."""
        return self._transport.requests

    def repository(self, repository: Repository) -> "RepositoryClient":
        """The client of one repository; the same object each time."""
        return self._repositories.setdefault(repository, RepositoryClient(self._transport, repository))


class RepositoryClient:
    """What one repository holds. Every method may raise InfrastructureError (outage) and PreconditionError (denied)."""

    def __init__(self, transport: Transport, repository: Repository) -> None:
        self.repository = repository
        self._transport = transport
        self._present: set[Digest] = set()
        """Blobs known to be there, not to be asked for again."""
        self._seen: dict[Digest, Manifest] = {}

    # Reading ---------------------------------------------------------------------------------------------------------

    async def manifest(self, ref: Tag | Digest) -> Manifest | None:
        """The manifest or index behind `ref`, verified; None when the registry says that there is none."""
        return await self._transport.persist(self._asked("GET manifest", ref), lambda: self._get_manifest(ref))

    async def digest(self, ref: Tag | Digest) -> Digest | None:
        """What `ref` points at, None when there is nothing.

        A tag is read with its manifest: of a HEAD's answer nothing could be verified, and it costs the same request.
        """
        found = await (self.describe(ref) if isinstance(ref, Digest) else self.manifest(ref))
        return found.digest if found else None

    async def describe(self, ref: Tag | Digest) -> Descriptor | None:
        """The descriptor of the manifest behind `ref`, by HEAD; by GET where HEAD does not tell enough."""
        return await self._transport.persist(self._asked("HEAD manifest", ref), lambda: self._head_manifest(ref))

    async def tags(self) -> list[Tag]:
        """All tags, sorted; none for a repository that does not exist (yet)."""
        tags: list[Tag] = []
        page: str | None = f"tags/list?{urlencode({'n': _PAGE})}"
        pages = set()
        with self._transport.patience():
            while page and page not in pages:
                pages.add(page)
                names, page = await self._transport.persist(
                    f"GET tags of {self.repository}",
                    lambda page=page: self._tag_page(page),  # type: ignore[misc]
                )
                tags += names
        return sorted(set(tags))

    async def platforms(self, digest: Digest) -> dict[str, Digest]:
        """The image manifests behind `digest` by platform (`linux/amd64`), through nested indexes.

        PreconditionError when `digest` or one it lists is not there. A single image counts under its config's platform.
        """
        with self._transport.patience():
            return {str(platform): image for platform, image in await self._images(digest)}

    async def labels(self, digest: Digest, platform: str = "linux/amd64") -> dict[str, str]:
        """The labels of the image behind `digest`; of any other platform where an index lacks `platform`.

        PreconditionError when there is no such image.
        """
        with self._transport.patience():
            manifest = await self._present_manifest(digest)
            if manifest.is_index:
                images = await self._listed(manifest)
                if not images:
                    raise PreconditionError(f"{self.repository.at(digest)} is an index that lists no image")
                fitting = [image for found, image in images if str(found) == platform]
                manifest = await self._present_manifest((fitting or [image for _, image in images])[0])
            config = await self._config(manifest)
        labels = (config.get("config") or {}).get("Labels") or {}
        return {str(key): str(value) for key, value in labels.items()}

    async def blob(self, digest: Digest) -> bytes:
        """The whole blob in memory, verified; PreconditionError when it is not there."""

        async def attempt() -> bytes:
            async with self._exchange("GET", f"blobs/{digest}") as response:
                await self._expect(response, 200, missing=digest)
                content: bytes = await response.aread()
            if sha256(content) != digest:
                raise Transient(f"{len(content)} bytes whose digest is {sha256(content)}")
            return content

        return await self._transport.persist(self._asked("GET blob", digest), attempt)

    async def content(self, descriptor: Descriptor) -> bytes:
        """What a descriptor points at: embedded in it, or the blob."""
        embedded = descriptor.embedded
        return await self.blob(descriptor.digest) if embedded is None else embedded

    async def fetch_file(self, digest: Digest, path: Path, *, size: int = 0) -> None:
        """Stream a blob of `size` bytes into `path`, which appears only whole and verified.

        Goes on where a broken transfer stopped, when the registry can. PreconditionError when the blob is not there.
        """
        partial = path.with_name(f".{path.name}.partial")
        try:
            with _Fetched(partial) as fetched, self._transport.patience(size / _SLOWEST):
                await self._transport.persist(self._asked("GET blob", digest), lambda: self._fetch(digest, fetched))
            await to_thread.run_sync(os.replace, partial, path)
        finally:
            partial.unlink(missing_ok=True)

    async def referrers(self, digest: Digest, artifact_type: str | None = None) -> list[Descriptor]:
        """What is attached to `digest`: by the referrers API, or the fallback tag where there is none."""
        with self._transport.patience():
            found = await self._referrers_api(digest, artifact_type)
            if found is None:
                tag = fallback_tag(digest)
                listed = await self._transport.persist(
                    self._asked("GET manifest", tag), lambda: self._fallback_list(digest)
                )
                found = [Descriptor.model_validate(one) for one in listed]
        return [one for one in found if artifact_type in (None, one.artifact_type)]

    async def raw_manifest(self, ref: Tag | Digest) -> Manifest | None:
        """What lies behind `ref`, of any type and shape, by its own digest; None when there is nothing.

        For whoever has to see everything in a repository; images are read with `manifest`.
        """

        async def attempt() -> Manifest | None:
            async with self._exchange("GET", f"manifests/{ref}", accept=f"{_ACCEPT}, */*;q=0.1") as response:
                if await self._is_missing(response):
                    return None
                await self._expect(response, 200)
                raw = await response.aread()
                expected = ref if isinstance(ref, Digest) else response.headers.get("docker-content-digest")
            if expected and sha256(raw) != expected:
                raise Transient(f"bytes whose digest is {sha256(raw)}, expected {expected}")
            return Manifest(sha256(raw), response.headers.get("content-type", "").partition(";")[0].strip(), raw)

        return await self._transport.persist(self._asked("GET manifest", ref), attempt)

    async def api_referrers(self, digest: Digest) -> list[Descriptor] | None:
        """What the referrers API lists for `digest`; None when the registry has no such API."""
        with self._transport.patience():
            return await self._referrers_api(digest, None)

    async def clock(self) -> datetime | None:
        """The registry's time (RFC 9110 section 6.6.1, Date), to the second; None when it does not tell."""

        async def attempt() -> datetime | None:
            async with self._exchange("GET", "tags/list?n=1") as response:
                try:
                    return parsedate_to_datetime(response.headers["date"])
                except (KeyError, ValueError):
                    return None

        return await self._transport.persist(f"GET time of {self.repository.host}", attempt)

    def seen(self, digest: Digest) -> Manifest | None:
        """A manifest that was read before; it may have been deleted since."""
        return self._seen.get(digest)

    async def read_once(self, ref: Tag | Digest) -> Manifest | None:
        """One attempt of `manifest`, for use inside `persist`."""
        return await self._get_manifest(ref)

    async def persist(self, asked: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Call `attempt` until it raises neither Transient nor a transport error; see Transport.persist."""
        return await self._transport.persist(asked, attempt)

    # Writing ---------------------------------------------------------------------------------------------------------

    async def push_blob(self, data: bytes, media_type: str) -> Descriptor:
        """Store small content; the descriptor embeds it when it is very small."""
        descriptor = Descriptor.of(data, media_type)
        if descriptor.digest in self._present:
            return descriptor

        async def attempt() -> None:
            await self._upload(descriptor.digest, descriptor.size, data)

        await self._transport.persist(self._asked("push of blob", descriptor.digest), attempt)
        self._present.add(descriptor.digest)
        return descriptor

    async def push_file(self, path: Path, media_type: str) -> Descriptor:
        """Store a file of any size by streaming it; sends nothing when the registry has it already."""
        digest, size = await to_thread.run_sync(_measured, path)

        async def stream() -> AsyncIterator[bytes]:
            async with await anyio.open_file(path, "rb") as file:
                while chunk := await file.read(_CHUNK):
                    yield chunk

        async def attempt() -> None:
            # asked at each attempt: the upload may have taken effect although its answer was lost
            if not await self._has_blob(digest):
                await self._upload(digest, size, stream)

        with self._transport.patience(size / _SLOWEST):
            await self._transport.persist(self._asked("push of blob", digest), attempt)
        self._present.add(digest)
        return Descriptor(media_type=media_type, digest=digest, size=size)

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
        manifest = artifact(artifact_type, layers, subject=subject, annotations=annotations)
        if tag is not None:
            refuse_promoted(tag)
        with self._transport.patience():
            await self.push_empty()
            understood = await self._transport.persist(
                self._asked("PUT manifest", tag or manifest.digest),
                lambda: self.put_manifest(manifest, tag or manifest.digest),
            )
            descriptor = manifest.descriptor.model_copy(
                update={"artifact_type": artifact_type, "annotations": dict(annotations or {})}
            )
            if subject and not understood:
                await self._add_to_fallback(subject.digest, descriptor)
        return descriptor

    async def push_empty(self) -> None:
        """Make sure that the config of artifacts is there."""
        if sha256(_EMPTY) in self._present:
            return

        async def attempt() -> None:
            if not await self._has_blob(sha256(_EMPTY)):
                await self._upload(sha256(_EMPTY), len(_EMPTY), _EMPTY)

        await self._transport.persist(self._asked("push of blob", sha256(_EMPTY)), attempt)
        self._present.add(sha256(_EMPTY))

    async def put_manifest(self, manifest: Manifest, ref: Tag | Digest) -> bool:
        """One attempt to write `manifest` at `ref`; Transient when it may or may not have worked.

        Returns whether the registry keeps referrers itself (header OCI-Subject). Not to be repeated blindly at a tag:
        somebody else may have moved it between the attempts.
        """
        if not isinstance(ref, Digest):
            refuse_promoted(ref)
        async with self._exchange(
            "PUT", f"manifests/{ref}", headers={"Content-Type": manifest.media_type}, body=manifest.raw
        ) as response:
            await self._expect(response, 201)
            stored = response.headers.get("docker-content-digest", manifest.digest)
            if stored != manifest.digest:
                raise Transient(f"a stored manifest with digest {stored}, {manifest.digest} was sent")
            return "oci-subject" in response.headers

    async def delete(self, ref: Tag | Digest) -> bool:
        """Delete a manifest (by digest, all its tags go with it) or, where the registry can, only a tag.

        False when it was gone already. PreconditionError when this registry does not delete.
        """

        async def attempt() -> bool:
            async with self._exchange("DELETE", f"manifests/{ref}") as response:
                if response.status_code in (400, 405):
                    raise PreconditionError(
                        f"{self.repository.host} does not delete {ref}: answer {response.status_code}. "
                        "Expected a registry with deleting enabled (and untagging, for a tag)."
                    )
                if await self._is_missing(response):
                    return False
                await self._expect(response, 200, 202, 204)
                return True

        return await self._transport.persist(self._asked("DELETE manifest", ref), attempt)

    # One exchange each -----------------------------------------------------------------------------------------------

    def _exchange(self, method: str, path: str, **options: Any) -> Any:
        return self._transport.exchange(self.repository, method, path, **options)

    def _asked(self, what: str, ref: str) -> str:
        return f"{what} {ref} of {self.repository}"

    async def _expect(self, response: httpx.Response, *statuses: int, missing: Digest | None = None) -> None:
        """Go on for one of `statuses`; PreconditionError for what is said to be `missing`; the rest is an outage."""
        if response.status_code in statuses:
            return
        if missing and await self._is_missing(response):
            raise PreconditionError(f"{self.repository} holds no {missing}; expected it because something refers to it")
        await response.aread()
        limit = 3 if response.status_code < 500 else None
        raise Transient(f"unexpected answer {response.status_code} ({response.text[:200]!r})", attempts=limit)

    async def _is_missing(self, response: httpx.Response) -> bool:
        """Whether the registry itself says that there is no such thing; Transient for any other 404."""
        if response.status_code != 404:
            return False
        kind = response.headers.get("content-type", "")
        if response.request.method == "HEAD":
            return "json" in kind
        body = await response.aread()
        try:
            codes = {error.get("code") for error in json.loads(body)["errors"]}
        except (ValueError, KeyError, TypeError, AttributeError):
            codes = set()
        if codes & _MISSING:
            return True
        raise Transient(f"a 404 that is not the registry's own ({kind or 'no content type'}: {body[:200]!r})")

    async def _get_manifest(self, ref: Tag | Digest) -> Manifest | None:
        async with self._exchange("GET", f"manifests/{ref}", accept=_ACCEPT) as response:
            if await self._is_missing(response):
                return None
            await self._expect(response, 200)
            raw = await response.aread()
            expected = ref if isinstance(ref, Digest) else response.headers.get("docker-content-digest")
        try:
            manifest = Manifest.parse(raw, response.headers.get("content-type", ""))
        except ValueError as error:
            raise Transient(str(error)) from error
        if expected and manifest.digest != expected:
            raise Transient(f"bytes whose digest is {manifest.digest}, expected {expected}")
        self._seen[manifest.digest] = manifest
        return manifest

    async def _head_manifest(self, ref: Tag | Digest) -> Descriptor | None:
        async with self._exchange("HEAD", f"manifests/{ref}", accept=_ACCEPT) as response:
            if await self._is_missing(response):
                return None
            headers = response.headers
            media_type = headers.get("content-type", "").partition(";")[0].strip()
            size = headers.get("content-length", "")
            if response.status_code == 200 and media_type in media.MANIFESTS and size.isdigit():
                try:
                    digest = Digest(headers.get("docker-content-digest", ""))
                except ValueError:
                    pass
                else:
                    if isinstance(ref, Digest) and digest != ref:
                        raise Transient(f"the header of {digest}")
                    return Descriptor(media_type=media_type, digest=digest, size=int(size))
        manifest = await self._get_manifest(ref)
        return manifest.descriptor if manifest else None

    async def _tag_page(self, page: str) -> tuple[list[Tag], str | None]:
        async with self._exchange("GET", page) as response:
            if await self._is_missing(response):
                return [], None
            await self._expect(response, 200)
            await response.aread()
            try:
                names = [Tag(name) for name in response.json()["tags"] or []]
            except (ValueError, KeyError, TypeError) as error:
                raise Transient(f"a tag list that cannot be read ({type(error).__name__}: {error})") from error
            if link := response.links.get("next", {}).get("url"):
                return names, self._transport.absolute(self.repository, str(response.url.join(link)))
        # some registries cut the page without saying so
        following = f"tags/list?{urlencode({'n': _PAGE, 'last': names[-1]})}" if len(names) == _PAGE else None
        return names, following

    async def _referrers_api(self, digest: Digest, artifact_type: str | None) -> list[Descriptor] | None:
        """None when the registry has no such API."""
        query = f"?{urlencode({'artifactType': artifact_type})}" if artifact_type else ""
        page: str | None = f"referrers/{digest}{query}"
        found: list[Descriptor] = []
        while page:
            answer = await self._transport.persist(
                f"GET referrers of {self.repository.at(digest)}",
                lambda page=page: self._referrers_page(page),  # type: ignore[misc]
            )
            if answer is None:
                return None
            descriptors, page = answer
            found += descriptors
        return found

    async def _referrers_page(self, page: str) -> tuple[list[Descriptor], str | None] | None:
        # ghcr.io has no such API and redirects to a web page: a redirect means the same as a 404
        async with self._exchange("GET", page, accept=media.OCI_INDEX, redirects=False) as response:
            kind = response.headers.get("content-type", "")
            if response.is_redirect or (response.status_code == 404 and "html" not in kind):
                return None
            if response.status_code in (400, 405, 406, 501):
                return None
            await self._expect(response, 200)
            raw = await response.aread()
            try:
                index = Manifest.parse(raw, media.OCI_INDEX)
                descriptors = index.manifests
            except ValueError as error:
                raise Transient(f"referrers that cannot be read: {error}") from error
            link = response.links.get("next", {}).get("url")
            following = self._transport.absolute(self.repository, str(response.url.join(link))) if link else None
            return descriptors, following

    async def _has_blob(self, digest: Digest) -> bool:
        async with self._exchange("HEAD", f"blobs/{digest}") as response:
            if response.status_code == 404:
                return False  # wrongly said, it costs an upload and nothing else
            await self._expect(response, 200)
            return True

    async def _upload(self, digest: Digest, size: int, body: Any) -> None:
        """POST, then PUT everything at once (distribution specification, "POST then PUT")."""
        async with self._exchange("POST", "blobs/uploads/", headers={"Content-Length": "0"}) as response:
            await self._expect(response, 202)
            location = response.headers.get("location")
            if not location:
                raise Transient("an upload without a Location")
            url = self._transport.absolute(self.repository, str(response.url.join(location)))
        separator = "&" if "?" in url else "?"
        async with self._exchange(
            "PUT",
            f"{url}{separator}{urlencode({'digest': digest})}",
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
            body=body,
        ) as response:
            await self._expect(response, 201)

    async def _fetch(self, digest: Digest, fetched: "_Fetched") -> None:
        headers = {"Range": f"bytes={fetched.size}-", "Accept-Encoding": "identity"} if fetched.size else {}
        async with self._exchange("GET", f"blobs/{digest}", headers=headers) as response:
            await self._expect(response, 200, 206, 416, missing=digest)
            if response.status_code != 206 or not fetched.continues(response.headers.get("content-range", "")):
                fetched.restart()
            if response.status_code == 416:
                raise Transient("a refusal to send the rest of the blob")
            async for chunk in response.aiter_raw():
                await to_thread.run_sync(fetched.add, chunk)
        if fetched.digest != digest:
            came = f"{fetched.size} bytes whose digest is {fetched.digest}"
            fetched.restart()
            raise Transient(came)

    # Composed --------------------------------------------------------------------------------------------------------

    async def _present_manifest(self, digest: Digest) -> Manifest:
        manifest = await self.manifest(digest)
        if manifest is None:
            raise PreconditionError(f"{self.repository} holds no manifest {digest}; expected the image there")
        return manifest

    async def _config(self, manifest: Manifest) -> dict[str, Any]:
        try:
            document = json.loads(await self.content(manifest.config))
            assert isinstance(document, dict)  # noqa: S101
        except (ValueError, AssertionError) as error:
            raise PreconditionError(
                f"{self.repository.at(manifest.digest)} has no readable image configuration: {error}"
            ) from error
        return document

    async def _images(self, digest: Digest) -> list[tuple[Platform, Digest]]:
        manifest = await self._present_manifest(digest)
        if manifest.is_index:
            return await self._listed(manifest)
        config = await self._config(manifest)
        known = {"os": "unknown", "architecture": "unknown"} | config
        return [(Platform.model_validate(known), digest)]

    async def _listed(self, index: Manifest) -> list[tuple[Platform, Digest]]:
        """The images of an index; their manifests are read only where the index leaves the platform open."""
        images: list[tuple[Platform, Digest]] = []
        for child in _readable(index):
            if child.media_type in media.INDEXES or child.platform is None:
                images += await self._images(child.digest)
            elif child.platform.os != "unknown":  # attestations of docker buildx hide under unknown/unknown
                images.append((child.platform, child.digest))
        return images

    # Fallback tag ----------------------------------------------------------------------------------------------------

    async def _fallback_list(self, subject: Digest) -> list[dict[str, Any]]:
        """The descriptors behind the fallback tag, as written (distribution specification, "Referrers tag schema")."""
        index = await self._get_manifest(fallback_tag(subject))
        # some registries read the tag `sha256-<hex>` as the digest itself and answer with the subject
        if index is None or index.digest == subject or not index.is_index:
            return []
        return [descriptor.to_json() for descriptor in _readable(index)]

    async def _add_to_fallback(self, subject: Digest, descriptor: Descriptor) -> None:
        """Add to the list behind the fallback tag until it is still there some time later.

        A registry cannot compare and swap: who writes last wins. So each writer looks again after the time in which
        another's write may still have been under way, and writes again what was lost. A retry starts with reading.
        """
        tag = fallback_tag(subject)

        async def attempt() -> None:
            start = anyio.current_time()
            others = await self._fallback_list(subject)
            if descriptor.digest in {one.get("digest") for one in others}:
                return
            await self.put_manifest(index_of([*others, descriptor.to_json()]), tag)
            await anyio.sleep(max(_SETTLE, 3 * (anyio.current_time() - start)))
            if descriptor.digest not in {one.get("digest") for one in await self._fallback_list(subject)}:
                raise Transient("a list of referrers that another client overwrote", pause=0.0)

        await self._transport.persist(self._asked("update of referrers tag", tag), attempt)


class _Fetched:
    """How much of a blob has come so far, on disk and in the hash."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._file.close()

    def restart(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()
        self._file.seek(0)
        self._file.truncate()

    def add(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def continues(self, content_range: str) -> bool:
        return content_range.startswith(f"bytes {self.size}-")

    @property
    def digest(self) -> Digest:
        return Digest("sha256:" + self._hash.hexdigest())


def fallback_tag(digest: Digest) -> Tag:
    """Where registries without the referrers API keep the list of them (distribution specification, referrers tag)."""
    return Tag(digest.replace(":", "-"))


def artifact(
    artifact_type: str,
    layers: list[Descriptor],
    *,
    subject: Descriptor | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Manifest:
    """An artifact as an image manifest with the empty config (image specification 1.1, artifacts usage)."""
    empty = Descriptor.of(_EMPTY, media.EMPTY)
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": media.OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": empty.to_json(),
        "layers": [layer.to_json() for layer in layers or [empty]],
    }
    if subject:
        document["subject"] = subject.model_copy(update={"annotations": {}, "data": None}).to_json()
    if annotations:
        document["annotations"] = dict(annotations)
    return Manifest.of(document)


def index_of(manifests: list[dict[str, Any]]) -> Manifest:
    """An index over descriptors as they are written in JSON."""
    return Manifest.of({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": manifests})


def refuse_promoted(tag: Tag) -> None:
    """ValueError for channel and version tags: skopeo writes those, from a tested digest, and nobody else."""
    if tag in ("next", "testing", "stable") or tag.startswith("v"):
        raise ValueError(f"{tag} is a channel or version tag: only promotion may write it")


def _readable(index: Manifest) -> list[Descriptor]:
    try:
        return index.manifests
    except ValueError as error:
        raise PreconditionError(f"{error}; expected an index as the OCI image specification has it") from error


def _measured(path: Path) -> tuple[Digest, int]:
    with path.open("rb") as file:
        return Digest("sha256:" + hashlib.file_digest(file, "sha256").hexdigest()), file.tell()
