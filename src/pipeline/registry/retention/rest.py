"""The web API of a registry's operator, beside the registry's own: JSON over HTTP with a bearer token."""

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx

from pipeline.errors import PreconditionError
from pipeline.registry.client import RepositoryClient
from pipeline.registry.transport import Transient

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


class Rest:
    """Requests that are repeated while the server is busy or away, as the registry client's are."""

    def __init__(self, http: httpx.AsyncClient, repository: RepositoryClient, base: str, token: str | None) -> None:
        self._http = http
        self._repository = repository
        self._base = base.rstrip("/")
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    async def ask(
        self, method: str, path: str, *, params: Mapping[str, str | int] | None = None, fine: tuple[int, ...] = (200,)
    ) -> httpx.Response:
        """The answer, whose status is one of `fine`.

        PreconditionError for a refusal, InfrastructureError when nothing better came until the deadline.
        """
        url = path if "://" in path else self._base + path

        async def attempt() -> httpx.Response:
            response = await self._http.request(method, url, params=params, headers=self._headers)
            if response.status_code in fine:
                return response
            if response.status_code in _BUSY or _is_rate_limit(response):
                raise Transient(f"answer {response.status_code} ({words(response)})", pause=_wanted_pause(response))
            raise PreconditionError(
                f"{method} {url} was refused: {response.status_code} ({words(response)}). "
                f"Expected a token that may read and delete in {self._repository.repository}."
            )

        return await self._repository.persist(f"{method} {url}", attempt)

    async def pages(self, path: str, params: Mapping[str, str | int]) -> AsyncIterator[Any]:
        """The JSON of each page, following `Link: <…>; rel="next"` (RFC 8288)."""
        following: str | None = path
        asked: Mapping[str, str | int] | None = params
        while following:
            response = await self.ask("GET", following, params=asked)
            yield response.json()
            following, asked = response.links.get("next", {}).get("url"), None


def words(response: httpx.Response) -> str:
    """What the server said, in its own words."""
    try:
        document = response.json()
        said = document.get("message") or document.get("error_message") or document.get("detail")
    except (ValueError, AttributeError):
        said = None
    return str(said or response.reason_phrase)[:300]


def _is_rate_limit(response: httpx.Response) -> bool:
    """GitHub answers 403 as well as 429 to too many requests (REST API documentation, rate limits)."""
    exhausted = response.headers.get("x-ratelimit-remaining") == "0"
    return response.status_code == 403 and (
        exhausted or "retry-after" in response.headers or "rate limit" in words(response)
    )


def _wanted_pause(response: httpx.Response) -> float | None:
    """Seconds that the server asks for: Retry-After, else until the limit is lifted (epoch seconds)."""
    after, reset = response.headers.get("retry-after", ""), response.headers.get("x-ratelimit-reset", "")
    if after.isdigit():
        return float(after)
    if reset.isdigit() and response.headers.get("x-ratelimit-remaining") == "0":
        return max(0.0, float(reset) - time.time())
    return None
