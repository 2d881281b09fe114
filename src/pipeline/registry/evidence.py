"""What a gate found, stored beside the digest: an in-toto statement and the whole report, as one OCI artifact.

Each piece has a tag of its own, which is written once and holds its digest, so that no writer can take away what
another wrote, and what there is follows from the list of tags alone:

    pipeline-evidence-GATE-SUBJECT-DIGEST

It is attached to the image as well (OCI image specification 1.1, subject), for the tools of others. Which piece is the
newest follows from what they name (`Evidence.follows`), never from a date.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pipeline.domain import Channel, Digest, Outcome, Tag
from pipeline.errors import PreconditionError
from pipeline.policy import chain
from pipeline.policy.attached import evidence_tag, evidence_tags, names_evidence
from pipeline.policy.gate import verdict
from pipeline.registry import media
from pipeline.registry.artifacts import artifact
from pipeline.registry.client import RepositoryClient
from pipeline.registry.clock import refuse_wrong_clock
from pipeline.registry.content import Descriptor, Manifest, sha256
from pipeline.registry.shown import show_to_others
from pipeline.report.model import Result
from pipeline.trust import statement as in_toto
from pipeline.trust.notary import Refused

_GATE = "vnd.bootc-pipeline.gate"
_CREATED = "org.opencontainers.image.created"
_LARGEST = 16 * 1024**2
"""Bytes of a statement: a report's findings are bounded far below that."""


class DiskRecord(BaseModel):
    """The disk that a gate booted, as it lies in the registry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Digest
    """Of the whole file, whichever chunks the artifact is made of."""
    size: int
    """Bytes."""
    manifest: Digest
    """The artifact that holds it."""
    format: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")] = "qcow2"
    builder: str
    """The image that built it, by digest."""


class Evidence(BaseModel):
    """A gate's findings on one digest: what the statement claims."""

    model_config = ConfigDict(extra="forbid")

    gate: Channel
    gate_version: str
    result: Result
    disks: dict[str, DiskRecord] = {}
    """By platform (`linux/amd64`), and what else was built for it behind that (`linux/amd64 iso`)."""
    module: str = ""
    """The version of this module that ran the gate; it decides nothing."""
    source: str = ""
    """The address of the git repository with the commit."""
    trees: dict[str, str] = {}
    """Files and folders of that commit that the gate runs, by path, as git names them."""
    platforms: dict[str, Digest] = {}
    """The images below an index, by platform; filled by `attach_evidence`."""
    report: Digest | None = None
    """The report's archive; filled by `attach_evidence`."""
    follows: list[Digest] = []
    """The statements of this gate on this digest that were the newest when this one was made."""

    @field_validator("disks")
    @classmethod
    def _called_what_they_are(cls, value: dict[str, DiskRecord]) -> dict[str, DiskRecord]:
        """What boots is a qcow2: nothing else goes by the name of a platform alone."""
        for name, disk in value.items():
            if disk.format != (expected := name.partition(" ")[2] or "qcow2"):
                raise ValueError(f"{name} has the format {disk.format}, expected {expected}")
        return value

    @property
    def verdict(self) -> Outcome | None:
        """Passed or failed, by the checks as they are written here; None for a run that came to neither.

        A run that was cancelled, broken or has no required check is no verdict: it proves nothing, and takes nothing
        back.
        """
        if self.result.outcome is Outcome.GATE_FAILED:
            return Outcome.GATE_FAILED
        if self.result.outcome is not Outcome.PASSED:
            return None
        found, _ = verdict(self.result.checks)
        return found if found in (Outcome.PASSED, Outcome.GATE_FAILED) else None

    @property
    def ended(self) -> datetime:
        """When the gate was through."""
        return (self.result.started + timedelta(seconds=self.result.duration)).astimezone(UTC)


@dataclass(frozen=True)
class StoredEvidence:
    """Evidence with its place in the registry."""

    evidence: Evidence
    digest: Digest
    """Of its manifest."""
    statement: Digest
    """What identifies it: the same statement attached again is the same evidence."""
    report: Descriptor | None
    """The report's archive."""


