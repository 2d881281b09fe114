"""The gate's toolbox with the tiny OS's disk, in the engine's containers: what the product runs in."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagger
import pytest
from dagger import dag

from pipeline.containers.base import debian
from pipeline.containers.podman import STORAGE
from pipeline.containers.qemu import PACKAGES
from pipeline.lab.images import disk_builder, tiny_os
from pipeline.report.model import Check, Result
from pipeline.vm.spec import Arch

collect_ignore = ["checks"]
"""They look at the guest, not at us."""

ROOT = Path(__file__).parents[3]

SIGNED = ("shim-signed", "grub-efi-amd64-signed")
"""What Secure Boot accepts; for a disk, not for this machine."""

_BUILD = (
    "skopeo copy --quiet oci-archive:/tiny.oci containers-storage:localhost/tiny"
    " && disk-builder --type raw localhost/tiny"
)


@dataclass(frozen=True)
class Ran:
    """What one gate run left."""

    result: Result
    exit_code: int
    printed: str
    files: dict[str, int]
    """The report's files and their sizes."""

    def check(self, name: str) -> Check:
        """The result of one check."""
        return next(check for check in self.result.checks if check.name == name)


Gate = Callable[..., Awaitable[Ran]]


@pytest.fixture(scope="session")
async def toolbox(engine: None) -> dagger.Container:
    """QEMU, the harness, and the disk at /base.raw."""
    files = dag.host().directory(str(ROOT / "ci" / "lab"))
    disk = (
        disk_builder(files)
        .with_mounted_temp(STORAGE)
        .with_mounted_file("/tiny.oci", tiny_os(files))
        .with_exec(["sh", "-c", _BUILD], insecure_root_capabilities=True)
        .file("/output/image/disk.raw")
    )
    tools = with_harness(debian(*PACKAGES[Arch.X86_64], "e2fsprogs", "fdisk", "mtools", *SIGNED))
    return await (
        tools.with_mounted_file("/base.raw", disk).with_mounted_file("/derive", files.file("broken/derive")).sync()
    )


@pytest.fixture(scope="session")
async def arm_toolbox(engine: None) -> dagger.Container:
    """QEMU for aarch64, the harness, and the disk of a small Debian for arm64 at /disk.raw."""
    files = dag.host().directory(str(ROOT / "ci" / "lab"))
    disk = (
        debian("mmdebstrap", "fdisk", "e2fsprogs", "dosfstools", "mtools", "kmod")
        .with_mounted_directory("/lab", files)
        .with_exec(["/lab/tiny-arm64/build", "/lab/tiny/overlay", "/disk.raw"], insecure_root_capabilities=True)
        .file("/disk.raw")
    )
    return await with_harness(debian(*PACKAGES[Arch.AARCH64])).with_mounted_file("/disk.raw", disk).sync()


def with_harness(container: dagger.Container) -> dagger.Container:
    """Add the harness and what it needs."""
    module = dag.host().directory(str(ROOT), include=["pyproject.toml", "src/pipeline/**/*.py"])
    return (
        container.with_file("/pyproject.toml", module.file("pyproject.toml"))
        .with_exec(["pip", "install", "--quiet", "--root-user-action=ignore", "--group=/pyproject.toml:toolbox"])
        .with_directory("/src", module.directory("src"))
        .with_env_variable("PYTHONPATH", "/src")
    )


@pytest.fixture
def gate(toolbox: dagger.Container) -> Gate:
    """Derive a disk from the tiny OS as a folder of ci/lab/broken says, and run the gate over it."""

    async def run(case: Path, spec: dict[str, Any], checks: Path | None = None) -> Ran:
        container = toolbox.with_mounted_directory("/case", dag.host().directory(str(case)))
        if checks:
            container = container.with_directory("/checks", dag.host().directory(str(checks)))
            spec = spec | {"checks": "/checks"}
        return await boot(container.with_exec(["/derive", "/base.raw", "/case", "/disk.raw"]), {"bus": "nvme"} | spec)

    return run


async def boot(container: dagger.Container, spec: dict[str, Any]) -> Ran:
    """Run the gate over /disk.raw."""
    ended = await (
        container.with_new_file("/spec.json", json.dumps(spec))
        .with_exec(
            ["python", "-m", "pipeline.vm", "/disk.raw", "--spec", "/spec.json", "--report", "/report"],
            insecure_root_capabilities=True,  # the only way to /dev/kvm
            expect=dagger.ReturnType.ANY,
        )
        .sync()
    )
    report = ended.directory("/report")
    return Ran(
        Result.model_validate_json(await report.file("result.json").contents()),
        await ended.exit_code(),
        await ended.stdout(),
        {name: await report.file(name).size() for name in await report.glob("**/*") if not name.endswith("/")},
    )


@pytest.fixture
def arm_gate(arm_toolbox: dagger.Container) -> Callable[[dict[str, Any]], Awaitable[Ran]]:
    """Run the gate over a small Debian for arm64."""

    async def run(spec: dict[str, Any]) -> Ran:
        return await boot(arm_toolbox, {"arch": "aarch64", "bus": "nvme"} | spec)

    return run
