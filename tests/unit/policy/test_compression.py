"""What the configuration may ask of layers, and which layers are so."""

import pytest

from pipeline.policy.compression import Compression

LAYER = "application/vnd.oci.image.layer.v1.tar"
CHUNKED = {"io.github.containers.zstd-chunked.manifest-checksum": "sha256:1"}


@pytest.mark.parametrize(
    ("text", "algorithm", "level"),
    [
        ("", "gzip", ""),
        ("gzip", "gzip", ""),
        ("gzip:9", "gzip", "9"),
        ("zstd", "zstd", ""),
        ("zstd:3", "zstd", "3"),
        ("zstd:20", "zstd", "20"),
        ("zstd:chunked", "zstd:chunked", ""),
    ],
)
def test_what_may_be_asked(text: str, algorithm: str, level: str) -> None:
    found = Compression.parse(text)
    assert (found.algorithm, found.level, str(found)) == (algorithm, level, text or "gzip")


@pytest.mark.parametrize("text", ["xz", "zstd:0", "zstd:21", "gzip:10", "zstd:chunked:3", "zstd:", "gzip\n"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected gzip"):
        Compression.parse(text)


@pytest.mark.parametrize(
    ("wanted", "kind", "annotations", "expected"),
    [
        ("gzip", f"{LAYER}+gzip", {}, True),
        ("gzip:9", f"{LAYER}+zstd", {}, False),
        ("gzip", LAYER, {}, False),
        ("zstd:3", f"{LAYER}+zstd", {}, True),
        ("zstd:3", f"{LAYER}+zstd", CHUNKED, True),
        ("zstd:chunked", f"{LAYER}+zstd", CHUNKED, True),
        ("zstd:chunked", f"{LAYER}+zstd", {}, False),
        ("zstd:chunked", f"{LAYER}+gzip", CHUNKED, False),
    ],
)
def test_a_layer_is_judged_by_what_its_descriptor_says(
    wanted: str, kind: str, annotations: dict[str, str], expected: bool
) -> None:
    assert Compression.parse(wanted).is_that_of(kind, annotations) is expected
