"""Building an image, running its gate, pushing it: podman in a privileged container.

Container storage is a cache volume, because overlay on overlay does not work, and locked, because podman's own
locks do not reach across containers.
"""

from dataclasses import dataclass
from typing import Self

import dagger
from dagger import CacheSharingMode, dag

from pipeline.config import Image, NextGate
from pipeline.containers.base import Reach, debian, with_pipeline
from pipeline.containers.execution import Ran, attempt
from pipeline.domain import Commit, Tag
from pipeline.errors import GateFailed, InfrastructureError
from pipeline.policy.outage import looks_like_an_outage
from pipeline.report.model import Result

STORAGE = "/var/lib/containers"

# Works also where the engine has neither cgroup v2 nor CAP_SYS_RESOURCE: raising limits would fail there.
_CONTAINERS_CONF = """\
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=1024:4096"]
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
"""


def toolbox(*more: str) -> dagger.Container:
    """Debian with podman and skopeo, and `more` packages."""
    return debian(
        "ca-certificates",
        "catatonit",
        "libxtables12",
        "netavark",
        "podman",
        "runc",
        "skopeo",
        *more,
    ).with_new_file("/etc/containers/containers.conf", _CONTAINERS_CONF)


@dataclass(frozen=True)
class BuiltImage:
    """An image in container storage, by a local name."""

    container: dagger.Container
    name: str

    @classmethod
    def storage(cls, reach: Reach, volume: str, name: str) -> Self:
        """The image `name` in the storage of that name; it may not be there yet."""
        storage = dag.cache_volume(volume)
        container = reach.registries(with_pipeline(toolbox())).with_mounted_cache(
            STORAGE, storage, sharing=CacheSharingMode.LOCKED
        )
        return cls(container, name)

    async def build(self, image: Image, source: dagger.Directory, labels: dict[str, str]) -> "BuiltImage":
        """`podman build` of the Containerfile; GateFailed with the end of the log when it does not build."""
        options = [f"--label={name}={value}" for name, value in labels.items()]
        options += [f"--build-arg={name}={value}" for name, value in image.build_args.items()]
        name = ["--tag", self.name]
        container = self.container
        if len(image.platforms) > 1:
            name = ["--manifest", self.name, f"--platform={','.join(image.platforms)}"]
            # What an earlier try left in the list would be pushed too.
            container = (await self._run(["podman", "manifest", "rm", self.name])).container
        built = await self._run(
            [
                *("podman", "build"),
                *("--file", image.containerfile),
                *("--network", "host"),  # the exec's own network; a bridge inside it would need more rights
                "--pull=newer",
                *name,
                *options,
                image.context,
            ],
            container.with_mounted_directory("/source", source).with_workdir("/source"),
        )
        if built.code:
            kind = InfrastructureError if looks_like_an_outage(built.stderr) else GateFailed
            raise kind(f"{image.containerfile} of {image.name} does not build: {built.end()}")
        return BuiltImage(built.container, self.name)

    async def pull(self, reference: str) -> "BuiltImage":
        """Take an image from a registry, by digest, instead of building it."""
        pulled = await self._run(["skopeo", "copy", f"docker://{reference}", f"containers-storage:{self.name}"])
        if pulled.code:
            raise InfrastructureError(f"skopeo could not fetch {reference}: {pulled.end()}")
        return BuiltImage(pulled.container, self.name)

    async def gate(self, gate: NextGate, source: dagger.Directory) -> tuple[Result, dagger.Directory]:
        """Lint, layout and unit tests; the report folder holds result.json."""
        container, arguments = self.container, []
        if gate.tests:
            container = container.with_directory("/tests", source.directory(gate.tests))
            arguments += ["--tests", "/tests"]
        if not gate.lint:
            arguments += ["--no-lint"]
        ran = await self._run(
            [
                *("python", "-m", "pipeline.image", self.name),
                *("--report", "/report"),
                *("--deadline", str(gate.timeout)),
                *arguments,
            ],
            container.with_directory("/report", dag.directory()),
        )
        report = ran.container.directory("/report")
        if "result.json" not in await report.entries():
            raise InfrastructureError(f"The image gate broke off: {ran.end()}")
        return Result.model_validate_json(await report.file("result.json").contents()), report

    async def push(self, image: Image, commit: Commit) -> None:
        """Push to the tag of the commit; the caller reads the digest back."""
        target = f"docker://{image.repository.tagged(Tag(commit))}"
        if len(image.platforms) > 1:
            command = ["podman", "manifest", "push", "--all", self.name, target]
        else:
            command = ["skopeo", "copy", f"containers-storage:{self.name}", target]
        pushed = await self._run(command)
        if pushed.code:
            raise InfrastructureError(f"The push of {image.repository}:{commit} failed: {pushed.end()}")

    async def _run(self, command: list[str], container: dagger.Container | None = None) -> Ran:
        return await attempt(container or self.container, command, privileged=True)
