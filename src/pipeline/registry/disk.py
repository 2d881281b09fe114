"""Disk images beside the image they were built from; also a command for use inside a tool container.

    python -m pipeline.registry.disk push --repository R --subject D --platform linux/amd64 --builder B --path F
    python -m pipeline.registry.disk send --repository R --path F --list L
    python -m pipeline.registry.disk attach --repository R --subject D --platform linux/amd64 --builder B --list L
    python -m pipeline.registry.disk fetch --repository R --manifest D --path F

`push` is `send`, whose chunks are attached to nothing, and `attach`. Each but `send` prints one line of JSON, the
disk's record. What goes wrong is one paragraph on stderr and the outcome's exit code.
"""

import argparse
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from pydantic import BaseModel

from pipeline.domain import Digest, Repository
from pipeline.errors import InfrastructureError, PreconditionError, UsageError
from pipeline.policy.attached import disk_tag
from pipeline.program import ended
from pipeline.quantities import size_text
from pipeline.registry import media
from pipeline.registry.artifacts import artifact
from pipeline.registry.chunks import fetch_chunks, push_chunks
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.content import Descriptor, Manifest
from pipeline.registry.credentials import Credentials
from pipeline.registry.download import unfinished
from pipeline.registry.evidence import DiskRecord

_PLATFORM = "vnd.bootc-pipeline.platform"
_BUILDER = "vnd.bootc-pipeline.builder"
_FORMAT = "vnd.bootc-pipeline.format"
_SHA256 = "vnd.bootc-pipeline.sha256"
"""Of the whole file."""
_SIZE = "vnd.bootc-pipeline.size"
"""Bytes of the whole file."""


class Sent(BaseModel):
    """A file whose chunks are in the registry."""

    chunks: list[Descriptor]
    """In the file's order."""
    sha256: Digest
    """Of the whole file."""
    size: int
    """Bytes of the whole file."""


async def attach_disk(
    repo: RepositoryClient,
    subject: Digest,
    path: Path,
    platform: str,
    *,
    builder: str,
    annotations: Mapping[str, str] | None = None,
    format: str = "qcow2",  # noqa: A002  what qemu-img and the record call it
) -> DiskRecord:
    """Store the file at `path` (a qcow2 unless another format is named), in chunks, beside the image `subject`.

    Repeating it with the same file sends nothing and gives the same record. PreconditionError without that image.
    """
    await _image(repo, subject)
    sent = await send(repo, path)
    return await attach(repo, subject, sent, platform, builder=builder, annotations=annotations, format=format)


async def send(repo: RepositoryClient, path: Path) -> Sent:
    """Put the chunks of the file at `path` into the registry, attached to nothing."""
    chunks, sha256, size = await push_chunks(repo, path, media.DISK_CHUNK)
    return Sent(chunks=chunks, sha256=sha256, size=size)


async def attach(
    repo: RepositoryClient,
    subject: Digest,
    sent: Sent,
    platform: str,
    *,
    builder: str,
    annotations: Mapping[str, str] | None = None,
    format: str = "qcow2",  # noqa: A002
) -> DiskRecord:
    """Make a disk of what was sent, beside the image `subject`; PreconditionError without that image."""
    described = await _image(repo, subject)
    stored = artifact(
        media.DISK,
        sent.chunks,
        subject=described,
        annotations={
            _PLATFORM: platform,
            _BUILDER: builder,
            _FORMAT: format,
            _SHA256: sent.sha256,
            _SIZE: str(sent.size),
            **(annotations or {}),
        },
    )
    await repo.push_empty()
    await repo.push_manifest(stored, disk_tag(subject, stored.digest))
    return DiskRecord(sha256=sent.sha256, size=sent.size, manifest=stored.digest, format=format, builder=builder)


async def _image(repo: RepositoryClient, subject: Digest) -> Descriptor:
    described = await repo.describe(subject)
    if described is None:
        raise PreconditionError(
            f"{repo.repository} holds no {subject}; expected the image that the disk was built from"
        )
    return described


async def read_disk(repo: RepositoryClient, manifest: Digest) -> DiskRecord:
    """The record of the disk artifact `manifest`; PreconditionError when it is not there or no disk."""
    return _record(repo, await _artifact(repo, manifest))


async def fetch_disk(repo: RepositoryClient, record: DiskRecord, path: Path) -> None:
    """Write the disk of `record` to `path`, which appears only whole and verified.

    PreconditionError when the registry holds another one, InfrastructureError when there is no room for it.
    """
    found = await _artifact(repo, record.manifest)
    stored = _record(repo, found)
    if (stored.sha256, stored.size) != (record.sha256, record.size):
        raise _another(repo, record, stored.sha256, stored.size)
    await to_thread.run_sync(_see_room, path, record)
    if found.artifact_type == media.DISK_WHOLE:
        await repo.fetch_file(record.sha256, path, size=record.size)
        return
    growing = unfinished(path)
    try:
        sha256, size = await fetch_chunks(repo, found.layers, growing)
        if (sha256, size) != (record.sha256, record.size):
            raise _another(repo, record, sha256, size)
        await to_thread.run_sync(growing.replace, path)
    finally:
        growing.unlink(missing_ok=True)


def _see_room(path: Path, record: DiskRecord) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < record.size:
        raise InfrastructureError(
            f"The disk {record.sha256} has {size_text(record.size)}, and {path.parent} has room for {size_text(free)}. "
            "Nothing was fetched. Make room on the engine's machine, then run this again."
        )


