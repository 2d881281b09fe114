"""The boot gate's container: QEMU and the harness `pipeline.vm`."""

from collections.abc import Sequence

import dagger
from dagger import dag

from pipeline.containers.base import Reach, debian, with_pipeline
from pipeline.containers.execution import attempt
from pipeline.errors import InfrastructureError
from pipeline.report.model import Result
from pipeline.vm.spec import Arch, Spec

CHECKS = "/checks"
"""Where the repository's own checks are in the container."""
SSH_PORT, CONSOLE_PORT = 2222, 2223

CANDIDATE = "/candidate"
"""Where the OCI image layout is that an older system is to upgrade to."""

_LIMIT = 4 * 3600.0
"""Seconds: the harness has deadlines of its own, which it scales without KVM; this one is for a harness that hangs."""
_DISK, _MEDIUM, _SPEC = "/disk.qcow2", "/medium.iso", "/spec.json"


PACKAGES = {
    Arch.X86_64: ("openssh-client", "ovmf", "qemu-system-x86", "qemu-utils"),
    Arch.AARCH64: ("openssh-client", "qemu-efi-aarch64", "qemu-system-arm", "qemu-utils"),
}
"""What the gate of a kind of guest needs of Debian; another one's emulator is never among it."""


def machine_room(arch: Arch) -> dagger.Container:
    """Debian with QEMU and UEFI firmware for one kind of guest, and the harness."""
    return with_pipeline(debian(*PACKAGES[arch]))


async def boot(
    reach: Reach,
    disk: dagger.File,
    spec: Spec,
    checks: dagger.Directory | None,
    only: Sequence[str] = (),
    *,
    candidate: dagger.Directory | None = None,
    within: float = _LIMIT,
) -> tuple[Result, dagger.Directory]:
    """Boot the disk and check it; returns the result and the report folder (console, journal, screenshots).

    `only` names the checks to make, all when empty; `candidate` is what `spec.upgrade` serves. Raises
    InfrastructureError when the harness itself broke off: that says nothing about the image.
    """
    ran = await attempt(
        _with_disk(disk, spec, checks, candidate)
        .with_directory("/report", dag.directory())
        .with_env_variable("PIPELINE_RUN", reach.run),
        [
            *("python", "-m", "pipeline.vm", _DISK),
            *("--spec", _SPEC),
            *("--report", "/report"),
            *(word for name in only for word in ("--only", name)),
        ],
        privileged=True,  # the only way to /dev/kvm
        within=within,
    )
    report = ran.container.directory("/report")
    if "result.json" not in await report.entries():
        raise InfrastructureError(f"The boot gate broke off: {ran.end()}")
    return Result.model_validate_json(await report.file("result.json").contents()), report


async def boot_installer(
    reach: Reach, medium: dagger.File, spec: Spec, *, within: float = _LIMIT
) -> tuple[Result, dagger.Directory]:
    """Boot an ISO to its installer's first screen; returns the result and a folder with console and picture."""
    ran = await attempt(
        machine_room(spec.arch)
        .with_mounted_file(_MEDIUM, medium)
        .with_new_file(_SPEC, spec.model_dump_json())
        .with_directory("/report", dag.directory())
        .with_env_variable("PIPELINE_RUN", reach.run),
        ["python", "-m", "pipeline.vm.installer", _MEDIUM, "--spec", _SPEC, "--report", "/report"],
        privileged=True,  # the only way to /dev/kvm
        within=within,
    )
    report = ran.container.directory("/report")
    if "result.json" not in await report.entries():
        raise InfrastructureError(f"The installer's machine broke off: {ran.end()}")
    return Result.model_validate_json(await report.file("result.json").contents()), report


def kept_running(reach: Reach, disk: dagger.File, spec: Spec, public_key: dagger.File) -> dagger.Service:
    """The machine as the gate boots it, for people: SSH on port 2222, the serial console on port 2223."""
    return (
        _with_disk(disk, spec, None)
        .with_mounted_file("/key.pub", public_key)
        .with_env_variable("PIPELINE_RUN", reach.run)
        .with_exposed_port(SSH_PORT)
        .with_exposed_port(CONSOLE_PORT)
        .as_service(
            args=[
                *("python", "-m", "pipeline.vm.reproduce", _DISK),
                *("--spec", _SPEC),
                *("--public-key", "/key.pub"),
                *("--ssh-port", str(SSH_PORT)),
                *("--console-port", str(CONSOLE_PORT)),
            ],
            insecure_root_capabilities=True,
        )
    )


def _with_disk(
    disk: dagger.File, spec: Spec, checks: dagger.Directory | None, candidate: dagger.Directory | None = None
) -> dagger.Container:
    container = machine_room(spec.arch).with_mounted_file(_DISK, disk).with_new_file(_SPEC, spec.model_dump_json())
    for place, folder in (CHECKS, checks), (CANDIDATE, candidate):
        container = container.with_mounted_directory(place, folder) if folder else container
    return container
