"""The layout checks, each with a tree that it passes and one that it refuses."""

import pytest

from pipeline.image.layout import check_layout
from pipeline.report.model import CheckStatus


@pytest.fixture
def image(tmp_path):
    for folder in ("usr/lib/modules/6.1.0", "boot", "etc/ssh", "root"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/lib/modules/6.1.0/vmlinuz").write_bytes(b"kernel")
    (tmp_path / "etc/machine-id").touch()
    return tmp_path


def failed(root, **labels):
    labels = {"containers.bootc": "1"} | {name.replace("_", "."): value for name, value in labels.items()}
    return {
        check.name.removeprefix("layout/"): check.reason
        for check in check_layout(root, labels)
        if check.status is CheckStatus.FAILED
    }


def test_a_good_image_passes_every_check(image):
    assert failed(image) == {}


def write(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("file", "check", "finding"),
    [
        ("usr/lib/modules/6.2.0/vmlinuz", "one-kernel", "6.1.0, 6.2.0"),
        ("boot/vmlinuz", "empty-boot", "vmlinuz"),
        ("etc/ssh/ssh_host_ed25519_key", "no-host-keys", "ssh_host_ed25519_key"),
        ("root/.ssh/authorized_keys", "no-authorized-keys", "/root/.ssh/authorized_keys"),
        ("var/home/core/.ssh/authorized_keys", "no-authorized-keys", "/var/home/core"),
        ("etc/machine-id", "no-machine-id", "expected it empty"),
    ],
)
def test_a_file_that_must_not_be_there_is_named(image, file, check, finding):
    write(image / file)
    assert finding in failed(image)[check]


def test_an_image_without_kernel_is_refused(image):
    (image / "usr/lib/modules/6.1.0/vmlinuz").write_bytes(b"")
    assert "found none" in failed(image)["one-kernel"]


@pytest.mark.parametrize(
    ("labels", "check"),
    [
        ({"containers_bootc": "0"}, "bootc-label"),
        ({"quay_expires-after": "2w"}, "no-expiry"),
        ({"org_opencontainers_image_version": "stable"}, "no-channel-name"),
    ],
)
def test_labels_that_would_hurt_later_are_refused(image, labels, check):
    assert check in failed(image, **labels)
