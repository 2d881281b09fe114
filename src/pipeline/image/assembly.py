"""`python -m pipeline.image.assembly LAYOUT... --out FOLDER`: one candidate out of what builds left, byte for byte.

Each input is an OCI image layout (OCI image specification 1.1, image-layout.md). When all of them together hold one
manifest or index, that is the candidate, untouched; several images, one for each platform, are put under an index.
Every blob that the candidate needs is looked at, its size and its sha256.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.domain import Digest
from pipeline.errors import PreconditionError
from pipeline.program import ended
from pipeline.registry import media
from pipeline.registry.content import Descriptor, Manifest, Platform, parse_json

_LARGEST = 16 << 20
"""Bytes of a manifest or configuration that are read."""
_CHUNK = 1 << 20


class Assembled(BaseModel):
    """The candidate in the layout that was written."""

    digest: Digest
    platforms: dict[str, Digest]
    """The image manifests, by platform."""
    labels: dict[str, dict[str, str]]
    """By platform."""
    layers: dict[str, list[str]]
    """By platform: the digests of the unpacked layers, bottom first (config, rootfs.diff_ids)."""


@dataclass(frozen=True)
class _Image:
    """A manifest with what its configuration says of it."""

    manifest: Manifest
    config: dict[str, Any]
    layout: "Layout"
    attests: bool = False
    """It is an attestation beside the images of an index (docker buildx puts them under unknown/unknown)."""

    @property
    def platform(self) -> Platform:
        said = {name: self.config.get(name) or None for name in ("os", "architecture", "variant")}
        try:
            return Platform.model_validate(said)
        except ValueError:
            raise PreconditionError(
                f"The configuration of {self.manifest.digest} names no os and architecture; expected both (OCI image "
                "specification, config)."
            ) from None

    @property
    def labels(self) -> dict[str, str]:
        settings = self.config.get("config")
        labels = settings.get("Labels") if isinstance(settings, dict) else None
        return {str(name): str(value) for name, value in labels.items()} if isinstance(labels, dict) else {}

    @property
    def layers(self) -> list[str]:
        unpacked = self.config.get("rootfs")
        found = unpacked.get("diff_ids") if isinstance(unpacked, dict) else None
        return [str(one) for one in found] if isinstance(found, list) else []


@dataclass(frozen=True)
class Layout:
    """A folder with blobs."""

    folder: Path

    def path(self, digest: Digest) -> Path:
        """Where a blob is."""
        return self.folder / "blobs" / "sha256" / digest.hex

    def tops(self) -> list[Descriptor]:
        """What its index lists."""
        index = self.folder / "index.json"
        if not index.is_file():
            found = ", ".join(sorted(path.name for path in self.folder.iterdir())[:5]) or "nothing"
            raise PreconditionError(
                f"Found {found} where an OCI image layout was expected: index.json and blobs/sha256 at the top "
                "(podman push … oci:FOLDER, or oci-archive:FILE)."
            )
        listed = Manifest.parse(index.read_bytes(), media.OCI_INDEX).manifests
        if not listed:
            raise PreconditionError("The OCI image layout lists no image in its index.json; expected one.")
        return listed

    def write_index(self, top: Descriptor) -> None:
        """Let its index have one entry."""
        index = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [top.to_json()]}
        (self.folder / "index.json").write_text(json.dumps(index))

    def manifest(self, descriptor: Descriptor) -> Manifest:
        """Read and verified; PreconditionError for what is none of OCI's, which no copy would keep as it is."""
        manifest = Manifest.parse(self.read(descriptor), descriptor.media_type)
        if manifest.media_type not in (media.OCI_INDEX, media.OCI_MANIFEST):
            raise PreconditionError(
                f"{manifest.digest} is a {manifest.media_type}; expected an OCI image (podman push --format=oci)."
            )
        return manifest

    def read(self, descriptor: Descriptor) -> bytes:
        """A small blob, verified."""
        self.check(descriptor, limit=_LARGEST)
        return self.path(descriptor.digest).read_bytes()

    def check(self, descriptor: Descriptor, limit: int = 1 << 63) -> None:
        """PreconditionError unless the blob is there as it is described."""
        path = self.path(descriptor.digest)
        size = path.stat().st_size if path.is_file() else None
        if size is None or size != descriptor.size or size > limit:
            raise PreconditionError(
                f"The layout holds {'no blob' if size is None else f'{size} bytes'} for {descriptor.digest}; expected "
                f"{descriptor.size} bytes. It is not whole: build or export it again."
            )
        found = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
        if found.hexdigest() != descriptor.digest.hex:
            raise PreconditionError(
                f"The blob {descriptor.digest} of the layout is sha256:{found.hexdigest()}. It was damaged: build or "
                "export it again."
            )


