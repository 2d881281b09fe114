"""Large files to and from where they live: disks and images in the registry, uploads for openQA.

They go from the engine straight to the server, never through the module's own container.
"""

import json
from dataclasses import dataclass, replace

import dagger

from pipeline.config import QCOW2, Upload
from pipeline.containers.base import Reach, anew, debian, with_pipeline
from pipeline.containers.execution import Ran, attempt, outcome_of
from pipeline.containers.machine import aside
from pipeline.containers.secrets import readable
from pipeline.domain import Digest, Repository
from pipeline.image.oci_layout import Written
from pipeline.registry.evidence import DiskRecord
from pipeline.upload.order import DiskReport, Order

MEMORY = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(32 << 20)}
"""The environment of what moves disks: memory that a chunk had serves the next one; it would be new pages each time."""
_AUTH = "/run/secrets/auth"
_DISK = ("python", "-m", "pipeline.registry.disk")
_LIST = "/sent.json"
_IMAGE = "/image"
_STARTING = 600.0
"""Seconds for what comes before a program's own deadline begins: its container, and the disk mounted in it."""
_LIMIT = 4 * 3600.0
"""Seconds for gigabytes between the engine and a registry; the programs retry under deadlines of their own."""


@dataclass(frozen=True)
class Candidate:
    """The image of one platform as an OCI image layout, still in the engine."""

    layout: dagger.Directory
    digests: tuple[Digest, ...]
    """Of the manifest, and of the platform's image when it is an index."""

    @property
    def digest(self) -> Digest:
        """What the candidate is named by."""
        return self.digests[0]


@dataclass(frozen=True)
class Disk:
    """A disk file, still in the engine, the builder (by digest) that made it, and what it is made of."""

    file: dagger.File
    builder: str
    log: str
    candidate: Candidate


async def store_disk(
    reach: Reach, repository: Repository, digest: Digest, platform: str, disk: Disk, sha256: str, kind: str = QCOW2
) -> DiskRecord:
    """Put the disk, or what else was built, into the registry, attached to the image that it was made from."""
    sent = await send_disk(reach, repository, disk)
    return await attach_disk(reach, repository, digest, platform, disk, sent, sha256, kind)


async def send_disk(reach: Reach, repository: Repository, disk: Disk) -> dagger.File:
    """Put the disk's chunks into the registry, attached to nothing; the list of them, for `attach_disk`.

    Leaves the processors to what runs beside it.
    """
    sent = await _run(
        anew(_chunker(reach)).with_mounted_file("/disk.qcow2", disk.file),
        aside([*_DISK, "send", *_where(reach, repository), "--path", "/disk.qcow2", "--list", _LIST]),
        privileged=True,
    )
    return sent.container.file(_LIST)


async def attach_disk(
    reach: Reach,
    repository: Repository,
    digest: Digest,
    platform: str,
    disk: Disk,
    sent: dagger.File,
    sha256: str,
    kind: str = QCOW2,
) -> DiskRecord:
    """Make what was sent a disk of the image; InfrastructureError when it is another than that of `sha256`."""
    attached = await _run(
        anew(_carrier(reach, reach.registry_auth)).with_mounted_file(_LIST, sent),
        [
            *(*_DISK, "attach"),
            *_where(reach, repository),
            *("--subject", digest),
            *("--platform", platform),
            *("--builder", disk.builder),
            *("--format", kind),
            *("--sha256", f"sha256:{sha256}"),
            *("--list", _LIST),
        ],
    )
    return DiskRecord.model_validate_json(attached.stdout)


async def fetch_disk(reach: Reach, repository: Repository, record: DiskRecord) -> dagger.File:
    """The very disk of a record; its sha256 is checked while it comes in.

    The engine keeps it as long as it has room: what a digest names never changes, so that the next command that asks
    for this disk fetches nothing. Leaves the processors to what runs beside it.
    """
    fetched = await _run(
        _chunker(replace(reach, run="by digest")),
        aside(
            [
                *(*_DISK, "fetch"),
                *_where(reach, repository),
                *("--manifest", record.manifest),
                *("--sha256", record.sha256),
                *("--path", "/disk.qcow2"),
            ]
        ),
        privileged=True,
        remembered=True,
    )
    return fetched.container.file("/disk.qcow2")


async def fetch_image(reach: Reach, repository: Repository, digest: Digest, platform: str, name: str) -> Candidate:
    """The image as an OCI image layout under the tag of `name`; every byte is verified."""
    ran = await _run(
        _carrier(reach, reach.registry_auth),
        [*_layout(platform, name), *_where(reach, repository), *("--digest", digest)],
    )
    return _candidate(ran)


