"""What a gate found, stored beside the digest: an in-toto statement and the whole report, as one OCI artifact.

Each piece has a tag of its own, which is written once and holds its digest, so that no writer can take away what
another wrote, and what there is follows from the list of tags alone:

    pipeline-evidence-GATE-SUBJECT-DIGEST

It is attached to the image as well (OCI image specification 1.1, subject), for the tools of others. Which piece is the
newest follows from what they name (`Evidence.follows`), never from a date.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.domain import Channel, Digest, Outcome, Tag
from pipeline.errors import PreconditionError
from pipeline.policy import chain
from pipeline.policy.attached import evidence_tag, evidence_tags, names_evidence
from pipeline.policy.gate import verdict
from pipeline.registry import media
from pipeline.registry.artifacts import artifact
from pipeline.registry.client import RepositoryClient
from pipeline.registry.clock import refuse_wrong_clock
from pipeline.registry.content import Descriptor, Manifest
from pipeline.report.model import Result

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:bootc-pipeline:gate:v1"

_GATE = "vnd.bootc-pipeline.gate"
_CREATED = "org.opencontainers.image.created"
_LARGEST = 16 * 1024**2
"""Bytes of a statement: a report's findings are bounded far below that."""


class DiskRecord(BaseModel):
    """The disk that a gate booted, as it lies in the registry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Digest
    """Of the file, which is the artifact's only layer."""
    size: int
    """Bytes."""
    manifest: Digest
    """The artifact that holds it."""
    format: Literal["qcow2"] = "qcow2"
    builder: str
    """The image that built it, by digest."""


class Evidence(BaseModel):
    """A gate's findings on one digest; the predicate of the statement."""

    model_config = ConfigDict(extra="forbid")

    gate: Channel
    gate_version: str
    result: Result
    disks: dict[str, DiskRecord] = {}
    """By platform (`linux/amd64`)."""
    module: str = ""
    """The version of this module that ran the gate; it decides nothing."""
    follows: list[Digest] = []
    """The statements of this gate on this digest that were the newest when this one was made."""

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
    """The in-toto Statement v1 that binds `evidence` to `subject`; equal evidence gives equal bytes."""
    document = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": subject.hex}}],
        "predicateType": PREDICATE,
        "predicate": evidence.model_dump(mode="json"),
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def read_statement(content: bytes, subject: Digest) -> Evidence:
    """The evidence in a statement; ValueError, saying what is wrong, when it is not one about `subject`."""
    try:
        document: dict[str, Any] = json.loads(content)
        kinds = document["_type"], document["predicateType"]
        named = [one["digest"].get("sha256") for one in document["subject"]]
        predicate = document["predicate"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an in-toto statement ({type(error).__name__}: {error})") from error
    if kinds != (STATEMENT, PREDICATE):
        raise ValueError(f"a statement of kind {kinds}, expected {(STATEMENT, PREDICATE)}")
    if named != [subject.hex]:
        raise ValueError(f"a statement about {named}, expected {subject.hex}")
    try:
        evidence = Evidence.model_validate(predicate)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    if evidence.result.digest not in (None, subject):
        raise ValueError(f"a result about {evidence.result.digest}, expected {subject}")
    return evidence


async def attach_evidence(repo: RepositoryClient, digest: Digest, evidence: Evidence, report: bytes) -> StoredEvidence:
    """Store `evidence` and its `report` (tar.gz) beside `digest`, after all that is there of this gate.

    Running it again with the same arguments stores nothing new. PreconditionError when `digest` is not there, and
    when clocks differ.
    """
    subject = await repo.known(digest)
    if subject is None:
        raise PreconditionError(f"{repo.repository} holds no {digest}; expected the image that the evidence is about")
    ended = evidence.result.started + timedelta(seconds=evidence.result.duration)
    await refuse_wrong_clock(repo, ended)
    before = await find_evidence(repo, digest, evidence.gate)
    if again := next((one for one in before if _same(one.evidence, evidence)), None):
        return again
    evidence = evidence.model_copy(update={"follows": chain.newest(_follows(before))})
    layers = [
        await repo.push_blob(statement(digest, str(repo.repository), evidence), media.IN_TOTO),
        await repo.push_blob(report, media.REPORT),
    ]
    stored = artifact(
        media.EVIDENCE,
        layers,
        subject=subject.descriptor,
        annotations={_GATE: evidence.gate.value, _CREATED: ended.astimezone(UTC).isoformat(timespec="milliseconds")},
    )
    await repo.push_empty()
    await repo.push_manifest(stored, evidence_tag(evidence.gate, digest, stored.digest))
    return StoredEvidence(evidence, stored.digest, layers[0].digest, layers[1])


async def find_evidence(repo: RepositoryClient, digest: Digest, gate: Channel) -> list[StoredEvidence]:
    """The evidence of `gate` on `digest`, newest first.

    What is about another digest, or cannot be read, is no evidence and is left out. InfrastructureError when the
    registry lists a piece that it does not have.
    """
    begins = evidence_tags(gate, digest)
    there = [await _behind(repo, tag, digest) for tag in await repo.tags() if tag.startswith(begins)]
    found = {one.statement: one for one in there if one and one.evidence.gate == gate}
    return [found[statement] for statement in chain.newest_first(_follows(found.values()))]


def verdicts(found: Sequence[StoredEvidence]) -> list[StoredEvidence]:
    """The verdicts that stand: the newest one, or several that were reached side by side."""
    reached = [one.statement for one in found if one.evidence.verdict]
    standing = chain.newest(_follows(found), reached)
    return [one for one in found if one.statement in standing]


def passes(found: Sequence[StoredEvidence]) -> StoredEvidence | None:
    """The evidence by which a gate was passed: its newest verdict, if no other was reached beside it that failed."""
    standing = verdicts(found)
    failed = any(one.evidence.verdict is not Outcome.PASSED for one in standing)
    return None if failed or not standing else standing[0]


def _follows(found: Iterable[StoredEvidence]) -> dict[Digest, list[Digest]]:
    return {one.statement: one.evidence.follows for one in found}


def _same(one: Evidence, other: Evidence) -> bool:
    return one.model_copy(update={"follows": []}) == other.model_copy(update={"follows": []})


async def _behind(repo: RepositoryClient, tag: Tag, subject: Digest) -> StoredEvidence | None:
    manifest = await repo.listed(tag)
    if not names_evidence(tag, manifest.digest):
        raise PreconditionError(
            f"{repo.repository.tagged(tag)} is {manifest.digest}, which is not what its name says: somebody wrote over "
            "evidence. Find out who before anything moves."
        )
    return await _read(repo, manifest, subject)


async def fetch_report(repo: RepositoryClient, stored: StoredEvidence) -> bytes:
    """The report's archive (tar.gz), verified."""
    if stored.report is None:
        raise PreconditionError(
            f"evidence {stored.digest} in {repo.repository} holds no report; expected a second layer"
        )
    return await repo.content(stored.report)


async def _read(repo: RepositoryClient, manifest: Manifest, subject: Digest) -> StoredEvidence | None:
    try:
        if manifest.artifact_type != media.EVIDENCE or manifest.subject != subject:
            return None
        layers = {layer.media_type: layer for layer in manifest.layers}
        told = layers[media.IN_TOTO]
        if told.size > _LARGEST:
            return None
        evidence = read_statement(await repo.content(told), subject)
        return StoredEvidence(evidence, manifest.digest, told.digest, layers.get(media.REPORT))
    except (ValueError, KeyError):
        return None
