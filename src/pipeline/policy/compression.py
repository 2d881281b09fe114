"""How layers are compressed: what the configuration asks for, and whether a layer is so."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

PATTERN = r"^(gzip(:[1-9])?|zstd(:([1-9]|1\d|20))?|zstd:chunked)$"

_CHUNKED = "io.github.containers.zstd-chunked.manifest-checksum"
"""The annotation by which a puller finds the table of contents of a chunked layer (containers/storage, pkg/chunked)."""


@dataclass(frozen=True)
class Compression:
    """An algorithm, as podman and skopeo call it, and its level where one was named."""

    algorithm: str = "gzip"
    level: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """`gzip`, `zstd:3`, `zstd:chunked`; empty for what podman does unless told. ValueError for anything else."""
        if not text:
            return cls()
        if not re.fullmatch(PATTERN, text):
            raise ValueError(f"expected gzip, zstd or zstd:chunked, with a level as in zstd:3, found {text!r}")
        algorithm, _, level = text.partition(":")
        return cls(text) if level == "chunked" else cls(algorithm, level)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.level}" if self.level else self.algorithm

    def is_that_of(self, media_type: str, annotations: Mapping[str, str]) -> bool:
        """Whether a layer is compressed so, by what its descriptor says; a level leaves no trace there."""
        if self.algorithm == "gzip":
            return media_type.endswith("+gzip")
        return media_type.endswith("+zstd") and (self.algorithm == "zstd" or _CHUNKED in annotations)
