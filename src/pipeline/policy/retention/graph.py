"""What a repository holds and what points at what."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Self

from pipeline.domain import Digest, Tag
from pipeline.policy.attached import subject_of_tag

INDEX_TYPES = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)
IMAGE_TYPES = frozenset(
    {
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    }
)
ARTIFACT_TYPE = "application/vnd.oci.artifact.manifest.v1+json"
IMAGE_CONFIG_TYPES = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    }
)
CREATED = "org.opencontainers.image.created"

_SOME_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}", re.IGNORECASE)
_REPRODUCIBLE_EPOCH = datetime(1990, 1, 1, tzinfo=UTC)


class Kind(StrEnum):
    """What a manifest is, as far as retention has to know."""

    INDEX = "index"
    IMAGE = "image"
    ARTIFACT = "artifact"
    UNKNOWN = "unknown"


class Blob(NamedTuple):
    """A layer or configuration: any digest, bytes."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """One manifest: what it is and what it names. Sizes in bytes."""

    digest: Digest
    media_type: str
    kind: Kind
    size: int = 0
    children: tuple[Digest, ...] = ()
    """The manifests of an index; for an unknown kind, every digest that occurs in it."""
    listed: tuple["Listed", ...] = ()
    """What an index says of its children."""
    subject: Digest | None = None
    blobs: tuple[Blob, ...] = ()
    """The configuration first, then the layers."""
    created: datetime | None = None
    unread: bool = False
    """Known only by what an index says of it: an image for one platform, below which there is no other manifest."""

    @property
    def config(self) -> Digest | None:
        """The configuration of an image, which may know when it was created."""
        if self.kind is not Kind.IMAGE or not self.blobs or not self.blobs[0].digest.startswith("sha256:"):
            return None
        return Digest(self.blobs[0].digest)


class Listed(NamedTuple):
    """A child as its index describes it."""

    digest: Digest
    media_type: str
    size: int
    is_image: bool
    """An image for one platform: reading it tells its layers and its date, and leads to no other manifest."""

    def unread(self) -> Manifest:
        """The child as far as it is known without reading it."""
        return Manifest(self.digest, self.media_type, Kind.IMAGE, self.size, unread=True)


class Edge(NamedTuple):
    """A manifest that another one leads to, and how (read as: *is `how`* the other)."""

    to: Digest
    how: str


class UnsupportedDigest(ValueError):
    """A manifest is addressed by something other than sha256, so what it reaches cannot be followed."""


def read_manifest(digest: Digest, media_type: str, content: bytes) -> Manifest:
    """Read what a registry answered for `digest`.

    What is not understood (unknown media type, no JSON, fields of a wrong shape) becomes Kind.UNKNOWN, whose children
    are all digests that occur in it: retention never deletes it nor anything it may refer to.
    Raises UnsupportedDigest for children or a subject that are not addressed by sha256.
    Fields: OCI image specification 1.1, image manifest and image index.
    """
    try:
        return _read(digest, media_type, content)
    except UnsupportedDigest:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
        mentioned = {Digest(found.decode().lower()) for found in _SOME_DIGEST.findall(content)} - {digest}
        return Manifest(digest, media_type, Kind.UNKNOWN, len(content), tuple(sorted(mentioned)))


def read_time(text: object) -> datetime | None:
    """Read an RFC 3339 time; None for anything else and for the fixed early dates of reproducible builds."""
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return time if time > _REPRODUCIBLE_EPOCH else None


@dataclass(frozen=True)
class Graph:
    """A repository as it was listed."""

    manifests: Mapping[Digest, Manifest]
    tags: Mapping[Tag, Digest]
    pushed: Mapping[Digest, datetime] = field(default_factory=dict)
    """When a manifest was pushed, where the registry tells it."""
    stable_histories: tuple[tuple[Digest, ...], ...] = ()
    """What the stable channel of each image pointed at, newest first, from its ledger."""
    leftovers: frozenset[Digest] = frozenset()
    """What an earlier run had planned to delete when it was interrupted."""

    def without(self, gone: Collection[Digest]) -> Self:
        """The repository after these manifests, and with them their tags, have been deleted."""
        return replace(
            self,
            manifests={digest: manifest for digest, manifest in self.manifests.items() if digest not in gone},
            tags={tag: digest for tag, digest in self.tags.items() if digest not in gone},
        )

    def owned(self, digest: Digest) -> Iterator[Edge]:
        """What is there only for this manifest: its children, and what refers to it."""
        manifest = self.manifests.get(digest)
        if manifest:
            for child in manifest.children:
                yield Edge(child, "part of" if manifest.kind is Kind.INDEX else "mentioned by")
        for referrer in self._referrers.get(digest, ()):
            yield Edge(referrer, "referrer of")
        for tag, attached in self._attached.get(digest, ()):
            yield Edge(attached, f"attached by tag {tag} to")

    def needed(self, digest: Digest) -> Iterator[Edge]:
        """All that must stay when this manifest stays: what it owns, and its subject."""
        yield from self.owned(digest)
        manifest = self.manifests.get(digest)
        if manifest and manifest.subject:
            yield Edge(manifest.subject, "subject of")

    def reached(
        self, starts: Iterable[Digest], edges: Callable[[Digest], Iterable[Edge]]
    ) -> dict[Digest, tuple[Edge, Digest] | None]:
        """All present manifests that the starts lead to, each with the first step that led there (None: a start)."""
        found: dict[Digest, tuple[Edge, Digest] | None] = {start: None for start in starts if start in self.manifests}
        queue = list(found)
        for digest in queue:
            for edge in edges(digest):
                if edge.to in self.manifests and edge.to not in found:
                    found[edge.to] = (edge, digest)
                    queue.append(edge.to)
        return found

    def time(self, digest: Digest) -> datetime | None:
        """When it was pushed, else created; of an index that does not say, when its youngest child was; else None."""
        return self._time(digest, frozenset())

    def _time(self, digest: Digest, above: frozenset[Digest]) -> datetime | None:
        manifest = self.manifests.get(digest)
        own = self.pushed.get(digest) or (manifest and manifest.created)
        if own or not manifest or manifest.kind is not Kind.INDEX or digest in above:
            return own or None
        times = [self._time(child, above | {digest}) for child in manifest.children]
        return max((time for time in times if time), default=None)

    def tags_of(self, digest: Digest) -> tuple[Tag, ...]:
        """The tags that point straight at it."""
        return self._tags_of.get(digest, ())

    def stands_alone(self, digest: Digest) -> bool:
        """Whether no manifest that is present contains it and it refers to none."""
        manifest = self.manifests[digest]
        subjects = [manifest.subject, *(subject_of_tag(tag) for tag in self.tags_of(digest))]
        return digest not in self._contained and not any(subject in self.manifests for subject in subjects if subject)

    @cached_property
    def _tags_of(self) -> dict[Digest, tuple[Tag, ...]]:
        tags = defaultdict(list)
        for tag in sorted(self.tags):
            tags[self.tags[tag]].append(tag)
        return {digest: tuple(names) for digest, names in tags.items()}

    @cached_property
    def _referrers(self) -> dict[Digest, list[Digest]]:
        found = defaultdict(list)
        for manifest in self.manifests.values():
            if manifest.subject:
                found[manifest.subject].append(manifest.digest)
        return found

    @cached_property
    def _attached(self) -> dict[Digest, list[tuple[Tag, Digest]]]:
        found = defaultdict(list)
        for tag, digest in self.tags.items():
            if subject := subject_of_tag(tag):
                found[subject].append((tag, digest))
        return found

    @cached_property
    def _contained(self) -> frozenset[Digest]:
        return frozenset(child for manifest in self.manifests.values() for child in manifest.children)


def _read(digest: Digest, media_type: str, content: bytes) -> Manifest:
    document: dict[str, Any] = json.loads(content.decode())
    media_type = document.get("mediaType") or media_type
    annotations: dict[str, str] = document.get("annotations") or {}
    common: dict[str, Any] = {
        "size": len(content),
        "subject": _manifest_digest(document["subject"]) if document.get("subject") else None,
        "created": read_time(annotations.get(CREATED)),
    }
    if media_type in INDEX_TYPES:
        listed = tuple(_listed(entry) for entry in document.get("manifests") or [])
        children = tuple(dict.fromkeys(child.digest for child in listed))
        return Manifest(digest, media_type, Kind.INDEX, children=children, listed=listed, **common)
    if media_type in IMAGE_TYPES:
        config = document["config"]
        is_image = config["mediaType"] in IMAGE_CONFIG_TYPES and not document.get("artifactType")
        blobs = tuple(_blob(entry) for entry in [config, *(document.get("layers") or [])])
        kind = Kind.IMAGE if is_image else Kind.ARTIFACT
        if config["digest"].startswith("sha256:"):
            Digest(config["digest"])  # refuses a broken one
        return Manifest(digest, media_type, kind, blobs=blobs, **common)
    if media_type == ARTIFACT_TYPE:
        blobs = tuple(_blob(entry) for entry in document.get("blobs") or [])
        return Manifest(digest, media_type, Kind.ARTIFACT, blobs=blobs, **common)
    raise ValueError(f"unknown media type {media_type}")


def _manifest_digest(descriptor: dict[str, str]) -> Digest:
    text = descriptor["digest"]
    if not text.startswith("sha256:"):
        raise UnsupportedDigest(f"the manifest {text} is not addressed by sha256")
    return Digest(text)


def _listed(descriptor: dict[str, Any]) -> Listed:
    kind = str(descriptor.get("mediaType"))
    is_image = kind in IMAGE_TYPES and bool(descriptor.get("platform")) and not descriptor.get("artifactType")
    return Listed(_manifest_digest(descriptor), kind, int(descriptor.get("size") or 0), is_image)


def _blob(descriptor: dict[str, Any]) -> Blob:
    return _one_blob(str(descriptor["digest"]), int(descriptor["size"]))


@lru_cache(maxsize=4096)
def _one_blob(digest: str, size: int) -> Blob:
    """The same object for the same layer: thousands of images share theirs."""
    return Blob(digest, size)
