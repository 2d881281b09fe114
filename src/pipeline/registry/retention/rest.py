"""The web API of a registry's operator, beside the registry's own: JSON over HTTP with a bearer token.

The token is shown to the API's own host and to nobody else, whatever an answer says.
"""

import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.registry.client import RepositoryClient
from pipeline.registry.transport import Transient

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_LARGEST = 16 << 20
"""Bytes of an answer: a page of a hundred lines has far less."""
_PAGES = 10_000
"""Pages of a list: a million manifests, if each has a hundred."""


@dataclass(frozen=True)
class Answer:
    """What came, read to its end."""

    status: int
    headers: httpx.Headers
    body: bytes
    following: str | None = None
    """The next page (`Link: <…>; rel="next"`, RFC 8288)."""

    def document(self) -> Any:
        """The JSON in it; Transient for anything else."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            kind = self.headers.get("content-type", "no content type")
            raise Transient(f"{len(self.body)} bytes that are not JSON ({kind})") from error

    @property
    def said(self) -> str:
        """The API's own words for a refusal; empty for the page of a gateway."""
        try:
            document = self.document()
            return str(document.get("message") or document.get("error_message") or document.get("detail") or "")[:300]
        except (Transient, AttributeError):
            return ""

    @property
    def words(self) -> str:
        """What there is to tell about it."""
        return self.said or httpx.codes.get_reason_phrase(self.status)


class Rest:
    """Requests that are repeated while the server is busy or away, as the registry client's are."""

    def __init__(self, http: httpx.AsyncClient, repository: RepositoryClient, base: str, token: str | None) -> None:
        self._http = http
        self._repository = repository
        self._base = base.rstrip("/")
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    async def ask(
        self, method: str, path: str, *, params: Mapping[str, str | int] | None = None, fine: tuple[int, ...] = (200,)
    ) -> Answer:
        """The answer, whose status is one of `fine`; one that should hold JSON does.

        PreconditionError for a refusal, InfrastructureError when nothing better came until the deadline.
        """
        url = path if "://" in path else self._base + path
        self._refuse_stranger(url)

        async def attempt() -> Answer:
            answer = await self._once(method, url, params)
            if answer.status in fine:
                if answer.status == 200:
                    answer.document()
                if answer.status == 404 and not answer.said:
                    raise Transient("a 404 without a word of the API's own")
                return answer
            if answer.status in _BUSY or _is_rate_limit(answer):
                raise Transient(f"answer {answer.status} ({answer.words})", pause=_wanted_pause(answer))
            if 300 <= answer.status < 400:
                raise PreconditionError(
                    f"{method} {url} leads on to {answer.headers.get('location', 'nowhere')}: expected an answer. "
                    f"Was {self._repository.repository} renamed? Give its present name; the token went nowhere else."
                )
            raise PreconditionError(
                f"{method} {url} was refused: {answer.status} ({answer.words}). "
                f"Expected a token that may read and delete in {self._repository.repository}."
            )

        return await self._repository.persist(f"{method} {url}", attempt)

    async def pages(self, path: str, params: Mapping[str, str | int]) -> AsyncIterator[Any]:
        """The JSON of each page; InfrastructureError when they do not come to an end."""
        following: str | None = path
        asked: Mapping[str, str | int] | None = params
        seen: set[str] = set()
        while following:
            if following in seen or len(seen) >= _PAGES:
                raise endless(self._repository.repository)
            seen.add(following)
            answer = await self.ask("GET", following, params=asked)
            yield answer.document()
            following, asked = answer.following, None

    async def _once(self, method: str, url: str, params: Mapping[str, str | int] | None) -> Answer:
        try:
            async with self._http.stream(method, url, params=params, headers=self._headers) as response:
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _LARGEST:
                        raise Transient(f"more than {_LARGEST >> 20} MiB in one answer", attempts=1)
            link = response.links.get("next", {}).get("url")
            following = str(response.url.join(link)) if link else None
            return Answer(response.status_code, response.headers, bytes(body), following)
        except (httpx.DecodingError, httpx.InvalidURL, ValueError) as error:
            raise Transient(f"an answer that cannot be read ({type(error).__name__}: {error})") from error

    def _refuse_stranger(self, url: str) -> None:
        if urlsplit(url)[:2] != urlsplit(self._base)[:2]:
            raise InfrastructureError(
                f"{self._base} sends on to {url}: expected its own host, the only one that is shown the token. "
                "Nothing was sent there, and nothing is deleted."
            )


def endless(repository: object) -> InfrastructureError:
    """A list whose pages repeat or go on for ever."""
    return InfrastructureError(
        f"the list of {repository} does not end: its pages repeat, or are more than {_PAGES}. "
        "Expected each page once. Nothing is deleted; run again."
    )


def unreadable(what: str, error: Exception, repository: object) -> InfrastructureError:
    """An answer whose JSON is not what the API's documentation says."""
    return InfrastructureError(
        f"{what} of {repository} cannot be read ({type(error).__name__}: {error}): expected what the API's "
        "documentation shows. Nothing is deleted."
    )


def _is_rate_limit(answer: Answer) -> bool:
    """GitHub answers 403 as well as 429 to too many requests (REST API documentation, rate limits)."""
    exhausted = answer.headers.get("x-ratelimit-remaining") == "0"
    return answer.status == 403 and (exhausted or "retry-after" in answer.headers or "rate limit" in answer.words)


def _wanted_pause(answer: Answer) -> float | None:
    """Seconds that the server asks for: Retry-After, else until the limit is lifted (epoch seconds); None for none."""
    after, reset = answer.headers.get("retry-after", ""), answer.headers.get("x-ratelimit-reset", "")
    if _is_number(after):
        return float(after) or None
    if _is_number(reset) and answer.headers.get("x-ratelimit-remaining") == "0":
        wait = float(reset) - time.time()
        return wait if wait > 0 else None
    return None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
