"""One try of each thing that a registry can be asked; whoever calls decides how often to try.

A method returns what the registry says, raises Transient (or a transport error) for an answer that may be another one
in a moment, and PreconditionError for one that will not. "It is not there" is believed only from a registry that says
so in its own words: an outage never looks like absence.
"""

import json
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlencode

import httpx
from anyio import to_thread

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import PreconditionError
from pipeline.registry import media
from pipeline.registry.artifacts import refuse_promoted
from pipeline.registry.attached import referrers_tag
from pipeline.registry.content import Descriptor, Manifest, sha256
from pipeline.registry.download import Download
from pipeline.registry.transport import Body, Transient, Transport

_ACCEPT = ", ".join(sorted(media.MANIFESTS))
_MISSING = frozenset({"NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN", "BLOB_UPLOAD_UNKNOWN", "NOT_FOUND"})
_PAGE = 1000
_STORED = 10 << 20
"""Bytes a second that a registry should manage when it stores a blob that it has received."""

Page = str | None
"""A further page: a path below the repository or a URL."""


class Attempts:
    """Single requests about one repository."""

    def __init__(self, transport: Transport, repository: Repository) -> None:
        self._transport = transport
        self._repository = repository

    # Manifests -------------------------------------------------------------------------------------------------------

    async def manifest(self, ref: Tag | Digest, *, of_any_type: bool = False) -> Manifest | None:
        """Whole and verified; None when there is none. `of_any_type`: also what is no image or index."""
        accept = f"{_ACCEPT}, */*;q=0.1" if of_any_type else _ACCEPT
        async with self._exchange("GET", f"manifests/{ref}", accept=accept) as response:
            if await _is_missing(response):
                return None
            await self._expect(response, 200)
            raw = await response.aread()
        kind = response.headers.get("content-type", "")
        expected = ref if isinstance(ref, Digest) else response.headers.get("docker-content-digest")
        if of_any_type:
            found = Manifest(sha256(raw), kind.partition(";")[0].strip(), raw)
        else:
            try:
                found = Manifest.parse(raw, kind)
            except ValueError as error:
                raise Transient(str(error)) from error
        if expected and found.digest != expected:
            raise Transient(f"bytes whose digest is {found.digest}, expected {expected}")
        return found

    async def described(self, ref: Tag | Digest) -> Descriptor | None:
        """By HEAD; by GET where HEAD does not tell enough."""
        async with self._exchange("HEAD", f"manifests/{ref}", accept=_ACCEPT) as response:
            if await _is_missing(response):
                return None
            told = _told(response) if response.status_code == 200 else None
        if told and isinstance(ref, Digest) and told.digest != ref:
            raise Transient(f"the header of {told.digest}")
        if told:
            return told
        manifest = await self.manifest(ref)
        return manifest.descriptor if manifest else None

    async def put_manifest(self, manifest: Manifest, ref: Tag | Digest) -> bool:
        """Whether the registry keeps referrers itself (header OCI-Subject)."""
        if not isinstance(ref, Digest):
            refuse_promoted(ref)
        headers = {"Content-Type": manifest.media_type}
        async with self._exchange("PUT", f"manifests/{ref}", headers=headers, body=manifest.raw) as response:
            await self._expect(response, 201)
            stored = response.headers.get("docker-content-digest", manifest.digest)
            if stored != manifest.digest:
                raise Transient(f"a stored manifest with digest {stored}, {manifest.digest} was sent")
            return "oci-subject" in response.headers

    async def delete_manifest(self, ref: Tag | Digest) -> bool:
        """False when it was gone already."""
        async with self._exchange("DELETE", f"manifests/{ref}") as response:
            if response.status_code in (400, 405):
                raise PreconditionError(
                    f"{self._repository.host} does not delete {ref}: answer {response.status_code}. "
                    "Expected a registry with deleting enabled (and untagging, for a tag)."
                )
            if await _is_missing(response):
                return False
            await self._expect(response, 200, 202, 204)
            return True

    # Lists -----------------------------------------------------------------------------------------------------------

    async def tags(self, page: Page = None) -> tuple[list[Tag], Page]:
        """One page of tags, and the next one."""
        async with self._exchange("GET", page or f"tags/list?{urlencode({'n': _PAGE})}") as response:
            if await _is_missing(response):
                return [], None
            await self._expect(response, 200)
            await response.aread()
            try:
                names = [Tag(name) for name in response.json()["tags"] or []]
            except (ValueError, KeyError, TypeError) as error:
                raise Transient(f"a tag list that cannot be read ({type(error).__name__}: {error})") from error
        following = self._following(response)
        if not following and len(names) == _PAGE:  # some registries cut the page without saying so
            following = f"tags/list?{urlencode({'n': _PAGE, 'last': names[-1]})}"
        return names, following

    async def referrers(
        self, digest: Digest, artifact_type: str | None, page: Page = None
    ) -> tuple[list[dict[str, Any]], Page] | None:
        """One page of descriptors as written, and the next one; None when the registry has no such API."""
        query = f"?{urlencode({'artifactType': artifact_type})}" if artifact_type else ""
        # ghcr.io has no such API and redirects to a web page: a redirect means the same as a 404
        async with self._exchange(
            "GET", page or f"referrers/{digest}{query}", accept=media.OCI_INDEX, redirects=False
        ) as response:
            is_page = "html" in response.headers.get("content-type", "")
            if response.is_redirect or (response.status_code in (400, 404, 405, 406) and not is_page):
                return None
            await self._expect(response, 200)
            raw = await response.aread()
        try:
            listed = Manifest.parse(raw, media.OCI_INDEX).json.get("manifests") or []
        except ValueError as error:
            raise Transient(f"referrers that cannot be read: {error}") from error
        return listed, self._following(response)

    async def fallback_referrers(self, subject: Digest) -> list[dict[str, Any]]:
        """The descriptors behind the fallback tag, as written (distribution specification, "Referrers tag schema")."""
        index = await self.manifest(referrers_tag(subject))
        # some registries read the tag `sha256-<hex>` as the digest itself and answer with the subject
        if index is None or index.digest == subject or not index.is_index:
            return []
        return index.json.get("manifests") or []

    # Blobs -----------------------------------------------------------------------------------------------------------

    async def blob(self, digest: Digest) -> bytes:
        """Whole and verified; PreconditionError when it is not there."""
        async with self._exchange("GET", f"blobs/{digest}") as response:
            await self._expect(response, 200, wanted=digest)
            content = await response.aread()
        if sha256(content) != digest:
            raise Transient(f"{len(content)} bytes whose digest is {sha256(content)}")
        return content

    async def download(self, digest: Digest, download: Download) -> None:
        """The rest of a blob, or all of it; PreconditionError when it is not there."""
        headers = {"Range": f"bytes={download.size}-", "Accept-Encoding": "identity"} if download.size else {}
        async with self._exchange("GET", f"blobs/{digest}", headers=headers) as response:
            await self._expect(response, 200, 206, 416, wanted=digest)
            if response.status_code != 206 or not download.continues(response.headers.get("content-range", "")):
                download.restart()
            if response.status_code == 416:
                raise Transient("a refusal to send the rest of the blob")
            async for chunk in response.aiter_raw():
                await to_thread.run_sync(download.add, chunk)
        if download.digest != digest:
            came = f"{download.size} bytes whose digest is {download.digest}"
            download.restart()
            raise Transient(came)

    async def has_blob(self, digest: Digest) -> bool:
        """A wrong no costs an upload and nothing else."""
        async with self._exchange("HEAD", f"blobs/{digest}") as response:
            if response.status_code == 404:
                return False
            await self._expect(response, 200)
            return True

    async def mount(self, digest: Digest, source: Repository) -> bool:
        """Take a blob over from another repository of this registry; False where it does not do that."""
        query = urlencode({"mount": digest, "from": source.path})
        async with self._exchange("POST", f"blobs/uploads/?{query}", headers={"Content-Length": "0"}) as response:
            return response.status_code == 201

    async def ask_to_push(self) -> None:
        """Begin an upload and give it up."""
        async with self._exchange("POST", "blobs/uploads/", headers={"Content-Length": "0"}) as response:
            await self._expect(response, 202)
            location = response.headers.get("location")
        if location:
            async with self._exchange("DELETE", self._seen_from_here(response, location)):
                pass  # a registry that cannot give up an upload forgets it by itself

    async def upload(self, digest: Digest, size: int, body: Body) -> None:
        """Everything at once (distribution specification, "POST then PUT")."""
        async with self._exchange("POST", "blobs/uploads/", headers={"Content-Length": "0"}) as response:
            await self._expect(response, 202)
            location = response.headers.get("location")
            if not location:
                raise Transient("an upload without a Location")
            url = self._seen_from_here(response, location)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        whole = f"{url}{'&' if '?' in url else '?'}{urlencode({'digest': digest})}"
        # the registry answers when it has put the blob into its own storage, which may be a copy of all of it
        settling = size / _STORED
        async with self._exchange("PUT", whole, headers=headers, body=body, allowance=settling) as response:
            await self._expect(response, 201)

    # Answers ---------------------------------------------------------------------------------------------------------

    def _exchange(self, method: str, path: str, **options: Any) -> AbstractAsyncContextManager[httpx.Response]:
        return self._transport.exchange(self._repository, method, path, **options)

    async def _expect(self, response: httpx.Response, *statuses: int, wanted: Digest | None = None) -> None:
        """Go on for one of `statuses`; PreconditionError where the registry has no `wanted`; the rest is an outage."""
        if response.status_code in statuses:
            return
        if wanted and await _is_missing(response):
            raise PreconditionError(f"{self._repository} holds no {wanted}; expected it because something refers to it")
        await response.aread()
        limit = 3 if response.status_code < 500 else None
        raise Transient(f"unexpected answer {response.status_code} ({response.text[:200]!r})", attempts=limit)

    def _following(self, response: httpx.Response) -> Page:
        link = response.links.get("next", {}).get("url")
        return self._seen_from_here(response, link) if link else None

    def _seen_from_here(self, response: httpx.Response, location: str) -> str:
        return self._transport.absolute(self._repository, str(response.url.join(location)))


async def _is_missing(response: httpx.Response) -> bool:
    """Whether the registry itself says that there is no such thing; Transient for any other 404."""
    if response.status_code != 404:
        return False
    kind = response.headers.get("content-type", "")
    if response.request.method == "HEAD":  # no words there; described() asks again by GET
        return "json" in kind
    body = await response.aread()
    try:
        codes = {error.get("code") for error in json.loads(body)["errors"]}
    except (ValueError, KeyError, TypeError, AttributeError):
        codes = set()
    if codes & _MISSING:
        return True
    raise Transient(f"a 404 that is not the registry's own ({kind or 'no content type'}: {body[:200]!r})")


def _told(response: httpx.Response) -> Descriptor | None:
    """The descriptor in the headers of a HEAD's answer, if it is all there."""
    media_type = response.headers.get("content-type", "").partition(";")[0].strip()
    size = response.headers.get("content-length", "")
    if media_type not in media.MANIFESTS or not size.isdigit():
        return None
    try:
        digest = Digest(response.headers.get("docker-content-digest", ""))
    except ValueError:
        return None
    return Descriptor(media_type=media_type, digest=digest, size=int(size))
