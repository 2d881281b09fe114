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
from collections.abc import Iterable, Mapping, Sequence

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
    repo: RepositoryClient, layers: Mapping[Digest, Sequence[Descriptor]], written: Manifest | None = None
) -> None:
    """Add signatures, whose content is in the repository, to those that some images have; none of those is lost.

    Repeating it writes nothing. `written`: how another repository writes them, kept as it is where nothing else is to
    be in the list. PreconditionError when there is something else behind the tag of one.
    """
    wanted = {digest: list(those) for digest, those in layers.items()}
    kept: dict[Tag, Sequence[Descriptor]] = {}
    wrote = False

    async def attempt() -> None:
        nonlocal wrote
        while True:
            there = {digest: await signatures(repo, digest) for digest in wanted}
            if wrote or _lacking(there, wanted):
                tags = await repo.tags()
                for digest in wanted:
                    known = await _kept(repo, digest, tags, kept)
                    wanted[digest] = _joined(there[digest], wanted[digest], *known)
            if not (lacking := _lacking(there, wanted)):
                return
            for digest in lacking:
                whole = written and not _missing(written.layers, wanted[digest])
                manifest = written if written and whole else await _list(repo, wanted[digest])
                wrote = True  # also where the answer is lost
                await _write(repo, digest, manifest)

    with_all = ", ".join(repo.repository.tagged(signature_tag(digest)) for digest in wanted)
    await repo.persist(f"update of {with_all}", attempt)


async def _write(repo: RepositoryClient, digest: Digest, manifest: Manifest) -> None:
    for tag in (signed_tag(digest, manifest.digest), signature_tag(digest)):
        repo.refuse_promoted(tag)
        await repo.put_manifest(manifest, tag)


async def _kept(
    repo: RepositoryClient, digest: Digest, tags: Iterable[Tag], known: dict[Tag, Sequence[Descriptor]]
) -> list[Sequence[Descriptor]]:
    """Each list of signatures of an image that one of us has written; those `known` are not asked for again."""
    mine = [tag for tag in tags if tag.startswith(signed_tags(digest))]
    for tag in (tag for tag in mine if tag not in known):
        found = await repo.listed(tag)
        known[tag] = _layers(repo, digest, found) if tag == signed_tag(digest, found.digest) else ()
    return [known[tag] for tag in mine]


def _lacking(
    there: Mapping[Digest, Iterable[Descriptor]], wanted: Mapping[Digest, Iterable[Descriptor]]
) -> list[Digest]:
    return [digest for digest in wanted if _missing(there[digest], wanted[digest])]


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
