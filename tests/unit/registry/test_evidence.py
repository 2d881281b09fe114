"""The statement that binds findings to a digest."""

import json
from typing import Any

import pytest

from pipeline.domain import Channel, Outcome
from pipeline.registry.content import sha256
from pipeline.registry.evidence import DiskRecord, Evidence, read_statement, statement
from pipeline.report.model import Check, CheckStatus, Result

SUBJECT, OTHER = sha256(b"image"), sha256(b"other")
DISK = DiskRecord(sha256=sha256(b"disk"), size=4, manifest=sha256(b"m"), builder="b@sha256:0")
EVIDENCE = Evidence(
    gate=Channel.TESTING,
    gate_version="1",
    result=Result(
        command="gate-testing",
        outcome=Outcome.PASSED,
        reason="all passed",
        digest=SUBJECT,
        checks=[Check(name="sshd", status=CheckStatus.PASSED, duration=1.5)],
    ),
    disks={"linux/amd64": DISK},
)


def test_a_statement_is_in_toto_v1_about_the_digest() -> None:
    document = json.loads(statement(SUBJECT, "r.example.org/o/i", EVIDENCE))
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "urn:bootc-pipeline:gate:v1"
    assert document["subject"] == [{"name": "r.example.org/o/i", "digest": {"sha256": SUBJECT.hex}}]
    assert document["predicate"]["gate"] == "testing"
    assert document["predicate"]["result"]["checks"][0]["name"] == "sshd"


def test_a_statement_reads_back_as_it_was_and_writes_the_same_bytes() -> None:
    written = statement(SUBJECT, "x", EVIDENCE)
    assert read_statement(written, SUBJECT) == EVIDENCE
    assert statement(SUBJECT, "x", read_statement(written, SUBJECT)) == written


def changed(*path: str, to: object) -> bytes:
    document: dict[str, Any] = json.loads(statement(SUBJECT, "x", EVIDENCE))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"{", "not an in-toto statement"),
        (b"[]", "not an in-toto statement"),
        (b"{}", "not an in-toto statement"),
        (changed("_type", to="https://in-toto.io/Statement/v0.1"), "of kind"),
        (changed("predicateType", to="https://slsa.dev/provenance/v1"), "of kind"),
        (changed("subject", to=[]), "about"),
        (changed("subject", to=[{"digest": {"sha256": OTHER.hex}}]), "about"),
        (changed("subject", to=[{"digest": {"sha256": SUBJECT.hex}}, {"digest": {"sha256": OTHER.hex}}]), "about"),
        (changed("predicate", "result", "digest", to=OTHER), "a result about"),
        (changed("predicate", "gate", to="production"), "gate"),
        (
            changed("predicate", "disks", "linux/amd64", "format", to="raw"),
            "linux/amd64 has the format raw, expected qcow2",
        ),
    ],
)
def test_anything_else_is_no_evidence(content: bytes, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        read_statement(content, SUBJECT)
