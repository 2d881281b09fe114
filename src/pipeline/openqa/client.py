"""A client of openQA's REST API: reads, comments, the restart of a job and its end. Submitting is openqa-cli's work."""

import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self, TypeVar
from urllib.parse import urlencode

import anyio
import httpx
import stamina

from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.openqa.foreign import readable
from pipeline.openqa.jobs import Job, bug_references
from pipeline.openqa.submission import Order
from pipeline.quantities import duration_text, size_text

T = TypeVar("T")

_MAX_CLONES = 50
_AT_ONCE = 200
"""Jobs that are asked for in one request: by their numbers in its address, which must not be too long."""
_BEFORE = 100
"""Earlier jobs that are asked for, to tell how long one takes."""
_MAX_ANSWER = 64 * 1024**2
"""Bytes of an answer; the details of a job of hundreds of modules have a few."""
_CONSOLE = "serial0.txt"
_MAX_CONSOLE = 4 * 1024**2
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


@dataclass(frozen=True)
class Worker:
    """A worker that is connected to the server."""

    status: str
    classes: str
    """The WORKER_CLASS that it serves, as it says."""

    @classmethod
    def parse(cls, data: object) -> Self:
        """Read one entry of the list; TypeError when it is not one."""
        if not isinstance(data, dict):
            raise TypeError(f"a worker that is {str(data)[:80]!r}")
        properties = data.get("properties")
        said = properties.get("WORKER_CLASS") if isinstance(properties, dict) else None
        return cls(readable(data.get("status"), 80), readable(said or "?", 200))