def statement(subject: Digest, name: str, evidence: Evidence) -> bytes:
    """The in-toto statement about `subject`, and every platform of it; equal evidence gives equal bytes."""
    subjects = [
        in_toto.Subject(name, subject),
        *(in_toto.Subject(f"{name} {platform}", digest) for platform, digest in evidence.platforms.items()),
    ]
    claim = evidence.model_dump(mode="json") | {"ended": evidence.ended.isoformat(timespec="milliseconds")}
    if evidence.verdict is None:
        return in_toto.written(subjects, in_toto.GATE, {}, claim)
    predicate = in_toto.tested(evidence.verdict, evidence.result.checks, _configuration(evidence))
    return in_toto.written(subjects, in_toto.TEST_RESULT, predicate, claim)


def _configuration(evidence: Evidence) -> list[dict[str, Any]]:
    """What went in, as resource descriptors (in-toto/attestation, spec/v1/resource_descriptor.md)."""
    commit = {"digest": {"gitCommit": evidence.result.commit}} if evidence.result.commit else {}
    return [
        {"name": "source", "uri": evidence.source, **commit},
        *({"name": path, "digest": {"gitTree": tree}} for path, tree in evidence.trees.items()),
        *({"name": f"disk {name}", "digest": {"sha256": disk.sha256.hex}} for name, disk in evidence.disks.items()),
        *({"name": "builder", "uri": uri} for uri in sorted({disk.builder for disk in evidence.disks.values()})),
        *([{"name": "report", "digest": {"sha256": evidence.report.hex}}] if evidence.report else []),
    ]


