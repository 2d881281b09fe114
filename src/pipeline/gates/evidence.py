"""What a gate found becomes a report, and the report becomes evidence beside the digest."""

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import dagger
from dagger import dag

from pipeline.config import Image
from pipeline.domain import Channel, Digest, Outcome
from pipeline.errors import PreconditionError
from pipeline.registry.client import RepositoryClient
from pipeline.registry.evidence import DiskRecord, Evidence, attach_evidence, find_evidence
from pipeline.report.excerpt import bounded
from pipeline.report.files import write_report
from pipeline.report.model import Result
from pipeline.world import World


@dataclass(frozen=True)
class GateRun:
    """A gate that ran: its result, and a folder of this container with the files that belong to it."""

    result: Result
    folder: Path
    """Logs, console, journal, screenshots, in a folder for each machine or server they came from."""

    def written(self) -> Path:
        """The folder, with result.json, summary.md, junit.xml and report.html on top."""
        write_report(self.result, self.folder)
        return self.folder


def new_folder() -> Path:
    """An empty folder below the working directory: only from there can files be handed back to the engine."""
    return Path(mkdtemp(prefix="report-", dir=Path.cwd()))


async def exported(artefacts: dagger.Directory) -> Path:
    """The files of a directory in the engine, in a folder of this container."""
    folder = new_folder()
    await artefacts.export(str(folder))
    return folder


def report_directory(runs: list[GateRun]) -> dagger.Directory:
    """The reports for a caller to export: of one image as they are, of several each in a folder of its name."""
    return _directory({run.result.image: run.written() for run in runs})


def unpacked(reports: dict[str, bytes]) -> dagger.Directory:
    """The same for reports that come out of the registry as archives (tar.gz)."""
    folders = {image: new_folder() for image in reports}
    for image, archive in reports.items():
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as packed:
            packed.extractall(folders[image], filter="data")
    return _directory(folders)


def _directory(folders: dict[str, Path]) -> dagger.Directory:
    here = dag.current_module()
    if len(folders) == 1:
        return here.workdir(next(iter(folders.values())).name)
    directory = dag.directory()
    for image, folder in folders.items():
        directory = directory.with_directory(image, here.workdir(folder.name))
    return directory


@dataclass(frozen=True)
class Proof:
    """Evidence and the digest under which it lies beside the image."""

    digest: Digest
    evidence: Evidence

    @property
    def failed(self) -> bool:
        """Whether the gate's verdict was no."""
        return self.evidence.result.exit_code != 0


async def keep(
    world: World, image: Image, digest: Digest, gate: Channel, run: GateRun, disks: dict[str, DiskRecord] | None = None
) -> Proof:
    """Store the report beside the digest, passed or failed, before any verdict is drawn from it."""
    evidence = Evidence(gate=gate, gate_version=world.gate_version(gate), result=bounded(run.result), disks=disks or {})
    stored = await attach_evidence(world.repository(image), digest, evidence, _packed(run.written()))
    return Proof(stored, evidence)


async def passed(
    world: World, image: Image, digest: Digest, gate: Channel, *, at: Channel = Channel.NEXT
) -> Proof | None:
    """The evidence by which this digest passed the gate as it is configured now, in the repository of a channel.

    The newest verdict counts: one that failed after one that passed takes it back. An outage is no verdict.
    """
    for stored in await find_evidence(world.repository(image, at), digest, gate):
        proof = Proof(stored.digest, stored.evidence)
        if proof.evidence.gate_version == world.gate_version(gate) and proof.evidence.result.outcome != Outcome.INFRA:
            return None if proof.failed else proof
    return None


async def verdict_on(registry: RepositoryClient, digest: Digest, gate: Channel) -> Evidence | None:
    """The newest verdict of a gate on a digest, of whatever gate version: the one that was asked for at its time."""
    for stored in await find_evidence(registry, digest, gate):
        if stored.evidence.result.outcome != Outcome.INFRA:
            return stored.evidence
    return None


async def required(world: World, image: Image, digest: Digest, gate: Channel) -> Proof:
    """The same; PreconditionError, saying what was found instead, when there is none."""
    if proof := await passed(world, image, digest, gate):
        return proof
    found = await find_evidence(world.repository(image), digest, gate)
    if not found:
        what = f"no evidence of the {gate} gate"
    elif found[0].evidence.result.exit_code:
        what = f"the {gate} gate's evidence {found[0].digest}, which says {found[0].evidence.result.outcome}"
    else:
        what = f"evidence {found[0].digest} of gate version {found[0].evidence.gate_version}"
    raise PreconditionError(
        f"Found {what} for {image.repository.at(digest)}; expected passed evidence of gate version "
        f"{world.gate_version(gate)}. Run that gate again for this commit; nothing has moved."
    )


def _packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, path.relative_to(folder).as_posix(), recursive=False)
    return buffer.getvalue()
