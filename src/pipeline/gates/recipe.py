"""What a build is told: labels, arguments, secrets, and which images it starts from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import dagger

from pipeline.config import Image
from pipeline.containers.given import require
from pipeline.containers.podman import Recipe
from pipeline.containers.secrets import read_secret
from pipeline.domain import Commit
from pipeline.each import each
from pipeline.errors import UsageError
from pipeline.policy import containerfile
from pipeline.policy.candidate import (
    BASE_DIGEST_LABEL,
    BASE_NAME_LABEL,
    BASES_LABEL,
    CREATED_LABEL,
    REVISION_LABEL,
    SOURCE_LABEL,
    VERSION_LABEL,
)
from pipeline.policy.containerfile import Reference
from pipeline.policy.template import filled
from pipeline.world import World

Needed = Mapping[str, str]
"""Build arguments that name images of the same configuration, by digest."""
NOTHING: Needed = {}


@dataclass(frozen=True)
class Bases:
    """The images that a build takes from registries, at the digest that their names have now."""

    final: str
    """What the image is based on, as the Containerfile names it; empty when it starts from nothing."""
    found: Mapping[str, Reference]
    """By that name, with digest: those that are in a registry."""
    written: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """By that name: how the Containerfile writes it, with variables."""
    unknown: tuple[str, ...] = ()
    """Those that no registry could be asked for."""

    @property
    def recorded(self) -> str:
        """The value of the label that says which they were."""
        return " ".join(sorted({_at(reference) for reference in self.found.values()}))

    @property
    def labels(self) -> dict[str, str]:
        """The base as the OCI image specification names it, and all of them; never those of the base itself."""
        if not self.final:
            return {BASES_LABEL: self.recorded} if self.found else {}
        base = self.found.get(self.final)
        name, digest = (_named(base), str(base.digest)) if base else ("", "")
        return {BASE_NAME_LABEL: name, BASE_DIGEST_LABEL: digest, BASES_LABEL: self.recorded}

    @property
    def pinned(self) -> dict[str, str]:
        """What podman takes in place of a moving name: a tag that moves while it builds changes nothing.

        It looks for `FROM` as that is written and for `COPY --from` with its variables filled in; a name with `=` in it
        cannot be said to it.
        """
        moving = {name: {name, *self.written.get(name, ())} for name in self.found if "@" not in name}
        return {text: _at(self.found[name]) for name, texts in moving.items() for text in texts if "=" not in text}


def _named(reference: Reference) -> str:
    return f"{reference.repository}:{reference.tag}"


def _at(reference: Reference) -> str:
    return f"{reference.repository}@{reference.digest}"


async def bases_of(world: World, image: Image, needed: Needed = NOTHING) -> Bases:
    """Read the Containerfile and ask each registry; what is not there, or in no registry, is podman's to judge."""
    source, build = world.given.source, image.build
    path = await _containerfile(source, image)
    text = await source.file(path).contents() if path else ""
    await require(source, {f"images.{image.name}.build.args_file": build.args_file})
    args = containerfile.build_arguments(await source.file(build.args_file).contents()) if build.args_file else {}
    named = containerfile.bases(
        text, args | image.build_args | build.args | dict(needed), target=build.target, contexts=build.contexts
    )

    async def ask(name: str) -> tuple[str, Reference | None]:
        reference = Reference.parse(name)
        if reference is None or reference.digest:
            return name, reference
        digest = await world.registry.repository(reference.repository).digest(reference.tag)
        return name, Reference(reference.repository, reference.tag, digest) if digest else None

    found = await each(named.all, ask)
    known = {name: reference for name, reference in found if reference}
    unknown = tuple(name for name in named.all if name not in known)
    return Bases(named.final, known, named.written, unknown)


async def _containerfile(source: dagger.Directory, image: Image) -> str:
    """Where podman finds it: from the top of the repository, or from the build context."""
    for path in (image.containerfile, f"{image.context}/{image.containerfile}"):
        if await source.exists(path):
            return path
    return ""


def moved(bases: Bases, labels: Mapping[str, str]) -> str:
    """Which images a candidate with these labels is built on that are other ones by now; empty when none is.

    UsageError for a name without a registry, which nobody can be asked for.
    """
    if bases.unknown:
        raise UsageError(
            f"Nobody can tell whether {', '.join(bases.unknown)} has changed: expected a tag that is there, in a "
            "registry that is named (quay.io/fedora/fedora-bootc:43). Correct the Containerfile, or build with "
            "--refresh=always."
        )
    if not bases.found:
        return ""
    if BASES_LABEL in labels:
        before = set(labels[BASES_LABEL].split())
    elif base := bases.found.get(bases.final):  # built before that label was, or elsewhere
        before = {f"{base.repository}@{labels[BASE_DIGEST_LABEL]}"} if labels.get(BASE_DIGEST_LABEL) else set[str]()
        bases = Bases(bases.final, {bases.final: base})
    else:
        before = set()
    return ", ".join(sorted(set(bases.recorded.split()) - before))


async def recipe_of(
    world: World,
    image: Image,
    commit: Commit,
    bases: Bases | None = None,
    *,
    needed: Needed = NOTHING,
    afresh: bool = False,
) -> Recipe:
    """Fill in what `[images.NAME.build]` leaves open, for a build of this commit right now.

    Raises UsageError for a secret that nobody handed over or that cannot be read, and for files that are not there.
    """
    build, secrets = image.build, await _secrets(world, image)
    bases = bases or await bases_of(world, image, needed)
    version, now = await world.history.describe(commit), datetime.now(UTC)
    base = bases.found.get(bases.final)
    values = {
        "commit": commit,
        "commit_short": commit[:12],
        "date": f"{now:%Y%m%d}",
        "version": version,
        "base_digest": str(base.digest) if base else "",
    }
    labels = {
        SOURCE_LABEL: await world.history.origin() or str(image.repository),
        CREATED_LABEL: now.isoformat(timespec="seconds"),
        VERSION_LABEL: version,
    }
    return Recipe(
        labels=labels | _filled(build.labels, values) | {REVISION_LABEL: commit} | bases.labels,
        args=_filled(build.args, values) | dict(needed),
        annotations=_filled(build.annotations, values),
        secrets=secrets,
        pinned=bases.pinned,
        afresh=afresh,
    )


def _filled(texts: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    return {name: filled(text, values) for name, text in texts.items()}


async def _secrets(world: World, image: Image) -> dict[str, dagger.Secret]:
    """Those that this image asks for, known to be readable; no image is given another one's."""
    given = world.given.build_secrets
    if missing := [name for name in image.build.secrets if name not in given]:
        raise UsageError(
            f"images.{image.name}.build.secrets lists {', '.join(missing)}, and nobody gave "
            f"{'it' if len(missing) == 1 else 'them'}. Put before the command: "
            + " ".join(f"with-build-secret --name={name} --value=env://{name}" for name in missing)
        )
    for name in image.build.secrets:
        await read_secret(given[name], f"value of with-build-secret --name={name}")
    return {name: given[name] for name in image.build.secrets}
