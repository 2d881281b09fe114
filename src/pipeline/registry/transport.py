"""How requests reach a registry: authentication, retries under one deadline, bounded concurrency. The only such place.

A failure that may pass (connection, timeout, 408, 429, 5xx, a registry that is read-only for now, a body that is cut
short or not what was asked for) is tried again until the deadline and then becomes an InfrastructureError. A refusal
(401, 403) of the registry itself ends the command at once. Everything else is handed to the caller to judge.

Only the registry's own host is shown a login, and only its own challenges are answered. What another host says, where
a redirect or a Location led to, is never the registry's word. From TLS nothing leads to plain HTTP.
"""

import random
import socket
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from math import inf
from typing import Self, TypeVar
from urllib.parse import urljoin

import anyio
import httpcore
import httpx

from pipeline.domain import Repository, Tag
from pipeline.errors import InfrastructureError, PreconditionError, UsageError
from pipeline.quantities import http_date, whole
from pipeline.registry import refusals
from pipeline.registry.artifacts import Promoted, looks_promoted
from pipeline.registry.auth import Challenge, basic, parse_challenges, token_request, widened
from pipeline.registry.content import parse_json
from pipeline.registry.credentials import Credentials, Login

T = TypeVar("T")
Body = bytes | Callable[[], AsyncIterable[bytes]]
"""What to send: bytes, or what makes a fresh stream of them for each attempt."""

httpcore.AsyncHTTP11Connection.READ_NUM_BYTES = 256 << 10
"""Bytes that are taken from a connection at once, as many as asyncio has ready: each time costs as much as 64 KiB."""
_SLOW_LINE = 64 << 10
"""Bytes a second that arrive at least, of what goes out in one piece."""
_CONCURRENT = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 8.0
_HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
_HOPS = 5
"""Redirects that one request may follow."""
_ERROR, _TOKEN = 64 << 10, 1 << 20
"""Bytes of an error's body and of a token server's answer that are looked at."""
_OWN_HOST = "localhost"
_UNKNOWN_HOST = 3
"""Attempts at a host whose name nobody knows: a name server that comes up answers something else."""
_LONGEST_TOKEN = 24 * 3600.0
"""Seconds that a token is believed to last at most."""
_until: ContextVar[float] = ContextVar("until", default=inf)


class Transient(Exception):
    """Something that may be different in a moment; the text says what came."""

    def __init__(self, came: str, *, pause: float | None = None, attempts: int | None = None) -> None:
        super().__init__(came)
        self.pause = pause
        """Seconds that the server asked us to wait."""
        self.attempts = attempts
        """How often to try at most, where the answer looks like a final one."""


@dataclass
class _Token:
    header: str
    until: float


