"""The names of disks and other assets in the object store."""

import re

from pipeline.domain import Digest
from pipeline.errors import UsageError

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


_SUFFIXES = {"anaconda-iso": "iso", "ami": "ami.raw", "gce": "tar.gz"}
"""How files are called whose format is not their suffix."""


def asset_key(path: str, content: str) -> str:
    """Return `NAME-C12.SUFFIX` for a file of the repository, so that another content has another name.

    Args:
        path: in the repository.
        content: what git calls it: hexadecimal digits.
    """
    stem, dot, suffix = path.rpartition("/")[2].partition(".")
    if not _PART.fullmatch(f"{stem}{dot}{suffix}"):
        raise UsageError(f"{path!r} cannot be uploaded under its name: letters, digits, dot, dash and underscore can")
    return f"{stem}-{content[:12]}{dot}{suffix}"


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
