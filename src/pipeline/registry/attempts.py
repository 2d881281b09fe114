"""One try of each thing that a registry can be asked; whoever calls decides how often to try.

A method returns what the registry says, raises Transient (or a transport error) for an answer that may be another one
in a moment, and PreconditionError for one that will not. "It is not there" is believed only from a registry that says
so in its own words: an outage never looks like absence.
"""

from contextlib import AbstractAsyncContextManager, suppress
from typing import Any
from urllib.parse import urlencode

import httpx
from anyio import to_thread

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import PreconditionError
from pipeline.quantities import whole
from pipeline.registry import media, refusals
from pipeline.registry.attached import referrers_tag
from pipeline.registry.content import Descriptor, Manifest, OldSchema, parse_json, sha256
from pipeline.registry.download import Download
from pipeline.registry.transport import Body, Transient, Transport, read

_ACCEPT = ", ".join(sorted(media.MANIFESTS))
_MISSING = frozenset(
    {"NAME_UNKNOWN", "MANIFEST_UNKNOWN", "BLOB_UNKNOWN", "BLOB_UPLOAD_UNKNOWN", "NOT_FOUND", "TAG_EXPIRED"}
)
"""The codes by which a registry says that there is none; the last two are Harbor's and Quay's own."""
_MANIFEST, _LIST, _BLOB, _ERROR = 8 << 20, 16 << 20, 64 << 20, 64 << 10
"""Bytes of an answer that is held in memory, at most; the specification has registries take manifests of 4 MiB."""
_SMALL = 256 << 10
"""Bytes that are hashed in less time than a thread takes to be asked."""
_NOBODYS = sha256(b"bootc-pipeline: nobody stores this")
"""A digest that no registry has."""
_VERSION = "docker-distribution-api-version"
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
        """Whole and verified; None when there is none. `of_any_type`: also what is no image or index.

        An answer about a tag that does not name its digest is held against what the registry has by that digest: it
        may be a gateway's.
        """
        accept = f"{_ACCEPT}, */*;q=0.1" if of_any_type else _ACCEPT
        # a tag names what the registry says and nobody else; a digest holds against its bytes, wherever they come from
        elsewhere = isinstance(ref, Digest)
        async with self._exchange("GET", f"manifests/{ref}", accept=accept, elsewhere=elsewhere) as response:
            if await self._is_missing(response):
                return None
            await self._expect(response, 200)
            raw = await read(response, _MANIFEST)
        kind = response.headers.get("content-type", "")
        expected = ref if isinstance(ref, Digest) else response.headers.get("docker-content-digest")
        if of_any_type:
            found = Manifest(sha256(raw), kind.partition(";")[0].strip(), raw)
        else:
            try:
                found = Manifest.parse(raw, kind)
            except OldSchema as error:
                raise PreconditionError(
                    f"{self._repository} holds {error}, behind {ref}; expected an OCI image or Docker schema 2. "
                    "Build and push it again with a tool of today."
                ) from error
            except ValueError as error:
                raise Transient(str(error)) from error
        if expected and found.digest != expected:
            raise Transient(f"bytes whose digest is {found.digest}, expected {expected}")
        if not expected:
            await self._see_by_digest(found.digest, accept)
        return found

    async def _see_by_digest(self, digest: Digest, accept: str) -> None:
        """Transient unless the registry has this digest, and says of another that it has not."""
        for asked, missing in ((_NOBODYS, True), (digest, False)):
            async with self._exchange("GET", f"manifests/{asked}", accept=accept, elsewhere=True) as response:
                if await self._is_missing(response) is not missing:
                    raise Transient(f"bytes without the name of their digest, {digest}, which are not the registry's")

    async def described(self, ref: Tag | Digest) -> Descriptor | None:
        """By HEAD; by GET where HEAD does not tell enough: it has no words to say in that there is none."""
        async with self._exchange("HEAD", f"manifests/{ref}", accept=_ACCEPT) as response:
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
            self._transport.refuse_promoted(self._repository, ref)
        headers = {"Content-Type": manifest.media_type}
        async with self._exchange("PUT", f"manifests/{ref}", headers=headers, body=manifest.raw) as response:
            await self._expect(response, 201)
            stored = response.headers.get("docker-content-digest", manifest.digest)
            if stored != manifest.digest:
                raise Transient(f"a stored manifest with digest {stored}, {manifest.digest} was sent")
            if "oci-subject" in response.headers:
                self._transport.referrers_api[self._repository.host] = True
            return "oci-subject" in response.headers

    async def delete_manifest(self, ref: Tag | Digest) -> bool:
        """False when it was gone already."""
        async with self._exchange("DELETE", f"manifests/{ref}") as response:
            if response.status_code in (400, 405):
                raise PreconditionError(
                    f"{self._repository.host} does not delete {ref}: answer {response.status_code}. "
                    "Expected a registry with deleting enabled (and untagging, for a tag)."
                )
            if await self._is_missing(response):
                return False
            await self._expect(response, 200, 202, 204)
            return True

    # Lists -----------------------------------------------------------------------------------------------------------

    async def tags(self, page: Page = None) -> tuple[list[Tag], Page]:
        """One page of tags, and the next one; a page that is not there, after one that was, is no end of the list."""
        async with self._exchange("GET", page or self.tags_after()) as response:
            if page is None and await self._is_missing(response):
                return [], None
            await self._expect(response, 200)
            raw = await read(response, _LIST)
            following = self._following(response)
        try:
            names = parse_json(raw)["tags"]
            if not isinstance(names, list | None):
                raise TypeError(f"tags that are {names!r:.80}")
            return [Tag(name) for name in names or []], following
        except (ValueError, KeyError, TypeError) as error:
            raise Transient(f"a tag list that cannot be read ({type(error).__name__}: {error})") from error

    def tags_after(self, last: Tag | None = None) -> str:
        """The page of tags that comes after `last` (distribution specification, "Content Discovery")."""
        return f"tags/list?{urlencode({'n': _PAGE} | ({'last': last} if last else {}))}"

    async def referrers(
        self, digest: Digest, artifact_type: str | None, page: Page = None
    ) -> tuple[list[dict[str, Any]], Page] | None:
        """One page of descriptors as written, and the next one; None when the registry says that it has no such API.

        It says so by an error of the specification, or as distribution answers where it has no route (2.8 and 3: plain
        text, but with the header by which it names itself). ghcr.io sends to a web page instead, others refuse the
        method: that is believed when the same comes for a digest that nothing has, and the registry is itself at
        `/v2/`. Every other 404 is an outage, and so is any once the API has shown itself. What remains: a stranger in
        between who takes away this one route, for every digest, in the very words of the registry, from the first
        question on; what hangs on the fallback tag is seen all the same.
        """
        known, host = self._transport.referrers_api, self._repository.host
        query = f"?{urlencode({'artifactType': artifact_type})}" if artifact_type else ""
        async with self._referrers(page or f"referrers/{digest}{query}") as response:
            if response.status_code == 200:
                raw = await read(response, _LIST)
                following = self._following(response)
            elif page is None and await self._has_no_subject(response):
                return [], None
            else:
                await self._believe_no_api(response, first=page is None)
        if response.status_code != 200:
            if response.status_code != 404:
                await self._cross_check(response.status_code)
            known[host] = False
            return None
        try:
            listed = _descriptors(Manifest.parse(raw, media.OCI_INDEX))
        except ValueError as error:
            raise Transient(f"referrers that cannot be read: {error}") from error
        known[host] = True
        return listed, following

    def _referrers(self, path: str) -> AbstractAsyncContextManager[httpx.Response]:
        return self._exchange("GET", path, accept=media.OCI_INDEX, redirects=False)

    async def _has_no_subject(self, response: httpx.Response) -> bool:
        """Whether the registry says that it has no such image or repository: nothing hangs on it, API or not."""
        if response.status_code != 404 or not self._transport.is_own(self._repository, response):
            return False
        return bool(refusals.codes(await read(response, _ERROR)) & {"NAME_UNKNOWN", "MANIFEST_UNKNOWN"})

    async def _believe_no_api(self, response: httpx.Response, *, first: bool) -> None:
        """Transient unless the registry itself may have said that it has no referrers API."""
        body = await read(response, _ERROR)
        shown = self._transport.referrers_api.get(self._repository.host)
        if shown or not first or not _may_mean_no_api(response, body):
            raise Transient(
                f"an answer {response.status_code} about referrers that is not the registry's own word for having none "
                f"({body[:200]!r})"
            )

    async def _cross_check(self, status: int) -> None:
        """Ask for the referrers of what nobody has, and whether it is the registry that answers."""
        async with self._referrers(f"referrers/{_NOBODYS}") as response:
            same = response.status_code == status
        async with self._exchange("GET", f"manifests/{_NOBODYS}", accept=_ACCEPT) as response:
            itself = response.status_code == 404 and await self._is_missing(response)
        if not same or not itself:
            raise Transient(f"an answer {status} about referrers that does not hold for every digest")

    async def fallback_referrers(self, subject: Digest) -> list[dict[str, Any]]:
        """The descriptors behind the fallback tag, as written (distribution specification, "Referrers tag schema")."""
        index = await self.manifest(referrers_tag(subject))
        # some registries read the tag `sha256-<hex>` as the digest itself and answer with the subject
        if index is None or index.digest == subject or not index.is_index:
            return []
        try:
            return _descriptors(index)
        except ValueError as error:
            raise PreconditionError(
                f"{self._repository.tagged(referrers_tag(subject))} lists referrers and cannot be read: {error}. "
                "Another tool wrote it, and it stays as it is; expected descriptors with digest, mediaType and size "
                "(distribution specification). Write it again with that tool, or delete the tag: what it lists stays."
            ) from error

    # Blobs -----------------------------------------------------------------------------------------------------------

    async def blob(self, digest: Digest, limit: int = _BLOB) -> bytes:
        """Whole and verified, at most `limit` bytes; PreconditionError when it is not there."""
        async with self._exchange("GET", f"blobs/{digest}", elsewhere=True) as response:
            await self._expect(response, 200, wanted=digest)
            content = await read(response, min(limit, _BLOB))
        found = await to_thread.run_sync(sha256, content) if len(content) > _SMALL else sha256(content)
        if found != digest:
            raise Transient(f"{len(content)} bytes whose digest is {found}")
        return content

    async def download(self, digest: Digest, download: Download, limit: int = 0) -> None:
        """The rest of a blob, or all of it, of `limit` bytes if that is known; PreconditionError if it is not there."""
        headers = {"Range": f"bytes={download.size}-"} if download.size else {}
        async with self._exchange("GET", f"blobs/{digest}", headers=headers, elsewhere=True) as response:
            await self._expect(response, 200, 206, 416, wanted=digest)
            if response.status_code != 206 or not download.continues(response.headers.get("content-range", "")):
                download.restart()
            if response.status_code == 416:
                raise Transient("a refusal to send the rest of the blob")
            async for chunk in response.aiter_raw():
                if limit and download.size + len(chunk) > limit:
                    download.restart()
                    raise Transient(f"more than the {limit} bytes that the blob should have", attempts=3)
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
        nothing = {"Content-Length": "0"}
        try:
            async with self._exchange("POST", f"blobs/uploads/?{query}", headers=nothing, also=source) as response:
                return response.status_code == 201
        except PreconditionError:  # a login that may not read there from here; it is copied instead
            return False

    async def ask_to_push(self) -> None:
        """Begin an upload and give it up."""
        async with self._exchange("POST", "blobs/uploads/", headers={"Content-Length": "0"}) as response:
            await self._expect(response, 202)
            location = response.headers.get("location")
        # a registry that cannot give up an upload, or does not let this login, forgets it by itself
        with suppress(PreconditionError, Transient, httpx.RequestError):
            if location:
                async with self._exchange("DELETE", self._seen_from_here(response, location)):
                    pass

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
        """Go on for one of `statuses`; PreconditionError where the registry has no `wanted`, or finally refuses."""
        if response.status_code in statuses:
            return
        if wanted and await self._is_missing(response):
            raise PreconditionError(f"{self._repository} holds no {wanted}; expected it because something refers to it")
        body = await read(response, _ERROR)
        self._refuse_finally(response, body)
        limit = 3 if response.status_code < 500 else None
        raise Transient(
            f"unexpected answer {response.status_code} ({body[:200].decode(errors='replace')!r})", attempts=limit
        )

    def _refuse_finally(self, response: httpx.Response, body: bytes) -> None:
        """PreconditionError where a write is refused and would be again."""
        if response.request.method not in ("PUT", "POST", "DELETE") or not 400 <= response.status_code < 500:
            return
        advice = refusals.final(response.status_code, body)
        if response.status_code == 404 and "NAME_UNKNOWN" in refusals.codes(body):
            advice = "The registry has no such repository and makes none by itself. Create it there."
        if advice:
            what = f"{self._repository.host} refuses {response.request.method} on {self._repository.path}"
            told = refusals.words(body) or body[:200].decode(errors="replace").strip()
            raise PreconditionError(f"{what}: answer {response.status_code} ({told[:300]}). {advice}")

    async def _is_missing(self, response: httpx.Response) -> bool:
        """Whether the registry itself says that there is no such thing; Transient for any other 404."""
        if response.status_code != 404:
            return False
        body = await read(response, _ERROR)
        own = self._transport.is_own(self._repository, response)
        if own and refusals.codes(body) & _MISSING:
            return True
        kind = response.headers.get("content-type", "") or "no content type"
        whose = kind if own else f"{response.url.host}, {kind}"
        raise Transient(f"a 404 that is not the registry's own ({whose}: {body[:200]!r})")

    def _following(self, response: httpx.Response) -> Page:
        try:
            link = response.links.get("next", {}).get("url")
        except (ValueError, AttributeError) as error:
            raise Transient(f"a Link header that cannot be read ({error})") from error
        url = self._seen_from_here(response, link) if link else None
        if url and httpx.URL(url).netloc != httpx.URL(self._transport.base(self._repository)).netloc:
            raise Transient(f"a next page at {httpx.URL(url).host}, which is not the registry")
        return url

    def _seen_from_here(self, response: httpx.Response, location: str) -> str:
        return self._transport.absolute(self._repository, location, near=response.url)


