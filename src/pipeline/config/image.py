"""`[images.NAME]`: an OS image, how it is built, and how its tags are spelled."""

from functools import cached_property
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from pipeline.config.words import (
    Alias,
    ChannelWord,
    ImageName,
    Platforms,
    Prefix,
    RelativePath,
    RepositoryName,
    Table,
    TaggedReference,
    Texts,
    having,
    inside,
)
from pipeline.domain import Channel, Repository
from pipeline.policy.compression import PATTERN as COMPRESSION
from pipeline.policy.names import BARE, Names, needs_version

BUILD_PLACEHOLDERS = ("commit", "commit_short", "date", "version", "base_digest")
"""What `{…}` may stand for in build arguments, labels and annotations."""

RECHUNK_PLACEHOLDERS = ("image", "root", "config", "layout", "archive")
"""The same in the arguments of a rechunker."""

_OUR_LABELS = frozenset(
    {
        "org.opencontainers.image.revision",
        "org.opencontainers.image.base.name",
        "org.opencontainers.image.base.digest",
        "vnd.bootc-pipeline.bases",
    }
)
_OUR_OPTIONS = {
    **dict.fromkeys(("--file", "-f"), "the key is containerfile"),
    **dict.fromkeys(("--platform", "--arch", "--os", "--variant"), "the key is platforms"),
    **dict.fromkeys(("--tag", "-t", "--output", "-o", "--manifest", "--iidfile", "--format"), ""),
    **dict.fromkeys(("--secret", "--ssh"), "list its name in build.secrets"),
    **dict.fromkeys(("--authfile", "--creds", "--cert-dir", "--tls-verify"), "--registry-auth and plain_http decide"),
    "--target": "the key is build.target",
    "--build-arg-file": "the key is build.args_file",
}


BuildText = Annotated[str, having(BUILD_PLACEHOLDERS)]
RechunkText = Annotated[str, having(RECHUNK_PLACEHOLDERS)]
BuildTexts = Annotated[dict[str, BuildText], *Texts]
SecretName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


