"""What a gate found becomes a report, and the report becomes evidence beside the digest."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile, mkdtemp
from typing import IO

import dagger
from dagger import dag

from pipeline.config import Image
from pipeline.containers.git import places
from pipeline.domain import Channel, Commit, Digest, Outcome
from pipeline.errors import PreconditionError
from pipeline.policy.gate import verdict
from pipeline.registry.client import RepositoryClient
from pipeline.registry.evidence import (
    DiskRecord,
    Evidence,
    attach_evidence,
    fetch_report,
    find_evidence,
    passes,
    verdicts,
)
from pipeline.report.excerpt import bounded
from pipeline.report.files import write_report
from pipeline.report.model import Result
from pipeline.report.release import merge
from pipeline.version import MODULE_VERSION
from pipeline.world import World

_UNPACKED = 512 << 20
"""Bytes of a report's files, at most."""


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


def run_directory(results: Sequence[Result], left: Mapping[str, Path]) -> dagger.Directory:
    """The reports of one command, passed or failed, with its exit code in `exit-code`.

    Of several images each in a folder of its name, and what they come to on top. `left` is what gates left behind.
    """
    told = merge(results)
    top = _directory({"": GateRun(told, left.get(told.image) or new_folder()).written()})
    if len(results) > 1:
        for result in results:
            run = GateRun(result, left.get(result.image) or new_folder())
            top = top.with_directory(result.image, _directory({"": run.written()}))
    return top.with_new_file("exit-code", f"{told.exit_code}\n")


def unpacked(reports: dict[str, bytes]) -> dagger.Directory:
    """The same for reports that come out of the registry as archives (tar.gz)."""
    return _directory({image: extracted(archive) for image, archive in reports.items()})


def extracted(archive: bytes) -> Path:
    """The files of a report; PreconditionError for what no gate has stored: anybody may push beside an image."""
    folder, left = new_folder(), _UNPACKED
    try:
        with TemporaryFile() as plain:
            _unpack(archive, plain)
            with tarfile.open(fileobj=plain, mode="r:") as packed:
                for member in packed:
                    left -= member.size
                    if left < 0:
                        raise _too_large()
                    packed.extract(member, folder, filter="data")
    except (tarfile.TarError, OSError, EOFError, ValueError, KeyError, zlib.error) as error:
        raise PreconditionError(
            f"A report in the registry cannot be unpacked ({type(error).__name__}: {error}); expected a tar.gz as a "
            "gate stores it. Run that gate again, and find out who else writes there."
        ) from error
    return folder


def _unpack(archive: bytes, plain: IO[bytes]) -> None:
    """Before anything is believed of it: tarfile reads a header into memory, however long it says that it is."""
    with gzip.open(io.BytesIO(archive)) as packed:
        while chunk := packed.read(1 << 20):
            plain.write(chunk)
            if plain.tell() > _UNPACKED:
                raise _too_large()
    plain.seek(0)


def _too_large() -> tarfile.TarError:
    return tarfile.TarError(f"it unpacks to more than {_UNPACKED >> 20} MiB")


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
        """Whether it says anything else than that the gate was passed."""
        return self.evidence.verdict is not Outcome.PASSED


async def keep(
    world: World, image: Image, digest: Digest, gate: Channel, run: GateRun, disks: dict[str, DiskRecord] | None = None
) -> Proof:
    """Store the report beside the digest, passed or failed, before any verdict is drawn from it.

    PreconditionError when the checkout is not the one whose gate ran: the evidence would not say what was asked.
    """
    world.left[image.name] = run.folder
    await refuse_other_checkout(world, run.result.commit)
    run = _judged(run)
    evidence = Evidence(
        gate=gate,
        gate_version=await world.gate_version(image, gate),
        result=bounded(run.result),
        disks=disks or {},
        module=MODULE_VERSION,
        source=await world.history.origin(),
        trees={path: await world.history.tree(path) for path in world.config.paths_of(gate)},
    )
    stored = await attach_evidence(world.repository(image), digest, evidence, _packed(run.written()))
    return Proof(stored.digest, stored.evidence)


