"""A real openQA with two workers, as a service of the engine that ci/test starts."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import dagger
import pytest
from dagger import ReturnType, dag

from pipeline.containers.base import DEBIAN
from pipeline.domain import Digest
from pipeline.lab.images import disk_builder, tiny_os
from pipeline.lab.openqa import PORT, machine
from pipeline.openqa.client import OpenQA
from pipeline.openqa.gate import Limits
from pipeline.openqa.submission import Answer, Order, client_conf, parse_answer, schedule_arguments

ROOT = Path(__file__).parents[3]
LAB_FILES = ROOT / "ci/lab"
URL = f"http://openqa:{PORT}"
KEY = SECRET = "FEDCBA0987654321"
"""Not those of the lab: the end-to-end tests run beside these and look for theirs in every process."""
SUITE = (LAB_FILES / "openqa/scenarios.yaml").read_text()
QUICK = Limits(overall=180, pickup=60, poll=0.5, grace=1)


@dataclass(frozen=True)
class Lab:
    """The server, and openqa-cli in a container beside it."""

    client: OpenQA
    address: str
    cli: dagger.Container
    quick: Limits = QUICK
    suite: str = SUITE
    _disks: list[str] = field(default_factory=list)

    def order(self, test: str, extra: Mapping[str, str] | None = None, *, served: bool = True) -> Order:
        """Ask for one job without a machine, on a disk that no other order names."""
        number = f"{len(self._disks):012x}" if served else uuid4().hex[:12]
        if served:
            self._disks.append(number)
        return Order(
            distri="bootclab",
            flavor="null",
            version="1",
            arch="x86_64",
            release="1.0.0",
            digest=Digest(f"sha256:{number:0<64}"),
            disk_url=f"http://files:8080/os-{number}.qcow2",
            disk_sha256=Digest(f"sha256:{number:1<64}"),
            scenarios=(Path(__file__).parent / "scenarios.yaml").read_text(),
            test=test,
            extra=extra or {},
        )

    async def submit(self, order: Order, secret: str = SECRET) -> Answer:
        """What the pipeline does: openqa-cli in a container, key and secret in its client.conf."""
        arguments = schedule_arguments(URL, "/scenarios.yaml" if order.scenarios else None, order.settings)
        return parse_answer(*await self._run(arguments, secret, order.scenarios))

    async def api(self, *arguments: str) -> str:
        """Any other request, as an operator would make it by hand."""
        stdout, code, stderr = await self._run(["openqa-cli", "api", "--host", URL, *arguments], SECRET, "")
        assert code == 0, stderr
        return stdout

    async def _run(self, arguments: list[str], secret: str, scenarios: str) -> tuple[str, int, str]:
        conf = dag.set_secret(f"client-conf-{secret}", client_conf(URL, KEY, secret))
        ran = await (
            self.cli.with_mounted_secret("/etc/openqa/client.conf", conf)
            .with_new_file("/scenarios.yaml", scenarios)
            .with_env_variable("RUN", uuid4().hex)
            .with_exec(arguments, expect=ReturnType.ANY)
            .sync()
        )
        return await ran.stdout(), await ran.exit_code(), await ran.stderr()


def disks() -> dict[str, dagger.File]:
    """The sample OS, and the same with something that only a user would notice: it boots, and its unit tests pass."""
    context = dag.host().directory(str(ROOT), include=["Containerfile", "os/**"])
    regressed = context.with_new_file("os/usr/lib/tmpfiles.d/zz-regression.conf", "z /tmp 0755 root root\n")
    return {"good-aaaaaaaaaaaa": disk(context), "regressed-bbbbbbbbbbbb": disk(regressed)}


@pytest.fixture(scope="package")
async def lab(request: pytest.FixtureRequest, engine: None) -> AsyncIterator[Lab]:
    """openQA, and a web server of disks that it may download from; real ones only for tests that take their time.

    Ends with the tests of this folder: the scheduler alone takes a third of a processor.
    """
    files = dag.container().from_(DEBIAN).with_workdir("/srv")
    for number in range(48):
        files = files.with_new_file(f"/srv/os-{number:012x}.qcow2", f"not really a disk {number}")
    if any(item.get_closest_marker("thorough") for item in request.session.items):
        for name, file in disks().items():
            files = files.with_mounted_file(f"/srv/{name}.qcow2", file)
    web = files.with_exposed_port(8080).as_service(args=["python3", "-m", "http.server", "8080"])
    packages = machine(dag.host().directory(str(LAB_FILES)))
    server = (
        packages.with_service_binding("files", web)
        .with_env_variable("OPENQA_DOWNLOAD_DOMAINS", "localhost files")
        .with_env_variable("OPENQA_KEY", KEY)
        .with_env_variable("OPENQA_SECRET", SECRET)
        .with_env_variable("OPENQA_WORKERS", "2")
        .with_env_variable("OPENQA_RESPAWN", "yes")
        .with_env_variable("RUN", uuid4().hex)
        .with_exposed_port(PORT)
        .as_service(args=["/openqa/start"])
    )
    tunnel = await dag.host().tunnel(server).start()
    address = await tunnel.endpoint()
    async with OpenQA(URL, KEY, SECRET, address=address) as client:
        yield Lab(client, address, packages.with_service_binding("openqa", server))
    await tunnel.stop()
    await server.stop(kill=True)


def disk(context: dagger.Directory) -> dagger.File:
    """Build the sample OS on the lab's base and put it on a disk."""
    files = dag.host().directory(str(LAB_FILES))
    script = """
        skopeo copy --quiet oci-archive:/tiny.oci containers-storage:localhost/tiny:1
        podman build --quiet --network host --build-arg BASE=localhost/tiny:1 --tag localhost/os:1 /context
        : >/run/.containerenv
        disk-builder --type qcow2 --output /output localhost/os:1
    """
    return (
        disk_builder(files)
        .with_mounted_file("/tiny.oci", tiny_os(files))
        .with_mounted_directory("/context", context)
        .with_mounted_cache("/var/lib/containers", dag.cache_volume("contract-openqa"))
        .with_exec(["sh", "-ec", script], insecure_root_capabilities=True)
        .file("/output/qcow2/disk.qcow2")
    )