class Transport:
    """Speaks HTTP to any number of registries; an async context manager."""

    def __init__(
        self,
        credentials: Credentials | None,
        *,
        plain_http: frozenset[str],
        addresses: Mapping[str, str],
        deadline: float,
        promoted: Promoted = looks_promoted,
    ) -> None:
        self.deadline = deadline
        self._promoted = promoted
        self._credentials = credentials or Credentials()
        self._plain_http = plain_http
        self._addresses = addresses
        self._bases: dict[Repository, httpx.URL] = {}
        self._challenges: dict[str, Challenge] = {}
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self.referrers_api: dict[str, bool] = {}
        """By host: whether it has shown in this command that it has the referrers API, or said that it has none."""
        self._untidy: set[bytes] = set()
        """Hosts that broke the protocol: one of them may send bodies with its answers to HEAD, for the next to read."""
        self.requests = 0
        """How many HTTP requests were sent, for figures and tests."""
        self.ahead: dict[str, timedelta] = {}
        """By how much this machine's clock is ahead of that of a host, as its last answer had it."""

    async def __aenter__(self) -> Self:
        self._http = httpx.AsyncClient(
            verify=_trusted(),
            timeout=self._timeout(),
            limits=httpx.Limits(max_connections=_CONCURRENT * 2),
            # compressed on the way, bytes have no digest to hold against, and no bound
            headers={"User-Agent": "bootc-pipeline", "Accept-Encoding": "identity"},
        )
        await self._http.__aenter__()
        self._limiter = anyio.CapacityLimiter(_CONCURRENT)
        self._signing_in = anyio.Lock()
        return self

    async def __aexit__(self, *details: object) -> None:
        await self._http.aclose()

    def refuse_promoted(self, repository: Repository, tag: Tag) -> None:
        """ValueError for tags that only a promotion writes."""
        if self._promoted(repository, tag):
            raise ValueError(f"{tag} is a channel, alias or version tag: only promotion may write it")

    def _timeout(self, allowance: float = 0.0, sent: int = 0) -> httpx.Timeout:
        """How long one attempt may be silent: the deadline has room for several. `sent`: bytes that go in one piece."""
        silent = min(30, self.deadline / 4)
        write = silent + sent / _SLOW_LINE
        return httpx.Timeout(silent, connect=min(10, silent), read=silent + allowance, write=write, pool=None)

    def base(self, repository: Repository) -> str:
        """The URL below which the repository's API lies (distribution specification: `/v2/<name>/`)."""
        host = _HUB.get(repository.host, repository.host)
        scheme = "http" if repository.host in self._plain_http else "https"
        return f"{scheme}://{self._addresses.get(repository.host, host)}/v2/{repository.path}/"

    def _own(self, repository: Repository) -> httpx.URL:
        """The same, read once: reading a URL takes as long as writing a request."""
        if repository not in self._bases:
            self._bases[repository] = httpx.URL(self.base(repository))
        return self._bases[repository]

    def absolute(self, repository: Repository, location: str, *, near: httpx.URL | None = None) -> str:
        """A URL that the registry gave (Location, Link), seen from here; `near`: what a relative one goes out from.

        The registry may know itself by the name in references, or by http behind a proxy that speaks TLS. Transient
        for what is no URL, PreconditionError for one that leaves TLS.
        """
        here = self._own(repository)
        try:
            url = httpx.URL(urljoin(str(near or here), location))
            netloc = url.netloc.decode()
        except (httpx.InvalidURL, ValueError) as error:
            raise Transient(f"a location that is no URL ({error})") from error
        if netloc in {repository.host, _HUB.get(repository.host, repository.host), here.netloc.decode()}:
            return str(url.copy_with(scheme=here.scheme, netloc=here.netloc))
        if url.scheme not in ("https", here.scheme):
            raise PreconditionError(
                f"{repository.host} is spoken to by TLS and leads to {url.scheme}://{url.host} without it; expected "
                "https. Nothing was sent there and nothing from there is believed."
            )
        return str(url)

    def is_own(self, repository: Repository, response: httpx.Response) -> bool:
        """Whether the registry itself gave this answer, not a host that a redirect or Location led to."""
        return self._ours(repository, response.url)

    @contextmanager
    def patience(self, allowance: float = 0.0) -> Iterator[None]:
        """One deadline for everything inside, `allowance` seconds longer than usual; the outermost counts."""
        if _until.get() != inf:
            yield
            return
        token = _until.set(anyio.current_time() + self.deadline + allowance)
        try:
            yield
        finally:
            _until.reset(token)

    async def persist(self, asked: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Call `attempt` until it answers; InfrastructureError, naming what was `asked`, at the deadline."""
        start = anyio.current_time()
        until = _until.get() if _until.get() != inf else start + self.deadline
        came, failures = "no answer", 0
        with anyio.CancelScope(deadline=until):
            while True:
                try:
                    return await attempt()
                except Transient as error:
                    came, wanted, limit = str(error), error.pause, error.attempts or inf
                except (httpx.RequestError, httpx.InvalidURL) as error:
                    _refuse_hopeless(asked, error)
                    came, wanted, limit = _described(error), None, inf
                    if _is_unknown_host(error):
                        came, limit = f"{came}: no name server knows this host, so look at its spelling", _UNKNOWN_HOST
                failures += 1
                pause = _pause(failures) if wanted is None else wanted
                if failures >= limit or anyio.current_time() + pause >= until:
                    break
                await anyio.sleep(pause)
        spent = anyio.current_time() - start
        raise InfrastructureError(
            f"{asked}: {came}, after {failures or 1} attempt{'s' * (failures > 1)} in {spent:.1f} s. "
            "This says nothing about the image; run the command again when the registry answers."
        )

    @asynccontextmanager
    async def exchange(
        self,
        repository: Repository,
        method: str,
        path: str,
        *,
        accept: str = "*/*",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: Body | None = None,
        redirects: bool = True,
        elsewhere: bool = False,
        also: Repository | None = None,
        allowance: float = 0.0,
    ) -> AsyncIterator[httpx.Response]:
        """One request and its answer, whose body is still to be read; `path` is below the repository or a whole URL.

        `allowance`: seconds that the registry may need beyond the usual before it answers. `elsewhere`: whether a
        redirect may lead to another host: only for what is held against its digest. `also`: a repository of the same
        registry that is read by this request.
        Raises Transient for what may pass and PreconditionError for a refusal; other statuses are the caller's.
        """
        url = httpx.URL(path if "://" in path else self.base(repository) + path)
        actions = "pull" if method in ("GET", "HEAD") else "delete" if method == "DELETE" else "pull,push"
        need = _Need(repository, actions, self._credentials.login(repository), also)
        async with self._limiter:
            authorization, renewed, hops = await self._authorization(need), False, 0
            while True:
                ours = self._ours(repository, url)
                request = self._http.build_request(
                    method,
                    url,
                    params=params if not hops else None,
                    headers={
                        "Accept": accept,
                        **(headers or {}),
                        **({"Authorization": authorization} if authorization and ours else {}),
                    },
                    content=body() if callable(body) else body,
                    timeout=self._timeout(allowance, len(body) if isinstance(body, bytes) else 0),
                )
                self.requests += 1
                try:
                    response = await self._http.send(request, stream=True, follow_redirects=False)
                except httpx.RemoteProtocolError:
                    self._untidy.add(url.netloc)
                    raise
                self._note_time(repository, response)
                try:
                    if response.status_code == 401 and ours and not renewed:
                        await read(response, _ERROR)
                        authorization, renewed = await self._answer(need, response, authorization), True
                        continue
                    if redirects and method in ("GET", "HEAD") and response.has_redirect_location:
                        url, hops = self._redirected(repository, response, elsewhere=elsewhere), hops + 1
                        if hops > _HOPS:
                            raise Transient(f"more than {_HOPS} redirects, the last one to {url.host}")
                        continue
                    await self._judge(need, response, ours=ours)
                    yield response
                finally:
                    await _let_go(response, untidy=url.netloc in self._untidy)
                return

    def _redirected(self, repository: Repository, response: httpx.Response, *, elsewhere: bool) -> httpx.URL:
        url = httpx.URL(self.absolute(repository, response.headers["location"], near=response.url))
        if not elsewhere and not self._ours(repository, url):
            raise Transient(f"a redirect to {url.host}, which is not the registry")
        return url

    def _ours(self, repository: Repository, url: httpx.URL) -> bool:
        """Whether the login may be shown to whoever answers `url`: upload locations may lie elsewhere, signed."""
        own = self._own(repository)
        return (url.scheme, url.netloc) == (own.scheme, own.netloc)

    async def _judge(self, need: "_Need", response: httpx.Response, *, ours: bool = True) -> None:
        status = response.status_code
        if status in (408, 425, 429) or status >= 500:
            await read(response, _ERROR)
            pause = _retry_after(response)
            waiting = "" if pause is None else f", which asked to wait {pause:.0f} s"
            raise Transient(_answered(response) + waiting, pause=pause)
        if status in (403, 405) and refusals.is_suspended(await read(response, _ERROR)):
            raise Transient(_answered(response))
        if status in (401, 403):
            await read(response, _ERROR)
            if not ours:
                raise Transient(f"{_answered(response)} of {response.url.host}, which is not the registry")
            where = f"{need.repository.host} refuses {response.request.method} on {need.repository.path}"
            if advice := refusals.final(status, response.extensions["body"]):
                raise PreconditionError(f"{where}: {_answered(response)}. {advice}")
            who = f"as {need.login.username or 'the given identity'}" if need.login else "without a login"
            raise PreconditionError(
                f"{where} {who}: {_answered(response)}. "
                f"Expected an account with rights on {need.repository}; give one by --registry-auth."
            )

    def _note_time(self, repository: Repository, response: httpx.Response) -> None:
        """Remember the registry's clock; an answer from a cache (RFC 9111, Age) tells an older one."""
        if "age" in response.headers or not self._ours(repository, response.url):
            return
        if there := http_date(response.headers.get("date", "")):
            self.ahead[repository.host] = datetime.now(UTC) - there

    async def _authorization(self, need: "_Need") -> str | None:
        """What to send unasked, known from an earlier challenge of this host; None before the first one."""
        challenge = self._challenges.get(need.repository.host)
        if challenge is None:
            return None
        if challenge.scheme == "basic":
            return basic(need.login) if need.login else None
        return await self._token(need, challenge)

    async def _answer(self, need: "_Need", response: httpx.Response, tried: str | None) -> str | None:
        """What to send after a 401; PreconditionError when there is nothing (more) to show."""
        repository, login = need.repository, need.login
        offers = {challenge.scheme: challenge for challenge in parse_challenges(_values(response))}
        if challenge := offers.get("bearer"):
            self._challenges[repository.host] = challenge
            stale = [key for key, token in self._tokens.items() if token.header == tried]
            for key in stale:
                del self._tokens[key]
            return await self._token(need, challenge, widened(need.actions, challenge, repository.path))
        if (challenge := offers.get("basic")) and login and login.username and tried != basic(login):
            self._challenges[repository.host] = challenge
            return basic(login)
        await self._judge(need, response)
        return None

    async def _token(self, need: "_Need", challenge: Challenge, asked: str = "") -> str:
        """A bearer token for the repository, from the cache while it lasts; a wider scope serves a narrower one.

        `asked`: what to ask the token server for, where that is more than the need's actions.
        """
        wider = ("pull", "pull,push") if need.actions == "pull" else (need.actions,)
        async with self._signing_in:
            for known in wider:
                token = self._tokens.get((need.repository.host, *need.scope(known)))
                if token and token.until > anyio.current_time():
                    return token.header
            token = await self._buy(need, asked or need.actions, challenge)
            self._tokens[need.repository.host, *need.scope(need.actions)] = token
            return token.header

    async def _buy(self, need: "_Need", actions: str, challenge: Challenge) -> _Token:
        try:
            wanted = token_request(challenge, " ".join(need.scope(actions)), need.login)
            realm = httpx.URL(wanted.url)
        except (ValueError, httpx.InvalidURL) as error:
            raise Transient(f"a challenge that cannot be answered: {error}") from error
        if realm.scheme != "https" and need.repository.host not in self._plain_http:
            raise PreconditionError(
                f"{need.repository.host} sends its logins to {wanted.url} without TLS; expected https. "
                "Nothing was sent."
            )
        self.requests += 1
        async with self._http.stream(
            wanted.method,
            realm,
            params=wanted.params,
            data=wanted.form,
            headers={"Authorization": wanted.authorization} if wanted.authorization else {},
        ) as response:
            await self._judge(need, response)
            return _bought(response, await read(response, _TOKEN))


@dataclass(frozen=True)
class _Need:
    """What a request is allowed by."""

    repository: Repository
    actions: str
    login: Login | None
    also: Repository | None

    def scope(self, actions: str) -> tuple[str, ...]:
        """What a token is bought for (distribution documentation, "Token scope documentation")."""
        own = f"repository:{self.repository.path}:{actions}"
        return (own, f"repository:{self.also.path}:pull") if self.also else (own,)


async def _let_go(response: httpx.Response, *, untidy: bool) -> None:
    """Close an answer; what is left of a short one is read first: only then its connection serves the next request."""
    head = response.request.method == "HEAD"
    size = 0 if head else whole(response.headers.get("content-length", ""))
    try:
        if size is not None and size <= _ERROR and not response.is_stream_consumed and not (head and untidy):
            with suppress(httpx.RequestError):
                async for _ in response.aiter_raw():  # never unpacked: see `read`
                    pass
    finally:
        await response.aclose()
        response.stream = httpx.ByteStream(b"")  # in a cycle with it, all that was sent would wait for the collector


async def read(response: httpx.Response, limit: int) -> bytes:
    """The body, kept for who reads it again; Transient when it is longer than `limit` bytes.

    None is asked for compressed, and none is taken: a little of it may be any amount of memory.
    """
    if "body" not in response.extensions:
        if (encoding := response.headers.get("content-encoding", "").lower()) not in ("", "identity"):
            raise Transient(f"answer {response.status_code} in the encoding {encoding}, not asked for", attempts=3)
        parts, size = list[bytes](), 0
        async for part in response.aiter_raw():
            parts.append(part)
            size += len(part)
            if size > limit:
                raise Transient(f"answer {response.status_code} with more than {limit} bytes", attempts=3)
        response.extensions["body"] = b"".join(parts)
    content: bytes = response.extensions["body"]
    return content


def _bought(response: httpx.Response, body: bytes) -> _Token:
    try:
        answer = parse_json(body)
        text = answer.get("token") or answer["access_token"]
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise ValueError(type(text).__name__)
        lasts = float(answer.get("expires_in") or 60)
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError):
        raise Transient(f"the token server's {_answered(response)}, which holds no token") from None
    lasts = min(lasts, _LONGEST_TOKEN) if lasts > 0 else 0.0
    # half of its life: a token is not to run out on the way
    return _Token(f"Bearer {text}", anyio.current_time() + lasts / 2)


