"""Quay: tags are deleted, one by one, and Quay collects what no tag leads to.

A deleted tag can be brought back for as long as the repository's time machine is set to (Quay API, `/tag/`).
"""

from datetime import UTC, datetime
from typing import Any

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import ConflictError, InfrastructureError
from pipeline.registry.retention.driver import Done, Result, Snapshot
from pipeline.registry.retention.rest import Rest

_PAGE = 100


class QuayDriver:
    """Knows since when each tag points where it points. Manifests without a tag are Quay's own affair."""

    name = "quay"
    can_untag = True

    def __init__(self, rest: Rest, repository: Repository) -> None:
        self._rest = rest
        self._tags = f"/api/v1/repository/{repository.path}/tag/"

    async def snapshot(self) -> Snapshot:
        """All active tags; a manifest counts as pushed when its youngest tag came to it."""
        tags: dict[Tag, Digest | None] = {}
        pushed: dict[Digest, datetime] = {}
        expiring: dict[Tag, datetime] = {}
        page, more = 1, True
        while more:
            answer = (await self._rest.ask("GET", self._tags, params=_query(page=page))).json()
            for one in answer["tags"]:
                tag, digest = _read(one)
                tags[tag] = digest
                if start := one.get("start_ts"):
                    pushed[digest] = max(_time(start), pushed.get(digest, _time(0)))
                if end := one.get("end_ts"):
                    expiring[tag] = _time(end)
            page, more = page + 1, answer["has_additional"]
        return Snapshot(tags, pushed=pushed, expiring=expiring)

    async def delete(self, digest: Digest, tags: tuple[Tag, ...]) -> Result:
        """Delete all its tags; one without any is collected by Quay when what leads to it is gone."""
        if not tags:
            return Result(Done.DELETED, "left to Quay, which collects what no tag leads to")
        results = [await self.untag(tag, digest) for tag in tags]
        gone = all(result.done is Done.GONE for result in results)
        return Result(Done.GONE) if gone else Result(Done.DELETED, "its tags are in Quay's time machine")

    async def untag(self, tag: Tag, digest: Digest) -> Result:
        """Delete a tag, if it still points there."""
        answer = (await self._rest.ask("GET", self._tags, params=_query(specificTag=tag))).json()
        now = {_read(one)[1] for one in answer["tags"]}
        if not now:
            return Result(Done.GONE)
        if now != {digest}:
            raise ConflictError(
                f"the tag {tag} moved from {digest} to {', '.join(sorted(now))} since the plan was made"
            )
        deleted = await self._rest.ask("DELETE", self._tags + tag, fine=(204, 404))
        return Result(Done.DELETED if deleted.status_code == 204 else Done.GONE)


def _query(**more: str | int) -> dict[str, str | int]:
    return {"onlyActiveTags": "true", "limit": _PAGE, **more}


def _read(one: dict[str, Any]) -> tuple[Tag, Digest]:
    try:
        return Tag(one["name"]), Digest(one["manifest_digest"])
    except (KeyError, TypeError, ValueError) as error:
        raise InfrastructureError(
            f"Quay listed a tag that cannot be read ({error}): expected a name and a manifest digest. "
            "Nothing is deleted."
        ) from error


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
