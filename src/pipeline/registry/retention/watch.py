"""The look right before each deletion: has anything happened since the plan was made that needs what is about to go?"""

from collections.abc import Iterable

from pipeline.domain import Digest, Tag
from pipeline.errors import ConflictError
from pipeline.policy.attached import subject_of_tag
from pipeline.policy.names import PRUNING
from pipeline.policy.retention import Graph, Rules
from pipeline.policy.retention.rules import Role
from pipeline.registry.client import RepositoryClient
from pipeline.registry.retention.books import is_written_once, promised
from pipeline.registry.retention.listing import Crawl
from pipeline.registry.retention.waves import each


class Watch:
    """Compares the repository with what the plan saw.

    Read again each time: the list of tags, what each tag points at that may move (all but versions and commits, which
    are written once), what the tags of the doomed manifest point at, and its referrers. A change that has nothing to
    do with the plan, such as the tag of a new build, is taken in; any other is a ConflictError.
    """

    def __init__(self, repository: RepositoryClient, graph: Graph, rules: Rules, doomed: Iterable[Digest]) -> None:
        self._repository = repository
        self._graph = graph
        self._rules = rules
        self._doomed = frozenset(doomed)
        self._roles: dict[Tag, Role] = {}
        self.tags = dict(graph.tags)
        """What is expected, changes that were taken in included."""

    async def before_delete(self, digest: Digest) -> None:
        """ConflictError when `digest` must not be deleted as planned."""
        await self._look(digest)
        for referrer in await self._repository.api_referrers(digest) or ():
            if referrer.digest not in self._graph.manifests:
                raise ConflictError(f"{referrer.digest} was attached to {digest} since the plan was made")

    async def before_untag(self, tag: Tag, digest: Digest) -> None:
        """ConflictError when `tag` may be the last that keeps `digest`."""
        await self._look(digest)
        others = [other for other, to in self.tags.items() if to == digest and other != tag]
        if not any(self._role(other).is_root for other in others):
            raise ConflictError(f"{digest} has no other kept tag than {tag} any more")

    async def _look(self, digest: Digest) -> None:
        names = set(await self._repository.tags()) - {PRUNING}
        for tag in self.tags.keys() - names:
            del self.tags[tag]
        own = {tag for tag in self._graph.tags_of(digest) if tag in self.tags}
        moving = {tag for tag, to in self.tags.items() if self._may_move(tag, digest)}
        found: dict[Tag, Digest | None] = {}

        async def look(tag: Tag) -> None:
            manifest = await self._repository.raw_manifest(tag)
            found[tag] = manifest.digest if manifest else None

        await each(own | moving | (names - self.tags.keys()), look)
        for tag in own:
            if found[tag] not in (digest, None):
                raise ConflictError(f"the tag {tag} moved from {digest} to {found[tag]} since the plan was made")
        for tag, now in sorted(found.items()):
            if now is None:
                self.tags.pop(tag, None)
            elif now != self.tags.get(tag):
                await self._take_in(tag, now)
                self.tags[tag] = now

    def deleted(self, digest: Digest) -> None:
        """The tags of `digest` are expected to be gone from now on."""
        for tag in self._graph.tags_of(digest):
            self.tags.pop(tag, None)

    def untagged(self, tag: Tag) -> None:
        """This tag is expected to be gone from now on."""
        self.tags.pop(tag, None)

    def _may_move(self, tag: Tag, digest: Digest) -> bool:
        role = self._role(tag)
        if role is Role.ATTACHED:
            return subject_of_tag(tag) == digest
        return role.is_root and role is not Role.VERSION and not is_written_once(tag)

    def _role(self, tag: Tag) -> Role:
        if tag not in self._roles:
            self._roles[tag] = self._rules.role(tag)
        return self._roles[tag]

    async def _take_in(self, tag: Tag, digest: Digest) -> None:
        """ConflictError when the plan would take something from `digest`, or from what a new ledger entry moves."""
        crawl = Crawl(self._repository)
        await crawl.fetch([digest])
        await crawl.fetch_unread()
        named = {digest}
        for manifest in crawl.manifests.values():
            named |= {manifest.digest, *manifest.children} | ({manifest.subject} if manifest.subject else set())
        named |= await promised(self._repository, tag, self._graph.manifests)
        if needed := sorted(named & self._doomed):
            raise ConflictError(
                f"the tag {tag}, which appeared or moved since the plan was made, needs {needed[0]}, "
                "which the plan deletes"
            )
