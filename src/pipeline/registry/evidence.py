"""What a gate found, stored beside the digest: an in-toto statement and the whole report, as one OCI artifact."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.domain import Channel, Digest
from pipeline.errors import PreconditionError
from pipeline.registry import media
from pipeline.registry.client import RepositoryClient
from pipeline.registry.content import Descriptor, Manifest
from pipeline.report.model import Result

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:bootc-pipeline:gate:v1"

_GATE = "vnd.bootc-pipeline.gate"
_CREATED = "org.opencontainers.image.created"


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


@dataclass(frozen=True)
class StoredEvidence:
    """Evidence with its place in the registry."""

    evidence: Evidence
    digest: Digest
    """Of its manifest."""
    created: datetime
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
    except (ValueError, KeyError, TypeError, AttributeError) as error:
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


async def attach_evidence(repo: RepositoryClient, digest: Digest, evidence: Evidence, report: bytes) -> Digest:
    """Store `evidence` and its `report` (tar.gz) beside `digest`; the digest of the artifact.

    Running it again with the same arguments stores nothing new. PreconditionError when `digest` is not there.
    """
    subject = await repo.known(digest)
    if subject is None:
        raise PreconditionError(f"{repo.repository} holds no {digest}; expected the image that the evidence is about")
    ended = evidence.result.started + timedelta(seconds=evidence.result.duration)
    layers = [
        await repo.push_blob(statement(digest, str(repo.repository), evidence), media.IN_TOTO),
        await repo.push_blob(report, media.REPORT),
    ]
    stored = await repo.push_artifact(
        media.EVIDENCE,
        layers,
        subject=subject.descriptor,
        annotations={_GATE: evidence.gate.value, _CREATED: ended.astimezone(UTC).isoformat(timespec="milliseconds")},
    )
    return stored.digest


async def find_evidence(repo: RepositoryClient, digest: Digest, gate: Channel) -> list[StoredEvidence]:
    """The evidence of `gate` on `digest`, newest first.

    What is attached but is about another digest, or cannot be read, is no evidence and is left out.
    """
    found = []
    for referrer in await repo.referrers(digest, media.EVIDENCE):
        if referrer.annotations.get(_GATE, gate.value) != gate.value:
            continue
        manifest = await repo.known(referrer.digest)
        stored = manifest and await _read(repo, manifest, digest)
        if stored and stored.evidence.gate == gate:
            found.append(stored)
    return sorted(found, key=lambda one: (one.created, one.digest), reverse=True)


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
        created = datetime.fromisoformat(manifest.annotations[_CREATED]).astimezone(UTC)
        content = await repo.content(layers[media.IN_TOTO])
        return StoredEvidence(read_statement(content, subject), manifest.digest, created, layers.get(media.REPORT))
    except (ValueError, KeyError):
        return None
