"""`python -m pipeline.image.oci_layout`: an image of a registry as files, for a guest that is to reach no registry.

The layout (OCI image layout 1.1) has the manifest under a tag, the image of one platform below it, all its blobs, and
cosign's signatures of both where there are any, in its older and newer form: the guest's own policy has to find them.
"""

import argparse
import json
import sys
from pathlib import Path

import anyio
from pydantic import BaseModel

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import PipelineError, PreconditionError
from pipeline.registry import media
from pipeline.registry.artifacts import index_of
from pipeline.registry.attached import referrers_tag, signature_tag
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.content import Descriptor, Manifest
from pipeline.registry.credentials import Credentials
from pipeline.vm.relay import REF_NAME


class Written(BaseModel):
    """What the layout holds."""

    digests: list[Digest]
    """The manifest, and the platform's image when it is an index: bootc may name either."""
    size: int
    """Bytes of all blobs."""
    oci: bool = True
    """Whether all of it is of OCI's types: skopeo finds nothing else in a layout."""


async def write_layout(repo: RepositoryClient, digest: Digest, platform: str, tag: Tag, folder: Path) -> Written:
    """Write the image behind `digest`, for `platform` (`linux/amd64`), into an empty folder, named `tag`.

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
    await _fetch(repo, list(wanted.values()), blobs)
    listed = [named.descriptor.with_annotations({REF_NAME: name}).to_json() for name, named in names.items()]
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": listed}))
    (folder / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    digests = list(dict.fromkeys((top.digest, image.digest)))
    oci = {top.media_type, image.media_type} <= {media.OCI_MANIFEST, media.OCI_INDEX}
    return Written(digests=digests, size=sum(blob.size for blob in wanted.values()), oci=oci)


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


async def _run(given: argparse.Namespace) -> Written:
    credentials = Credentials.parse(given.auth_file.read_text()) if given.auth_file else None
    repository: Repository = given.repository
    plain_http = {repository.host} if given.plain_http else frozenset[str]()
    async with RegistryClient(credentials, plain_http=plain_http) as client:
        return await write_layout(client.repository(repository), given.digest, given.platform, given.tag, given.path)


def main() -> int:
    """Print one line of JSON, what was written; or one paragraph on stderr and the outcome's exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.image.oci_layout", description=__doc__)
    parser.add_argument("--repository", type=Repository.parse, required=True, help="ghcr.io/owner/image")
    parser.add_argument("--digest", type=Digest, required=True, help="the image, or an index of images")
    parser.add_argument("--platform", default="linux/amd64", help="which image of an index (default: %(default)s)")
    parser.add_argument("--tag", type=Tag, required=True, help="the tag that the layout gives it")
    parser.add_argument("--path", type=Path, required=True, help="an empty folder, or one to be made")
    parser.add_argument("--plain-http", action="store_true", help="speak to the registry without TLS")
    parser.add_argument("--auth-file", type=Path, help="docker config.json with the login")
    try:
        written = anyio.run(_run, parser.parse_args())
    except PipelineError as error:
        print(error, file=sys.stderr)
        return error.outcome.exit_code
    print(written.model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
