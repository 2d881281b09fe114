"""What a registry says when it refuses (OCI distribution specification 1.1, "Error codes"), and which of it is final.

Sources of the words: Amazon ECR, Harbor, Quay, GitHub, distribution and the proxies in front of them.
"""

import re

from pipeline.registry.content import parse_json

_FINAL = (
    (
        re.compile(r"immutable|cannot be overwritten", re.IGNORECASE),
        "The registry keeps this tag immutable. Exempt the pipeline's tags from that rule, or delete the tag.",
    ),
    (
        re.compile(r"quota|storage limit|insufficient storage", re.IGNORECASE),
        "The registry's quota is used up. Have it raised, or free space there (prune, which writes a few kB itself).",
    ),
    (
        re.compile(r"SIZE_INVALID|TOOLARGE|too large", re.IGNORECASE),
        "The registry, or a proxy in front of it, takes no body of this size. Raise its limit.",
    ),
    (
        re.compile(r"(NAME|TAG)_INVALID"),
        "The registry does not take this name. Correct repository, prefix or names in pipeline.toml.",
    ),
    (
        re.compile(r"unsupported|media ?type|artifact type", re.IGNORECASE),
        "The registry does not take this type of content. Allow OCI artifacts there, or use a registry that has them.",
    ),
)
_SUSPENDED = re.compile(r"system is (in|currently) read.only|rate.limit|too many requests", re.IGNORECASE)
"""Harbor with 403 (before 2.1 during each garbage collection), Quay with 405, both call it DENIED; GitHub with 403 for
whoever asks too often."""
_BY_STATUS = {
    402: "The registry wants to be paid. See to the account's plan there.",
    409: "The registry keeps this tag immutable, or something else stands there. Look at it there.",
    412: _FINAL[0][1],
    413: _FINAL[2][1],
    415: _FINAL[4][1],
    451: "The registry may not hold this for legal reasons. Ask whoever runs it.",
    507: _FINAL[1][1],
}


def codes(body: bytes) -> frozenset[str]:
    """The codes of an error body as the specification has it; none for every other body."""
    return frozenset(str(error["code"]) for error in _errors(body) if error.get("code"))


def words(body: bytes) -> str:
    """The errors of a body in one line; empty when they are not the specification's."""
    told = (" ".join(str(error[key]) for key in ("code", "message") if error.get(key)) for error in _errors(body))
    return "; ".join(told)


def is_suspended(body: bytes) -> bool:
    """Whether the registry says that it takes no writes for the time being, whoever asks."""
    return bool(_SUSPENDED.search(words(body)))


def final(status: int, body: bytes) -> str | None:
    """What to do about a refusal that stays one when it is asked again; None for what may be another one then."""
    errors = _errors(body)
    told = " ".join(str(error.get(key) or "") for error in errors for key in ("code", "message", "detail"))
    for pattern, advice in _FINAL:
        if pattern.search(told):
            return advice
    return _BY_STATUS.get(status)


def _errors(body: bytes) -> list[dict[str, object]]:
    try:
        document = parse_json(body)
    except ValueError:
        return []
    errors = document.get("errors") if isinstance(document, dict) else None
    return [one for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
