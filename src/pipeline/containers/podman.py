"""Building an image, running its gate, pushing it: podman in a privileged container.

Container storage is a cache volume, because overlay on overlay does not work, and locked, because podman's own
locks do not reach across containers.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import dagger
from dagger import CacheSharingMode, dag
from pydantic import TypeAdapter

from pipeline.config import Image, Lint, NextGate, architecture
from pipeline.containers.base import Reach, debian, with_pipeline
from pipeline.containers.execution import Ran, attempt
from pipeline.domain import Commit, Digest
from pipeline.errors import InfrastructureError, PipelineError, PreconditionError
from pipeline.image.foreign import FOREIGN, looks_foreign
from pipeline.policy.blame import Work
from pipeline.policy.waivers import Waiver
from pipeline.report.model import Result

STORAGE = "/var/lib/containers"
_LIMIT = 4 * 3600.0
"""Seconds for a build, a push, or a gate, whose checks have deadlines of their own."""

_PUSHED = "/pushed-digest"
"""Where a push leaves the digest of what it sent."""

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
    tools = debian(
        "ca-certificates",
        "catatonit",
        "libxtables12",
        "netavark",
        "podman",
        "runc",
        "skopeo",
        *more,
    )
    return tools.with_new_file("/etc/containers/containers.conf", _CONTAINERS_CONF).with_env_variable(
        "PODMAN_IGNORE_CGROUPSV1_WARNING",
        "1",  # it would stand behind the output of whatever runs
    )


@dataclass(frozen=True)
class BuiltImage:
    """An image in container storage, one for each of its platforms; they become an index when they are pushed."""

    container: dagger.Container
    name: str
    """`localhost/NAME:TAG`; the image of a platform has its machine name behind that."""

    @classmethod
    def storage(cls, reach: Reach, volume: str, name: str) -> Self:
        """The image `name` in the storage of that name; it may not be there yet."""
        storage = dag.cache_volume(volume)
        container = reach.registries(with_pipeline(toolbox())).with_mounted_cache(
            STORAGE, storage, sharing=CacheSharingMode.LOCKED
        )
        return cls(container, name)

    async def build(self, image: Image, source: dagger.Directory, labels: dict[str, str]) -> Self:
        """`podman build` of the Containerfile, for each platform.

        Raises GateFailed with the end of the log when it does not build, PreconditionError for a platform whose
        programs do not run here.
        """
        options = [f"--label={name}={value}" for name, value in labels.items()]
        options += [f"--build-arg={name}={value}" for name, value in image.build_args.items()]
        container = self.container.with_mounted_directory("/source", source).with_workdir("/source")
        for platform in image.platforms:
            built = await _run(
                [
                    *("podman", "build"),
                    *("--file", image.containerfile),
                    *("--network", "host"),  # the exec's own network; a bridge inside it would need more rights
                    "--pull=newer",
                    *("--platform", platform),
                    *("--tag", self._of(platform)),
                    *options,
                    image.context,
                ],
                container,
            )
            if built.code:
                raise _not_built(image, platform, built)
            container = built.container
        return replace(self, container=container)

    async def pull(self, image: Image, digest: Digest) -> Self:
        """Take the image from its registry instead of building it."""
        reference, container = image.repository.at(digest), self.container
        for platform in image.platforms:
            source, target = f"docker://{reference}", f"containers-storage:{self._of(platform)}"
            choice = ["--override-arch", platform.rpartition("/")[2]]
            pulled = await _run(["skopeo", *choice, "copy", source, target], container)
            if pulled.code:
                raise pulled.blamed(Work.COPY, f"skopeo could not fetch {reference} for {platform}")
            container = pulled.container
        return replace(self, container=container)

    async def gate(
        self, image: Image, gate: NextGate, source: dagger.Directory, waivers: Sequence[Waiver]
    ) -> tuple[Result, dagger.Directory]:
        """Lint, layout and unit tests of every platform, in one report; `waivers` are those of this gate."""
        container, arguments = self.container, ["--deadline", str(gate.timeout)]
        if gate.tests:
            container = container.with_directory("/tests", source.directory(gate.tests))
            arguments += ["--tests", "/tests"]
        arguments += lint_options(gate.lint)
        if waivers:
            arguments += ["--waivers", TypeAdapter(list[Waiver]).dump_json(list(waivers)).decode()]
        images = [f"{architecture(platform)}={self._of(platform)}" for platform in image.platforms]
        ran = await _run(
            ["python", "-m", "pipeline.image", *images, "--report", "/report", *arguments],
            container.with_directory("/report", dag.directory()),
        )
        report = ran.container.directory("/report")
        if "result.json" not in await report.entries():
            raise InfrastructureError(f"The image gate broke off: {ran.end()}")
        return Result.model_validate_json(await report.file("result.json").contents()), report

    async def push(self, image: Image, commit: Commit) -> Digest:
        """Push to the tag of the commit; the digest that the tool says it pushed, to be held against the registry's."""
        target = f"docker://{image.repository.tagged(image.tags.candidate(commit))}"
        images = [self._of(platform) for platform in image.platforms]
        told = ["--digestfile", _PUSHED]
        if len(images) == 1:
            pushed = await _run(["skopeo", "copy", *told, f"containers-storage:{images[0]}", target], self.container)
        else:
            # An index that an earlier try left would get these images in addition.
            emptied = await _run(["podman", "manifest", "rm", self.name], self.container)
            listed = await _run(["podman", "manifest", "create", self.name, *images], emptied.container)
            pushed = await _run(["podman", "manifest", "push", "--all", *told, self.name, target], listed.container)
        if pushed.code:
            raise pushed.blamed(Work.COPY, f"The push of {image.repository}:{commit} failed")
        return Digest((await pushed.container.file(_PUSHED).contents()).strip())

    def _of(self, platform: str) -> str:
        return f"{self.name}-{architecture(platform)}"


def lint_options(lint: Lint) -> list[str]:
    """How the harness is told about `bootc container lint`."""
    if not lint.run:
        return ["--no-lint"]
    return [
        *(() if lint.fatal_warnings else ("--lint-warnings",)),
        *(f"--skip-lint={name}" for name in lint.skip),
    ]


def _not_built(image: Image, platform: str, built: Ran) -> PipelineError:
    what = f"{image.containerfile} of {image.name} does not build for {platform}"
    if looks_foreign(built.said):
        return PreconditionError(f"{what}: {built.end()}\n{FOREIGN}")
    return built.blamed(Work.BUILD, what)


async def _run(command: list[str], container: dagger.Container, within: float = _LIMIT) -> Ran:
    return await attempt(container, command, privileged=True, within=within)
