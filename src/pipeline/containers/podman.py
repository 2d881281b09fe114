"""Building an image, running its gate, pushing it: podman in a privileged container.

Container storage is a cache volume, because overlay on overlay does not work, and locked, because podman's own
locks do not reach across containers.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import dagger
from dagger import CacheSharingMode, dag
from pydantic import TypeAdapter

from pipeline.config import Image, Lint, NextGate
from pipeline.containers.base import Reach, debian, with_pipeline
from pipeline.containers.execution import Ran, attempt
from pipeline.domain import Digest, Repository
from pipeline.errors import GateFailed, InfrastructureError, PipelineError, PreconditionError, UsageError
from pipeline.image.assembly import Assembled
from pipeline.image.foreign import FOREIGN, looks_foreign
from pipeline.policy.blame import Work
from pipeline.policy.platforms import choice, short_name
from pipeline.policy.template import filled
from pipeline.policy.waivers import Waiver
from pipeline.report.model import Result

STORAGE = "/var/lib/containers"
_LIMIT = 4 * 3600.0
"""Seconds for a build, a push, or a gate, whose checks have deadlines of their own."""

_SOON = 600.0
"""Seconds for clearing away, which waits for whoever builds in the same storage."""
_CACHED = "48h"
"""How long the steps of a build stay that is not the newest one."""

_SECRETS = "/run/secrets/build"
"""Where the secrets of a build are mounted, each in a file of its name; podman mounts them into the steps that ask."""
_WORKING_CONTAINERS = f"{STORAGE}/storage/overlay-containers"
"""Where podman keeps what belongs to a running step, the secrets it mounts among it."""

_DELIVERED = "/delivered"
_LAYOUT = "/candidate"
"""Where the candidate is as an OCI layout, while it is pushed from one."""
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
class Recipe:
    """What a build is told beside the files of the repository, every placeholder filled in."""

    labels: Mapping[str, str] = field(default_factory=dict)
    args: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, dagger.Secret] = field(default_factory=dict)
    """By the id under which a RUN step mounts them."""
    pinned: Mapping[str, str] = field(default_factory=dict)
    """Images that the Containerfile names, with the reference by digest that is built on."""
    afresh: bool = False
    """Run every step again, although nothing that podman sees has changed."""


@dataclass(frozen=True)
class Delivered:
    """A candidate that was built elsewhere: one thing, or one for each platform."""

    references: Sequence[str] = ()
    """Repositories with digest."""
    archives: Sequence[dagger.File] = ()
    layouts: Sequence[dagger.Directory] = ()


@dataclass(frozen=True)
class BuiltImage:
    """An image in container storage, one for each of its platforms; they become an index when they are pushed."""

    container: dagger.Container
    name: str
    """`localhost/NAME:TAG`; the image of a platform has its machine name behind that."""
    assembled: Assembled | None = None
    """What lies as an OCI layout in the container, and is pushed as it is."""

    @classmethod
    def storage(cls, reach: Reach, volume: str, name: str) -> Self:
        """The image `name` in the storage of that name; it may not be there yet."""
        storage = dag.cache_volume(volume)
        container = reach.registries(with_pipeline(toolbox())).with_mounted_cache(
            STORAGE, storage, sharing=CacheSharingMode.LOCKED
        )
        return cls(container, name)

    async def build(self, image: Image, source: dagger.Directory, recipe: Recipe) -> Self:
        """`podman build` of the Containerfile, for each platform.

        Raises GateFailed with the end of the log when it does not build, PreconditionError for a platform whose
        programs do not run here.
        """
        container = self.container.with_mounted_directory("/source", source).with_workdir("/source")
        for name, secret in recipe.secrets.items():
            container = container.with_mounted_secret(f"{_SECRETS}/{name}", secret)
        for platform in image.platforms:
            built = await _run(
                [
                    *("podman", "build"),
                    *("--file", image.containerfile),
                    *("--network", "host"),  # the exec's own network; a bridge inside it would need more rights
                    "--pull=newer",
                    *("--platform", platform),
                    *("--tag", self._of(platform)),
                    *("--tag", self._kept(platform)),
                    *build_options(image, recipe),
                    image.context,
                ],
                # a step that is killed leaves nothing of its secrets in the volume
                container.with_mounted_temp(_WORKING_CONTAINERS) if recipe.secrets else container,
            )
            if built.code:
                raise _not_built(image, platform, built)
        return self

    async def pull(self, image: Image, digest: Digest, repository: Repository | None = None) -> Self:
        """Take the image from its registry, or from another repository, instead of building it."""
        return await self._fetched(image, f"docker://{(repository or image.repository).at(digest)}")

    async def receive(self, delivered: Delivered) -> tuple[Self, Assembled]:
        """Put together what was built elsewhere, as one OCI layout in the container, from which it is pushed.

        Raises PreconditionError for what is no whole OCI image of one or several platforms.
        """
        container, folders = self.container, []
        for number, reference in enumerate(delivered.references):
            folder = f"{_DELIVERED}/reference-{number}"
            told = ["--all", "--preserve-digests", f"docker://{reference}", f"oci:{folder}"]
            copied = await _run(["skopeo", "copy", *told], container.with_directory(_DELIVERED, dag.directory()))
            if copied.code:
                raise copied.blamed(Work.PULL, f"skopeo could not fetch {reference} as it is")
            container = copied.container
            folders.append(folder)
        for number, archive in enumerate(delivered.archives):
            file, folder = f"/delivered-{number}", f"{_DELIVERED}/archive-{number}"
            container = container.with_mounted_file(file, archive).with_directory(folder, dag.directory())
            unpacked = await _run(["tar", "--extract", "--file", file, "--directory", folder], container)
            if unpacked.code:
                raise PreconditionError(f"What was handed over as an archive is none that tar reads: {unpacked.end(3)}")
            container = unpacked.container.without_mount(file)
            folders.append(folder)
        for number, layout in enumerate(delivered.layouts):
            folder = f"{_DELIVERED}/layout-{number}"
            container = container.with_mounted_directory(folder, layout)
            folders.append(folder)
        return await self._assemble(container, folders)

    async def take(self, image: Image) -> Self:
        """The images of the layout in the container, for the gate."""
        return await self._fetched(image, f"oci:{_LAYOUT}")

    async def layers(self, image: Image) -> dict[str, list[str]]:
        """The digests of the unpacked layers of each platform, bottom first."""
        if self.assembled:
            return self.assembled.layers
        found: dict[str, list[str]] = {}
        for platform in image.platforms:
            asked = ["podman", "image", "inspect", "--format", "{{json .RootFS.Layers}}", self._of(platform)]
            ran = await _run(asked, self.container)
            if ran.code:
                raise InfrastructureError(f"podman does not know the image that it built: {ran.end(3)}")
            found[platform] = [str(one) for one in json.loads(ran.stdout) or []]
        return found

    async def lay_out(self, image: Image) -> tuple[Self, Assembled]:
        """What was built becomes one OCI layout in the container, after an optional rechunk; it is pushed from there.

        Raises GateFailed when the rechunker fails, PreconditionError for what it leaves when that is no image.
        """
        tool = image.rechunk
        command = [
            *("python", "-m", "pipeline.image.candidate", "--out", _LAYOUT),
            *("--deadline", str(_LIMIT)),
            *([f"--compression={image.compression}"] if image.compression else []),
            *([f"--rechunk={tool.image}", *(f"--tell={word}" for word in tool.args)] if tool else []),
            *(self._of(platform) for platform in image.platforms),
        ]
        return await self._laid_out(await _run(command, self.container), image.name)

    async def _assemble(self, container: dagger.Container, folders: Sequence[str]) -> tuple[Self, Assembled]:
        """One layout out of several; the only thing of them that stays in the container."""
        command = ["python", "-m", "pipeline.image.assembly", *folders, "--out", _LAYOUT]
        return await self._laid_out(await _run(command, container), "what was handed over")

    async def _laid_out(self, ran: Ran, what: str) -> tuple[Self, Assembled]:
        for told in (PreconditionError, UsageError):
            if ran.code == told.outcome.exit_code:
                raise told(ran.stderr.strip())
        if ran.code == GateFailed.outcome.exit_code:
            raise ran.blamed(Work.BUILD, f"rechunk of {what}")
        if ran.code:
            raise InfrastructureError(f"The layout of {what} could not be made: {ran.end()}")
        assembled = Assembled.model_validate_json(ran.stdout)
        whole = self.container.with_directory(_LAYOUT, ran.container.directory(_LAYOUT))
        return replace(self, container=whole, assembled=assembled), assembled

    async def _fetched(self, image: Image, source: str) -> Self:
        """The image of each platform in storage, where the gate looks at it."""
        container = self.container
        for platform in image.platforms:
            target = f"containers-storage:{self._of(platform)}"
            pulled = await _run(["skopeo", *choice(platform), "copy", source, target], container)
            if pulled.code:
                raise pulled.blamed(Work.COPY, f"skopeo could not fetch {source} for {platform}")
        return self

    async def gate(
        self, image: Image, gate: NextGate, source: dagger.Directory, waivers: Sequence[Waiver]
    ) -> tuple[Result, dagger.Directory]:
        """Lint, layout, unit tests and SBOM of every platform, in one report; `waivers` are those of this gate."""
        container, arguments = self.container, ["--deadline", str(gate.timeout)]
        if gate.tests:
            container = container.with_directory("/tests", source.directory(gate.tests))
            arguments += ["--tests", "/tests"]
        arguments += lint_options(gate.lint)
        if gate.sbom:
            arguments += [f"--sbom={gate.sbom.image}"]
            arguments += [f"--tell={filled(word, {'name': image.name})}" for word in gate.sbom.args]
        if waivers:
            arguments += ["--waivers", TypeAdapter(list[Waiver]).dump_json(list(waivers)).decode()]
        images = [f"{short_name(platform)}={self._of(platform)}" for platform in image.platforms]
        ran = await _run(
            ["python", "-m", "pipeline.image", *images, "--report", "/report", *arguments],
            container.with_directory("/report", dag.directory()),
        )
        report = ran.container.directory("/report")
        if "result.json" not in await report.entries():
            raise InfrastructureError(f"The image gate broke off: {ran.end()}")
        return Result.model_validate_json(await report.file("result.json").contents()), report

    async def push(self, image: Image) -> Digest:
        """Push the layout by its digest, to no tag; the digest that the tool says it pushed."""
        if not self.assembled:
            laid_out, _ = await self.lay_out(image)
            return await laid_out.push(image)
        target = image.repository.at(self.assembled.digest)
        told = ["--all", "--preserve-digests", "--digestfile", _PUSHED, f"oci:{_LAYOUT}", f"docker://{target}"]
        pushed = await _run(["skopeo", "copy", *told], self.container)
        if pushed.code:
            raise pushed.blamed(Work.COPY, f"The push of {target} failed")
        return Digest((await pushed.container.file(_PUSHED).contents()).strip())

    async def remove(self, image: Image) -> None:
        """Take the images of this name out of storage, and what builds left there two days ago, but the newest.

        That stays for each platform, with the steps that the next build takes up again.
        """
        names = [self._of(platform) for platform in image.platforms]
        removed = await _run(["podman", "rmi", "--force", "--ignore", *names], self.container, _SOON)
        await _run(["podman", "image", "prune", "--force", "--filter", f"until={_CACHED}"], removed.container, _SOON)

    def _of(self, platform: str) -> str:
        return f"{self.name}-{short_name(platform)}"

    def _kept(self, platform: str) -> str:
        """By this name the newest build stays, whichever run it is of."""
        return f"{self.name.rpartition(':')[0]}:cache-{short_name(platform)}"


def build_options(image: Image, recipe: Recipe) -> list[str]:
    """What podman build is told by `[images.NAME]` and a recipe; the user's own options come last."""
    build = image.build
    return [
        *(f"--label={name}={value}" for name, value in recipe.labels.items()),
        *(f"--annotation={name}={value}" for name, value in recipe.annotations.items()),
        *([f"--build-arg-file={build.args_file}"] if build.args_file else []),
        *(f"--build-arg={name}={value}" for name, value in (image.build_args | dict(recipe.args)).items()),
        *(f"--secret=id={name},src={_SECRETS}/{name}" for name in recipe.secrets),
        *([f"--target={build.target}"] if build.target else []),
        *(f"--build-context={name}={place}" for name, place in build.contexts.items()),
        *(f"--build-context={name}=docker-image://{pinned}" for name, pinned in recipe.pinned.items()),
        *(f"--cache-from={repository}" for repository in build.cache_from),
        *(f"--cache-to={repository}" for repository in build.cache_to),
        *(["--no-cache"] if recipe.afresh else []),
        *build.options,
    ]


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
