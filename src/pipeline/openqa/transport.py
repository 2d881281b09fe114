"""HTTP as openQA speaks it: signed requests, patience with what passes, and bounds for whatever answers."""

import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio
import httpx
import stamina

from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.openqa.foreign import readable
from pipeline.quantities import duration_text, size_text

T = TypeVar("T")

_MAX_ANSWER = 64 * 1024**2
"""Bytes of an answer; the details of a job of hundreds of modules have a few."""
_PIECE = 64 * 1024
_KEPT_HEADERS = frozenset({b"content-type", b"location", b"retry-after"})
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class Signature(httpx.Auth):
    """The signature of openQA's API (OpenQA::UserAgent): HMAC-SHA1 over path, query and time; the body is not signed.

    The server signs what Mojo makes of the request target, where a space in the query is `+`.
    """

    def __init__(self, key: str, secret: str) -> None:
        self._key, self._secret = key, secret

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the three headers; their time is in seconds although one is called Microtime."""
        now = str(int(time.time()))
        text = request.url.raw_path.decode().replace("%20", "+") + now
        request.headers["X-API-Key"] = self._key
        request.headers["X-API-Microtime"] = now
        request.headers["X-API-Hash"] = hmac.new(self._secret.encode(), text.encode(), hashlib.sha1).hexdigest()
        yield request


class _Passing(Exception):
    """Something that may be gone at the next try."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class NotThere(PreconditionError):
    """The server knows no such job (any more)."""