class Build(Table):
    """`build` of `[images.NAME]`: how podman builds it, beyond Containerfile, context, platforms and build_args."""

    target: str = ""
    """The stage to build; the last one by default."""
    args: BuildTexts = {}
    """Build arguments that hold `{commit}`, `{version}` and the like; they come after `build_args`."""
    args_file: RelativePath | None = None
    """A file of NAME=VALUE lines (podman build --build-arg-file), before the others."""
    secrets: tuple[SecretName, ...] = ()
    """Ids of secrets that RUN steps mount (`--mount=type=secret,id=…`); with-build-secret brings their values."""
    labels: BuildTexts = {}
    """Labels of the image beside those that the pipeline sets."""
    annotations: BuildTexts = {}
    """Annotations of its manifests."""
    contexts: dict[str, str] = {}
    """Further build contexts by name: a folder of the repository, or whatever else podman takes (docker-image://…)."""
    cache_from: tuple[str, ...] = ()
    """Repositories where podman finds intermediate layers."""
    cache_to: tuple[str, ...] = ()
    """Repositories where podman leaves intermediate layers."""
    options: tuple[Annotated[str, Field(pattern=r"^-")], ...] = ()
    """Further options of podman build, each one word (`--ulimit=nofile=4096`)."""

    @field_validator("labels")
    @classmethod
    def _labels_are_the_users(cls, value: dict[str, str]) -> dict[str, str]:
        if ours := [name for name in value if name in _OUR_LABELS]:
            raise ValueError(f"{', '.join(ours)} is set by the pipeline, from what is really built")
        return value

    @field_validator("contexts")
    @classmethod
    def _folders_are_inside(cls, value: dict[str, str]) -> dict[str, str]:
        for name, place in value.items():
            if "://" not in place:
                inside(place)
            elif "=" in name or not name:
                raise ValueError(f"{name!r} is no name of a build context")
        return value

    @field_validator("options")
    @classmethod
    def _options_are_the_users(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            option = word.partition("=")[0] if word.startswith("--") else word[:2]
            if option in _OUR_OPTIONS:
                raise ValueError(f"{option} is set by the pipeline: {_OUR_OPTIONS.get(option) or 'leave it out'}")
        return value


class Rechunk(Table):
    """`rechunk` of `[images.NAME]`: a tool that splits the layers of each built image anew."""

    image: str = ""
    """The image that holds the tool; the built image itself unless said."""
    args: tuple[RechunkText, ...] = Field(min_length=1)
    """What it is called with, after its image's entrypoint: `{root}` is the folder with the image's files, `{config}` a
    file with what `podman inspect` says of it, `{image}` its name in container storage; the tool leaves an OCI layout
    at `{layout}` or an OCI archive at `{archive}`."""


class Image(Table):
    """`[images.NAME]`: one OS image."""

    name: ImageName = ""
    """The NAME of the table; it becomes part of file names and of addresses."""
    repository: RepositoryName
    """Required, here or in [defaults]: where its candidates and channels live, registry and path, no tag."""
    stable_repository: RepositoryName | None = None
    """Where releases live when not in `repository`: `:vX.Y.Z` and `:stable`, with everything that proves them."""
    prefix: Prefix = ""
    """Before every tag of this image, as in `gnome-`: so many images share a repository."""
    names: dict[Channel, ChannelWord] = {}
    """What its channels are called when not next, testing and stable: `{ stable = "gts" }`."""
    aliases: dict[Channel, tuple[Alias, ...]] = {}
    """Further tags that follow a channel: `{ stable = ["latest", "{major}", "stable-{date}"] }`."""
    needs: tuple[str, ...] = ()
    """Other images of this file that it is built on: they are built first, of the same commit."""
    containerfile: RelativePath = "Containerfile"
    """What it is built from."""
    context: RelativePath = "."
    """The folder that the build sees."""
    platforms: Platforms = Field(("linux/amd64",), min_length=1)
    """Each is built, made a disk of and booted; several become one index."""
    build_args: Annotated[dict[str, str], *Texts] = {}
    """Values for the ARG lines of the Containerfile."""
    build: Build = Build()
    """How podman builds it, beyond that."""
    rechunk: Rechunk | None = None
    """What splits its layers anew, between build and gate."""
    compression: Annotated[str, Field(pattern=f"^$|{COMPRESSION}")] = ""
    """Of its layers: `gzip`, `zstd:3`, `zstd:chunked`; gzip, or what `rechunk` leaves, unless said."""
    update_ref: TaggedReference = ""
    """What an installed system follows for updates; the stable channel unless said otherwise."""

    @cached_property
    def tags(self) -> Names:
        """How every tag of this image is spelled and read."""
        return Names(self.prefix, self.names, self.aliases)

    @property
    def place(self) -> str:
        """Where its tags are, for people: the repository, with the prefix where there is one."""
        return f"{self.repository}:{self.prefix}*" if self.prefix else str(self.repository)

    @model_validator(mode="after")
    def _each_tag_has_one_meaning(self) -> "Image":
        if BARE in (alias for aliases in self.aliases.values() for alias in aliases) and not self.tags.bare:
            raise ValueError(f"the alias {BARE} is the prefix of the image, which has none")
        if late := [alias for alias in self.aliases.get(Channel.NEXT, ()) if needs_version(alias)]:
            raise ValueError(f"the alias {late[0]} follows next, where no image has a version yet")
        if endless := self.tags.too_long():
            raise ValueError(f"{endless} could become longer than the 128 characters of a tag: shorten it")
        if found := self.tags.ambiguous():
            raise ValueError(f"one tag could be two things, {found[0]} and {found[1]}: call one of them otherwise")
        return self

    def home(self, channel: Channel) -> Repository:
        """The repository of a channel and of the version tags that belong to it."""
        return (channel is Channel.STABLE and self.stable_repository) or self.repository

    @property
    def homes(self) -> list[Repository]:
        """The repository of next and testing, and that of stable where it is another one."""
        return list(dict.fromkeys(self.home(channel) for channel in Channel))

    @property
    def update_reference(self) -> str:
        """The reference that the disk builder records as the installed system's update origin."""
        return self.update_ref or self.home(Channel.STABLE).tagged(self.tags.channel(Channel.STABLE))
