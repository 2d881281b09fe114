"""The boot gate's container: QEMU and the harness `pipeline.vm`."""

import dagger
from dagger import dag

from pipeline.containers.base import Reach, debian, with_pipeline
from pipeline.containers.execution import attempt
from pipeline.errors import InfrastructureError
from pipeline.report.model import Result
from pipeline.vm.spec import Spec

CHECKS = "/checks"


def machine_room() -> dagger.Container:
    """Debian with QEMU for x86_64 and UEFI firmware, and the harness."""
    return with_pipeline(debian("openssh-client", "ovmf", "qemu-system-x86", "qemu-utils"))


async def boot(
    reach: Reach, disk: dagger.File, spec: Spec, checks: dagger.Directory | None
) -> tuple[Result, dagger.Directory]:
    """Boot the disk and check it; returns the result and the report folder (console, journal, screenshots).

    Raises InfrastructureError when the harness itself broke off: that says nothing about the image.
    """
    container = (
        machine_room()
        .with_mounted_file("/disk.qcow2", disk)
        .with_new_file("/spec.json", spec.model_dump_json())
        .with_directory("/report", dag.directory())
        .with_env_variable("PIPELINE_RUN", reach.run)
    )
    if checks:
        container = container.with_mounted_directory(CHECKS, checks)
    ran = await attempt(
        container,
        ["python", "-m", "pipeline.vm", "/disk.qcow2", "--spec", "/spec.json", "--report", "/report"],
        privileged=True,  # the only way to /dev/kvm
    )
    report = ran.container.directory("/report")
    if "result.json" not in await report.entries():
        raise InfrastructureError(f"The boot gate broke off: {ran.end()}")
    return Result.model_validate_json(await report.file("result.json").contents()), report
