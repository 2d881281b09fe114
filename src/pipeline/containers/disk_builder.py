"""The disk image: bootc-image-builder (or what the configuration names instead) on the candidate, by digest."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from uuid import uuid4

import anyio
import dagger
from dagger import CacheSharingMode, dag

from pipeline.config import OUTPUT, OUTPUTS, QCOW2, Builder
from pipeline.containers.base import Reach, debian
from pipeline.containers.disk_store import Candidate, Disk, load_again, load_image
from pipeline.containers.execution import Ran, attempt, outcome_of
from pipeline.containers.podman import STORAGE, toolbox
from pipeline.containers.qemu import machine_room
from pipeline.domain import Digest, Repository
from pipeline.errors import GateFailed, InfrastructureError, PipelineError, PreconditionError, UsageError
from pipeline.policy.blame import Work
from pipeline.policy.platforms import choice, short_name
from pipeline.vm.form import Formed
from pipeline.vm.spec import Arch

_SCRATCH = "/store"
"""Where osbuild keeps what it works on."""
_ROOMS = "/rooms"
"""A file for each room in use, by its name."""
_ABANDONED = 24 * 60
"""Minutes after which a room is one that a killed build left: no build may take so long."""
_CLEANING = 600.0
"""Seconds for emptying what a build left."""


class NotBuilt(GateFailed):
    """The builder refused the image; `log` is what it printed, for the report."""

    def __init__(self, reason: str, log: str) -> None:
        super().__init__(reason)
        self.log = log


async def build_disk(
    reach: Reach,
    builder: Builder,
    repository: Repository,
    digest: Digest,
    platform: str,
    update_ref: str,
    config: dagger.File | None = None,
    kind: str = QCOW2,
    candidate: Candidate | None = None,
) -> Disk:
    """Load the candidate under its update reference, then run the builder on that name.

    The builder records the name it is given as the installed system's update origin, and it never pulls. The
    storage belongs to this digest alone, so that no other promotion can put another image under the same name.
    Raises NotBuilt when the builder refuses the image, UsageError for what the configuration asks of it and
    InfrastructureError for what the machine lacks. `kind` is one of `OUTPUTS`, `candidate` what an earlier build of
    this command has fetched.
    """
    async with _room(f"{digest.short}-{short_name(platform)}") as room:
        tools = room.in_toolbox(reach)
        if candidate is None:
            candidate = await load_image(reach, tools, repository, digest, platform, update_ref)
        else:
            await load_again(tools, candidate, platform, update_ref)
        for name in builder.needs:
            await _pull(tools, name, platform)
        with _pulling(builder.image):
            image = await (await reach.image(builder.image)).sync()
        container = room.given(reach.outside(image)).with_directory(OUTPUT, dag.directory()).with_workdir(OUTPUT)
        if config and builder.config:
            container = container.with_mounted_file(f"/config.{builder.config.rpartition('.')[2]}", config)
        built = await attempt(
            container,
            builder.arguments(platform, update_ref, kind),
            privileged=True,
            entrypoint=True,
            within=builder.timeout,
        )
        if built.code:
            raise _refusal(builder, digest, built)
        place = builder.disk if kind == QCOW2 else OUTPUTS[kind]
        return Disk(await _left(builder, built, place), await image.image_ref(), built.said, candidate)


@dataclass(frozen=True)
class _Room:
    """Storage and scratch of one candidate: on volumes, because overlay on overlay does not work.

    Each is noted on a volume of all rooms as long as it is in use, so that what a killed build left has an end, too.
    """

    name: str
    filling: str = field(default_factory=lambda: uuid4().hex)
    """Makes every run with it one of its own: what the engine remembers of an earlier one is no longer in there."""

    def given(self, container: dagger.Container) -> dagger.Container:
        for place, volume in (STORAGE, "disk"), (_SCRATCH, "scratch"):
            cache = dag.cache_volume(f"bootc-pipeline-{volume}-{self.name}")
            container = container.with_mounted_cache(place, cache, sharing=CacheSharingMode.LOCKED)
        return container.with_env_variable("PIPELINE_TRY", self.filling)

    def in_toolbox(self, reach: Reach) -> dagger.Container:
        return self.given(reach.registries(toolbox()))

    async def enter(self) -> list[str]:
        """Make place for a new build, and name the rooms that nobody has left for a day."""
        old = f"find {_ROOMS} -mindepth 1 -mmin +{_ABANDONED} ! -name {self.name} -printf '%f\\n'"
        ran = await self._in_rooms(f"find {_SCRATCH} -mindepth 1 -delete; touch {_ROOMS}/{self.name}; {old}")
        return ran.stdout.split()

    async def leave(self) -> None:
        """Empty it, also of what a killed build left; another run of the same candidate finds nothing then."""
        await self._in_rooms(f"find {STORAGE} {_SCRATCH} -mindepth 1 -delete && rm -f {_ROOMS}/{self.name}")

    async def _in_rooms(self, command: str) -> Ran:
        rooms = self.given(toolbox()).with_mounted_cache(_ROOMS, dag.cache_volume("bootc-pipeline-rooms"))
        return await attempt(rooms, ["sh", "-c", command], privileged=True, within=_CLEANING)


@asynccontextmanager
async def _room(name: str) -> AsyncIterator[_Room]:
    """Without scratch of an earlier run, and with nothing in it afterwards, however the build ends."""
    room = _Room(name)
    for left in await room.enter():
        with suppress(PipelineError):
            await _Room(left).leave()
    try:
        yield room
    finally:
        with anyio.CancelScope(shield=True), suppress(PipelineError):
            await room.leave()


async def _pull(tools: dagger.Container, name: str, platform: str) -> None:
    command = ["skopeo", *choice(platform), "copy", "--quiet", f"docker://{name}", f"containers-storage:{name}"]
    copied = await attempt(tools, command, privileged=True)
    if copied.code:
        raise copied.blamed(Work.PULL, f"skopeo could not load {name}")


def _refusal(builder: Builder, digest: Digest, built: Ran) -> PipelineError:
    """In a gate's report the reason comes first; the whole log is a file beside it."""
    error = built.blamed(Work.DISK, f"the disk builder {builder.image} on {digest}")
    return NotBuilt(str(error).partition("\n")[0], built.said) if isinstance(error, GateFailed) else error


