"""What the keys of pipeline.toml take: paths, addresses, names, platforms; and the table that all tables are."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from pipeline.domain import Digest, Repository, Tag, usual_platform
from pipeline.policy import platforms as platforms_
from pipeline.policy.names import ALIAS_FIELDS, BARE, LONGEST_PREFIX
from pipeline.policy.template import unknown

NO_LOGIN = "expected no user name or password in an address; give them as a secret"


class Table(BaseModel):
    """A table of the file: no key beside those of its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True)


def inside(path: str) -> str:
    """The path, when it names something inside the repository; ValueError otherwise."""
    if not path.strip() or not path.isprintable():
        raise ValueError("expected the path of a file or folder of the repository; leave the key out for none")
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError("expected a path inside the repository, without a leading / or ..")
    return path


def having(placeholders: Sequence[str]) -> AfterValidator:
    """Of a text that may hold these `{placeholders}` and no others."""

    def checked(text: str) -> str:
        if strange := unknown(text, placeholders):
            allowed = ", ".join(f"{{{name}}}" for name in placeholders)
            raise ValueError(f"there is no {{{strange[0]}}}; allowed are {allowed}")
        return text

    return AfterValidator(checked)


def _address(url: str) -> str:
    """Without a trailing slash; a login in it would show in arguments, logs and reports."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reads and checks it
    except ValueError:
        raise ValueError("expected an address such as https://host.example.org:8443/folder") from None
    if "@" in parts.netloc:
        raise ValueError(NO_LOGIN)
    if not parts.hostname or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise ValueError("expected an address to which a path can be added: a host, and nothing behind ? or #")
    return url.rstrip("/")


def _once_each(platforms: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(platforms)) < len(platforms):
        raise ValueError("expected each platform once (linux/arm64/v8 is linux/arm64)")
    return platforms


def _usual_platform(text: Any) -> Any:
    return usual_platform(text) if isinstance(text, str) else text


def _reference(text: str) -> str:
    name, _, tag = text.rpartition(":")
    try:
        return Repository.parse(name).tagged(Tag(tag))
    except ValueError:
        raise ValueError("expected a reference with a tag, such as ghcr.io/owner/image:stable") from None


def _alias(template: str) -> str:
    plain = re.sub(r"\{[^{}]*\}", "", template)
    unknown = set(re.findall(r"\{([^{}]*)\}", template)) - set(ALIAS_FIELDS)
    if template != BARE and (unknown or not re.fullmatch(r"[A-Za-z0-9._-]*", plain) or template.startswith((".", "-"))):
        allowed = ", ".join(f"{{{name}}}" for name in ALIAS_FIELDS)
        raise ValueError(
            f"expected an alias of letters, digits, '.', '_' and '-', with {allowed} in it, or {BARE} alone"
        )
    return template


def _image_reference(text: str) -> str:
    name, _, digest = text.partition("@")
    name, _, tag = name.rpartition(":") if not digest else (name, "", "x")
    try:
        repository = Repository.parse(name)
        return repository.at(Digest(digest)) if digest else repository.tagged(Tag(tag))
    except ValueError:
        raise ValueError("expected an image with tag or digest, such as quay.io/fedora/fedora:43") from None


def _image_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*", text):
        raise ValueError("expected a name of small letters and digits, with . _ or - between them")
    if len(text) > _LONGEST_NAME:
        raise ValueError(f"expected {_LONGEST_NAME} characters at most: files are named after it")
    return text


def _names_of_values(value: dict[str, str]) -> dict[str, str]:
    if wrong := [name for name in value if not re.fullmatch(r"[^\s=]+", name)]:
        raise ValueError(f"{wrong[0]!r} is no name: expected one without = and spaces")
    return value


def _port(text: str) -> str:
    if not 0 < int(re.split("[:/]", text)[-1]) <= _LAST_PORT:
        raise ValueError(f"expected a port from 1 to {_LAST_PORT}")
    return text


def _host(text: str) -> str:
    try:
        host = Repository.parse(f"{text}/x").host
    except ValueError:
        host = None
    if host != text.lower():
        raise ValueError("expected a registry as references name it, HOST or HOST:PORT without http://")
    return host


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError("expected a text that is not blank")
    return text


def _branch(text: str) -> str:
    if text.startswith(("refs/", "-")) or re.search(r"[\s~^:\\]|\.\.", text):
        raise ValueError("expected a branch by its short name, such as main or release/*")
    return text


def _as_text(value: Any) -> Any:
    """Numbers and truth values as a shell would see them."""
    if not isinstance(value, dict):
        return value
    shown = {True: "true", False: "false"}
    return {
        name: shown[one] if isinstance(one, bool) else str(one) if isinstance(one, int | float) else one
        for name, one in value.items()
    }


_LONGEST_NAME = 100
_LAST_PORT = 65535

ImageName = Annotated[str, AfterValidator(_image_name)]
ImageReference = Annotated[str, AfterValidator(_image_reference)]
LintName = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
RelativePath = Annotated[
    str, AfterValidator(inside), WithJsonSchema({"type": "string", "title": "path", "pattern": "^[^/]"})
]
Url = Annotated[str, Field(pattern=r"^https?://[^/\s]+"), AfterValidator(_address)]
UploadUrl = Annotated[str, Field(pattern=r"^(s3|https?)://[^/\s]+"), AfterValidator(_address)]
RepositoryName = Annotated[
    Repository,
    BeforeValidator(lambda text: text if isinstance(text, Repository) else Repository.parse(str(text))),
    WithJsonSchema({"type": "string", "title": "repository", "pattern": Repository.PATTERN}),
]
Socket = Annotated[str, Field(pattern=r"^(tcp|udp)/[1-9][0-9]{0,4}$"), AfterValidator(_port)]
HostPort = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:[1-9][0-9]{0,4}$"), AfterValidator(_port)
]
RegistryHost = Annotated[str, AfterValidator(_host)]
Unit = Annotated[str, Field(pattern=r"^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*$")]
"""Characters of unit names (systemd.unit(5)), none that is an option or a pattern."""
Said = Annotated[str, Field(min_length=1), AfterValidator(_said)]
"""A text for people that says something."""
Platform = Annotated[
    str,
    BeforeValidator(_usual_platform),
    AfterValidator(platforms_.checked),
    WithJsonSchema({"type": "string", "title": "platform", "pattern": platforms_.PATTERN}),
]
Platforms = Annotated[tuple[Platform, ...], AfterValidator(_once_each)]
TaggedReference = Annotated[str, AfterValidator(_reference)]
Prefix = Annotated[str, Field(pattern=rf"^([A-Za-z0-9_][A-Za-z0-9._-]{{0,{LONGEST_PREFIX - 1}}})?$")]
ChannelWord = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$")]
Alias = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_alias)]
Branches = Annotated[
    tuple[Annotated[str, Field(min_length=1), AfterValidator(_branch)], ...],
    Field(min_length=1),
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    WithJsonSchema(
        {
            "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
            "title": "name or names",
        }
    ),
]
Texts = (
    BeforeValidator(_as_text),
    AfterValidator(_names_of_values),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}),
)
"""Beside the type of a table whose values become texts: `Annotated[dict[str, str], *Texts]`."""
SkipReason = Literal[
    "bootc-lost",
    "first-release",
    "no-bootc",
    "no-selinux-policy",
    "no-ssh",
    "no-stable-disk",
    "no-stable-evidence",
    "not-configured",
    "not-promised",
    "other-accelerator",
    "refused-by-policy",
    "same-as-stable",
    "stable-no-bootc",
    "user-skipped",
]
"""Why a check may have had nothing to look at; `not-run` is none of them."""
