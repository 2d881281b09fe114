"""Authentication as registries ask for it: `WWW-Authenticate` challenges, basic logins and bearer tokens.

Sources: RFC 9110 section 11 (challenges); distribution documentation, "Token authentication specification" and
"OAuth2 token authentication".
"""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pipeline.registry.credentials import Login

_SCHEME = re.compile(r"\s*(?:,\s*)*(?P<scheme>[A-Za-z][\w-]*)(?:\s+|$)")
_PARAMETER = re.compile(
    r'\s*(?:,\s*)*(?P<key>[A-Za-z][\w-]*)\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s",]+))'
)


@dataclass(frozen=True)
class Challenge:
    """One way to authenticate that a server offers; the scheme and the parameter names are in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Read the values of all `WWW-Authenticate` headers; what cannot be read is left out."""
    challenges = []
    for header in headers:
        position = 0
        while found := _SCHEME.match(header, position):
            position = found.end()
            parameters = {}
            while parameter := _PARAMETER.match(header, position):
                position = parameter.end()
                quoted = parameter["quoted"]
                value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else parameter["bare"]
                parameters[parameter["key"].lower()] = value
            challenges.append(Challenge(found["scheme"].lower(), parameters))
    return challenges


def basic(login: Login) -> str:
    """The `Authorization` header of a user and password."""
    return "Basic " + base64.b64encode(f"{login.username}:{login.password}".encode()).decode()


def widened(actions: str, challenge: Challenge, path: str) -> str:
    """`actions` and those that the challenge asks for on the repository `path`: each side knows what the other may not.

    Some registries name only `pull` whatever was tried, others want actions of their own for deleting.
    """
    further: list[str] = []
    for scope in challenge.parameters.get("scope", "").split():
        kind, _, rest = scope.partition(":")
        name, _, wanted = rest.rpartition(":")
        further += wanted.split(",") if (kind, name) == ("repository", path) else []
    return ",".join(dict.fromkeys([*actions.split(","), *filter(None, further)]))


@dataclass(frozen=True)
class TokenRequest:
    """How to ask the token server for a token of one scope."""

    method: str
    url: str
    params: dict[str, str | list[str]]
    form: dict[str, str] | None = None
    authorization: str | None = None


def token_request(challenge: Challenge, scope: str, login: Login | None) -> TokenRequest:
    """What buys a token for `scope`; ValueError when the challenge names no realm.

    `scope`: `repository:NAME:pull,push`, several with spaces between, which the token server is asked for one by one.
    """
    realm = challenge.parameters.get("realm", "")
    if not realm.startswith(("https://", "http://")):
        raise ValueError(f"a bearer challenge whose realm is {realm!r}, not a URL")
    service = challenge.parameters.get("service")
    named = {"service": service} if service else {}
    if login and login.identity_token:
        form = named | {
            "scope": scope,
            "grant_type": "refresh_token",
            "refresh_token": login.identity_token,
            "client_id": "bootc-pipeline",
        }
        return TokenRequest("POST", realm, {}, form)
    several = scope.split()
    asked: dict[str, str | list[str]] = {"scope": several if len(several) > 1 else scope, **named}
    return TokenRequest("GET", realm, asked, authorization=basic(login) if login else None)
