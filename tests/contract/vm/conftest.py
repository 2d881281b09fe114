"""The gate's toolbox with the tiny OS's disk, in the engine's containers: what the product runs in."""

import hashlib
import json
import os
import tomllib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagger
import pytest
from dagger import dag

from pipeline.config import OUTPUTS
from pipeline.containers.base import debian, with_pipeline
from pipeline.containers.podman import STORAGE
from pipeline.containers.qemu import PACKAGES
from pipeline.lab.images import disk_builder, tiny_os, tiny_os_for_arm64
from pipeline.report.model import Check, Result
from pipeline.vm.spec import Arch

collect_ignore = ["checks"]
"""They look at the guest, not at us."""

ROOT = Path(__file__).parents[3]

LOADERS = ("shim-signed", "grub-efi-amd64-signed", "systemd-boot-efi", "systemd-ukify")
"""What Secure Boot accepts, and what makes a unified kernel image; for a disk, not for this machine."""

_BUILD = (
    ": >/run/.containerenv"
    " && skopeo copy --quiet oci-archive:/tiny.oci containers-storage:localhost/tiny"
    ' && disk-builder --type "$0" localhost/tiny'
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
    """QEMU, the harness, and the tiny OS's disk at /bookworm.raw."""
    files = dag.host().directory(str(ROOT / "ci" / "lab"))
    tools = with_harness(debian(*PACKAGES[Arch.X86_64], "e2fsprogs", "fdisk", "mtools", *LOADERS))
    return await (
        tools.with_mounted_file("/bookworm.raw", disk_of(files, tiny_os(files)))
        .with_mounted_file("/derive", files.file("broken/derive"))
        .with_mounted_directory("/scripted-bootc", files.directory("scripted-bootc"))
        .sync()
    )


@pytest.fixture(scope="session")
def modern(toolbox: dagger.Container) -> dagger.Container:
    """The same with a newer one at /trixie.raw: systemd 257, OpenSSH 10."""
    files = dag.host().directory(str(ROOT / "ci" / "lab"))
    return toolbox.with_mounted_file("/trixie.raw", disk_of(files, tiny_os(files, "trixie")))


@pytest.fixture(scope="session")
async def arm_toolbox(engine: None) -> dagger.Container:
    """QEMU for aarch64, the harness, and the disk of the tiny OS for arm64 at /disk.raw."""
    files = dag.host().directory(str(ROOT / "ci" / "lab"))
    disk = disk_of(files, tiny_os_for_arm64(files))
    return await with_harness(debian(*PACKAGES[Arch.AARCH64])).with_mounted_file("/disk.raw", disk).sync()


def disk_of(files: dagger.Directory, image: dagger.File, kind: str = "raw") -> dagger.File:
    """The raw disk of an image in an OCI archive, or what else is built of it."""
    return (
        disk_builder(files)
        .with_mounted_temp(STORAGE)
        .with_mounted_file("/tiny.oci", image)
        .with_exec(["sh", "-c", _BUILD, kind], insecure_root_capabilities=True)
        .file(f"/output/{OUTPUTS[kind]}")
    )


def with_harness(container: dagger.Container) -> dagger.Container:
    """Add the harness and what it needs."""
    return with_pipeline(container, dag.host().directory(str(ROOT), include=["pyproject.toml", "src/pipeline/**/*.py"]))


def candidate(folder: Path, tag: str) -> str:
    """An OCI image layout with one image under a tag, which nothing could boot; its digest."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def write(content: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {
            "mediaType": f"application/vnd.oci.image.{media_type}",
            "digest": f"sha256:{digest}",
            "size": len(content),
        }

    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": write(b"{}", "config.v1+json"),
        "layers": [write(os.urandom(3_000_000), "layer.v1.tar"), write(b"a small layer", "layer.v1.tar")],
    }
    manifest = write(json.dumps(document).encode(), "manifest.v1+json")
    named = manifest | {"annotations": {"org.opencontainers.image.ref.name": tag}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    return str(manifest["digest"])


@pytest.fixture
def layout(tmp_path: Path) -> tuple[Path, str]:
    """A candidate under the tag stable, and its digest."""
    return tmp_path, candidate(tmp_path, "stable")


@pytest.fixture
def gate(toolbox: dagger.Container, modern: dagger.Container, tmp_path: Path) -> Gate:
    """Derive a disk from the tiny OS as a folder of ci/lab/broken says, and run the gate over it."""

    async def run(
        case: Path,
        spec: dict[str, Any],
        checks: Path | None = None,
        outside: dagger.Service | None = None,
        on: dagger.Container | None = None,
    ) -> Ran:
        base = tomllib.loads((case / "case.toml").read_text()).get("base", "bookworm")
        tools = on or (modern if base == "trixie" else toolbox)
        container = tools.with_mounted_directory("/case", dag.host().directory(str(case)))
        if outside:
            container = container.with_service_binding("updates.example.org", outside)
        if checks:
            container = container.with_directory("/checks", dag.host().directory(str(checks)))
            spec = spec | {"checks": "/checks"}
        if "upgrade" in spec:
            tag = spec["upgrade"]["reference"].rpartition(":")[2]
            offered = candidate(tmp_path / "candidate", tag)
            container = container.with_directory("/candidate", dag.host().directory(str(tmp_path / "candidate")))
            spec = spec | {"upgrade": spec["upgrade"] | {"layout": "/candidate", "digests": [offered]}}
        derived = container.with_exec(["/derive", f"/{base}.raw", "/case", "/disk.raw", "/scripted-bootc"])
        return await boot(derived, {"bus": "nvme"} | spec)

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