async def _artifact(repo: RepositoryClient, manifest: Digest) -> Manifest:
    found = await repo.manifest(manifest)
    if found is None:
        raise PreconditionError(f"{repo.repository} holds no {manifest}; expected the disk that a gate booted")
    return found


def _record(repo: RepositoryClient, found: Manifest) -> DiskRecord:
    """What an artifact says that its file is: in its annotations, or by its only layer if it is of the old form."""
    told = found.annotations
    try:
        if found.artifact_type == media.DISK_WHOLE:
            (layer,) = found.layers
            sha256, size, kind = layer.digest, layer.size, layer.media_type.removeprefix(media.DISK_FILE)
        elif found.artifact_type == media.DISK:
            sha256, size, kind = Digest(told[_SHA256]), int(told[_SIZE]), told[_FORMAT]
        else:
            raise ValueError(f"it is a {found.artifact_type}")
        builder = told.get(_BUILDER, "unknown")
        return DiskRecord(sha256=sha256, size=size, manifest=found.digest, format=kind, builder=builder)
    except (ValueError, KeyError) as error:
        raise PreconditionError(
            f"{repo.repository.at(found.digest)} is no disk: {error}; expected chunks and what file they are"
        ) from error


def _another(repo: RepositoryClient, record: DiskRecord, sha256: Digest, size: int) -> PreconditionError:
    return PreconditionError(
        f"{repo.repository.at(record.manifest)} holds a disk of {sha256} and {size} bytes; the "
        f"evidence recorded {record.sha256} and {record.size}. This is not the disk that was tested."
    )


async def run(arguments: argparse.Namespace) -> DiskRecord | None:
    """Do what the command line asks for."""
    repository: Repository = arguments.repository
    credentials = Credentials.parse(arguments.auth_file.read_text()) if arguments.auth_file else None
    plain_http = {repository.host} if arguments.plain_http else frozenset[str]()
    addresses = {repository.host: arguments.address} if arguments.address else {}
    async with RegistryClient(
        credentials, plain_http=plain_http, addresses=addresses, deadline=arguments.deadline
    ) as client:
        repo = client.repository(repository)
        if arguments.command in ("push", "send") and not arguments.path.is_file():
            raise UsageError(f"{arguments.path} is not there; expected the disk to send")
        if arguments.command == "send":
            sent = await send(repo, arguments.path)
            arguments.list.write_text(sent.model_dump_json(exclude_defaults=True))
            return None
        if arguments.command == "push":
            return await attach_disk(repo, arguments.subject, arguments.path, **_told(arguments))
        if arguments.command == "attach":
            sent = Sent.model_validate_json(arguments.list.read_text())
            if arguments.sha256 not in (None, sent.sha256):
                raise InfrastructureError(
                    f"The {arguments.format} that was sent is {sent.sha256}, expected {arguments.sha256}"
                )
            return await attach(repo, arguments.subject, sent, **_told(arguments))
        record = await read_disk(repo, arguments.manifest)
        if arguments.sha256 and record.sha256 != arguments.sha256:
            raise PreconditionError(
                f"{repository.at(record.manifest)} holds {record.sha256}, expected {arguments.sha256}: "
                "this is not the disk that was tested"
            )
        await fetch_disk(repo, record, arguments.path)
        return record


def _told(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"platform": arguments.platform, "builder": arguments.builder, "format": arguments.format}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    common, file, about = (argparse.ArgumentParser(add_help=False) for _ in range(3))
    common.add_argument("--repository", type=Repository.parse, required=True, help="ghcr.io/owner/image")
    common.add_argument("--plain-http", action="store_true", help="speak to the registry without TLS")
    common.add_argument("--address", help="host:port to connect to in place of the repository's host")
    common.add_argument("--auth-file", type=Path, help="docker config.json with the login")
    common.add_argument("--deadline", type=float, default=120.0, help="seconds to bear an outage")
    file.add_argument("--path", type=Path, required=True, help="the file")
    about.add_argument("--subject", type=Digest, required=True, help="digest of the image it was built from")
    about.add_argument("--platform", default="linux/amd64")
    about.add_argument("--format", default="qcow2", help="of the file (default: %(default)s)")
    about.add_argument("--builder", required=True, help="the builder's image, by digest")
    top = argparse.ArgumentParser(prog="python -m pipeline.registry.disk", description=__doc__.splitlines()[0])
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("push", parents=[common, file, about], help="store a disk beside its image")
    send = commands.add_parser("send", parents=[common, file], help="store its chunks, attached to nothing")
    send.add_argument("--list", type=Path, required=True, help="the file to write that says what was sent")
    attach = commands.add_parser("attach", parents=[common, about], help="make a disk of what was sent")
    attach.add_argument("--list", type=Path, required=True, help="what send wrote")
    attach.add_argument("--sha256", type=Digest, help="sha256:… that the file must have")
    fetch = commands.add_parser("fetch", parents=[common, file], help="fetch a disk, verified")
    fetch.add_argument("--manifest", type=Digest, required=True, help="digest of the disk artifact")
    fetch.add_argument("--sha256", type=Digest, help="sha256:… that the disk must have")
    return top


def main() -> int:
    """Run the command line; the exit code."""
    given = parser().parse_args()
    return ended(lambda: record.model_dump_json() if (record := anyio.run(run, given)) else "")


if __name__ == "__main__":
    sys.exit(main())
