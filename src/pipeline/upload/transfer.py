"""One upload: created or found, then read back at the address that openQA will use."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import anyio
import anyio.to_thread
import httpx
import stamina

from pipeline.domain import Outcome
from pipeline.errors import ConflictError, InfrastructureError, PreconditionError
from pipeline.quantities import duration_text, whole
from pipeline.upload.store import CHUNK, Passing, Store, Upload

T = TypeVar("T")

_END = 64 * 1024
"""Bytes at the end of an object that are read of what the store has verified."""


@dataclass(frozen=True)
class Uploaded:
    """An object that holds exactly the file."""

    outcome: Outcome
    """`passed` when it was created, `unchanged` when it was there."""
    url: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Seen:
    """What a public address gave."""

    size: int
    sha256: str


async def transfer(
    store: Store, upload: Upload, public_url: str, *, deadline: float = 3600.0, patience: float = 300.0
) -> Uploaded:
    """Put the file under its key, unless it is there, and prove that its public address gives the same bytes.

    Where the store itself says that it holds them, by its own checksum, the address has to show an object of that size
    with that end; otherwise it is read whole.

    Args:
        store: where to write.
        upload: the file, its key, size and checksum.
        public_url: the address of the object as openQA and users see it.
        deadline: seconds for everything.
        patience: seconds for which one step that fails is tried again.

    Raises ConflictError when the key holds something else, PreconditionError when the store refuses or the public
    address shows something else, InfrastructureError when it did not work out in time.
    """

    trouble: list[str] = []

    async def create() -> bool:
        # Looked up first: a server that already has the key closes the connection in the middle of a large PUT.
        return await store.size(upload.key) is None and await store.create(upload)

    try:
        with anyio.fail_after(deadline):
            created = await _persist(patience, trouble, create)
            stored = await _persist(patience, trouble, lambda: store.size(upload.key))
            if stored != upload.size:
                raise _differs(upload, f"{stored} bytes", created=created)
            holds = await _persist(patience, trouble, lambda: store.holds(upload))
            if holds is False:
                raise _differs(upload, "another checksum, says the store", created=created)
            seen = await _persist(patience, trouble, lambda: fetch(public_url, upload if holds else None))
    except TimeoutError as error:
        raise InfrastructureError(
            f"the upload of {upload.key} did not end within {duration_text(deadline)}"
            f"{''.join(f' ({what})' for what in trouble[-1:])}; run again to go on"
        ) from error
    if seen is None:
        raise PreconditionError(
            f"{public_url} does not show the uploaded disk: check public_url, and that openQA may read it without a key"
        )
    if seen != Seen(upload.size, upload.sha256):
        raise _differs(upload, f"{seen.size} bytes with sha256 {seen.sha256} at {public_url}", created=created)
    return Uploaded(Outcome.PASSED if created else Outcome.UNCHANGED, public_url, upload.size, upload.sha256)


async def fetch(url: str, known: Upload | None = None) -> Seen | None:
    """Read an address to its end, as openQA does (redirects followed, no key); None when it shows nothing.

    Of what is `known` to be in the store the end is enough, from a server that gives parts: what is seen then is that
    file when the end and the whole size are its own.
    """
    checksum, size = hashlib.sha256(), 0
    headers = {"Accept-Encoding": "identity", "Cache-Control": "no-cache"}
    if known:
        headers["Range"] = f"bytes=-{_END}"
    try:
        async with (
            httpx.AsyncClient(follow_redirects=True, timeout=httpx.Timeout(60.0)) as http,
            http.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code in (401, 403, 404, 410):
                return None
            if not response.is_success:
                raise Passing(f"{url} answered {response.status_code}")
            if known and response.status_code == httpx.codes.PARTIAL_CONTENT:
                return await _end_seen(response, known)
            async for chunk in response.aiter_raw(CHUNK):
                checksum.update(chunk)
                size += len(chunk)
    except httpx.TransportError as error:
        raise Passing(f"{url} cannot be read ({type(error).__name__} {error})") from error
    return Seen(size, checksum.hexdigest())


async def _end_seen(response: httpx.Response, known: Upload) -> Seen:
    """The file itself, when the answer is its end."""
    end = await anyio.to_thread.run_sync(_end_of, known)
    found = b"".join([chunk async for chunk in response.aiter_raw(CHUNK)])
    total = whole(response.headers.get("content-range", "").rpartition("/")[2])
    size = len(found) if total is None else total
    if found == end and size == known.size:
        return Seen(size, known.sha256)
    return Seen(size, f"another end than the file's, {hashlib.sha256(found).hexdigest()},")


def _end_of(upload: Upload) -> bytes:
    with upload.path.open("rb") as file:
        file.seek(max(upload.size - _END, 0))
        return file.read()


def _differs(upload: Upload, found: str, *, created: bool) -> Exception:
    expected = f"{upload.size} bytes with sha256 {upload.sha256}"
    if created:
        return PreconditionError(
            f"{upload.key} was uploaded as {expected}, but shows {found}: check that url and public_url are one place"
        )
    return ConflictError(
        f"{upload.key} exists with other content: found {found}, expected {expected}. Nothing is overwritten; find out "
        "who wrote it (an interrupted upload, perhaps), then delete it and run again"
    )


async def _persist(patience: float, trouble: list[str], attempt_once: Callable[[], Awaitable[T]]) -> T:
    def passing(error: Exception) -> bool:
        trouble.append(str(error))
        return isinstance(error, Passing)

    try:
        async for attempt in stamina.retry_context(on=passing, timeout=patience, attempts=None, wait_max=15):
            with attempt:
                return await attempt_once()
    except Passing as error:
        raise InfrastructureError(f"{error}, and did not recover in {duration_text(patience)}; run again") from error
    raise AssertionError("unreachable")
