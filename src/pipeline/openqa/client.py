"""A client of openQA's REST API: reads, and the restart of a job. Submitting is openqa-cli's work."""

import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Generator
from datetime import datetime
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio
import httpx
import stamina

from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.openqa.jobs import Job
from pipeline.openqa.submission import Order
from pipeline.quantities import duration_text

T = TypeVar("T")

_MAX_CLONES = 50
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


class OpenQA:
    """One openQA server, as an async context manager.

    Args:
        url: the server as people and workers know it.
        key, secret: of an operator; without them only public answers can be read.
        address: `host:port` to connect to when `url` names a host that only other containers can resolve.
        deadline: seconds that one call may spend on retries before it is an outage.

    Every call raises InfrastructureError when the server cannot be reached or keeps failing until the deadline, and
    PreconditionError when it refuses.
    """

    def __init__(
        self, url: str, key: str = "", secret: str = "", *, address: str | None = None, deadline: float = 120.0
    ) -> None:
        self.url = url.rstrip("/")
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
            headers={"Host": public.netloc.decode(), "Accept": "application/json"},
            auth=Signature(key, secret) if key else None,
            timeout=httpx.Timeout(30.0, read=60.0),
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._http.__aexit__(*error)

    def link(self, job: int) -> str:
        """The page of a job that a person opens."""
        return f"{self.url}/tests/{job}"

    async def job(self, number: int) -> Job:
        """Read one job; its modules and logs too once it is final."""
        job = self._job(await self._json("GET", f"/api/v1/jobs/{number}"))
        if not job.final:
            return job
        return self._job(await self._json("GET", f"/api/v1/jobs/{number}/details"))

    async def details(self, number: int) -> dict[str, Any]:
        """The whole answer about a job, for the report."""
        job: dict[str, Any] = (await self._json("GET", f"/api/v1/jobs/{number}/details"))["job"]
        return job

    async def newest(self, number: int) -> Job:
        """Follow `clone_id` from a job to the one that nothing replaces."""
        for _ in range(_MAX_CLONES):
            job = await self.job(number)
            if job.clone_id is None:
                return job
            number = job.clone_id
        raise InfrastructureError(f"openQA's job {number} ends a chain of more than {_MAX_CLONES} clones: look at it")

    async def jobs_of(self, order: Order) -> list[Job]:
        """Read the newest job of every scenario of an order's BUILD; empty when it never ran."""
        query = {
            "distri": order.distri,
            "version": order.version,
            "flavor": order.flavor,
            "arch": order.arch,
            "build": order.build,
            "latest": "1",
        }
        data = await self._json("GET", "/api/v1/jobs", params=query)
        return [await self.newest(int(entry["id"])) for entry in data.get("jobs") or []]

    async def scheduled_product(self, number: int) -> dict[str, Any]:
        """Read what the server made of a submission (needs an operator's key)."""
        return await self._json("GET", f"/api/v1/isos/{number}", params={"include_job_ids": "1"})

    async def workers(self) -> list[dict[str, Any]]:
        """Read the workers that the server knows, dead ones too."""
        data = await self._json("GET", "/api/v1/workers")
        return [worker for worker in data.get("workers") or [] if isinstance(worker, dict)]

    async def clock(self) -> datetime | None:
        """The server's time, as the Date header of an answer has it."""
        headers = await self._persist("HEAD /", self._head)
        return parsedate_to_datetime(headers["date"]) if "date" in headers else None

    async def restart(self, number: int) -> int:
        """Restart a job and return the id of its clone.

        Raises PreconditionError when openQA refuses (an asset is missing, say). A restart whose answer got lost is
        found again by its clone.
        """
        data = await self._json("POST", f"/api/v1/jobs/{number}/restart")
        for pair in data.get("result") or []:
            if str(number) in pair:
                return int(pair[str(number)])
        newest = await self.newest(number)
        if newest.id != number:
            return newest.id
        why = "; ".join(str(error) for error in data.get("errors") or []) or "it gives no reason"
        raise PreconditionError(f"openQA does not restart job {number}: {why}")

    async def download(self, path: str, target: Path, limit: int = 32 * 1024**2) -> None:
        """Write a file of the server to `target`, at most `limit` bytes of it.

        A log that is longer is cut, and says so in its last line.
        """
        await self._persist(path, lambda: self._stream(path, target, limit))

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
                    async for chunk in response.aiter_bytes():
                        file.write(chunk[: limit - file.tell()])
                        if file.tell() >= limit:
                            file.write(b"\n[cut here by the pipeline]\n")
                            break
            finally:
                await response.aclose()
        except httpx.TransportError as error:
            raise _Passing(f"{type(error).__name__} {error}") from error

    def _job(self, data: dict[str, Any]) -> Job:
        try:
            return Job.parse(data["job"])
        except (KeyError, TypeError, ValueError) as error:
            raise InfrastructureError(f"{self.url} does not answer like openQA: no job in {str(data)[:200]}") from error

    async def _json(self, method: str, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        return await self._persist(f"{method} {path}", lambda: self._once(method, path, params))

    async def _persist(self, what: str, attempt_once: Callable[[], Awaitable[T]]) -> T:
        started = anyio.current_time()
        try:
            async for attempt in stamina.retry_context(
                on=_wait, timeout=self._deadline, attempts=None, wait_initial=0.2, wait_max=15, wait_jitter=0.5
            ):
                with attempt:
                    return await attempt_once()
        except _Passing as error:
            spent = duration_text(anyio.current_time() - started)
            raise InfrastructureError(
                f"openQA at {self.url} {error} for {what}, and did not recover in {spent}; see that the server is up, "
                "then run again"
            ) from error
        raise AssertionError("unreachable")

    async def _head(self) -> httpx.Headers:
        try:
            return (await self._http.head("/", extensions=self._extensions)).headers
        except httpx.TransportError as error:
            raise _Passing(f"cannot be reached ({type(error).__name__} {error})") from error

    async def _once(self, method: str, path: str, params: dict[str, str] | None) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, params=params, extensions=self._extensions)
        except httpx.TransportError as error:
            raise _Passing(f"cannot be reached ({type(error).__name__} {error})") from error
        if response.status_code in _TRANSIENT:
            raise _Passing(f"answered {response.status_code}", _retry_after(response))
        if response.is_redirect:
            raise PreconditionError(f"{self.url} redirects to {response.headers.get('location')}: name that as the url")
        if response.status_code == 403:
            raise PreconditionError(
                f"openQA at {self.url} refused {method} {path}: {_said(response)}. Check the API key and secret, that "
                "its user is an operator, and that the clocks agree within 300 s"
            )
        if response.status_code != 200:
            raise PreconditionError(
                f"openQA at {self.url} answered {response.status_code} to {method} {path}: {_said(response)}"
            )
        try:
            data = response.json()
        except (JSONDecodeError, UnicodeDecodeError) as error:
            raise _Passing("did not answer in JSON") from error
        if not isinstance(data, dict):
            raise InfrastructureError(f"{self.url} does not answer like openQA: {str(data)[:200]}")
        return data


def _wait(error: Exception) -> bool | float:
    """Tell stamina whether to try again, and when: what Retry-After asks for, else its own growing delay."""
    if not isinstance(error, _Passing):
        return False
    return True if error.wait is None else error.wait


def _retry_after(response: httpx.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _said(response: httpx.Response) -> str:
    if "html" in response.headers.get("content-type", "") and response.text.lstrip().startswith("<"):
        return "a web page"
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return " ".join(response.text.split())[:200]
