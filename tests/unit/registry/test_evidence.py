"""The statement that binds findings to a digest."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.domain import Channel, Commit, Outcome
from pipeline.registry.content import sha256
from pipeline.registry.evidence import DiskRecord, Evidence, StoredEvidence, passes, read_statement, statement
from pipeline.report.model import Check, CheckStatus, Result
from pipeline.trust.statement import GATE, TEST_RESULT

SUBJECT, CHILD, OTHER = sha256(b"image"), sha256(b"amd64"), sha256(b"other")
CLAIM = ("predicate", "bootc-pipeline")
DISK = DiskRecord(sha256=sha256(b"disk"), size=4, manifest=sha256(b"m"), builder="b@sha256:0")
EVIDENCE = Evidence(
    gate=Channel.TESTING,
    gate_version="1",
    result=Result(
        command="gate-testing",
        outcome=Outcome.PASSED,
        reason="all passed",
        digest=SUBJECT,
        commit=Commit("c" * 40),
        started=datetime(2026, 1, 1, 12, tzinfo=UTC),
        duration=1.5,
        checks=[Check(name="sshd", status=CheckStatus.PASSED, duration=1.5)],
    ),
    disks={"linux/amd64": DISK},
    source="https://git.example.org/os",
    trees={"tests/vm": "d" * 40},
    platforms={"linux/amd64": CHILD},
    report=sha256(b"report"),
)


def test_a_statement_is_in_toto_v1_about_the_digest() -> None:
    document = json.loads(statement(SUBJECT, "r.example.org/o/i", EVIDENCE))
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["subject"] == [
        {"name": "r.example.org/o/i", "digest": {"sha256": SUBJECT.hex}},
        {"name": "r.example.org/o/i linux/amd64", "digest": {"sha256": CHILD.hex}},
    ]
    claim = document["predicate"]["bootc-pipeline"]
    assert (claim["gate"], claim["result"]["checks"][0]["name"]) == ("testing", "sshd")
    assert claim["ended"] == "2026-01-01T12:00:01.500+00:00"


def test_a_verdict_is_a_test_result_as_in_toto_has_it():
    predicate = json.loads(statement(SUBJECT, "x", EVIDENCE))["predicate"]
    assert (predicate["result"], predicate["passedTests"], predicate["failedTests"]) == ("PASSED", ["sshd"], [])
    assert {"name": "source", "uri": "https://git.example.org/os", "digest": {"gitCommit": "c" * 40}} in (
        predicate["configuration"]
    )
    assert {"name": "tests/vm", "digest": {"gitTree": "d" * 40}} in predicate["configuration"]
    assert {"name": "disk linux/amd64", "digest": {"sha256": DISK.sha256.hex}} in predicate["configuration"]
    assert {"name": "report", "digest": {"sha256": sha256(b"report").hex}} in predicate["configuration"]


@pytest.mark.parametrize(
    ("outcome", "status", "kind", "says"),
    [
        (Outcome.PASSED, CheckStatus.PASSED, TEST_RESULT, "PASSED"),
        (Outcome.PASSED, CheckStatus.SKIPPED, TEST_RESULT, "FAILED"),
        (Outcome.GATE_FAILED, CheckStatus.FAILED, TEST_RESULT, "FAILED"),
        (Outcome.INFRA, CheckStatus.INFRA, GATE, None),
        (Outcome.PASSED, CheckStatus.INFRA, GATE, None),
    ],
)
def test_what_is_no_verdict_is_no_test_result(outcome: Outcome, status: CheckStatus, kind: str, says: str | None):
    result = EVIDENCE.result.model_copy(update={"outcome": outcome, "checks": [Check(name="sshd", status=status)]})
    document = json.loads(statement(SUBJECT, "x", EVIDENCE.model_copy(update={"result": result})))
    assert (document["predicateType"], document["predicate"].get("result")) == (kind, says)


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
        (changed(*CLAIM, "result", "digest", to=OTHER), "a result about"),
        (changed(*CLAIM, "platforms", to={}), "about"),
        (changed(*CLAIM, "gate", to="production"), "gate"),
        (changed(*CLAIM, "result", "duration", to=1e300), "in no calendar"),
        (changed(*CLAIM, "result", "started", to="0001-01-01T00:00:00+14:00"), "in no calendar"),
        (changed(*CLAIM, to="passed"), "not an in-toto statement"),
        (
            changed(*CLAIM, "disks", "linux/amd64", "format", to="raw"),
            "linux/amd64 has the format raw, expected qcow2",
        ),
    ],
)
def test_anything_else_is_no_evidence(content: bytes, found: str) -> None:
    with pytest.raises(ValueError, match=found):
        read_statement(content, SUBJECT)


def _stored(name: str, version: str, outcome: Outcome, *follows: str) -> StoredEvidence:
    status = CheckStatus.PASSED if outcome is Outcome.PASSED else CheckStatus.FAILED
    result = EVIDENCE.result.model_copy(update={"outcome": outcome, "checks": [Check(name="sshd", status=status)]})
    told = {"gate_version": version, "result": result, "follows": [sha256(one.encode()) for one in follows]}
    statement = sha256(name.encode())
    return StoredEvidence(EVIDENCE.model_copy(update=told), statement, statement, None)


def test_what_one_image_failed_and_passed_later_stays_in_order_although_another_came_between() -> None:
    """Two images of one digest have one chain; each counts only what was asked of it."""
    found = [
        _stored("gnome, again", "gnome", Outcome.PASSED, "kde"),
        _stored("kde", "kde", Outcome.GATE_FAILED, "gnome"),
        _stored("gnome", "gnome", Outcome.GATE_FAILED),
    ]
    assert passes(found, "gnome") == found[0]
    assert passes(found, "kde") is None
    assert passes(found, "lts") is None
    turned = [_stored("late", "gnome", Outcome.GATE_FAILED, "kde"), found[1], _stored("gnome", "gnome", Outcome.PASSED)]
    assert passes(turned, "gnome") is None
