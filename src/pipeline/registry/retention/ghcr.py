"""GitHub's container registry: its registry API does not delete (405), the package API does.

A *version* of a package is a manifest with its tags; deleting it deletes the tags (GitHub REST API, "Packages").
"""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from urllib.parse import quote

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import ConflictError, InfrastructureError
from pipeline.registry.retention.driver import Done, Result, Snapshot
from pipeline.registry.retention.rest import Rest, words

API = "https://api.github.com"

_PAGE = 100


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
            digest, names = _digest(version), _tags(version)
            self._ids[digest] = version["id"]
            times = [datetime.fromisoformat(version[key]) for key in ("created_at", "updated_at") if version.get(key)]
            if times:
                pushed[digest] = max(times)
            tags |= dict.fromkeys(names, digest)
            if not names:
                untagged.add(digest)
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
        if found.status_code == 404:
            return Result(Done.GONE)
        if extra := sorted(set(_tags(found.json())) - set(tags)):
            raise ConflictError(f"{digest} carries the tag {extra[0]}, which it did not when the plan was made")
        answer = await self._rest.ask("DELETE", path, fine=(204, 400, 404))
        if answer.status_code == 400:
            return Result(Done.SKIPPED, words(answer))
        return Result(Done.DELETED if answer.status_code == 204 else Done.GONE)

    async def untag(self, tag: Tag, digest: Digest) -> Result:
        """Never: GitHub deletes whole versions."""
        return Result(Done.SKIPPED, f"GitHub cannot take {tag} from {digest}")

    async def _find(self, digest: Digest) -> int | None:
        """The id of a version that came after the listing."""
        async for version in self._each_version():
            self._ids[_digest(version)] = version["id"]
            if _digest(version) == digest:
                break
        return self._ids.get(digest)

    async def _each_version(self) -> AsyncIterator[dict[str, Any]]:
        params: dict[str, str | int] = {"per_page": _PAGE, "state": "active"}
        async for page in self._rest.pages(await self._path(), params):
            for version in page:
                try:
                    _digest(version)
                except (KeyError, TypeError, ValueError) as error:
                    raise InfrastructureError(
                        f"GitHub listed a version of {self._repository} that cannot be read ({error}): expected a "
                        "digest as its name. Nothing is deleted."
                    ) from error
                yield version

    async def _path(self) -> str:
        """Where the versions are; packages of organisations and of people have different addresses."""
        if not self._versions:
            owner = (await self._rest.ask("GET", f"/users/{self._owner}")).json()
            kind = "orgs" if owner["type"] == "Organization" else "users"
            package = quote(self._package, safe="")
            self._versions = f"/{kind}/{self._owner}/packages/container/{package}/versions"
        return self._versions


def _digest(version: dict[str, Any]) -> Digest:
    return Digest(version["name"])


def _tags(version: dict[str, Any]) -> tuple[Tag, ...]:
    container = (version.get("metadata") or {}).get("container") or {}
    return tuple(Tag(name) for name in container.get("tags") or [])
