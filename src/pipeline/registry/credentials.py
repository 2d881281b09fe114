"""Who we are at each registry, read from a docker `config.json` (docker CLI and containers-auth.json(5) formats)."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pipeline.domain import Repository
from pipeline.errors import UsageError
from pipeline.registry.content import parse_json

_DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_WANTED = 'expected a docker config.json such as {"auths": {"ghcr.io": {"auth": "<base64 of user:password>"}}}'


@dataclass(frozen=True)
class Login:
    """One registry account: user and password, or an identity token that buys access tokens (OAuth2 refresh token)."""

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Credentials:
    """Logins by registry host or repository path; the longest prefix of a repository wins."""

    _logins: Mapping[str, Login] = field(default_factory=dict)
    _helpers: Mapping[str, str] = field(default_factory=dict)
    """Which credential helper would answer for which host."""

    @classmethod
    def parse(cls, docker_config_json: str) -> Self:
        """Read a docker config.json; UsageError when it is none. No part of it appears in an error."""
        try:
            config = parse_json(docker_config_json)
        except ValueError:
            raise UsageError(f"--registry-auth is not JSON; {_WANTED}") from None
        auths = config.get("auths") or {} if isinstance(config, dict) else None
        if not isinstance(auths, dict) or not all(isinstance(entry, dict) for entry in auths.values()):
            raise UsageError(f"--registry-auth has no object of `auths`; {_WANTED}")
        auths = _by_small_hosts(auths)
        logins = {_normal(key): login for key, entry in auths.items() if (login := _login(key, entry))}
        given = config.get("credHelpers") or {}
        if not isinstance(given, dict):
            raise UsageError(f"--registry-auth: `credHelpers` is not an object; {_WANTED}")
        helpers = {_normal(host): str(helper) for host, helper in _by_small_hosts(given).items()}
        if store := config.get("credsStore"):
            # `docker login` leaves an empty entry for each host whose password went into the store
            helpers |= {_normal(key): str(store) for key in auths if _normal(key) not in logins}
        return cls(logins, helpers)

    def login(self, repository: Repository) -> Login | None:
        """The account for `repository`, None for anonymous access.

        UsageError when only a credential helper knows it: helpers are programs on another machine than this one.
        """
        for prefix in _prefixes(repository):
            if prefix in self._logins:
                return self._logins[prefix]
            if prefix in self._helpers:
                raise UsageError(
                    f"--registry-auth leaves {prefix} to the credential helper {self._helpers[prefix]!r}, which cannot "
                    "run here; give a config.json with the login itself (`skopeo login --authfile FILE` writes one)"
                )
        return None


def _prefixes(repository: Repository) -> Iterator[str]:
    """`host/a/b`, `host/a`, `host`."""
    parts = [_normal(repository.host), *repository.path.split("/")]
    for length in range(len(parts), 0, -1):
        yield "/".join(parts[:length])


def _normal(key: str) -> str:
    """Keys may be URLs with an API version (`https://index.docker.io/v1/`) and Docker Hub goes by several names."""
    bare = key.removeprefix("https://").removeprefix("http://").rstrip("/")
    bare = bare.removesuffix("/v1").removesuffix("/v2")
    host, slash, path = bare.partition("/")
    return ("docker.io" if host in _DOCKER_HUB else host) + slash + path


def small_hosts(docker_config_json: str) -> str:
    """A config.json that can be read, its hosts in small letters, too: podman and skopeo compare them letter by letter.

    A Containerfile may still spell them as they were given. The very text where nothing is in capitals.
    """
    config = parse_json(docker_config_json)
    given = {name: config[name] for name in ("auths", "credHelpers") if config.get(name)}
    small = {name: entries | _by_small_hosts(entries) for name, entries in given.items()}
    return docker_config_json if small == given else json.dumps(config | small)


def _by_small_hosts(entries: Mapping[str, Any]) -> dict[str, Any]:
    """The same entries; of two for one host that which is written so itself."""
    return {_small(key): entry for key, entry in sorted(entries.items(), key=lambda one: one[0] == _small(one[0]))}


def _small(key: str) -> str:
    """A key, which may be a URL, with its host in small letters; a path may tell repositories apart by case."""
    return re.sub(r"^(\w+://)?[^/]*", lambda found: found[0].lower(), key)


def _login(key: str, entry: dict[str, Any]) -> Login | None:
    username, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if auth := entry.get("auth"):
        try:
            username, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
        except (ValueError, TypeError):
            colon = ""
        if not colon:
            raise UsageError(
                f"--registry-auth: `auth` of {key} is not the base64 of user:password; {_WANTED}"
            ) from None
    token = str(entry.get("identitytoken") or "")
    return Login(username, password.rstrip("\0"), token) if username or token else None
