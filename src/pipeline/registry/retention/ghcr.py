"""GitHub's container registry: its registry API does not delete (405), the package API does.

A *version* of a package is a manifest with its tags; deleting it deletes the tags (GitHub REST API, "Packages").
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import ConflictError
from pipeline.registry.retention.driver import Done, Result, Snapshot
from pipeline.registry.retention.rest import Rest, unreadable

API = "https://api.github.com"

_PAGE = 100


@dataclass(frozen=True)
class Version:
    """What a package holds under one digest."""

    id: int
    digest: Digest
    tags: tuple[Tag, ...]
    pushed: datetime | None
    """When it was pushed or tagged, the later of the two."""

    @classmethod
    def read(cls, found: Any) -> "Version":
        """From the API's JSON; ValueError, TypeError or a LookupError for any other."""
        times = [_time(found[key]) for key in ("created_at", "updated_at") if found.get(key)]
        return cls(
            id=int(found["id"]),
            digest=Digest(found["name"]),
            tags=tuple(Tag(name) for name in found["metadata"]["container"]["tags"]),
            pushed=max(times, default=None),
        )


class GhcrDriver:
    """Lists untagged manifests too, and knows when each was pushed. A single tag cannot be taken away."""

    name = "ghcr"
    can_untag = False

    def __init__(self, rest: Rest, repository: Repository) -> None:
        self._rest = rest
        self._repository = repository
        self._owner, _, self._package = repository.path.partition("/")
        self._versions = ""
        self._ids: dict[Digest, int] = {}

    async def snapshot(self) -> Snapshot:
        """All active versions. `updated_at` counts where it is younger: the version was pushed or tagged again."""
        tags: dict[Tag, Digest | None] = {}
        untagged, pushed = set(), {}
        async for version in self._each_version():
            self._ids[version.digest] = version.id
            if version.pushed:
                pushed[version.digest] = version.pushed
            tags |= dict.fromkeys(version.tags, version.digest)
            if not version.tags:
                untagged.add(version.digest)
        return Snapshot(tags, frozenset(untagged), pushed)

    async def delete(self, digest: Digest, tags: tuple[Tag, ...]) -> Result:
        """Delete the version, after a look that it has no other tags than these.

        Skipped, with GitHub's words, where GitHub has a rule against it: the last tagged version of a package, a
        public version with more than 5,000 downloads (both 400).
        """
        version = self._ids.get(digest) or await self._find(digest)
        if version is None:
            return Result(Done.GONE)
        path = f"{await self._path()}/{version}"
        found = await self._rest.ask("GET", path, fine=(200, 404))
        if found.status == 404:
            return Result(Done.GONE)
        now = self._read(found.document())
        if now.digest != digest:
            raise ConflictError(f"version {version} of {self._repository} is {now.digest}, expected {digest}")
        if extra := sorted(set(now.tags) - set(tags)):
            raise ConflictError(f"{digest} carries the tag {extra[0]}, which it did not when the plan was made")
        answer = await self._rest.ask("DELETE", path, fine=(204, 400, 404))
        if answer.status == 400:
            return Result(Done.SKIPPED, answer.words)
        return Result(Done.DELETED if answer.status == 204 else Done.GONE)

    async def untag(self, tag: Tag, digest: Digest) -> Result:
        """Never: GitHub deletes whole versions."""
        return Result(Done.SKIPPED, f"GitHub cannot take {tag} from {digest}")

    async def _find(self, digest: Digest) -> int | None:
        """The id of a version that came after the listing."""
        async for version in self._each_version():
            self._ids[version.digest] = version.id
            if version.digest == digest:
                break
        return self._ids.get(digest)

    async def _each_version(self) -> AsyncIterator[Version]:
        params: dict[str, str | int] = {"per_page": _PAGE, "state": "active"}
        async for page in self._rest.pages(await self._path(), params):
            if not isinstance(page, list):
                raise unreadable("a page of versions", TypeError(f"a {type(page).__name__}"), self._repository)
            for version in page:
                yield self._read(version)

    def _read(self, version: Any) -> Version:
        try:
            return Version.read(version)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise unreadable("a version", error, self._repository) from error

    async def _path(self) -> str:
        """Where the versions are; packages of organisations and of people have different addresses."""
        if not self._versions:
            owner = (await self._rest.ask("GET", f"/users/{self._owner}")).document()
            try:
                kind = "orgs" if owner["type"] == "Organization" else "users"
            except (LookupError, TypeError) as error:
                raise unreadable("the owner", error, self._repository) from error
            package = quote(self._package, safe="")
            self._versions = f"/{kind}/{self._owner}/packages/container/{package}/versions"
        return self._versions


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