def _descriptors(index: Manifest) -> list[dict[str, Any]]:
    """What a list of referrers names, as written; ValueError where one is no descriptor."""
    listed = index.json.get("manifests") or []
    if not all(isinstance(one, dict) for one in listed):
        raise ValueError("an entry that is no descriptor")
    for one in listed:
        if str(one.get("digest")).startswith("sha256:"):
            Descriptor.model_validate(one)
    return listed


def _may_mean_no_api(response: httpx.Response, body: bytes) -> bool:
    if response.is_redirect:
        return True
    if "html" in response.headers.get("content-type", ""):
        return False
    if response.status_code == 404:
        return bool(refusals.codes(body)) or (_VERSION in response.headers and body.strip() == b"404 page not found")
    return response.status_code in (400, 405, 406)


def _told(response: httpx.Response) -> Descriptor | None:
    """The descriptor in the headers of a HEAD's answer, if it is all there."""
    media_type = response.headers.get("content-type", "").partition(";")[0].strip()
    size = whole(response.headers.get("content-length", ""))
    if media_type not in media.MANIFESTS or size is None:
        return None
    try:
        digest = Digest(response.headers.get("docker-content-digest", ""))
    except ValueError:
        return None
    return Descriptor(media_type=media_type, digest=digest, size=size)
