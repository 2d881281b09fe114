"""The layout checks, each with a tree that it passes and one that it refuses."""

import os
from datetime import date

import pytest

from pipeline.image.layout import check_layout
from pipeline.policy.waivers import Waiver
from pipeline.report.model import CheckStatus
from pipeline.vm.verdict import Waivers


@pytest.fixture
def image(tmp_path):
    for folder in ("usr/lib/modules/6.1.0", "boot", "etc/ssh", "root"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/lib/modules/6.1.0/vmlinuz").write_bytes(b"kernel")
    (tmp_path / "usr/lib/modules/6.1.0/initramfs.img").write_bytes(b"initramfs")
    (tmp_path / "etc/machine-id").touch()
    return tmp_path


def failed(root, *skip, **labels):
    labels = {"containers.bootc": "1"} | {name.replace("_", "."): value for name, value in labels.items()}
    return {
        check.name.removeprefix("layout/"): check.reason
        for check in check_layout(root, labels, skip)
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
        ("boot/efi/EFI/BOOT/BOOTX64.EFI", "empty-boot", "efi"),
        ("etc/ssh/ssh_host_ed25519_key", "no-host-keys", "ssh_host_ed25519_key"),
        ("root/.ssh/authorized_keys", "no-authorized-keys", "/root/.ssh/authorized_keys"),
        ("root/.ssh/authorized_keys2", "no-authorized-keys", "/root/.ssh/authorized_keys2"),
        ("var/home/core/.ssh/authorized_keys", "no-authorized-keys", "/var/home/core"),
        ("etc/machine-id", "no-machine-id", "expected it empty"),
    ],
)
def test_a_file_that_must_not_be_there_is_named(image, file, check, finding):
    write(image / file)
    assert finding in failed(image)[check]


def test_a_link_to_the_folder_of_the_kernel_is_no_second_one(image):
    (image / "usr/lib/modules/current").symlink_to("6.1.0")
    assert failed(image) == {}


def test_an_image_without_kernel_is_refused(image):
    (image / "usr/lib/modules/6.1.0/vmlinuz").write_bytes(b"")
    assert "found none" in failed(image)["one-kernel"]


def test_an_image_without_initramfs_is_refused(image):
    (image / "usr/lib/modules/6.1.0/initramfs.img").unlink()
    assert "/usr/lib/modules/6.1.0/initramfs.img" in failed(image)["initramfs"]


def test_an_image_without_the_folder_boot_is_refused(image):
    (image / "boot").rmdir()
    assert "no folder /boot" in failed(image)["empty-boot"]


@pytest.mark.parametrize("kept", [True, False])
def test_a_unified_kernel_image_stands_for_kernel_and_initramfs(image, kept):
    write(image / "boot/EFI/Linux/6.1.0.efi")
    write(image / "usr/lib/modules/6.1.0/modules.dep")
    (image / "usr/lib/modules/6.1.0/initramfs.img").unlink()
    if not kept:
        (image / "usr/lib/modules/6.1.0/vmlinuz").unlink()
    assert failed(image) == {}


def test_an_empty_unified_kernel_image_stands_for_nothing(image):
    write(image / "boot/EFI/Linux/6.1.0.efi", "")
    (image / "usr/lib/modules/6.1.0/vmlinuz").unlink()
    assert "found none" in failed(image)["one-kernel"]


def test_what_bootc_is_told_not_to_look_at_in_boot_is_not_looked_at(image):
    write(image / "boot/efi/payload")
    assert failed(image, "nonempty-boot") == {}


@pytest.mark.parametrize(
    ("link", "target", "check", "finding"),
    [
        ("usr/lib/modules/6.1.0/vmlinuz", "/boot/vmlinuz-6.1.0", "one-kernel", "not in the image"),
        ("usr/lib/modules/6.1.0/vmlinuz", "/usr/lib/kernel/vmlinuz", "one-kernel", "an absolute link"),
        ("usr/lib/modules/6.1.0/vmlinuz", "vmlinuz", "one-kernel", "not in the image"),
        ("usr/lib/modules/6.1.0/vmlinuz", "../../../../../../../../etc/passwd", "one-kernel", "not in the image"),
        ("usr/lib/modules/6.1.0/initramfs.img", "/boot/initramfs", "initramfs", "not in the image"),
        ("var/roothome/.ssh/authorized_keys", "/run/keys", "no-authorized-keys", "a link to /run/keys"),
        ("etc/machine-id", "/run/machine-id", "no-machine-id", "not in the image"),
    ],
)
def test_a_link_that_leads_nowhere_in_the_image_is_a_finding(image, link, target, check, finding):
    write(image / "usr/lib/kernel/vmlinuz")
    (image / link).parent.mkdir(parents=True, exist_ok=True)
    (image / link).unlink(missing_ok=True)
    (image / link).symlink_to(target)
    assert finding in failed(image)[check]


def test_a_link_within_the_modules_is_followed(image):
    write(image / "usr/lib/kernel/vmlinuz")
    (image / "usr/lib/modules/6.1.0/vmlinuz").unlink()
    (image / "usr/lib/modules/6.1.0/vmlinuz").symlink_to("../../kernel/vmlinuz")
    assert failed(image) == {}


def test_folders_that_are_links_lead_into_the_image_and_never_to_this_machine(image, tmp_path_factory):
    outside = tmp_path_factory.mktemp("machine")
    write(outside / "core/.ssh/authorized_keys")
    (image / "home").symlink_to("/var/home")
    (image / "var").mkdir()
    (image / "var/home").symlink_to(outside)
    assert failed(image) == {}
    (image / "var/home").unlink()
    write(image / "var/home/core/.ssh/authorized_keys")
    assert "/home/core/.ssh/authorized_keys" in failed(image)["no-authorized-keys"]


def test_a_name_that_is_no_text_can_be_reported(image):
    (image / "boot" / os.fsdecode(b"\xff")).touch()
    assert failed(image)["empty-boot"].encode()


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


def test_what_must_not_be_there_is_waived_one_by_one(image):
    for user in ("root", "var/home/core"):
        write(image / user / ".ssh/authorized_keys")
    today = date(2026, 11, 1)
    waiver = Waiver(check="layout/no-authorized-keys", match="/root/", bug="https://example.org/1", until=today)
    checks = check_layout(image, {"containers.bootc": "1"}, waivers=Waivers([waiver], today))
    (keys,) = (check for check in checks if check.name == "layout/no-authorized-keys")
    assert keys.status is CheckStatus.FAILED
    assert keys.reason.startswith("found /var/home/core/.ssh/authorized_keys; expected none")
    (image / "var/home/core/.ssh/authorized_keys").unlink()
    checks = check_layout(image, {"containers.bootc": "1"}, waivers=Waivers([waiver], today))
    assert {check.status for check in checks} == {CheckStatus.PASSED, CheckStatus.WAIVED}
