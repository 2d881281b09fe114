"""In-toto statements (Statement v1): what is claimed of which digests.

Sources: in-toto/attestation, spec/v1/statement.md and spec/predicates/test-result.md (v0.1); slsa.dev/spec/v1.1,
verification_summary (v1). A predicate of others carries all of ours under `bootc-pipeline`: readers of theirs skip what
they do not know.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.domain import Channel, Digest, Outcome
from pipeline.report.model import Check, CheckStatus

TYPE = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
VERIFICATION = "https://slsa.dev/verification_summary/v1"
GATE = "urn:bootc-pipeline:gate:v1"
"""A run of a gate that came to no verdict: the standard has no word for it."""
LEDGER = "urn:bootc-pipeline:ledger:v1"
"""An entry of the ledger that lets nothing into a channel."""
ANCHOR = "urn:bootc-pipeline:anchor:v1"
"""The newest entries of some ledgers."""
SPDX = "https://spdx.dev/Document"
"""A bill of material: the predicate is the SPDX document itself (in-toto/attestation, spec/predicates/spdx.md)."""
OURS = "bootc-pipeline"

_SAYS = {Outcome.PASSED: "PASSED", Outcome.GATE_FAILED: "FAILED"}


@dataclass(frozen=True)
class Subject:
    """Something that a statement is about."""

    name: str
    digest: Digest


@dataclass(frozen=True)
class Statement:
    """What a statement says, read."""

    subjects: tuple[Subject, ...]
    kind: str
    """Its predicate's type."""
    claim: dict[str, Any]
    """Our part of its predicate."""


def written(subjects: Sequence[Subject], kind: str, predicate: Mapping[str, Any], claim: Mapping[str, Any]) -> bytes:
    """The statement with a claim of ours in it; equal input gives equal bytes."""
    return of_others(subjects, kind, {**predicate, OURS: claim})


def of_others(subjects: Sequence[Subject], kind: str, predicate: Mapping[str, Any]) -> bytes:
    """A statement that only others read."""
    document = {
        "_type": TYPE,
        "subject": [{"name": one.name, "digest": {"sha256": one.digest.hex}} for one in subjects],
        "predicateType": kind,
        "predicate": predicate,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def read(content: bytes, *kinds: str) -> Statement:
    """ValueError, saying what is wrong, unless it is a statement of ours of one of these predicate types."""
    try:
        document: dict[str, Any] = json.loads(content)
        if (kind := document["_type"]) != TYPE or document["predicateType"] not in kinds:
            raise ValueError(f"a statement of kind {kind}, {document['predicateType']}; expected {TYPE}, {kinds}")
        subjects = tuple(
            Subject(str(one.get("name", "")), Digest(f"sha256:{one['digest']['sha256']}"))
            for one in document["subject"]
        )
        claim = document["predicate"][OURS]
        if not isinstance(claim, dict):
            raise TypeError(f"a claim that is {type(claim).__name__}")
        return Statement(subjects, document["predicateType"], claim)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not an in-toto statement ({type(error).__name__}: {error})") from error


def tested(verdict: Outcome, checks: Sequence[Check], configuration: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The predicate of a gate that came to a verdict. A check that was waived or only advises, warned."""
    failed = [check.name for check in checks if not check.lets_through]
    passed = [check.name for check in checks if check.status is CheckStatus.PASSED]
    warned = [check.name for check in checks if check.name not in {*failed, *passed}]
    return {
        "result": _SAYS[verdict],
        "configuration": list(configuration),
        "passedTests": passed,
        "warnedTests": warned,
        "failedTests": failed,
    }


def verification(
    channel: Channel, resource: str, at: datetime, evidence: Sequence[Digest], module: str
) -> dict[str, Any]:
    """The predicate of a digest that passed the gates of a channel. SLSA's own levels are not ours to give."""
    return {
        "verifier": {"id": "urn:bootc-pipeline", "version": {"bootc-pipeline": module}},
        "timeVerified": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "resourceUri": resource,
        "policy": {"uri": f"urn:bootc-pipeline:channel:{channel}"},
        "inputAttestations": [{"digest": {"sha256": one.hex}} for one in evidence],
        "verificationResult": "PASSED",
        "verifiedLevels": [f"BOOTC_PIPELINE_{channel.upper()}"],
    }