def assemble(folders: Sequence[Path], out: Path) -> Assembled:
    """Write the candidate of these layouts into a new layout `out`, whose only entry it is.

    Raises PreconditionError for what is no OCI layout, is damaged, or has two images for one platform.
    """
    tops = {one.digest: (layout, one) for layout in map(Layout, folders) for one in layout.tops()}
    listed = [image for layout, one in tops.values() for image in _images(layout, one)]
    platforms: dict[str, _Image] = {}
    for image in (image for image in listed if not image.attests):
        if str(image.platform) in platforms and platforms[str(image.platform)].manifest.digest != image.manifest.digest:
            raise PreconditionError(
                f"Two images are for {image.platform}: {platforms[str(image.platform)].manifest.digest} and "
                f"{image.manifest.digest}. Expected one image for each platform."
            )
        platforms[str(image.platform)] = image
    blobs = out / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for image in listed:
        for blob in (image.manifest.descriptor, image.manifest.config, *image.manifest.layers):
            image.layout.check(blob)
            _take(image.layout.path(blob.digest), blobs / blob.digest.hex)
    top = _top(tops, platforms, blobs)
    (out / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    Layout(out).write_index(top)
    return Assembled(
        digest=top.digest,
        platforms={name: image.manifest.digest for name, image in platforms.items()},
        labels={name: image.labels for name, image in platforms.items()},
        layers={name: image.layers for name, image in platforms.items()},
    )


def _top(tops: dict[Digest, tuple[Layout, Descriptor]], platforms: dict[str, _Image], blobs: Path) -> Descriptor:
    """What names the candidate: the only one that was given, else a new index; it is among the blobs afterwards."""
    if len(tops) == 1:
        ((layout, given),) = tops.values()
        manifest = layout.manifest(given)
    else:
        children = [
            image.manifest.descriptor.model_copy(update={"platform": image.platform}).to_json()
            for _, image in sorted(platforms.items())
        ]
        manifest = Manifest.of({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": children})
    if manifest.is_index:
        (blobs / manifest.digest.hex).write_bytes(manifest.raw)
    return manifest.descriptor


def _images(layout: Layout, top: Descriptor) -> Iterator[_Image]:
    """The images of a manifest or an index, and the attestations beside them."""
    manifest = layout.manifest(top)
    if not manifest.is_index:
        attests = top.platform is not None and top.platform.os == "unknown"
        yield _Image(manifest, _object(layout.read(manifest.config)), layout, attests)
        return
    for child in manifest.manifests:
        if child.media_type in media.INDEXES or layout.manifest(child).is_index:
            raise PreconditionError(
                f"{manifest.digest} lists another index, {child.digest}, which registries' tools do not copy; expected "
                "an index of images only."
            )
        yield from _images(layout, child)


def _object(raw: bytes) -> dict[str, Any]:
    document = parse_json(raw)
    return document if isinstance(document, dict) else {}


def _take(source: Path, target: Path) -> None:
    """A second name where that can be, else a copy."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def main() -> int:
    """Print one line of JSON, the candidate; or one paragraph on stderr and the outcome's exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.image.assembly", description=__doc__)
    parser.add_argument("layouts", nargs="+", type=Path, help="OCI image layouts, unpacked")
    parser.add_argument("--out", type=Path, required=True, help="a folder to be made")
    given = parser.parse_args()

    def assembled() -> str:
        try:
            return assemble(given.layouts, given.out).model_dump_json()
        except ValueError as error:
            raise PreconditionError(
                f"A part of the image cannot be read: {error}. Build or export it again."
            ) from error

    return ended(assembled)


if __name__ == "__main__":
    sys.exit(main())