def read_statement(content: bytes, subject: Digest) -> Evidence:
    """The evidence in a statement; ValueError, saying what is wrong, when it is not one about `subject`."""
    said = in_toto.read(content, in_toto.TEST_RESULT, in_toto.GATE)
    try:
        evidence = Evidence.model_validate({name: found for name, found in said.claim.items() if name != "ended"})
        evidence.ended  # noqa: B018 - computes it
    except OverflowError as error:
        raise ValueError(f"a statement whose times are in no calendar ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    about = [one.digest for one in said.subjects]
    if about != [subject, *evidence.platforms.values()]:
        raise ValueError(f"a statement about {about}, expected {subject} and its platforms")
    if evidence.result.digest not in (None, subject):
        raise ValueError(f"a result about {evidence.result.digest}, expected {subject}")
    return evidence


async def attach_evidence(repo: RepositoryClient, digest: Digest, evidence: Evidence, report: bytes) -> StoredEvidence:
    """Store `evidence` and its `report` (tar.gz) beside `digest`, after all that is there of this gate; signed.

    Running it again with the same arguments stores nothing new. PreconditionError when `digest` is not there, when
    clocks differ, and when the signature would not count.
    """
    subject = await repo.known(digest)
    if subject is None:
        raise PreconditionError(f"{repo.repository} holds no {digest}; expected the image that the evidence is about")
    await refuse_wrong_clock(repo, evidence.ended)
    platforms = {name: found for name, found in (await repo.platforms(digest)).items() if found != digest}
    told = {"report": sha256(report), "platforms": dict(sorted(platforms.items()))}
    evidence = evidence.model_copy(update=told)
    before = await find_evidence(repo, digest, evidence.gate)
    if again := next((one for one in before if _same(one.evidence, evidence)), None):
        return again
    evidence = evidence.model_copy(update={"follows": chain.newest(_follows(before))})
    said = statement(digest, str(repo.repository), evidence)
    bundle, warrant = await repo.notary.signed_evidence(evidence.gate, said)
    layers = [await repo.push_blob(said, media.IN_TOTO), await repo.push_blob(report, media.REPORT)]
    if bundle:
        layers.append(await repo.push_blob(bundle, media.BUNDLE))
    if warrant:
        layers.append(await repo.push_blob(warrant, media.WARRANT))
    stored = artifact(
        media.EVIDENCE,
        layers,
        subject=subject.descriptor,
        annotations={_GATE: evidence.gate.value, _CREATED: evidence.ended.isoformat(timespec="milliseconds")},
    )
    await repo.push_empty()
    await repo.push_manifest(stored, evidence_tag(evidence.gate, digest, stored.digest))
    if bundle and not warrant:  # which others do not know
        await show_to_others(repo, digest, layers[2])
    return StoredEvidence(evidence, stored.digest, layers[0].digest, layers[1])


async def find_evidence(repo: RepositoryClient, digest: Digest, gate: Channel) -> list[StoredEvidence]:
    """The evidence of `gate` on `digest`, newest first.

    What is about another digest, cannot be read, or is not signed by whom it should be, is no evidence and is left out;
    the notary knows why. InfrastructureError when the registry lists a piece that it does not have.
    """
    begins = evidence_tags(gate, digest)
    there = [await _behind(repo, tag, digest, gate) for tag in await repo.tags() if tag.startswith(begins)]
    found = {one.statement: one for one in there if one}
    return [found[statement] for statement in chain.newest_first(_follows(found.values()))]


def verdicts(found: Sequence[StoredEvidence], gate_version: str = "") -> list[StoredEvidence]:
    """The verdicts that stand: the newest one, or several that were reached side by side.

    `gate_version`: only those of a gate as it is configured now, for the image that it is now; which is newer than
    which is told by all.
    """
    counted = [one for one in found if not gate_version or one.evidence.gate_version == gate_version]
    reached = [one.statement for one in counted if one.evidence.verdict]
    standing = chain.newest(_follows(found), reached)
    return [one for one in found if one.statement in standing]


def passes(found: Sequence[StoredEvidence], gate_version: str) -> StoredEvidence | None:
    """The evidence by which a gate was passed: its newest verdict, if no other was reached beside it that failed."""
    standing = verdicts(found, gate_version)
    failed = any(one.evidence.verdict is not Outcome.PASSED for one in standing)
    return None if failed or not standing else standing[0]


def _follows(found: Iterable[StoredEvidence]) -> dict[Digest, list[Digest]]:
    return {one.statement: one.evidence.follows for one in found}


def _same(one: Evidence, other: Evidence) -> bool:
    return one.model_copy(update={"follows": []}) == other.model_copy(update={"follows": []})


async def _behind(repo: RepositoryClient, tag: Tag, subject: Digest, gate: Channel) -> StoredEvidence | None:
    manifest = await repo.listed(tag)
    if not names_evidence(tag, manifest.digest):
        raise PreconditionError(
            f"{repo.repository.tagged(tag)} is {manifest.digest}, which is not what its name says: somebody wrote over "
            "evidence. Find out who before anything moves."
        )
    try:
        return await _read(repo, manifest, subject, gate)
    except ValueError as error:
        what = f"evidence of the {gate} gate"
        repo.notary.refused[manifest.digest] = Refused(
            what, str(repo.repository), manifest.digest, subject, f"it is {error}"
        )
        return None


async def fetch_report(repo: RepositoryClient, stored: StoredEvidence) -> bytes:
    """The report's archive (tar.gz), verified."""
    if stored.report is None:
        raise PreconditionError(
            f"evidence {stored.digest} in {repo.repository} holds no report; expected a second layer"
        )
    return await repo.content(stored.report)


async def _read(repo: RepositoryClient, manifest: Manifest, subject: Digest, gate: Channel) -> StoredEvidence:
    """ValueError, saying what it is instead, for what is no evidence of this gate on this digest, or does not count."""
    if manifest.artifact_type != media.EVIDENCE or manifest.subject != subject:
        raise ValueError(f"a {manifest.artifact_type} about {manifest.subject}")
    layers = {layer.media_type: layer for layer in manifest.layers}
    if (told := layers.get(media.IN_TOTO)) is None:
        raise ValueError("without a statement")
    content = await _small(repo, told)
    evidence = read_statement(content, subject)
    if evidence.gate is not gate:
        raise ValueError(f"of the {evidence.gate} gate")
    bundle = await _small(repo, layers[media.BUNDLE]) if media.BUNDLE in layers else None
    warrant = await _small(repo, layers[media.WARRANT]) if media.WARRANT in layers else None
    if why := repo.notary.trust.evidence_refusal(gate, content, bundle, warrant):
        raise ValueError(why)
    report = layers.get(media.REPORT)
    if evidence.report and (report is None or report.digest != evidence.report):
        raise ValueError(f"with report {report.digest if report else 'none'}; expected {evidence.report}")
    return StoredEvidence(evidence, manifest.digest, told.digest, report)


async def _small(repo: RepositoryClient, layer: Descriptor) -> bytes:
    if layer.size > _LARGEST:
        raise ValueError(f"of {layer.size} bytes; expected at most {_LARGEST}")
    return await repo.content(layer)
