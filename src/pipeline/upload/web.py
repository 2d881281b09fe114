"""A web server that takes PUT, with or without WebDAV (RFC 4918)."""

from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import httpx

from pipeline.errors import PreconditionError
from pipeline.policy.retention.disks import StoredDisk
from pipeline.quantities import http_date, whole
from pipeline.upload.put import put_new
from pipeline.upload.store import Passing, Upload


class Web:
    """A folder of a web server. Not every one honours `If-None-Match` on PUT: callers look the key up first."""

    def __init__(self, url: str, auth: tuple[str, str] | None) -> None:
        self._url = url.rstrip("/")
        self._auth = httpx.BasicAuth(*auth) if auth else None

    async def create(self, upload: Upload) -> bool:
        """Write the object unless it exists; a missing WebDAV collection is made."""
        async with self._client() as http:
            await self._make_collections(http)
            return await put_new(http, f"{self._url}/{upload.key}", upload, self._url)

    async def size(self, key: str) -> int | None:
        """The size of an object; None when there is none."""
        try:
            async with self._client() as http:
                response = await http.head(f"{self._url}/{key}", headers={"Accept-Encoding": "identity"})
        except httpx.TransportError as error:
            raise Passing(f"{self._url} cannot be reached ({type(error).__name__})") from error
        if response.status_code in (404, 410):
            return None
        if response.status_code in (401, 403):
            raise PreconditionError(f"{self._url} answered {response.status_code}: check user and password")
        if not response.is_success:
            raise Passing(f"{self._url} answered {response.status_code} to HEAD")
        length = whole(response.headers.get("content-length", ""))
        if length is None:
            raise Passing(f"{self._url} answered HEAD without a size")
        return length

    async def holds(self, upload: Upload) -> bool | None:  # noqa: ARG002 - part of the protocol
        """Web servers keep no checksums."""
        return None

    async def disks(self) -> list[StoredDisk]:
        """All files of the folder, by WebDAV; PreconditionError for a server without it."""
        try:
            async with self._client() as http:
                response = await http.request("PROPFIND", f"{self._url}/", headers={"Depth": "1"})
        except httpx.TransportError as error:
            raise Passing(f"{self._url} cannot be reached ({type(error).__name__})") from error
        if response.status_code >= 500 or response.status_code == 429:
            raise Passing(f"{self._url} answered {response.status_code} to PROPFIND")
        if response.status_code != 207:
            raise PreconditionError(
                f"{self._url} answered {response.status_code} to PROPFIND: expected a WebDAV folder, whose files can "
                "be listed. Delete old disks on the server itself."
            )
        try:
            return [file for answer in ElementTree.fromstring(response.content) if (file := _file(answer))]  # noqa: S314
        except (ElementTree.ParseError, ValueError, TypeError) as error:
            raise Passing(f"{self._url} answered PROPFIND with what is no list of files ({error})") from error

    async def delete(self, key: str) -> None:
        """Delete a file, if it is there."""
        try:
            async with self._client() as http:
                response = await http.delete(f"{self._url}/{key}")
        except httpx.TransportError as error:
            raise Passing(f"{self._url} cannot be reached ({type(error).__name__})") from error
        if response.status_code in (401, 403, 405):
            raise PreconditionError(f"{self._url} answered {response.status_code} to DELETE: check user and password")
        if not response.is_success and response.status_code not in (404, 410):
            raise Passing(f"{self._url} answered {response.status_code} to DELETE")

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(auth=self._auth, timeout=httpx.Timeout(60.0, read=600.0))

    async def _make_collections(self, http: httpx.AsyncClient) -> None:
        """MKCOL from the first missing parent down; a server without WebDAV refuses, and its PUT decides."""
        missing: list[httpx.URL] = []
        folder = httpx.URL(self._url)
        try:
            while folder.path.strip("/"):
                if (await http.request("OPTIONS", folder)).headers.get("dav") is None:
                    return
                if (await http.request("PROPFIND", f"{folder}/", headers={"Depth": "0"})).status_code != 404:
                    break
                missing.insert(0, folder)
                folder = folder.copy_with(path=folder.path.rstrip("/").rpartition("/")[0] or "/")
            for collection in missing:
                await http.request("MKCOL", f"{collection}/")
        except httpx.TransportError as error:
            raise Passing(f"{self._url} cannot be reached ({type(error).__name__})") from error


def _file(answer: ElementTree.Element) -> StoredDisk | None:
    """One line of a multistatus answer (RFC 4918 section 14.16); None for a folder."""
    path = unquote(urlsplit(answer.findtext("{DAV:}href", "")).path)
    if path.endswith("/") or answer.find(".//{DAV:}collection") is not None:
        return None
    modified = answer.findtext(".//{DAV:}getlastmodified")
    size = answer.findtext(".//{DAV:}getcontentlength") or "0"
    return StoredDisk(path.rpartition("/")[2], int(size), http_date(modified) if modified else None)
