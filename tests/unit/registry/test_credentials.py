"""Which login is used where."""

import base64
import json

import pytest

from pipeline.domain import Repository
from pipeline.errors import UsageError
from pipeline.registry.credentials import Credentials, Login, small_hosts


def auth(user: str, password: str = "pw") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def user_for(config: dict[str, object], repository: str) -> str | None:
    login = Credentials.parse(json.dumps(config)).login(Repository.parse(repository))
    return login.username if login else None


def test_the_longest_prefix_wins() -> None:
    config = {"auths": {"ghcr.io": auth("host"), "ghcr.io/o/i": auth("image"), "ghcr.io/o": auth("owner")}}
    assert user_for(config, "ghcr.io/o/i") == "image"
    assert user_for(config, "ghcr.io/o/i/sub") == "image"
    assert user_for(config, "ghcr.io/o/image") == "owner"
    assert user_for(config, "ghcr.io/other/i") == "host"
    assert user_for(config, "quay.io/o/i") is None


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "index.docker.io", "docker.io", "registry-1.docker.io"])
def test_docker_hub_goes_by_several_names(key: str) -> None:
    assert user_for({"auths": {key: auth("me")}}, "docker.io/library/debian") == "me"


@pytest.mark.parametrize("key", ["https://r.example.org", "http://r.example.org/", "https://r.example.org/v2/"])
def test_keys_may_be_urls(key: str) -> None:
    assert user_for({"auths": {key: auth("me")}}, "r.example.org/a/b") == "me"


@pytest.mark.parametrize("key", ["R.Example.org", "https://R.EXAMPLE.org/v2/", "r.example.org"])
@pytest.mark.parametrize("repository", ["r.example.org/a/b", "R.example.ORG/a/b"])
def test_capitals_in_a_host_say_nothing(key: str, repository: str) -> None:
    assert user_for({"auths": {key: auth("me")}}, repository) == "me"


@pytest.mark.parametrize("hosts", [("R.example.org", "r.example.org"), ("r.example.org", "R.example.org")])
def test_of_two_logins_for_a_host_that_in_small_letters_counts(hosts: tuple[str, str]) -> None:
    config = {"auths": {host: auth(host) for host in hosts}}
    assert user_for(config, "r.example.org/a") == "r.example.org"
    assert user_for(json.loads(small_hosts(json.dumps(config))), "r.example.org/a") == "r.example.org"


def test_tools_get_the_logins_under_the_names_that_references_have_here() -> None:
    given = {"auths": {"GHCR.io/Owner": auth("me")}, "credHelpers": {"GCR.io": "gcloud"}, "other": 1}
    small = {"auths": {"ghcr.io/Owner": auth("me")}, "credHelpers": {"gcr.io": "gcloud"}, "other": 1}
    told = json.loads(small_hosts(json.dumps(given)))
    assert told["auths"] == {"GHCR.io/Owner": auth("me"), "ghcr.io/Owner": auth("me")}, "a Containerfile may say both"
    assert told["credHelpers"] == {"GCR.io": "gcloud", "gcr.io": "gcloud"}
    assert told["other"] == 1
    text = json.dumps(small, indent=2)
    assert small_hosts(text) == text


def test_passwords_may_hold_colons() -> None:
    parsed = Credentials.parse(json.dumps({"auths": {"localhost:5000": auth("me", "a:b:c")}}))
    assert parsed.login(Repository.parse("localhost:5000/a")) == Login("me", "a:b:c")


def test_plain_fields_and_identity_tokens_count() -> None:
    entries = {"a.io": {"username": "u", "password": "p"}, "b.io": {"identitytoken": "t"}, "c.io": {}}
    parsed = Credentials.parse(json.dumps({"auths": entries}))
    assert parsed.login(Repository.parse("a.io/x")) == Login("u", "p")
    assert parsed.login(Repository.parse("b.io/x")) == Login(identity_token="t")
    assert parsed.login(Repository.parse("c.io/x")) is None


def test_a_credential_helper_is_named_when_it_would_be_needed() -> None:
    config = {"auths": {"ghcr.io": auth("me")}, "credHelpers": {"gcr.io": "gcloud"}}
    assert user_for(config, "ghcr.io/o/i") == "me"
    with pytest.raises(UsageError, match=r"gcr\.io .*'gcloud'"):
        user_for(config, "gcr.io/o/i")


def test_a_credential_store_is_named_for_the_hosts_it_keeps() -> None:
    config = {"auths": {"ghcr.io": {}, "quay.io": auth("me")}, "credsStore": "desktop"}
    assert user_for(config, "quay.io/o/i") == "me"
    assert user_for(config, "example.org/o/i") is None
    with pytest.raises(UsageError, match="'desktop'"):
        user_for(config, "ghcr.io/o/i")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2-canary",
        "[]",
        '{"auths": ["hunter2-canary"]}',
        '{"auths": {"a.io": "hunter2-canary"}}',
        '{"auths": {"a.io": {"auth": "hunter2-canary!"}}}',
        '{"auths": {"a.io": {"auth": 3}}}',
        '{"auths": {"a.io": {"auth": "hunter2-canaryé"}}}',
        '{"auths": {}, "credHelpers": ["hunter2-canary"]}',
    ],
)
def test_broken_secrets_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(UsageError, match="registry-auth") as refused:
        Credentials.parse(text)
    assert "canary" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_secrets_are_not_part_of_the_representation() -> None:
    parsed = Credentials.parse(json.dumps({"auths": {"a.io": auth("me", "canary")}}))
    assert "canary" not in repr(parsed)


def test_a_config_that_is_nested_without_end_is_refused() -> None:
    with pytest.raises(UsageError, match="not JSON"):
        Credentials.parse("[" * 100_000)
