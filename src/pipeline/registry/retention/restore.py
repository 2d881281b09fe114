"""The restore list: written before anything is deleted, kept for ever, and how it is put back."""

from collections.abc import Iterable, Sequence
from functools import partial

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from pipeline.domain import Digest, Outcome, Tag
from pipeline.errors import PipelineError, PreconditionError
from pipeline.policy.names import PRUNED
from pipeline.policy.retention.graph import read_manifest
from pipeline.registry.client import RepositoryClient
from pipeline.registry.content import Manifest, sha256
from pipeline.registry.retention.report import Deleted

LIST = "application/vnd.bootc-pipeline.restore.v1+json"


class Untagged(BaseModel):
    """A tag that was taken from a digest which stayed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tag: Tag
    digest: Digest


class RestoreList(BaseModel):
    """What one prune was about to delete: all of it, also where the run ended before its end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: str
    at: AwareDatetime
    manifests: tuple[Deleted, ...]
    """In the order of deletion; to be pushed again from its end."""
    untagged: tuple[Untagged, ...] = ()


class Restored(BaseModel):
    """What came back."""

    repository: str
    outcome: Outcome = Outcome.PASSED
    reason: str = ""
    back: list[Digest] = []
    tags: list[Tag] = []
    there: list[Digest] = []
    """Were there, all of them with their tags."""
    gone: dict[Digest, str] = {}
    """What the registry has no parts of any more, with the reason."""
    taken: list[Tag] = []
    """Tags that point elsewhere by now; they stay."""

    def text(self) -> str:
        """For a terminal."""
        lines = [
            f"{self.repository}: {len(self.back)} manifests and {len(self.tags)} tags are back, {len(self.there)} "
            f"were there, {len(self.gone)} cannot come back",
            *(f"  gone {digest.short}: {why}" for digest, why in self.gone.items()),
            *(f"  the tag {tag} points elsewhere by now and stays" for tag in self.taken),
            f"{self.outcome.value}: {self.reason}",
        ]
        return "\n".join(lines)


async def store_list(repository: RepositoryClient, made: RestoreList) -> Tag:
    """Put the list into the registry under a tag of its own; the tag."""
    layer = await repository.push_blob(made.model_dump_json().encode(), LIST)
    tag = Tag(f"{PRUNED}{layer.digest.short}")
    await repository.push_artifact(LIST, [layer], tag=tag)
    return tag


async def list_tags(repository: RepositoryClient) -> list[Tag]:
    """The tags of all restore lists of a repository."""
    return [tag for tag in await repository.tags() if tag.startswith(PRUNED)]


async def read_list(repository: RepositoryClient, tag: Tag) -> RestoreList:
    """PreconditionError when there is no such list, or it is none that prune wrote."""
    manifest = await repository.manifest(tag)
    if manifest is None or not tag.startswith(PRUNED):
        raise PreconditionError(
            f"{repository.repository} has no restore list {tag}; expected one that prune wrote ({PRUNED}…). "
            "Run restore without a tag to see them."
        )
    try:
        (layer,) = manifest.layers
        found = RestoreList.model_validate_json(await repository.content(layer))
    except (ValueError, ValidationError) as error:
        raise PreconditionError(
            f"{repository.repository}:{tag} is not a restore list of prune: {error}. Somebody else wrote to this tag."
        ) from error
    if wrong := [one.digest for one in found.manifests if sha256(one.manifest.encode()) != one.digest]:
        raise PreconditionError(f"{repository.repository}:{tag} holds other bytes than {wrong[0]}: it was changed.")
    return found


async def pruned_before(repository: RepositoryClient) -> frozenset[Digest]:
    """Everything that a prune of this repository ever put on a list."""
    return frozenset(
        [one.digest for tag in await list_tags(repository) for one in (await read_list(repository, tag)).manifests]
    )


async def restore(
    repository: RepositoryClient, manifests: Sequence[Deleted], untagged: Iterable[Untagged] = ()
) -> Restored:
    """Push manifests from a restore list again, with their tags; said again, it changes nothing.

    A manifest stays away when the registry has collected something that it names. Tags that point elsewhere by now
    stay there. An error ends it: the answer then holds what came back, and the next run finishes.
    """
    done = Restored(repository=str(repository.repository))
    try:
        for one in reversed(manifests):
            await _restore(repository, one, done)
        for tag in untagged:
            if found := await repository.raw_manifest(tag.digest):
                await _tag(repository, found, tag.tag, done)
            else:
                done.gone[tag.digest] = "it was to stay, and did not"
    except PipelineError as error:
        done.outcome = Outcome.PARTIAL if done.back or done.tags else error.outcome
        done.reason = f"stopped after {len(done.back)} of {len(manifests)} manifests: {error}"
        return done
    if done.gone:
        done.outcome, done.reason = Outcome.PRECONDITION, "the rest is gone for good; build it again if it is needed"
    elif done.back or done.tags:
        done.reason = "everything is back; name it in keep_tags of [retention], or the next prune plans the same again"
    else:
        done.outcome, done.reason = Outcome.UNCHANGED, "everything was there"
    return done


async def _restore(repository: RepositoryClient, one: Deleted, done: Restored) -> None:
    manifest = Manifest(one.digest, one.media_type, one.manifest.encode())
    if await repository.raw_manifest(one.digest):
        done.there.append(one.digest)
    elif why := await _lacks(repository, manifest, done):
        done.gone[one.digest] = why
        return
    else:
        await repository.persist(f"restore {one.digest}", partial(repository.put_manifest, manifest, one.digest))
        done.back.append(one.digest)
    for tag in one.tags:
        await _tag(repository, manifest, tag, done)


async def _lacks(repository: RepositoryClient, manifest: Manifest, done: Restored) -> str:
    """What the registry has no more of it; empty when it can be pushed."""
    found = read_manifest(manifest.digest, manifest.media_type, manifest.raw)
    for child in found.children:
        if child in done.gone:
            return f"{child.short}, a part of it, is gone"
    for blob in found.blobs:
        if blob.digest.startswith("sha256:") and not await repository.has_blob(Digest(blob.digest)):
            return f"the registry has collected its blob {blob.digest}"
    return ""


async def _tag(repository: RepositoryClient, manifest: Manifest, tag: Tag, done: Restored) -> None:
    try:
        repository.refuse_promoted(tag)
    except ValueError as error:
        done.gone[manifest.digest] = str(error)
        return
    found = await repository.raw_manifest(tag)
    if found is None:
        await repository.persist(f"restore {tag}", partial(repository.put_manifest, manifest, tag))
        done.tags.append(tag)
    elif found.digest != manifest.digest:
        done.taken.append(tag)
