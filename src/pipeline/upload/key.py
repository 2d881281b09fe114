"""The name of a disk in the object store."""

import re

from pipeline.domain import Digest
from pipeline.errors import UsageError

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


_SUFFIXES = {"anaconda-iso": "iso", "ami": "ami.raw", "gce": "tar.gz"}
"""How files are called whose format is not their suffix."""


def object_key(image: str, version: str, arch: str, digest: Digest, disk: Digest, kind: str = "qcow2") -> str:
    """Return `IMAGE-VERSION-ARCH-D12-S12.qcow2`; openQA takes it over as the asset's name.

    Args:
        image, version, arch: what people look for.
        digest: of the image.
        disk: sha256 of the file: one image can have been put on a disk twice, and openQA downloads nothing when it has
            a file of that name.
        kind: what was built of the image.
    """
    for part in (image, version, arch):
        if not _PART.fullmatch(part):
            raise UsageError(f"{part!r} cannot be part of a file name: letters, digits, dot, dash and underscore can")
    return f"{image}-{version}-{arch}-{digest.short}-{disk.short}.{_SUFFIXES.get(kind, kind)}"
