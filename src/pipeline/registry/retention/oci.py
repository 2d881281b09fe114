"""Any registry that follows the OCI distribution specification 1.1: DELETE by digest, and by tag where supported."""

import secrets

from pipeline.domain import Digest, Tag
from pipeline.errors import PreconditionError
from pipeline.policy.names import PROBES
from pipeline.registry.client import RepositoryClient
from pipeline.registry.retention.driver import Done, Result, Snapshot


class OciDriver:
    """It lists tags only: manifests without a tag are found where something leads to them."""

    name = "oci"
    can_untag = True

    def __init__(self, repository: RepositoryClient) -> None:
        self._repository = repository
        self._untags: bool | None = None

    async def snapshot(self) -> Snapshot:
        """Tags by name."""
        return Snapshot(tags=dict.fromkeys(await self._repository.tags()))

    async def delete(self, digest: Digest, tags: tuple[Tag, ...]) -> Result:
        """Delete by digest; then the tags where the registry did not take them along.

        Distribution specification, "Deleting manifests": all tags go with it, but some registries keep them.
        """
        deleted = await self._repository.delete(digest)
        for tag in tags:
            if await _points_at(self._repository, tag) == digest:
                await self._repository.delete(tag)
        return Result(Done.DELETED if deleted else Done.GONE)

    async def untag(self, tag: Tag, digest: Digest) -> Result:  # noqa: ARG002 - part of the protocol
        """Delete by tag, once it has been seen that this registry then leaves the manifest alone."""
        if self._untags is None:
            self._untags = await self._tries_untagging()
        if not self._untags:
            return Result(Done.SKIPPED, "this registry cannot untag")
        deleted = await self._repository.delete(tag)
        return Result(Done.DELETED if deleted else Done.GONE)

    async def _tries_untagging(self) -> bool:
        """Try it on an artifact of our own: some registries refuse, others delete the manifest with all its tags.

        Its tags are looked for in the list: an answer to a tag that was deleted may be an old one.
        """
        kept, removed = PROBES
        note = {"vnd.bootc-pipeline.probe": secrets.token_hex(8)}
        for tag in (kept, removed):
            probe = await self._repository.push_artifact(
                "application/vnd.bootc-pipeline.probe.v1", [], annotations=note, tag=tag
            )
        try:
            await self._repository.delete(removed)
        except PreconditionError:
            return False
        else:
            whole = await self._repository.raw_manifest(probe.digest)
            return whole is not None and {kept, removed} & set(await self._repository.tags()) == {kept}
        finally:
            await self._repository.delete(probe.digest)
            for tag in {kept, removed} & set(await self._repository.tags()):
                await self._repository.delete(tag)


async def _points_at(repository: RepositoryClient, tag: Tag) -> Digest | None:
    found = await repository.raw_manifest(tag)
    return found.digest if found else None