async def _left(builder: Builder, built: Ran, place: str) -> dagger.File:
    """The disk; UsageError, which says what there is instead, when it is not where the configuration says."""
    found = [path for path in await built.container.directory(OUTPUT).glob("**/*") if not path.endswith("/")]
    if place not in found:
        raise UsageError(
            f"The disk builder {builder.image} left no {place}: {OUTPUT} holds "
            f"{', '.join(sorted(found)[:20]) or 'nothing'}. Correct gates.testing.builder.disk, or its args."
        )
    return built.container.file(f"{OUTPUT}/{place}")


async def builders_address(reach: Reach, address: str) -> str:
    """By digest, as the engine finds it, without its layers. Raises as `_pulling`."""
    with _pulling(address):
        found = await (await reach.image(address)).image_ref()
    return f"{address.partition('@')[0]}@{found.rpartition('@')[2]}"


@contextmanager
def _pulling(address: str) -> Iterator[None]:
    """The engine does it, over TLS unless it is configured otherwise.

    Raises PreconditionError when it will not be had, InfrastructureError for an outage.
    """
    try:
        yield
    except dagger.QueryError as error:
        said = str(error)
        hint = next((hint for sign, hint in _REFUSALS.items() if sign in said), None)
        if hint is None:
            raise InfrastructureError(f"The engine cannot pull the disk builder {address}: {said}") from error
        raise PreconditionError(f"The engine cannot pull the disk builder {address}: {hint} It said: {said}") from error


_PLAIN = (
    "its registry speaks plain HTTP, and the engine expects TLS. Hand the registry over with --registry, name a "
    "builder in another one, or configure the engine for it."
)
_REFUSALS = {
    "server gave HTTP response to HTTPS client": _PLAIN,
    "first record does not look like a TLS handshake": _PLAIN,
    "x509: ": "the engine trusts no such certificate. Give the registry one that it does, or the engine its authority.",
    "not found": "there is no such image. Correct gates.testing.builder.",
    "authorization failed": "its registry asks for a login, or for another one: give it in --registry-auth.",
    "401 Unauthorized": "its registry asks for a login: give it in --registry-auth.",
    "403 Forbidden": "its registry refuses the login.",
}
"""What the engine says of images that another try will not bring, and what to do."""


_BUILT, _FORMED = "/built", "/disk.qcow2"


async def formed(built: Disk, builder: Builder, arch: Arch) -> tuple[Disk, Formed]:
    """The disk in the form that the configuration asks for, checked: the file that is tested from here on.

    GateFailed when `qemu-img check` finds it damaged, UsageError when the builder left no disk of the form asked for,
    InfrastructureError when there is no room for another one.
    """
    ran = await attempt(
        machine_room(arch).with_mounted_file(_BUILT, built.file),
        ["python", "-m", "pipeline.vm.form", _BUILT, "--form", builder.form, "--to", _FORMED],
        within=builder.timeout,
    )
    if ran.code:
        raise outcome_of(ran)
    done = Formed.model_validate_json(ran.stdout)
    return (replace(built, file=ran.container.file(_FORMED)) if done.converted else built), done


async def facts(name: str, file: dagger.File) -> dict[str, str]:
    """sha256 and size (bytes) of what was built, under its name."""
    hashed = await attempt(debian("qemu-utils").with_mounted_file("/file", file), ["sha256sum", "/file"])
    return {f"{name} sha256": hashed.stdout.split()[0], f"{name} size": str(await file.size())}
