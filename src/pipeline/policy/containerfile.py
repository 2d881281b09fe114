"""Which images a Containerfile starts from and copies from, read without building it.

The rules are those of the Containerfile format (containers/common, Containerfile(5); Docker's Dockerfile reference):
`ARG` before the first `FROM` fills in what `FROM` names; a name that is a stage or a build context is no image.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from pipeline.domain import Digest, Repository, Tag

_VARIABLE = re.compile(r"\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?:(?P<how>:?[-+])(?P<other>[^{}]*))?\})")
_HEREDOC = re.compile(r"(?<!\S)\d*<<-?[\"']?([^\s<>|;&()\"']+)")
"""A word of its own, as the parsers of buildah and BuildKit have it: no shift, no here-string, no quoted text."""
_FROM_OPTION = re.compile(r"--from=[\"']?([^\s\"']+)")
_MOUNT_FROM = re.compile(r"(?<!\S)--mount=\S*\bfrom=([^,\s\"']+)")
_ESCAPE = re.compile(r"(?:\s*#[^\n]*\n)*?\s*#\s*escape\s*=\s*([\\`])", re.IGNORECASE)
_NOTHING = "scratch"
_LONGEST = 4096
"""Characters of a text with its variables filled in; a longer one stays as it is: arguments may double each other."""


@dataclass(frozen=True)
class Bases:
    """The images that a build takes from registries, as they are named there."""

    final: str = ""
    """What the built stage is based on, through stages of the file; empty for one that starts from nothing."""
    all: tuple[str, ...] = ()
    """Every image that the built stage needs, `FROM` of any stage, `COPY --from` and `RUN --mount=from=`."""
    written: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False)
    """By that name: how the file writes it, with its variables (`${BASE}:10`)."""


@dataclass(frozen=True)
class Reference:
    """An image as a Containerfile names it: a tag, a digest, or both, of which the digest counts."""

    repository: Repository
    tag: Tag
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for what is in no registry (`localhost/…`, `oci-archive:…`) or does not say in which (`fedora:43`)."""
        name, _, digest = text.removeprefix("docker://").partition("@")
        path, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "latest")
        path = re.sub(r"^docker\.io/(?=[^/]+$)", "docker.io/library/", path)  # as every client of Docker Hub has it
        try:
            repository = Repository.parse(path)
            found = cls(repository, Tag(tag), Digest(digest) if digest else None)
        except ValueError:
            return None
        return None if repository.host == "localhost" else found


def build_arguments(text: str) -> dict[str, str]:
    """The lines NAME=VALUE of a file for `--build-arg-file` (podman-build(1)); `#` begins a comment."""
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    return {name.strip(): value for name, found, value in pairs if found}


@dataclass
class _Stage:
    base: str
    """The stage that it starts from; empty when it starts from an image or from nothing."""
    image: str
    """The image that it starts from."""
    stages: list[str] = field(default_factory=list)
    images: dict[str, str] = field(default_factory=dict)
    """Those that it takes, with the way in which they are written."""


def bases(text: str, args: Mapping[str, str], *, target: str = "", contexts: Collection[str] = ()) -> Bases:
    """The images of the stages that `target` (the last stage by default) needs.

    Args:
        text: the Containerfile.
        args: build arguments by name, which come before the defaults of the file.
        target: name or number of the stage that is built.
        contexts: names that stand for further build contexts.

    What cannot be told (a variable without a value, a stage that is not there) is left out: podman says so itself.
    """
    stages = _stages(text, args, {name.lower() for name in contexts})
    wanted = _stage_named(target, stages) if target else next(reversed(stages), "")
    found = [image for name in _needed(stages, wanted) for image in stages[name].images.items()]
    written = {name: frozenset(text for image, text in found if image == name) for name, _ in found}
    final = wanted
    while final and (below := stages[final].base):
        final = below
    return Bases(stages[final].image if final else "", tuple(written), written)


def _needed(stages: Mapping[str, _Stage], wanted: str) -> list[str]:
    """The stage and all that it is made of, each once, in the order of the file."""
    todo, seen = [wanted] if wanted else [], set[str]()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += stages[name].stages
    return [name for name in stages if name in seen]


def _stage_named(text: str, stages: Mapping[str, _Stage]) -> str:
    """The stage of that name or number, among those that stand before."""
    if text.isdecimal():
        return next((name for number, name in enumerate(stages) if str(number) == text), "")
    return text.lower() if text.lower() in stages else ""


def _stages(text: str, given: Mapping[str, str], contexts: Collection[str]) -> dict[str, _Stage]:
    """The stages in their order, by name, or by `#NUMBER` without one."""
    values: dict[str, str] = {}
    stages: dict[str, _Stage] = {}

    def split(reference: str) -> tuple[str, str]:
        """A reference as stage, or as image."""
        stage = _stage_named(reference, stages)
        image = "" if stage or reference.lower() in (*contexts, _NOTHING) or "$" in reference else reference
        return stage, image

    for keyword, rest in _instructions(text):
        if keyword == "ARG":
            for name, default in re.findall(r"(\w+)(?:=(\"[^\"]*\"|'[^']*'|\S*))?", rest):
                if not stages or name not in values:
                    values[name] = given.get(name, _filled(default.strip("\"'"), values))
        elif keyword == "FROM":
            words = [word for word in rest.split() if not word.startswith("--")]
            if words:
                base, image = split(_filled(words[0], values))
                named = words[2].lower() if len(words) > 2 and words[1].upper() == "AS" else f"#{len(stages)}"
                stages[named] = _Stage(base, image, [base] if base else [], {image: words[0]} if image else {})
        elif stages and keyword in ("COPY", "ADD", "RUN"):
            current = stages[next(reversed(stages))]
            for reference in (_MOUNT_FROM if keyword == "RUN" else _FROM_OPTION).findall(rest):
                stage, image = split(_filled(reference, values))
                current.stages += [stage] if stage else []
                if image:
                    current.images.setdefault(image, reference)
    return stages


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name, how = found["plain"] or found["name"], found["how"] or ""
        known = values.get(name)
        there = known is not None and (bool(known) or not how.startswith(":"))
        if how.endswith("+"):
            return (found["other"] or "") if there else ""
        if there:
            return str(known)
        return (found["other"] or "") if how.endswith("-") else found[0]

    filled = _VARIABLE.sub(value, text) if len(text) <= _LONGEST else text
    return filled if len(filled) <= _LONGEST else text


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction with what follows it; comments, line ends that are escaped and here-documents are gone."""
    text = text.removeprefix("\ufeff")
    escape = found[1] if (found := _ESCAPE.match(text)) else "\\"
    lines = iter(text.split("\n"))
    for line in lines:
        parts = [line.strip()]
        if not parts[0] or parts[0].startswith("#"):  # a comment goes on in no further line
            continue
        while parts[-1].endswith(escape):
            following = next(lines, "").strip()
            if not following.startswith("#"):
                parts[-1:] = parts[-1][:-1].rstrip(), following
        whole = " ".join(part for part in parts if part)
        keyword, rest = (*whole.split(maxsplit=1), "", "")[:2]
        for end in _HEREDOC.findall(rest) if keyword.upper() in ("RUN", "COPY", "ADD") else ():
            for inner in lines:
                if inner.strip() == end:
                    break
        yield keyword.upper(), rest.strip()
