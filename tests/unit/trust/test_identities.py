"""Signatures by an identity count for whom [trust] names, in time, in the log, and for nobody else."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest

from pipeline.domain import Channel
from pipeline.trust.bundle import read_bundle
from pipeline.trust.keyless import Called, Identity, Sigstore, called
from pipeline.trust.signers import Trust

from .little_sigstore import LittleSigstore

ISSUER = "https://token.actions.githubusercontent.com"
WORKFLOWS = "https://github.com/o/r/.github/workflows"
STABLE = f"{WORKFLOWS}/release-stable.yml@refs/tags"
OURS, THEIRS = LittleSigstore(), LittleSigstore()
IDENTITY = Identity(ISSUER, f"{STABLE}/v*", Sigstore(OURS.root))
TRUST = Trust({"stable": [IDENTITY]})
STATEMENT = b'{"predicate": {}}'


def refusal(bundle: bytes, statement: bytes = STATEMENT) -> str:
    return TRUST.refusal(TRUST.of(Channel.STABLE), statement, bundle)


def altered(bundle: bytes, change: str) -> bytes:
    document: dict[str, Any] = json.loads(bundle)
    (entry,) = document["verificationMaterial"]["tlogEntries"]
    match change:
        case "no log":
            document["verificationMaterial"]["tlogEntries"] = []
        case "later":
            entry["integratedTime"] = str(int(entry["integratedTime"]) + 60)
    return json.dumps(document).encode()


def test_who_is_named_counts() -> None:
    assert refusal(OURS.bundle(STATEMENT, f"{STABLE}/v1.0.0", ISSUER)) == ""


CALLED = "https://github.com/pipeline/module/.github/workflows/stage.yml@refs/tags/v1"
"""A workflow that anybody may call, in a repository of its own."""
REPOSITORY = "https://github.com/o/r"


def test_a_workflow_is_known_by_the_one_that_was_begun() -> None:
    begun = REPOSITORY, f"{STABLE}/v1.0.0"
    assert refusal(OURS.bundle(STATEMENT, CALLED, ISSUER, begun=begun)) == ""
    fork = REPOSITORY.replace("/o/", "/fork/")
    told = refusal(OURS.bundle(STATEMENT, CALLED, ISSUER, begun=(fork, begun[1].replace("/o/", "/fork/"))))
    assert re.match(r"signed by https://github.com/fork/r/\S+/release-stable.yml@refs/tags/v1.0.0 \(", told), told
    caller = fork, f"{fork}/.github/workflows/calls-ours.yml@refs/heads/main"
    assert "calls-ours.yml" in refusal(OURS.bundle(STATEMENT, f"{STABLE}/v1.0.0", ISSUER, begun=caller))


def test_what_cosign_knows_of_it_is_what_was_called_and_by_whom() -> None:
    begun = REPOSITORY, f"{STABLE}/v1.0.0"
    found = called(read_bundle(OURS.bundle(STATEMENT, CALLED, ISSUER, begun=begun)))
    assert found == Called(CALLED, "o/r", "refs/tags/v1.0.0")
    for alone in ({"begun": begun}, {}):
        assert called(read_bundle(OURS.bundle(STATEMENT, begun[1], ISSUER, **alone))) is None


def test_where_what_was_begun_is_no_workflow_of_the_repository_the_name_is_the_identity() -> None:
    run = REPOSITORY, "https://runner.test/api/pipeline/17/config"
    assert refusal(OURS.bundle(STATEMENT, f"{STABLE}/v1.0.0", ISSUER, begun=run)) == ""
    pretended = f"{REPOSITORY}evil", f"{STABLE}/v1.0.0"
    assert "evil.test" in refusal(OURS.bundle(STATEMENT, "https://evil.test/", ISSUER, begun=pretended))


@pytest.mark.parametrize(
    ("bundle", "found"),
    [
        (OURS.bundle(STATEMENT, f"{WORKFLOWS}/build-next.yml@refs/heads/main", ISSUER), "build-next.yml"),
        (OURS.bundle(STATEMENT, f"{STABLE[:-4]}heads/v1", ISSUER), "refs/heads/v1"),
        (OURS.bundle(STATEMENT, f"{STABLE}/v1", "https://issuer.test"), "https://issuer.test"),
        (THEIRS.bundle(STATEMENT, f"{STABLE}/v1", ISSUER), "certificate chain"),
        (OURS.bundle(STATEMENT, f"{STABLE}/v1", ISSUER, after=timedelta(hours=1)), "not valid at validation time"),
        (OURS.bundle(STATEMENT, f"{STABLE}/v1", ISSUER, after=-timedelta(hours=1)), "not valid at validation time"),
        (altered(OURS.bundle(STATEMENT, f"{STABLE}/v1", ISSUER), "no log"), "one log entry"),
        (altered(OURS.bundle(STATEMENT, f"{STABLE}/v1", ISSUER), "later"), "inclusion promise"),
    ],
    ids=["workflow", "branch", "issuer", "other Sigstore", "expired", "too early", "not logged", "time altered"],
)
def test_nobody_else_does_and_is_told_who_it_was(bundle: bytes, found: str) -> None:
    told = refusal(bundle)
    assert re.search(rf"signed by https://github.com/o/r/.*{re.escape(found)}", told), told
    assert told.endswith(f"; expected a signature by {IDENTITY}")


def test_a_signature_over_something_else_is_none() -> None:
    assert "about another statement" in refusal(OURS.bundle(b"{}", f"{STABLE}/v1", ISSUER))
    assert refusal(OURS.bundle(b"{}", f"{STABLE}/v1", ISSUER), b"{}") == ""
