"""Quay: tags are deleted, one by one, and Quay collects what no tag leads to.

A deleted tag can be brought back for as long as the repository's time machine is set to (Quay API, `/tag/`).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import ConflictError
from pipeline.registry.retention.driver import Done, Result, Snapshot
from pipeline.registry.retention.rest import Rest, endless, unreadable

_PAGE = 100
_PAGES = 10_000


@dataclass(frozen=True)
class LivingTag:
    """A tag, since when it points where it points, and when it ends by itself."""

    name: Tag
    digest: Digest
    since: datetime | None
    until: datetime | None

    @classmethod
    def read(cls, found: Any) -> "LivingTag":
        """From the API's JSON; ValueError, TypeError, OverflowError or a LookupError for any other."""
        start, end = found.get("start_ts"), found.get("end_ts")
        return cls(
            name=Tag(found["name"]),
            digest=Digest(found["manifest_digest"]),
            since=_time(start) if start else None,
            until=_time(end) if end else None,
        )


class QuayDriver:
    """Knows since when each tag points where it points. Manifests without a tag are Quay's own affair."""

    name = "quay"
    can_untag = True

    def __init__(self, rest: Rest, repository: Repository) -> None:
        self._rest = rest
        self._repository = repository
        self._tags = f"/api/v1/repository/{repository.path}/tag/"

    async def snapshot(self) -> Snapshot:
        """All active tags; a manifest counts as pushed when its youngest tag came to it."""
        tags: dict[Tag, Digest | None] = {}
        pushed: dict[Digest, datetime] = {}
        expiring: dict[Tag, datetime] = {}
        page, more = 1, True
        while more:
            listed, more = await self._page(page=page)
            fresh = [one for one in listed if one.name not in tags]
            if page > _PAGES or (more and not fresh):
                raise endless(self._repository)
            for one in listed:
                tags[one.name] = one.digest
                if one.since:
                    pushed[one.digest] = max(one.since, pushed.get(one.digest, one.since))
                if one.until:
                    expiring[one.name] = one.until
            page += 1
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
        listed, _ = await self._page(specificTag=tag)
        now = {one.digest for one in listed if one.name == tag}
        if not now:
            return Result(Done.GONE)
        if now != {digest}:
            raise ConflictError(
                f"the tag {tag} moved from {digest} to {', '.join(sorted(now))} since the plan was made"
            )
        deleted = await self._rest.ask("DELETE", self._tags + tag, fine=(204, 404))
        return Result(Done.DELETED if deleted.status == 204 else Done.GONE)

    async def _page(self, **asked: str | int) -> tuple[list[LivingTag], bool]:
        """Some active tags, and whether there are more."""
        params = {"onlyActiveTags": "true", "limit": _PAGE, **asked}
        answer = (await self._rest.ask("GET", self._tags, params=params)).document()
        try:
            return [LivingTag.read(one) for one in answer["tags"]], bool(answer["has_additional"])
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
            raise unreadable("the list of tags", error, self._repository) from error


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