def _judged(run: GateRun) -> GateRun:
    """A run that says that it passed, with the verdict of its checks."""
    if run.result.outcome is not Outcome.PASSED:
        return run
    outcome, reason = verdict(run.result.checks)
    told = {} if outcome is Outcome.PASSED else {"outcome": outcome, "reason": reason, "exit_code": outcome.exit_code}
    return GateRun(run.result.model_copy(update=told), run.folder)


async def refuse_other_checkout(world: World, commit: Commit | None) -> None:
    """PreconditionError unless the checkout is clean and at `commit`: its gates decide, and its checks run."""
    changed = await world.history.uncommitted()
    if changed:
        raise PreconditionError(
            f"The checkout differs from its commit in {places(changed)}: expected the "
            "gates and checks of the commit itself. Commit or stash them, then run again. Nothing has moved."
        )
    here = await world.history.head()
    if here != commit:
        raise PreconditionError(
            f"The checkout is at commit {here}, expected {commit or 'a commit'}: its pipeline.toml and its checks are "
            "what the image has to pass. Check that commit out (git checkout TAG), then run again. Nothing has moved."
        )


async def passed(
    world: World, image: Image, digest: Digest, gate: Channel, *, at: Channel = Channel.NEXT
) -> Proof | None:
    """The evidence by which this digest passed the gate as it is configured now, in the repository of a channel.

    The newest verdict counts: one that failed after one that passed takes it back.
    """
    asked = await world.gate_version(image, gate)
    found = await find_evidence(world.repository(image, at), digest, gate)
    proof = passes(found, asked)
    return Proof(proof.digest, proof.evidence) if proof else None


async def kept_run(world: World, image: Image, digest: Digest, proof: Proof) -> GateRun:
    """The run that a proof is about, with its files, as they lie beside the image."""
    repository = world.repository(image)
    found = await find_evidence(repository, digest, proof.evidence.gate)
    stored = next(one for one in found if one.digest == proof.digest)
    return GateRun(proof.evidence.result, extracted(await fetch_report(repository, stored)))


async def verdict_on(registry: RepositoryClient, digest: Digest, gate: Channel) -> Evidence | None:
    """The verdict of a gate on a digest, of whatever gate version: the one that was asked for at its time.

    Of verdicts that were reached side by side, one that failed.
    """
    standing = [stored.evidence for stored in verdicts(await find_evidence(registry, digest, gate))]
    return min(standing, key=lambda one: one.verdict is Outcome.PASSED, default=None)


async def required(world: World, image: Image, digest: Digest, gate: Channel, *, at: Channel = Channel.NEXT) -> Proof:
    """The same; PreconditionError, saying what was found instead, when there is none."""
    if proof := await passed(world, image, digest, gate, at=at):
        return proof
    found = await find_evidence(world.repository(image, at), digest, gate)
    asked = await world.gate_version(image, gate)
    if not found:
        what = f"no evidence of the {gate} gate"
    elif found[0].evidence.verdict is Outcome.PASSED and found[0].evidence.gate_version != asked:
        what = f"evidence {found[0].digest} of gate version {found[0].evidence.gate_version}"
    else:
        said = found[0].evidence.verdict or f"{found[0].evidence.result.outcome}, which is no verdict"
        what = f"the {gate} gate's evidence {found[0].digest}, which says {said}"
    refused = "".join(f"\n{one}." for one in world.notary.refusals(digest))
    raise PreconditionError(
        f"Found {what} for {image.home(at).at(digest)}; expected passed evidence of gate version {asked}. "
        f"Run that gate again for this commit; nothing has moved.{refused}"
    )


def _packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as archive:
        for path in sorted(folder.rglob("*")):
            archive.add(path, path.relative_to(folder).as_posix(), recursive=False)
    return buffer.getvalue()
