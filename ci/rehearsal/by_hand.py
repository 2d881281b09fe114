"""The testing stage without the pipeline: the same tools, one after another, in containers of the same engine."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import dagger
from dagger import dag

from pipeline.config import parse
from pipeline.containers.base import debian, with_pipeline
from pipeline.containers.podman import STORAGE, toolbox
from pipeline.containers.qemu import PACKAGES
from pipeline.vm.spec import Arch, Bus, Spec
from pipeline.vm.spent import FILE, Spent
from rehearsal import registry
from rehearsal.lab import MODULE, REGISTRY
from rehearsal.repository import Repository
from rehearsal.steps import TESTING

_NOTHING = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
"""What the disk is attached to there."""


@dataclass(frozen=True)
class ByHand:
    """What it took."""

    steps: dict[str, float]
    """Seconds of each step of TESTING."""
    gate: Spent
    """Where the time of `boot and checks` went, by the harness's own account."""


async def testing(repository: Repository, log: Path) -> ByHand:
    """Take the image behind `:next` through all steps; `log` is for what Dagger says."""
    with log.open("w") as file:
        async with dagger.connection(dagger.Config(log_output=file)):
            return await in_session(repository)


async def in_session(repository: Repository, *, direct: bool = False) -> ByHand:
    """The same in the session that there is; `direct`: containers reach the registry by the name that the image has."""
    service = None if direct else dag.host().service([dagger.PortForward(backend=REGISTRY, frontend=REGISTRY)])
    spent: dict[str, float] = {}
    run = uuid4().hex

    @asynccontextmanager
    async def timed(step: str) -> AsyncIterator[None]:
        start = time.monotonic()
        yield
        spent[step] = time.monotonic() - start

    def outside(container: dagger.Container) -> dagger.Container:
        if service:
            container = container.with_service_binding("registry", service)
        return container.with_env_variable("RUN", run)

    gate = parse((repository.path / "pipeline.toml").read_text()).gates.testing
    digest = registry.digest(repository.image, "next") or ""
    apart = f"{repository.image}-by-hand"  # where no chunk of the disk lies that the pipeline has stored
    registry.put(apart, "subject", json.dumps(_NOTHING).encode())
    source, target = f"docker://{repository.image}@{digest}", f"{repository.image}:stable"
    insecure = ["--src-tls-verify=false"]
    storage = dag.cache_volume(f"by-hand-{run}")
    tools = await outside(toolbox()).with_mounted_cache(STORAGE, storage).sync()
    qemu_utils = await debian("qemu-utils").sync()
    harness = await _harness(debian(*PACKAGES[Arch.X86_64])).sync()
    carrier = await outside(_harness(debian("ca-certificates"))).sync()
    path = gate.builder.image.partition("/")[2]
    place = gate.builder.image if direct else f"localhost:{REGISTRY}/{path}"
    builder = await outside(
        dag.container()
        .from_(place, registry_service=service)
        .with_new_file("/run/.containerenv", "")
        .with_workdir("/output")
    ).sync()

    async with timed("fetch the image"):
        command = ["skopeo", "copy", "--quiet", *insecure, source, f"containers-storage:{target}"]
        await tools.with_exec(command, insecure_root_capabilities=True).sync()
    arguments = gate.builder.arguments("linux/amd64", target)
    async with timed("build the disk"):
        built = await (
            builder.with_mounted_cache(STORAGE, storage)
            .with_exec(arguments, use_entrypoint=True, insecure_root_capabilities=True)
            .sync()
        )
    disk = built.file("/output/qcow2/disk.qcow2")
    async with timed("qemu-img check"):
        await qemu_utils.with_mounted_file("/disk.qcow2", disk).with_exec(["qemu-img", "check", "/disk.qcow2"]).sync()
    async with timed("sha256 of the disk"):
        await qemu_utils.with_mounted_file("/disk.qcow2", disk).with_exec(["sha256sum", "/disk.qcow2"]).sync()
    async with timed("boot and checks"):
        spec = Spec(
            bus=Bus(gate.bus),
            memory_mib=gate.memory // 1024**2,
            services=list(gate.services),
            listen=list(gate.listen or ()),
            checks="/checks",
        )
        gated = await (
            harness.with_mounted_file("/disk.qcow2", disk)
            .with_mounted_directory("/checks", dag.host().directory(str(repository.path / "tests/vm")))
            .with_new_file("/spec.json", spec.model_dump_json())
            .with_exec(
                ["python", "-m", "pipeline.vm", "/disk.qcow2", "--spec", "/spec.json", "--report", "/report"],
                insecure_root_capabilities=True,
            )
            .sync()
        )
    async with timed("store the disk"):
        await (
            carrier.with_mounted_file("/disk.qcow2", disk)
            .with_exec(
                [
                    *("python", "-m", "pipeline.registry.disk", "push"),
                    *("--repository", apart, "--plain-http"),
                    *(
                        "--subject",
                        registry.digest(apart, "subject") or "",
                        "--platform",
                        "linux/amd64",
                        "--builder",
                        gate.builder.image,
                    ),
                    *("--path", "/disk.qcow2"),
                ]
            )
            .sync()
        )
    async with timed("move both tags"):
        for tag in "by-hand-version", "by-hand-channel":
            moved = f"docker://{repository.image}:{tag}"
            copy = ["skopeo", "copy", "--all", "--preserve-digests", *insecure, "--dest-tls-verify=false"]
            await tools.with_exec([*copy, source, moved]).sync()
    assert set(spent) == set(TESTING)
    return ByHand(spent, Spent.model_validate_json(await gated.file(f"/report/{FILE}").contents()))


def _harness(container: dagger.Container) -> dagger.Container:
    """This package and its requirements, as the module puts them into its containers."""
    return with_pipeline(
        container, dag.host().directory(str(MODULE), include=["pyproject.toml", "src/**/*.py", "src/**/*.j2"])
    )
