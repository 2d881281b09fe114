"""Content-addressed things: descriptors and manifests (OCI image specification 1.1)."""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from pipeline.domain import Digest, usual_platform
from pipeline.errors import PreconditionError
from pipeline.registry import media

EMBEDDED = 16 * 1024
"""Bytes up to which a descriptor carries its content itself, so that reading it costs no request of its own."""


def sha256(data: bytes) -> Digest:
    """The address of `data`."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def parse_json(raw: bytes | str) -> Any:
    """Read what came from outside; ValueError for what is no JSON, also for what is nested too deeply."""
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("JSON that is nested too deeply") from None


class Platform(BaseModel):
    """What a manifest inside an index is for; written as `linux/amd64` or `linux/arm/v7`, in one spelling.

    Which of several it is says `usual_platform`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    os: str
    architecture: str
    variant: str | None = None

    def __str__(self) -> str:
        return usual_platform("/".join(part for part in (self.os, self.architecture, self.variant) if part))


class Descriptor(BaseModel):
    """What points at content: its type, address and size, and what else is known of it."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)

    media_type: str
    digest: Digest
    size: int = Field(ge=0, lt=1 << 63)
    artifact_type: str | None = None
    platform: Platform | None = None
    annotations: dict[str, str] = {}
    data: str | None = Field(default=None, repr=False)
    """The content itself in base64, when it is small."""

    @field_validator("annotations", mode="before")
    @classmethod
    def _none(cls, value: object) -> object:
        """Some tools write `null` for none."""
        return {} if value is None else value

    @classmethod
    def of(cls, data: bytes, media_type: str) -> Self:
        """Describe `data`, carrying it along when it is small."""
        embedded = base64.b64encode(data).decode() if len(data) <= EMBEDDED else None
        return cls(media_type=media_type, digest=sha256(data), size=len(data), data=embedded)

    @property
    def embedded(self) -> bytes | None:
        """The content that came along, when it really is what the digest names."""
        if self.data is None:
            return None
        try:
            content = base64.b64decode(self.data, validate=True)
        except ValueError:
            return None
        return content if sha256(content) == self.digest else None

    def with_annotations(self, annotations: dict[str, str]) -> Self:
        """The same content with these annotations added."""
        return self.model_copy(update={"annotations": {**self.annotations, **annotations}})

    def to_json(self) -> dict[str, Any]:
        """As the specification writes it, without what is not there."""
        written = self.model_dump(by_alias=True, exclude_none=True)
        return {key: value for key, value in written.items() if value != {}}


class OldSchema(ValueError):
    """An image of Docker's schema 1, which names no content by digest."""


@dataclass(frozen=True)
class Manifest:
    """A manifest as it lies in the registry, byte for byte; `digest` is that of `raw`."""

    digest: Digest
    media_type: str
    raw: bytes

    @classmethod
    def of(cls, content: dict[str, Any]) -> Self:
        """Write a new manifest; equal content gives equal bytes."""
        raw = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
        return cls(sha256(raw), content["mediaType"], raw)

    @classmethod
    def parse(cls, raw: bytes, content_type: str) -> Self:
        """Raise ValueError unless `raw` is a manifest or index of a known type.

        The type inside the document comes first: some registries send a Content-Type of their own making.
        """
        try:
            document = parse_json(raw)
        except ValueError as error:
            raise ValueError(f"{len(raw)} bytes that are not JSON, content type {content_type or 'absent'}") from error
        if isinstance(document, dict) and document.get("schemaVersion") == 1:
            raise OldSchema("a document without schemaVersion 2, a Docker manifest of schema 1")
        if not isinstance(document, dict) or document.get("schemaVersion") != 2:
            raise ValueError(f"a document without schemaVersion 2, content type {content_type or 'absent'}")
        media_type = document.get("mediaType") or content_type.partition(";")[0].strip()
        if not isinstance(media_type, str) or media_type not in media.MANIFESTS:
            raise ValueError(f"a document of type {media_type or 'unknown'}, not a manifest or index")
        _check_shape(document)
        return cls(sha256(raw), media_type, raw)

    @cached_property
    def json(self) -> dict[str, Any]:
        """The document."""
        document: dict[str, Any] = json.loads(self.raw)
        return document

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests rather than layers."""
        return self.media_type in media.INDEXES

    @property
    def artifact_type(self) -> str | None:
        """What kind of artifact it is (image specification: artifactType, else the config's media type)."""
        kind: str | None = self.json.get("artifactType") or (self.json.get("config") or {}).get("mediaType")
        return kind

    @property
    def annotations(self) -> dict[str, str]:
        """The manifest's own annotations."""
        return self.json.get("annotations") or {}

    @property
    def subject(self) -> Digest | None:
        """The digest that this artifact is attached to; None also when that is no sha256."""
        try:
            return Digest(self.json["subject"]["digest"])
        except (KeyError, TypeError, ValueError):
            return None

    @property
    def config(self) -> Descriptor:
        """The image's configuration; ValueError for an index or a broken manifest."""
        return _descriptor(self.json.get("config"), self.digest)

    @property
    def layers(self) -> list[Descriptor]:
        """The layers, bottom first; ValueError for a broken manifest."""
        return [_descriptor(layer, self.digest) for layer in self.json.get("layers") or []]

    @property
    def manifests(self) -> list[Descriptor]:
        """What an index lists; ValueError for a broken one."""
        return [_descriptor(child, self.digest) for child in self.json.get("manifests") or []]

    @property
    def descriptor(self) -> Descriptor:
        """What to name this manifest by, as subject or in an index."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=len(self.raw))


def children(manifest: Manifest | None) -> list[Descriptor]:
    """What an index lists, nothing for an image; PreconditionError for a broken index."""
    try:
        return manifest.manifests if manifest and manifest.is_index else []
    except ValueError as error:
        raise PreconditionError(f"{error}; expected an index as the OCI image specification has it") from error


def _descriptor(document: object, where: Digest) -> Descriptor:
    try:
        return Descriptor.model_validate(document)
    except ValidationError as error:
        raise ValueError(f"manifest {where} holds a broken descriptor: {error.errors()[0]['msg']}") from error


_SHAPE: dict[str, type] = {"config": dict, "layers": list, "manifests": list, "annotations": dict, "subject": dict}


def _check_shape(document: dict[str, Any]) -> None:
    """ValueError where a manifest is put together in another way than the image specification says."""
    for key, kind in _SHAPE.items():
        if not isinstance(document.get(key), kind | None):
            raise ValueError(f"a manifest whose {key} is no {'list' if kind is list else 'object'}")  # noqa: TRY004
    texts = [document.get("artifactType"), (document.get("config") or {}).get("mediaType")]
    texts += (document.get("annotations") or {}).values()
    if not all(isinstance(text, str | None) for text in texts):
        raise ValueError("a manifest whose types or annotations are no texts")
