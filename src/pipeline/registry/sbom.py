"""What an image is made of, attached to it: an SPDX document, and a signed statement that holds the same.

Both are for others: the document as an artifact of its own type (`oras discover`), the statement as cosign attaches its
own. What our commands compare lies with the evidence.
"""

import json

from pipeline.domain import Channel, Digest
from pipeline.errors import PreconditionError
from pipeline.registry import media
from pipeline.registry.artifacts import artifact
from pipeline.registry.client import RepositoryClient
from pipeline.registry.content import Descriptor
from pipeline.registry.shown import show_to_others
from pipeline.trust import statement as in_toto


async def attach_sbom(repo: RepositoryClient, digest: Digest, document: bytes) -> None:
    """Attach the SPDX document of an image to its digest, signed where the command can; once, however often asked.

    InfrastructureError when the signature cannot be had: the same call again finishes it. PreconditionError when it
    would not count as one of the next gate's, and when `digest` is not there.
    """
    subject = await repo.known(digest)
    if subject is None:
        raise PreconditionError(f"{repo.repository} holds no {digest}; expected the image that the SBOM is of")
    bill = artifact(media.SPDX, [Descriptor.of(document, media.SPDX)], subject=subject.descriptor)
    if bill.digest in [one.digest for one in await repo.referrers(digest, media.SPDX)]:
        return
    said = in_toto.of_others([in_toto.Subject(str(repo.repository), digest)], in_toto.SPDX, json.loads(document))
    if bundle := await repo.notary.signed(Channel.NEXT, said):
        await show_to_others(repo, digest, await repo.push_blob(bundle, media.BUNDLE))
    await repo.push_blob(document, media.SPDX)
    await repo.push_empty()
    await repo.push_manifest(bill)