class OpenQA:
    """One openQA server, as an async context manager.

    Args:
        url: the server as people and workers know it.
        key, secret: of an operator; without them only public answers can be read.
        address: `host:port` to connect to when `url` names a host that only other containers can resolve.
        deadline: seconds that one call may spend on retries before it is an outage.

    Every call raises InfrastructureError when the server cannot be reached, keeps failing until the deadline, or says
    what openQA does not say, and PreconditionError when it refuses. No redirect is followed: what is signed for this
    server goes nowhere else.
    """

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

    def link(self, job: int) -> str:
        """The page of a job that a person opens."""
        return f"{self.url}/tests/{job}"

    def overview(self, build: str) -> str:
        """The page of all jobs of a build."""
        return f"{self.url}/tests/overview?{urlencode({'build': build})}"

    async def job(self, number: int) -> Job:
        """Read one job; its modules and logs too once it is final."""
        job = self._job(await self._json("GET", f"/api/v1/jobs/{number}/details"))
        return job if job.final else job.without_modules()

    async def listed(self, numbers: Iterable[int]) -> dict[int, Job]:
        """Read any number of jobs in few requests, by number: of those that run with the modules as far as the worker
        has told, of those that have ended without (`job` has them).

        Raises NotThere when the server does not know one of them.
        """
        found, wanted = dict[int, Job](), sorted(set(numbers))
        for start in range(0, len(wanted), _AT_ONCE):
            asked = wanted[start : start + _AT_ONCE]
            data = await self._json("GET", "/api/v1/jobs", params={"ids": ",".join(map(str, asked))})
            with self._understood(data):
                found |= {job.id: job for job in map(Job.parse_listed, _list(data["jobs"]))}
        missing = [str(number) for number in wanted if number not in found]
        if missing:
            raise NotThere(f"openQA at {self.url} has no job {', '.join(missing)} (any more)")
        return found

    async def passed_before(self, job: Job) -> list[Job]:
        """Read the last jobs of the same product that passed, of any scenario and build, without their modules."""
        product = {name.lower(): job.settings.get(name, "") for name in ("DISTRI", "FLAVOR", "ARCH")}
        query = product | {"state": "done", "result": "passed", "limit": str(_BEFORE)}
        data = await self._json("GET", "/api/v1/jobs", params=query)
        with self._understood(data):
            return [Job.parse(entry) for entry in _list(data["jobs"])]

    async def details(self, number: int) -> dict[str, Any]:
        """The whole answer about a job, for the report."""
        data = await self._json("GET", f"/api/v1/jobs/{number}/details")
        with self._understood(data):
            return dict(data["job"])

    async def newest(self, numbers: Sequence[int]) -> list[Job]:
        """Follow `clone_id` from each of these jobs to the one that nothing replaces, as `listed` reads it."""
        chains = [[number] for number in numbers]
        known = dict[int, Job]()
        for _ in range(_MAX_CLONES):
            known |= await self.listed(chain[-1] for chain in chains if chain[-1] not in known)
            replaced = [chain for chain in chains if known[chain[-1]].clone_id is not None]
            if not replaced:
                return [known[end].preceded_by(before) for *before, end in chains]
            for chain in replaced:
                chain.append(known[chain[-1]].clone_id or 0)
        raise InfrastructureError(
            f"openQA's job {numbers[0]} or another has more than {_MAX_CLONES} clones: look at it"
        )

    async def jobs_of(self, order: Order) -> list[Job]:
        """Read all jobs of an order's BUILD, replaced ones too, without their modules; empty when it never ran."""
        query = {
            "distri": order.distri,
            "version": order.version,
            "flavor": order.flavor,
            "arch": order.arch,
            "build": order.build,
        }
        data = await self._json("GET", "/api/v1/jobs", params=query)
        with self._understood(data):
            return [Job.parse(entry) for entry in _list(data["jobs"])]

    async def scheduled_product(self, number: int) -> dict[str, Any]:
        """Read what the server made of a submission (needs an operator's key)."""
        return await self._json("GET", f"/api/v1/isos/{number}", params={"include_job_ids": "1"})

    async def workers(self) -> list[Worker]:
        """Read the workers that the server knows, dead ones too."""
        data = await self._json("GET", "/api/v1/workers")
        with self._understood(data):
            return [Worker.parse(worker) for worker in _list(data["workers"])]

    async def groups(self) -> dict[str, str]:
        """Read the job groups: their names by number."""
        data = await self._answer("GET", "/api/v1/job_groups")
        with self._understood(data):
            return {str(int(group["id"])): readable(group["name"], 200) for group in _list(data)}

    async def ask_to_download(self, url: str) -> None:
        """Ask, without a job, whether the server lets itself download from this address (needs an operator's key).

        Raises PreconditionError when the host is not among its download_domains.
        """
        asked = {"DISTRI": "bootc-pipeline-doctor", "VERSION": "0", "FLAVOR": "none", "ARCH": "none", "HDD_1_URL": url}
        await self._answer("POST", "/api/v1/isos", form=asked)

    async def clock(self) -> datetime | None:
        """The server's time, as the Date header of an answer has it."""
        headers = await self._persist("HEAD /", self._head)
        with self._understood({"Date": headers.get("date")}):
            return parsedate_to_datetime(headers["date"]) if "date" in headers else None

    async def comments(self, place: str) -> list[str]:
        """Read the texts of the comments of `jobs/<id>` or `groups/<id>`."""
        data = await self._answer("GET", f"/api/v1/{place}/comments")
        with self._understood(data):
            return [str(comment["text"]) for comment in _list(data)]

    async def bugs(self, number: int) -> dict[str, str]:
        """Read the bugs that comments of a job name, each with the name of who wrote that."""
        return bug_references(await self._answer("GET", f"/api/v1/jobs/{number}/comments"))

    async def comment(self, place: str, text: str) -> None:
        """Write a comment to `jobs/<id>` or `groups/<id>` (needs an operator's key)."""
        await self._answer("POST", f"/api/v1/{place}/comments", form={"text": text})

    async def cancel(self, number: int) -> None:
        """Cancel a job; one that has ended stays as it is."""
        await self._answer("POST", f"/api/v1/jobs/{number}/cancel")

    async def restart(self, number: int) -> int:
        """Restart a job and return the id of its clone.

        Raises PreconditionError when openQA refuses (an asset is missing, say). A restart whose answer got lost is
        found again by its clone.
        """
        data = await self._json("POST", f"/api/v1/jobs/{number}/restart")
        with self._understood(data):
            for pair in data.get("result") or []:
                if str(number) in pair:
                    return int(pair[str(number)])
        (newest,) = await self.newest([number])
        if newest.id != number:
            return newest.id
        with self._understood(data):
            why = "; ".join(readable(error, 500) for error in data.get("errors") or []) or "it gives no reason"
        raise PreconditionError(f"openQA does not restart job {number}: {why}")

    async def download(self, path: str, target: Path, limit: int = 32 * 1024**2) -> None:
        """Write a file of the server to `target`, at most `limit` bytes of it.

        A log that is longer is cut, and says so in its last line.
        """
        await self._persist(path, lambda: self._stream(path, target, limit))

    async def console(self, number: int) -> str:
        """Read the beginning of a job's serial console; empty when it has none."""
        with TemporaryDirectory() as folder:
            log = Path(folder, _CONSOLE)
            try:
                await self.download(f"/tests/{number}/file/{_CONSOLE}", log, _MAX_CONSOLE)
            except PreconditionError:
                return ""
            return await anyio.Path(log).read_text(errors="replace")

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

    def _job(self, data: dict[str, Any]) -> Job:
        with self._understood(data):
            return Job.parse(data["job"])

    @contextmanager
    def _understood(self, data: object) -> Generator[None]:
        """Whatever cannot be read out of an answer is not openQA's: an outage, and no verdict."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            raise InfrastructureError(
                f"{self.url} does not answer like openQA: {error} in {str(data)[:200]}. See what answers there"
            ) from error

    async def _json(self, method: str, path: str, params: dict[str, str] | None = None) -> dict[str, Any]:
        data = await self._answer(method, path, params)
        with self._understood(data):
            if not isinstance(data, dict):
                raise TypeError("no object")
            return data

    async def _answer(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Any:
        request = self._http.build_request(method, path, params=params, data=form, extensions=self._extensions)
        return await self._persist(f"{method} {path}", lambda: self._once(request))

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
    return float(value[:9]) if value.isascii() and value.isdigit() else None


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{str(value)[:80]!r} where a list is expected")
    return value


def _said(response: httpx.Response) -> str:
    if "html" in response.headers.get("content-type", "") and response.text.lstrip().startswith("<"):
        return "a web page"
    try:
        return readable(response.json()["error"], 500)
    except (ValueError, LookupError, TypeError, RecursionError):
        return readable(" ".join(response.text.split()), 200)