@cache
def _trusted() -> ssl.SSLContext:
    """The machine's certificates and the usual ones; reading them takes a while."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context


def _values(response: httpx.Response) -> list[str]:
    return response.headers.get_list("www-authenticate")


def _pause(failures: int) -> float:
    """Seconds before the next attempt: doubling, with jitter so that many clients do not come back at once."""
    return float(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(failures - 1, 20))) * random.uniform(0.5, 1.0)  # noqa: S311


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds from a Retry-After header (RFC 9110 section 10.2.3: seconds or a date); None for none and for at once."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text) or None
    at = http_date(text)
    wait = (at - datetime.now(UTC)).total_seconds() if at else 0.0
    return wait if wait > 0 else None


def _answered(response: httpx.Response) -> str:
    """The answer in a few words: status, and the registry's own words when they are its own."""
    told = refusals.words(response.extensions.get("body", b""))
    kind = response.headers.get("content-type", "").partition(";")[0]
    words = told or (f"a body of type {kind}" if kind else "")
    return f"answer {response.status_code} {response.reason_phrase}" + (f" ({words[:300]})" if words else "")


def _described(error: Exception) -> str:
    name = type(error).__name__
    return f"{name}: {error}" if str(error) else name


def _is_unknown_host(error: Exception) -> bool:
    return any(isinstance(one, socket.gaierror) and one.errno == socket.EAI_NONAME for one in _causes(error))


def _causes(error: BaseException) -> list[BaseException]:
    """The error, what it came from, and so on; libraries make circles of them."""
    found: list[BaseException] = []
    one: BaseException | None = error
    while one and one not in found:
        found.append(one)
        one = one.__cause__ or one.__context__
    return found


def _refuse_hopeless(asked: str, error: Exception) -> None:
    """Waiting mends no certificate, no server that speaks no TLS, and no address that is this very container's."""
    cause = next((one for one in _causes(error) if isinstance(one, ssl.SSLError)), None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        raise PreconditionError(
            f"{asked}: the server's certificate is not trusted ({cause.verify_message}). "
            "Expected one that the machine's certificate store knows."
        ) from error
    if isinstance(cause, ssl.SSLError) and cause.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        raise UsageError(
            f"{asked}: the server does not speak TLS. Expected https; if plain HTTP is meant, name its host with port "
            "in plain_http of pipeline.toml."
        ) from error
    if isinstance(error, httpx.ConnectError) and error.request.url.host == _OWN_HOST:
        raise UsageError(
            f"{asked}: nothing listens there. {_OWN_HOST} is the container that asks, not your machine: "
            "give a registry of your machine by --registry=tcp://localhost:PORT."
        ) from error
