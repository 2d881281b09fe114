"""The images that the lab's own builds start from, for machines that cannot pull the real ones."""

from collections.abc import Sequence
from uuid import uuid4

import dagger

from pipeline.containers.base import debian
from pipeline.containers.podman import STORAGE, toolbox
from pipeline.lab.registry import PORT

TINY_OS = "lab/tiny-os"
"""Its tag is the suite of Debian of which it is made."""
OLD, NEW = "bookworm", "trixie"
"""systemd 252 with OpenSSH 9.2, and 257 with 10.0, which punishes whoever knocks too often."""
DISK_BUILDER = "lab/bootc-image-builder:latest"
RECHUNKER = "lab/rechunker:latest"

_DISK_TOOLS = [
    *("fdisk", "e2fsprogs", "dosfstools", "mtools"),
    *("syslinux", "syslinux-common", "systemd-boot-efi"),
    "qemu-utils",
    *("xorriso", "cpio", "busybox-static"),
]


async def seed(files: dagger.Directory, registry: dagger.Service, suites: Sequence[str] = (OLD,)) -> None:
    """Put the images into the lab's registry, with a tiny OS of each suite."""
    for name, tool in (DISK_BUILDER, disk_builder(files)), (RECHUNKER, rechunker(files)):
        await tool.publish(f"localhost:{PORT}/{name}", registry_service=registry)
    for suite in suites:
        target = f"docker://registry:{PORT}/{TINY_OS}:{suite}"
        await (
            toolbox()
            .with_mounted_file("/tiny.oci", tiny_os(files, suite))
            .with_service_binding("registry", registry)
            .with_env_variable("RUN", uuid4().hex)  # what a registry holds is not the engine's to remember
            .with_exec(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", "oci-archive:/tiny.oci", target])
            .sync()
        )


def tiny_os(files: dagger.Directory, suite: str = OLD) -> dagger.File:
    """The lab's bootable base image, of a suite of Debian, as an OCI archive."""
    return (
        toolbox()
        .with_mounted_directory("/tiny", files.directory("tiny"))
        .with_mounted_file("/rootfs.tar", tiny_rootfs(files, suite))
        .with_mounted_temp(STORAGE)
        .with_exec(["/tiny/build", "/rootfs.tar", "/tiny.oci"], insecure_root_capabilities=True)
        .file("/tiny.oci")
    )


def tiny_os_for_arm64(files: dagger.Directory) -> dagger.File:
    """The same for arm64, as an OCI archive, made without an arm64 processor."""
    return (
        toolbox("kmod", "mmdebstrap")
        .with_mounted_directory("/lab", files)
        .with_mounted_temp(STORAGE)
        .with_exec(["/lab/tiny-arm64/build", "/lab/tiny/overlay", "/tiny.oci"], insecure_root_capabilities=True)
        .file("/tiny.oci")
    )


def tiny_rootfs(files: dagger.Directory, suite: str = OLD) -> dagger.File:
    """A root file system made of Debian packages, as a tar."""
    return (
        debian("mmdebstrap")
        .with_mounted_file("/rootfs", files.file("tiny/rootfs"))
        .with_exec(["/rootfs", suite, "/rootfs.tar"], insecure_root_capabilities=True)
        .file("/rootfs.tar")
    )


def disk_builder(files: dagger.Directory) -> dagger.Container:
    """The stand-in for bootc-image-builder: the same command line, mounts and output."""
    return (
        toolbox(*_DISK_TOOLS)
        .with_file("/usr/local/bin/disk-builder", files.file("disk-builder/disk-builder"))
        .with_workdir("/output")
        .with_entrypoint(["/usr/local/bin/disk-builder"])
    )


def rechunker(files: dagger.Directory) -> dagger.Container:
    """The stand-in for chunkah and rpm-ostree: the same arguments, other layers, each with an annotation."""
    tool = "/usr/local/bin/rechunk"
    return debian("skopeo").with_file(tool, files.file("rechunker/rechunk")).with_entrypoint([tool])