class Transport:
    """Requests to one server, as an async context manager; arguments, errors and redirects as OpenQA tells them."""

    def __init__(
        self, url: str, key: str = "", secret: str = "", *, address: str | None = None, deadline: float = 120.0
    ) -> None:
        self.url = url.rstrip("/")
        self.has_key = bool(key)
        self._deadline = deadline
        public = httpx.URL(self.url)
        target, extensions = public, {}
        if address:
            host, _, port = address.rpartition(":")
            target = public.copy_with(host=host, port=int(port))
            extensions = {"sni_hostname": public.host}
        self._extensions = extensions
        self._http = httpx.AsyncClient(
            base_url=target,
            headers={
                "Host": public.netloc.decode(),
                "Accept": "application/json",
                "Accept-Encoding": "identity",  # a few kilobytes that unpack to gigabytes have no bound
            },
            auth=Signature(key, secret) if key else None,
            timeout=httpx.Timeout(30.0, read=60.0),
            follow_redirects=False,
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._http.__aexit__(*error)

    async def json(self, method: str, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The answer to a request, which has to be an object."""
        data = await self.answer(method, path, params)
        with self.understood(data):
            if not isinstance(data, dict):
                raise TypeError("no object")
            return data

    async def answer(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer to a request, as JSON."""
        request = self._http.build_request(method, path, params=params, data=form, extensions=self._extensions)
        return await self._persist(f"{method} {path}", lambda: self._once(request))

    async def headers(self) -> httpx.Headers:
        """Of the server's start page."""
        return await self._persist("HEAD /", self._head)

    async def download(self, path: str, target: Path, limit: int) -> None:
        """Write a file of the server to `target`; of a longer one `limit` bytes, and a line that says so."""
        await self._persist(path, lambda: self._stream(path, target, limit))

    @contextmanager
    def understood(self, data: object) -> Generator[None]:
        """Whatever cannot be read out of an answer is not openQA's: an outage, and no verdict."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            raise InfrastructureError(
                f"{self.url} does not answer like openQA: {error} in {str(data)[:200]}. See what answers there"
            ) from error

    async def _stream(self, path: str, target: Path, limit: int) -> None:
        request = self._http.build_request("GET", path, headers={"Accept": "*/*"}, extensions=self._extensions)
        try:
            response = await self._http.send(request, stream=True)
            try:
                if response.status_code in _TRANSIENT:
                    raise _Passing(f"answered {response.status_code}", _retry_after(response))
                if response.status_code != 200:
                    raise PreconditionError(f"openQA has no {path}: it answered {response.status_code}")
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    async for chunk in response.aiter_raw(_PIECE):
                        file.write(chunk[: limit - file.tell()])
                        if file.tell() >= limit:
                            file.write(b"\n[cut here by the pipeline]\n")
                            break
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise _Passing(f"{type(error).__name__} {error}") from error

    async def _persist(self, what: str, attempt_once: Callable[[], Awaitable[T]]) -> T:
        """Try until the deadline, which also ends an attempt that is under way."""
        started = anyio.current_time()
        trouble = _Passing("does not answer")
        try:
            with anyio.fail_after(self._deadline):
                async for attempt in stamina.retry_context(
                    on=_wait, timeout=self._deadline, attempts=None, wait_initial=0.2, wait_max=15, wait_jitter=0.5
                ):
                    with attempt:
                        try:
                            return await attempt_once()
                        except _Passing as error:
                            trouble = error
                            if (error.wait or 0) > started + self._deadline - anyio.current_time():
                                raise self._outage(what, error, started) from error
                            raise
        except (_Passing, TimeoutError) as error:
            raise self._outage(what, trouble, started) from error
        raise AssertionError("unreachable")

    def _outage(self, what: str, trouble: _Passing, started: float) -> InfrastructureError:
        spent = duration_text(anyio.current_time() - started)
        wishes = f" and asks to wait {duration_text(trouble.wait)}" if trouble.wait else ""
        return InfrastructureError(
            f"openQA at {self.url} {trouble}{wishes} for {what}, and did not recover in {spent}; see that the server "
            "is up, then run again"
        )

    async def _head(self) -> httpx.Headers:
        try:
            return (await self._http.head("/", extensions=self._extensions)).headers
        except httpx.TransportError as error:
            raise _Passing(f"cannot be reached ({type(error).__name__} {error})") from error

    async def _once(self, request: httpx.Request) -> Any:
        """One attempt: the JSON of a good answer."""
        what = f"{request.method} {request.url.path}"
        response = await self._whole(request)
        if response.status_code in _TRANSIENT:
            raise _Passing(f"answered {response.status_code}", _retry_after(response))
        if response.is_redirect:
            raise PreconditionError(
                f"{self.url} redirects to {response.headers.get('location', '')[:200]}, which is not followed with a "
                "key: name the server itself as the url"
            )
        if response.status_code == 403 and "passlisted" in _said(response):
            raise PreconditionError(f"{self.url} may not download from there: {_said(response)} (download_domains)")
        if response.status_code == 403:
            raise PreconditionError(
                f"openQA at {self.url} refused {what}: {_said(response)}. Check the API key and secret, that "
                "its user is an operator, and that the clocks agree within 300 s"
            )
        if response.status_code != 200:
            kind = NotThere if response.status_code == 404 else PreconditionError
            raise kind(f"openQA at {self.url} answered {response.status_code} to {what}: {_said(response)}")
        try:
            return json.loads(response.content)
        except (ValueError, RecursionError) as error:
            raise _Passing("did not answer in JSON") from error

    async def _whole(self, request: httpx.Request) -> httpx.Response:
        """The answer with its body, up to a bound."""
        body = bytearray()
        try:
            response = await self._http.send(request, stream=True)
            try:
                async for chunk in response.aiter_raw(_PIECE):
                    body += chunk
                    if len(body) > _MAX_ANSWER:
                        raise InfrastructureError(
                            f"openQA at {self.url} answers {request.method} {request.url.path} with more than "
                            f"{size_text(_MAX_ANSWER)}: see what answers there"
                        )
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise _Passing(f"cannot be reached ({type(error).__name__} {error})") from error
        headers = [(name, value) for name, value in response.headers.raw if name.lower() in _KEPT_HEADERS]
        return httpx.Response(response.status_code, headers=headers, content=bytes(body), request=request)


def _wait(error: Exception) -> bool | float:
    """Tell stamina whether to try again, and when: what Retry-After asks for, else its own growing delay."""
    if not isinstance(error, _Passing):
        return False
    return True if error.wait is None else error.wait


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value[:9]) or None if value.isascii() and value.isdigit() else None


def _said(response: httpx.Response) -> str:
    if "html" in response.headers.get("content-type", "") and response.text.lstrip().startswith("<"):
        return "a web page"
    try:
        return readable(response.json()["error"], 500)
    except (ValueError, LookupError, TypeError, RecursionError):
        return readable(" ".join(response.text.split()), 200)
