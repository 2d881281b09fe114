"""Challenges as real registries write them."""

import pytest

from pipeline.registry.auth import Challenge, parse_challenges, token_request, widened
from pipeline.registry.credentials import Login

BEARER = Challenge("bearer", {"realm": "https://auth.example.org/token", "service": "registry"})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (['Basic realm="lab"'], [("basic", {"realm": "lab"})]),
        (
            ['Bearer realm="https://ghcr.io/token",service="ghcr.io",scope="repository:o/i:pull"'],
            [("bearer", {"realm": "https://ghcr.io/token", "service": "ghcr.io", "scope": "repository:o/i:pull"})],
        ),
        (
            ['Bearer realm="https://q/t", scope="repository:a:pull,push", error="insufficient_scope"'],
            [("bearer", {"realm": "https://q/t", "scope": "repository:a:pull,push", "error": "insufficient_scope"})],
        ),
        (['basic realm=plain , Bearer realm="x"'], [("basic", {"realm": "plain"}), ("bearer", {"realm": "x"})]),
        (
            ['Basic realm="a", charset="UTF-8"', 'BEARER Realm="b"'],
            [("basic", {"realm": "a", "charset": "UTF-8"}), ("bearer", {"realm": "b"})],
        ),
        (['Basic realm="a \\"quoted\\" word"'], [("basic", {"realm": 'a "quoted" word'})]),
        (["Negotiate"], [("negotiate", {})]),
        ([""], []),
        (['=?"'], []),
    ],
)
def test_challenges_are_read(headers: list[str], expected: list[tuple[str, dict[str, str]]]) -> None:
    assert [(one.scheme, one.parameters) for one in parse_challenges(headers)] == expected


@pytest.mark.parametrize(
    ("actions", "scope", "asked"),
    [
        ("pull", "repository:o/i:pull", "pull"),
        ("pull,push", "repository:o/i:pull", "pull,push"),
        ("pull", "repository:o/i:pull,push", "pull,push"),
        ("delete", "repository:o/i:*", "delete,*"),
        ("delete", "repository:other/i:*", "delete"),
        ("pull", "registry:catalog:*", "pull"),
        ("pull", "", "pull"),
    ],
)
def test_both_sides_say_what_a_token_is_for(actions: str, scope: str, asked: str) -> None:
    assert widened(actions, Challenge("bearer", {"scope": scope}), "o/i") == asked


def test_a_token_is_asked_for_by_name_and_password() -> None:
    request = token_request(BEARER, "repository:a/b:pull", Login("me", "pw"))
    assert (request.method, request.params) == ("GET", {"scope": "repository:a/b:pull", "service": "registry"})
    assert request.authorization == "Basic bWU6cHc="


def test_an_identity_token_buys_an_access_token() -> None:
    request = token_request(BEARER, "repository:a/b:pull", Login(identity_token="refresh"))
    assert request.method == "POST"
    assert request.form
    assert request.form["grant_type"] == "refresh_token"
    assert request.form["refresh_token"] == "refresh"


def test_a_realm_that_is_no_url_is_refused() -> None:
    with pytest.raises(ValueError, match="not a URL"):
        token_request(Challenge("bearer", {"realm": "lab"}), "repository:a:pull", None)
