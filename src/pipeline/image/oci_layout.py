"""`python -m pipeline.image.oci_layout`: an image of a registry as files, and meanwhile into containers storage.

The files are for a guest that is to reach no registry. The layout (OCI image layout 1.1) has the manifest under a tag,
the image of one platform below it, all its blobs, and cosign's signatures of both where there are any, in its older and
newer form: the guest's own policy has to find them.
"""

import argparse
import json
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from pydantic import BaseModel

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import PipelineError, PreconditionError
from pipeline.image.arriving import Arriving, load
from pipeline.program import ended
from pipeline.registry import media
from pipeline.registry.artifacts import index_of
from pipeline.registry.attached import referrers_tag, signature_tag
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.content import Descriptor, Manifest
from pipeline.registry.credentials import Credentials
from pipeline.vm.relay import REF_NAME, Layout

_MARK = "oci-layout"
"""Written last: what has it is whole."""
_LOADING = 3 * 3600.0
"""Seconds for fetching and unpacking."""


class Written(BaseModel):
    """What the layout holds."""

    digests: list[Digest]
    """The manifest, and the platform's image when it is an index: bootc may name either."""
    size: int
    """Bytes of all blobs."""


@dataclass(frozen=True)
class Begun:
    """A layout with all manifests in place."""

    folder: Path
    digests: list[Digest]
    blobs: list[Descriptor]
    """What they lead to, which is still to come."""

    @property
    def sizes(self) -> dict[Digest, int]:
        """Bytes of each blob."""
        return {blob.digest: blob.size for blob in self.blobs}


async def write_layout(repo: RepositoryClient, digest: Digest, platform: str, tag: Tag, folder: Path) -> Written:
    """All of it: see `begin_layout` and `finish_layout`."""
    return await finish_layout(repo, await begin_layout(repo, digest, platform, tag, folder))


async def begin_layout(repo: RepositoryClient, digest: Digest, platform: str, tag: Tag, folder: Path) -> Begun:
    """Write the manifests behind `digest`, for `platform` (`linux/amd64`), into an empty folder, named `tag`.

    Every byte is verified. Raises PreconditionError when it is not there or has no such platform.
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    top = await _there(repo, digest)
    image = await _there(repo, await _of_platform(repo, top, platform))
    names, bundles = {str(tag): top}, list[Manifest]()
    for signed in {top.digest, image.digest}:
        if signature := await repo.manifest(name := signature_tag(signed)):
            names[name] = signature
        if attached := await repo.referrers(signed, media.BUNDLE):
            names[referrers_tag(signed)] = index_of([one.to_json() for one in attached])
            bundles += [await _there(repo, one.digest) for one in attached]
    manifests = {manifest.digest: manifest for manifest in (image, *names.values(), *bundles)}
    for manifest in manifests.values():
        await anyio.Path(blobs / manifest.digest.hex).write_bytes(manifest.raw)
    wanted = {blob.digest: blob for one in manifests.values() if not one.is_index for blob in (one.config, *one.layers)}
    listed = [named.descriptor.with_annotations({REF_NAME: name}).to_json() for name, named in names.items()]
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": listed}))
    digests = list(dict.fromkeys((top.digest, image.digest)))
    return Begun(folder, digests, list(wanted.values()))


async def finish_layout(repo: RepositoryClient, begun: Begun) -> Written:
    """Fetch all blobs, verified; raises what a registry's answers mean."""
    await _fetch(repo, begun.blobs, begun.folder / "blobs" / "sha256")
    (begun.folder / _MARK).write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    return Written(digests=begun.digests, size=sum(begun.sizes.values()))


async def _of_platform(repo: RepositoryClient, top: Manifest, platform: str) -> Digest:
    if not top.is_index:
        return top.digest
    images = await repo.platforms(top.digest)
    for name, digest in images.items():
        if name == platform or name.startswith(f"{platform}/"):  # linux/arm64/v8
            return digest
    raise PreconditionError(
        f"{repo.repository.at(top.digest)} has no image for {platform}; it has {', '.join(sorted(images))}"
    )


async def _there(repo: RepositoryClient, digest: Digest) -> Manifest:
    found = await repo.manifest(digest)
    if found is None:
        raise PreconditionError(f"{repo.repository} holds no {digest}; expected the candidate")
    return found


async def _fetch(repo: RepositoryClient, wanted: list[Descriptor], folder: Path) -> None:
    """All of them at once, as many as the client allows; the first failure ends it."""
    failures: list[PipelineError] = []

    async def fetch(blob: Descriptor) -> None:
        try:
            await repo.fetch_file(blob.digest, folder / blob.digest.hex, size=blob.size)
        except PipelineError as error:
            failures.append(error)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for blob in wanted:
            group.start_soon(fetch, blob)
    if failures:
        raise failures[0]


async def _run(given: argparse.Namespace) -> Written | None:
    if given.load and (given.path / _MARK).exists():
        await load(Layout(given.path), given.tag, given.load, given.platform, deadline=_LOADING)
        return None
    credentials = Credentials.parse(given.auth_file.read_text()) if given.auth_file else None
    repository: Repository = given.repository
    plain_http = {repository.host} if given.plain_http else frozenset[str]()
    async with RegistryClient(credentials, plain_http=plain_http) as client:
        repo, what = client.repository(repository), (given.digest, given.platform, given.tag, given.path)
        if given.load:
            return await _both(repo, await begin_layout(repo, *what), given)
        return await write_layout(repo, *what)


async def _both(repo: RepositoryClient, begun: Begun, given: argparse.Namespace) -> Written:
    """Fetch and load at once; what cannot be fetched ends the loading.

    A load that fails, as it does when bytes came wrong at first, is tried once more from the whole layout.
    """
    written, failures, failed = list[Written](), list[PipelineError](), False

    async def fetch() -> None:
        try:
            written.append(await finish_layout(repo, begun))
        except PipelineError as error:
            failures.append(error)
            group.cancel_scope.cancel()

    put = partial(load, tag=given.tag, name=given.load, platform=given.platform, deadline=_LOADING)
    async with anyio.create_task_group() as group:
        group.start_soon(fetch)
        try:
            await put(Arriving(begun.folder, begun.sizes))
        except PipelineError:
            failed = True
    if failures:
        raise failures[0]
    if failed:
        await put(Layout(begun.folder))
    return written[0]


def main() -> int:
    """Print one line of JSON, what was written; or one paragraph on stderr and the outcome's exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.image.oci_layout", description=__doc__)
    parser.add_argument("--repository", type=Repository.parse, help="ghcr.io/owner/image")
    parser.add_argument("--digest", type=Digest, help="the image, or an index of images")
    parser.add_argument("--platform", default="linux/amd64", help="which image of an index (default: %(default)s)")
    parser.add_argument("--tag", type=Tag, required=True, help="the tag that the layout gives it")
    parser.add_argument(
        "--path", type=Path, required=True, help="an empty folder, or one to be made; with --load a whole layout"
    )
    parser.add_argument("--load", metavar="NAME", help="put it into containers storage under this name, too")
    parser.add_argument("--plain-http", action="store_true", help="speak to the registry without TLS")
    parser.add_argument("--auth-file", type=Path, help="docker config.json with the login")
    given = parser.parse_args()
    if not (given.repository and given.digest) and not (given.path / _MARK).exists():
        parser.error("expected --repository and --digest of what is to be fetched")
    return ended(lambda: written.model_dump_json() if (written := anyio.run(_run, given)) else "")


if __name__ == "__main__":
    sys.exit(main())
