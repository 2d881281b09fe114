"""Images are signed for those who install them: before a tag moves, for the very reference that it makes.

A machine with the policy that `policy` prints takes a reference only to what is signed for that reference with the key
of its channel. So whoever may push can still move a tag, and no machine follows.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pipeline.domain import Channel, Digest, Repository
from pipeline.errors import PreconditionError
from pipeline.policy.plan import Desired
from pipeline.registry.client import RepositoryClient
from pipeline.registry.content import Descriptor, children, sha256
from pipeline.registry.signatures import add_signatures, signatures
from pipeline.trust.image import MEDIA_TYPE, annotated, payload, signs
from pipeline.trust.keys import PublicKey
from pipeline.world import World


async def sign_images(
    world: World, channel: Channel, desired: Sequence[Desired], sources: Mapping[str, Repository]
) -> None:
    """Sign what a command wants behind these tags of a channel, each for its tag, every platform of an index as well.

    What is signed already is not signed again, whoever did it, and signatures of others stay. `sources` says where an
    image is that has still to be copied. PreconditionError when `[trust]` asks for a signature that this command
    cannot make.
    """
    keys = await world.notary.image_keys(channel)
    if not keys:
        return
    wanted = defaultdict[tuple[Repository, Digest], list[bytes]](list)
    for wish in desired:
        there = world.registry.repository(sources.get(wish.image, wish.repository))
        for part in await parts(there, wish.digest):
            wanted[wish.repository, part].append(payload(wish.repository.tagged(wish.tag), part))
    unsigned = {
        (repository, part): missing
        for (repository, part), contents in wanted.items()
        if (missing := await unsigned_among(world.registry.repository(repository), part, contents, keys))
    }
    made = await _signatures(world, channel, [one for contents in unsigned.values() for one in contents], keys)
    for place in dict.fromkeys(repository for repository, _ in unsigned):
        target = world.registry.repository(place)
        mine = {part: contents for (repository, part), contents in unsigned.items() if repository == place}
        layers = {part: [await _layer(target, one, made[one]) for one in contents] for part, contents in mine.items()}
        await add_signatures(target, layers)


async def parts(registry: RepositoryClient, digest: Digest) -> list[Digest]:
    """An image and what its index lists: podman asks for the signatures of the platform that it takes."""
    return [digest, *(one.digest for one in children(await registry.known(digest)))]


async def unsigned_among(
    registry: RepositoryClient, digest: Digest, contents: Sequence[bytes], keys: Sequence[PublicKey]
) -> list[bytes]:
    """Of what is to be signed about an image that which none of the keys signed."""
    there = await signatures(registry, digest)
    return [
        content
        for content in dict.fromkeys(contents)
        if not any(one.digest == sha256(content) and signs(content, one.annotations, keys) for one in there)
    ]


async def _signatures(
    world: World, channel: Channel, contents: Sequence[bytes], keys: Sequence[PublicKey]
) -> dict[bytes, bytes]:
    """The signature over each; PreconditionError when none of the keys made it."""
    if not contents:
        return {}
    pen = world.notary.pen
    made = dict(zip(contents, await pen.sign(contents), strict=True)) if pen else {}
    if all(content in made and signs(content, annotated(made[content]), keys) for content in contents):
        return made
    raise PreconditionError(
        f"{len(contents)} signatures that let machines install these images by the tags of {channel} are missing, and "
        f"this command {'has another key' if pen else 'was given no key'}; expected that of {channel} ([trust] of the "
        "main branch): --signing-key and --signing-password. Nothing has moved."
    )


async def _layer(registry: RepositoryClient, content: bytes, signature: bytes) -> Descriptor:
    return (await registry.push_blob(content, MEDIA_TYPE)).with_annotations(annotated(signature))
