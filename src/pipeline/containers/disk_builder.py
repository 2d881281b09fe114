"""The disk image: bootc-image-builder (or what the configuration names instead) on the candidate, by digest."""

from dataclasses import dataclass

import dagger
from dagger import CacheSharingMode, dag

from pipeline.config import Builder
from pipeline.containers.base import Reach, debian
from pipeline.containers.execution import attempt
from pipeline.containers.podman import STORAGE, toolbox
from pipeline.domain import Digest, Repository
from pipeline.errors import GateFailed, InfrastructureError, PreconditionError


@dataclass(frozen=True)
class Disk:
    """A disk file, still in the engine, and the builder (by digest) that made it."""

    file: dagger.File
    builder: str
    log: str


async def build_disk(
    reach: Reach, builder: Builder, repository: Repository, digest: Digest, platform: str, update_ref: str
) -> Disk:
    """Load the candidate under its update reference, then run the builder on that name.

    The builder records the name it is given as the installed system's update origin, and it never pulls. The
    storage belongs to this digest alone, so that no other promotion can put another image under the same name.
    Raises GateFailed when the builder refuses the image, InfrastructureError when the image cannot be fetched.
    """
    architecture = platform.rpartition("/")[2]
    storage = dag.cache_volume(f"bootc-pipeline-disk-{digest.short}-{architecture}")
    loaded = await attempt(
        reach.registries(toolbox()).with_mounted_cache(STORAGE, storage, sharing=CacheSharingMode.LOCKED),
        [
            *("skopeo", "--override-arch", architecture, "copy", "--quiet"),
            f"docker://{repository.at(digest)}",
            f"containers-storage:{update_ref}",
        ],
        privileged=True,
    )
    if loaded.code:
        raise InfrastructureError(f"skopeo could not fetch {repository.at(digest)}: {loaded.end()}")
    image = await _pulled(reach, builder.image)
    built = await attempt(
        reach.outside(image)
        .with_mounted_cache(STORAGE, storage, sharing=CacheSharingMode.LOCKED)
        .with_mounted_cache("/store", dag.cache_volume(f"bootc-pipeline-builder-{architecture}"))
        .with_directory("/output", dag.directory())
        .with_workdir("/output"),
        [*builder.arguments(platform), "--output", "/output", update_ref],
        privileged=True,
        entrypoint=True,
    )
    log = built.end(lines=200)
    if built.code:
        raise GateFailed(f"The disk builder {builder.image} failed on {digest}: {log[-2000:]}")
    return Disk(built.container.file(f"/output/{builder.disk}"), await image.image_ref(), log)


async def _pulled(reach: Reach, address: str) -> dagger.Container:
    """The builder's container; the engine pulls it, over TLS unless it is configured otherwise.

    Raises PreconditionError when it will not be had, InfrastructureError for an outage.
    """
    try:
        return await (await reach.image(address)).sync()
    except dagger.QueryError as error:
        said = str(error)
        hint = next((hint for sign, hint in _REFUSALS.items() if sign in said), None)
        if hint is None:
            raise InfrastructureError(f"The engine cannot pull the disk builder {address}: {said}") from error
        raise PreconditionError(f"The engine cannot pull the disk builder {address}: {hint} It said: {said}") from error


_REFUSALS = {
    "server gave HTTP response to HTTPS client": "its registry speaks plain HTTP, and the engine expects TLS. Hand the "
    "registry over with --registry, name a builder in another one, or configure the engine for it.",
    "not found": "there is no such image. Correct gates.testing.builder.",
    "authorization failed": "its registry asks for a login, or for another one: give it in --registry-auth.",
    "401 Unauthorized": "its registry asks for a login: give it in --registry-auth.",
    "403 Forbidden": "its registry refuses the login.",
}
"""What the engine says of images that another try will not bring, and what to do."""


async def examine(disk: dagger.File) -> dict[str, str]:
    """sha256 and size (bytes) of the file; GateFailed when `qemu-img check` finds it damaged."""
    looked = debian("qemu-utils").with_mounted_file("/disk.qcow2", disk)
    checked = await attempt(looked, ["qemu-img", "check", "/disk.qcow2"])
    if checked.code:
        raise GateFailed(f"qemu-img check finds the new disk damaged: {checked.end()}")
    hashed = await attempt(looked, ["sha256sum", "/disk.qcow2"])
    return {
        "disk sha256": hashed.stdout.split()[0],
        "disk size": str(await disk.size()),
        "qemu-img check": checked.stdout.strip().splitlines()[0],
    }
