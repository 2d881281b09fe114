"""Signed statements where other tools look for them: attached to the image as cosign attaches its own.

Source: cosign, specs/BUNDLE_SPEC.md. Nothing here reads them: what counts lies with the evidence and the ledger.
"""

from pipeline.domain import Digest
from pipeline.registry import media
from pipeline.registry.artifacts import artifact
from pipeline.registry.client import RepositoryClient
from pipeline.registry.content import Descriptor


async def show_to_others(repo: RepositoryClient, digest: Digest, bundle: Descriptor) -> None:
    """Attach a bundle, whose blob is there, to what its statement is about."""
    if subject := await repo.known(digest):
        await repo.push_manifest(artifact(media.BUNDLE, [bundle], subject=subject.descriptor))