async def load_image(
    reach: Reach, tools: dagger.Container, repository: Repository, digest: Digest, platform: str, name: str
) -> Candidate:
    """The same, and meanwhile under `name` in the container storage of `tools`.

    It comes over the network once in a command; another command asks again, because signatures can have been added.
    """
    ran = await _run(
        _with_login(with_pipeline(tools), reach.registry_auth),
        [*_layout(platform, name), *_where(reach, repository), *("--digest", digest), *("--load", name)],
        privileged=True,
    )
    return _candidate(ran)


async def load_again(tools: dagger.Container, candidate: Candidate, platform: str, name: str) -> None:
    """Without a network: what was fetched before, into another storage."""
    container = with_pipeline(tools).with_mounted_directory(_IMAGE, candidate.layout)
    await _run(container, [*_layout(platform, name), *("--load", name)], privileged=True)


def _layout(platform: str, name: str) -> list[str]:
    return [
        *("python", "-m", "pipeline.image.oci_layout"),
        *("--platform", platform),
        *("--tag", name.rpartition(":")[2]),
        *("--path", _IMAGE),
    ]


def _candidate(ran: Ran) -> Candidate:
    written = Written.model_validate_json(ran.stdout)
    return Candidate(ran.container.directory(_IMAGE), tuple(written.digests))


async def upload_disk(
    reach: Reach, target: Upload, auth: dagger.Secret | None, disk: dagger.File, key: str, sha256: str = ""
) -> dict[str, str]:
    """Put the disk where openQA fetches it: create-only, verified, and read once by its public address.

    `sha256`: the file's, in hexadecimal, where it is known.
    """
    uploaded = await _run(
        _carrier(reach, await readable(auth, "upload-auth")).with_mounted_file("/disk.qcow2", disk),
        [
            *("python", "-m", "pipeline.upload"),
            *_store(target, auth),
            *("--public-url", target.public_url),
            *(("--sha256", sha256) if sha256 else ()),
            *("--key", key),
            *("--path", "/disk.qcow2"),
            *("--timeout", str(target.timeout)),
        ],
        target.timeout + _STARTING,
    )
    answer = json.loads(uploaded.stdout)
    return {str(name): str(value) for name, value in answer.items()}


async def prune_uploads(
    reach: Reach, target: Upload, auth: dagger.Secret | None, order: Order, *, confirm: bool
) -> DiskReport:
    """Plan which uploaded disks go, or delete them. A report that does not say passed is a report all the same."""
    pruned = await attempt(
        _carrier(reach, await readable(auth, "upload-auth")).with_new_file("/order.json", order.model_dump_json()),
        [
            *("python", "-m", "pipeline.upload.prune"),
            *_store(target, auth),
            *("--order", "/order.json"),
            *(("--confirm",) if confirm else ()),
        ],
    )
    if pruned.stdout.strip():
        return DiskReport.model_validate_json(pruned.stdout)
    raise outcome_of(pruned)


def _store(target: Upload, auth: dagger.Secret | None) -> list[str]:
    return [
        *("--url", target.url),
        *(("--endpoint", target.endpoint, "--region", target.region) if target.endpoint else ()),
        *(("--auth-file", _AUTH) if auth else ()),
    ]


def _carrier(reach: Reach, auth: dagger.Secret | None) -> dagger.Container:
    return _with_login(reach.outside(with_pipeline(debian("ca-certificates"))), auth)


def _chunker(reach: Reach) -> dagger.Container:
    container = _carrier(reach, reach.registry_auth)
    for name, value in MEMORY.items():
        container = container.with_env_variable(name, value)
    return container


def _with_login(container: dagger.Container, auth: dagger.Secret | None) -> dagger.Container:
    return container.with_mounted_secret(_AUTH, auth) if auth else container


def _where(reach: Reach, repository: Repository) -> list[str]:
    return [
        *("--repository", str(repository)),
        *(("--plain-http",) if reach.is_plain(repository) else ()),
        *(("--auth-file", _AUTH) if reach.registry_auth else ()),
    ]


async def _run(
    container: dagger.Container,
    command: list[str],
    within: float = _LIMIT,
    *,
    privileged: bool = False,
    remembered: bool = False,
) -> Ran:
    """The exit codes of these programs are those of the outcomes: turn them back into the error."""
    ran = await attempt(container, command, privileged=privileged, within=within, remembered=remembered)
    if ran.code:
        raise outcome_of(ran)
    return ran
