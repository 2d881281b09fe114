import pytest

from pipeline.domain import Digest
from pipeline.errors import UsageError
from pipeline.upload.key import object_key

DIGEST = Digest("sha256:" + "0123456789abcdef" * 4)


DISK = Digest("sha256:" + "fedcba9876543210" * 4)


def test_the_key_holds_image_version_architecture_digest_and_disk() -> None:
    key = object_key("yellowfin", "1.2.3", "x86_64", DIGEST, DISK)
    assert key == "yellowfin-1.2.3-x86_64-0123456789ab-fedcba987654.qcow2"
    assert object_key("yellowfin", "1.2.3", "x86_64", DIGEST, DIGEST) != key


@pytest.mark.parametrize("image", ["", "a/b", "../x", "a b", "-x", "ü"])
def test_what_is_no_part_of_a_file_name_is_refused(image: str) -> None:
    with pytest.raises(UsageError):
        object_key(image, "1.2.3", "x86_64", DIGEST, DISK)


@pytest.mark.parametrize(
    ("kind", "suffix"), [("iso", ".iso"), ("anaconda-iso", ".iso"), ("gce", ".tar.gz"), ("ami", ".ami.raw")]
)
def test_what_else_was_built_is_known_by_its_suffix(kind: str, suffix: str) -> None:
    assert object_key("os", "1.2.3", "x86_64", DIGEST, DISK, kind).endswith(f"-{DISK.short}{suffix}")
