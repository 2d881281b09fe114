"""The signatures of an image, behind the tag where podman, skopeo, bootc and cosign look for them: `sha256-<hex>.sig`.

That is one manifest with a layer for each signature, and several write it: we for each reference that an image may be
installed by, the image's own build, people with cosign. Whoever adds one writes the whole list, a registry cannot
compare and swap, and so the last writer would win. Therefore each list that we write lies behind a tag of its own, too,
which is written once, and before the other one:

    pipeline-signed-SUBJECT-DIGEST

After writing `.sig`, each of our writers reads it again together with all of these: what is in any of them, and was
overwritten by whoever is slow, is put there again. So nothing is lost that one of our commands has acknowledged or ever
saw. cosign looks at nothing again: what it writes in the very moment between our reading and our writing is lost if we
have never seen it, and ours, which it overwrites, comes back with the next command that signs the image or one of ours.

What signatures are worth is not known here: see `pipeline.trust`.
"""

import json
from collections.abc import Iterable, Sequence

from pipeline.domain import Digest, Tag
from pipeline.errors import PreconditionError
from pipeline.registry import media
from pipeline.registry.attached import signature_tag, signed_tag, signed_tags
from pipeline.registry.client import RepositoryClient
from pipeline.registry.content import Descriptor, Manifest

_CONFIG = "application/vnd.oci.image.config.v1+json"


async def signatures(repo: RepositoryClient, digest: Digest) -> list[Descriptor]:
    """The layers that sign an image: signed content by its digest, the signature in the annotations.

    PreconditionError for something else behind that tag.
    """
    return _layers(repo, digest, await repo.manifest(signature_tag(digest)))


async def add_signatures(
    repo: RepositoryClient, digest: Digest, layers: Sequence[Descriptor], written: Manifest | None = None
) -> None:
    """Add signatures, whose content is in the repository, to those that an image has; none of those is lost.

    Repeating it writes nothing. `written`: how another repository writes them, kept as it is where nothing else is to
    be in the list. PreconditionError when there is something else behind the tag.
    """
    tag = signature_tag(digest)
    repo.refuse_promoted(tag)
    wanted, wrote = list(layers), False
    kept: dict[Tag, Sequence[Descriptor]] = {}

    async def attempt() -> None:
        nonlocal wanted, wrote
        while True:
            there = await signatures(repo, digest)
            if wrote or _missing(there, wanted):
                wanted = _joined(there, wanted, *await _kept(repo, digest, kept))
            if not _missing(there, wanted):
                return
            manifest = written if written and not _missing(written.layers, wanted) else await _list(repo, wanted)
            await repo.put_manifest(manifest, signed_tag(digest, manifest.digest))
            wrote = True
            await repo.put_manifest(manifest, tag)

    await repo.persist(f"update of {repo.repository.tagged(tag)}", attempt)


async def _kept(
    repo: RepositoryClient, digest: Digest, known: dict[Tag, Sequence[Descriptor]]
) -> Iterable[Sequence[Descriptor]]:
    """Each list of signatures that one of us has written; those `known` are not asked for again."""
    begins = signed_tags(digest)
    for tag in (tag for tag in await repo.tags() if tag.startswith(begins) and tag not in known):
        found = await repo.listed(tag)
        known[tag] = _layers(repo, digest, found) if tag == signed_tag(digest, found.digest) else ()
    return known.values()


def _layers(repo: RepositoryClient, digest: Digest, found: Manifest | None) -> list[Descriptor]:
    if found is None:
        return []
    try:
        if not found.is_index:
            return found.layers
        what = "an index"
    except ValueError as error:
        what = f"none ({error})"
    raise PreconditionError(
        f"{repo.repository.tagged(signature_tag(digest))} is {what}; expected a list of signatures as cosign writes "
        "it. Find out who wrote it, and delete it. Nothing was overwritten; nothing has moved."
    )


def _joined(*lists: Iterable[Descriptor]) -> list[Descriptor]:
    """All of them once; the same content may be signed by several."""
    return list({_name(one): one for some in lists for one in some}.values())


def _missing(there: Iterable[Descriptor], wanted: Iterable[Descriptor]) -> bool:
    return not {_name(one) for one in wanted} <= {_name(one) for one in there}


def _name(layer: Descriptor) -> tuple[Digest, frozenset[tuple[str, str]]]:
    return layer.digest, frozenset(layer.annotations.items())


async def _list(repo: RepositoryClient, layers: Sequence[Descriptor]) -> Manifest:
    """The manifest in the form of cosign's: an image whose layers are what is signed."""
    config = {
        "architecture": "",
        "config": {},
        "os": "",
        "rootfs": {"type": "layers", "diff_ids": [str(layer.digest) for layer in layers]},
    }
    stored = await repo.push_blob(json.dumps(config, sort_keys=True, separators=(",", ":")).encode(), _CONFIG)
    return Manifest.of(
        {
            "schemaVersion": 2,
            "mediaType": media.OCI_MANIFEST,
            "config": stored.model_copy(update={"data": None}).to_json(),
            "layers": [layer.model_copy(update={"data": None}).to_json() for layer in layers],
        }
    )
