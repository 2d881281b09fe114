"""What a change of compression drops is put back: annotations of the image, and of each layer in its place."""

from typing import Any

import pytest

from pipeline.image.candidate import annotated
from pipeline.registry import media
from pipeline.registry.content import Manifest, sha256

LAYER = "application/vnd.oci.image.layer.v1.tar"


def image(kind: str, *layers: dict[str, str], **more: Any) -> Manifest:
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b"config"), "size": 6}
    listed = [
        {"mediaType": kind, "digest": sha256(f"{kind} {number}".encode()), "size": 1, "annotations": said}
        for number, said in enumerate(layers)
    ]
    return Manifest.of({"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": config, "layers": listed} | more)


def test_each_layer_gets_back_what_it_said_and_keeps_what_is_new() -> None:
    before = image(LAYER, {"component": "kernel"}, {"component": "glibc"}, annotations={"version": "44"})
    after = image(f"{LAYER}+zstd", {"checksum": "1"}, {})
    found = annotated(after, before)
    assert [layer.annotations for layer in found.layers] == [
        {"component": "kernel", "checksum": "1"},
        {"component": "glibc"},
    ]
    assert [layer.digest for layer in found.layers] == [layer.digest for layer in after.layers]
    assert (found.config, found.annotations) == (after.config, {"version": "44"})
    assert found.digest != after.digest


def test_layers_that_are_not_the_same_number_are_never_paired() -> None:
    with pytest.raises(ValueError, match="zip"):
        annotated(image(LAYER, {}), image(LAYER, {}, {}))
