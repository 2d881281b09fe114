"""A conditional PUT of a large file: what both drivers come down to."""

import re
from collections.abc import AsyncIterator, Mapping

import anyio
import httpx

from pipeline.errors import PreconditionError
from pipeline.upload.store import CHUNK, Passing, Upload

TYPE = "application/octet-stream"
_EXISTS = frozenset({409, 412})
_CHANGED = "BadDigest|SHA256Mismatch"
"""S3's words for a body that is not what was announced: it was changed on its way."""
_READ = 10_000
"""Characters of a server's reason that are read."""
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


async def put_new(
    http: httpx.AsyncClient, url: str, upload: Upload, where: str, more: Mapping[str, str] | None = None
) -> bool:
    """PUT with `If-None-Match: *` (RFC 9110, 13.1.2): whether the object was written.

    Args:
        http: with the authentication that the server wants.
        url: the object's address; may carry a signature, so it is never printed.
        upload: streamed from its file, never wholly in memory.
        where: what to call the target in a message.
        more: headers, signatures among them.
    """
    headers = {
        **(more or {}),
        "if-none-match": "*",
        "content-type": TYPE,
        "content-length": str(upload.size),
    }
    try:
        response = await http.put(url, content=_chunks(upload), headers=headers)
    except httpx.TransportError as error:
        # A server that refuses a large body may close the connection before its answer can be read.
        raise Passing(
            f"{where} broke the upload off ({type(error).__name__}): down, or the key may not write"
        ) from error
    if response.is_success:
        return True
    if response.status_code in _EXISTS:
        return False
    said = _said(response.text)
    if response.status_code in _TRANSIENT or re.search(_CHANGED, response.text):
        raise Passing(f"{where} answered {response.status_code}: {said}")
    raise PreconditionError(
        f"{where} refused the upload with {response.status_code}: {said}. Check the address, and that the key may write"
    )


async def _chunks(upload: Upload) -> AsyncIterator[bytes]:
    async with await anyio.open_file(upload.path, "rb") as file:
        while chunk := await file.read(CHUNK):
            yield chunk


def _said(text: str) -> str:
    """S3 puts its reason into `<Message>`; other servers into a page."""
    text = text[:_READ]
    message = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
    return " ".join((message[1] if message else re.sub(r"<[^>]*>", " ", text)).split())[:300] or "no reason"
