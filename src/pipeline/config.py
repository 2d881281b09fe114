"""pipeline.toml of the user's repository: what to build, what each gate asks for, where things go."""

import hashlib
import re
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cached_property
from itertools import combinations
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from pipeline.domain import Channel, Digest, Repository, Tag, usual_platform
from pipeline.errors import UsageError
from pipeline.openqa.submission import ASSET, PLACEHOLDERS, refused_setting, unknown_placeholders
from pipeline.policy import fleet
from pipeline.policy import platforms as platforms_
from pipeline.policy.checks import gate_of, no_such_check
from pipeline.policy.names import ALIAS_FIELDS, BARE, LONGEST_PREFIX, Kind, Names, common, needs_version
from pipeline.policy.platforms import BOOTABLE
from pipeline.policy.retention.rules import Rules
from pipeline.policy.template import unknown
from pipeline.policy.waivers import Waiver
from pipeline.quantities import Duration, Percent, Size
from pipeline.registry.artifacts import looks_promoted
from pipeline.trust.keyless import FULCIO, REKOR
from pipeline.vm.spec import Spec
from pipeline.vm.way_out import MOST
from pipeline.vm.ways import Way

FILE = "pipeline.toml"

GATE_NUMBERS = {Channel.NEXT: 1, Channel.TESTING: 1, Channel.STABLE: 1}
"""Raised when a check of that gate comes to mean something else: older evidence then does not count any more."""

BOOTC_IMAGE_BUILDER = "quay.io/centos-bootc/bootc-image-builder:latest"

OUTPUT = "/output"
"""Where the disk builder leaves the disk."""

QCOW2 = "qcow2"
OUTPUTS = {
    "qcow2": "qcow2/disk.qcow2",
    "raw": "image/disk.raw",
    "iso": "bootiso/install.iso",
    "anaconda-iso": "bootiso/install.iso",
    "vmdk": "vmdk/disk.vmdk",
    "vhd": "vpc/disk.vhd",
    "ami": "image/disk.raw",
    "gce": "gce/image.tar.gz",
}
"""What bootc-image-builder makes, and where it leaves it (its documentation, "Image types")."""

_PLACEHOLDERS = ("{ref}", "{output}", "{arch}", "{type}")
_PLACEHOLDER = re.compile("|".join(map(re.escape, _PLACEHOLDERS)))


def _relative(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise ValueError("expected a path inside the repository, without a leading / or ..")
    return path


def _address(url: str) -> str:
    """Without a trailing slash; a login in it would show in arguments, logs and reports."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reads and checks it
    except ValueError:
        raise ValueError("expected an address such as https://host.example.org:8443/folder") from None
    if "@" in parts.netloc:
        raise ValueError("expected no user name or password in an address; give them as a secret")
    return url.rstrip("/")


def _without_login(text: Any) -> Any:
    """What may be shown of a value: never what stands before an `@`."""
    return f"…@{text.rpartition('@')[2]}" if isinstance(text, str) and "@" in text else text


def _once_each(platforms: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(platforms)) < len(platforms):
        raise ValueError("expected each platform once (linux/arm64/v8 is linux/arm64)")
    return platforms


def _usual_platform(text: Any) -> Any:
    return usual_platform(text) if isinstance(text, str) else text


def _reference(text: str) -> str:
    name, _, tag = text.rpartition(":")
    try:
        Repository.parse(name)
        Tag(tag)
    except ValueError:
        raise ValueError("expected a reference with a tag, such as ghcr.io/owner/image:stable") from None
    return text


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
        Repository.parse(name)
        Digest(digest) if digest else Tag(tag)
    except ValueError:
        raise ValueError("expected an image with tag or digest, such as quay.io/fedora/fedora:43") from None
    return text


def _image_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*", text):
        raise ValueError("expected a name of small letters and digits, with . _ or - between them")
    return text


ImageReference = Annotated[str, AfterValidator(_image_reference)]
LintName = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
RelativePath = Annotated[
    str, AfterValidator(_relative), WithJsonSchema({"type": "string", "title": "path", "pattern": "^[^/]"})
]
Url = Annotated[str, Field(pattern=r"^https?://[^/\s]+"), AfterValidator(_address)]
UploadUrl = Annotated[str, Field(pattern=r"^(s3|https?)://[^/\s]+"), AfterValidator(_address)]
RepositoryName = Annotated[
    Repository,
    BeforeValidator(lambda text: text if isinstance(text, Repository) else Repository.parse(str(text))),
    WithJsonSchema({"type": "string", "title": "repository", "pattern": Repository.PATTERN}),
]
Socket = Annotated[str, Field(pattern=r"^(tcp|udp)/\d{1,5}$")]
HostPort = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:[1-9]\d{0,4}$")]
Platform = Annotated[
    str,
    BeforeValidator(_usual_platform),
    AfterValidator(platforms_.checked),
    WithJsonSchema({"type": "string", "title": "platform", "pattern": platforms_.PATTERN}),
]
Prefix = Annotated[str, Field(pattern=rf"^([A-Za-z0-9_][A-Za-z0-9._-]{{0,{LONGEST_PREFIX - 1}}})?$")]
ChannelWord = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$")]
Alias = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_alias)]
Branches = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    Field(min_length=1),
    BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
    WithJsonSchema(
        {
            "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
            "title": "name or names",
        }
    ),
]
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
    "same-as-stable",
    "stable-no-bootc",
    "user-skipped",
]
"""Why a check may have had nothing to look at; `not-run` is none of them."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, use_attribute_docstrings=True)


def _words(value: Any) -> Any:
    """Numbers and truth values as a shell would see them."""
    if not isinstance(value, dict):
        return value
    shown = {True: "true", False: "false"}
    return {
        name: shown[one] if isinstance(one, bool) else str(one) if isinstance(one, int | float) else one
        for name, one in value.items()
    }


BUILD_PLACEHOLDERS = ("commit", "commit_short", "date", "version", "base_digest")
"""What `{…}` may stand for in build arguments, labels and annotations."""

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


def _build_text(text: str) -> str:
    if strange := unknown(text, BUILD_PLACEHOLDERS):
        allowed = ", ".join(f"{{{name}}}" for name in BUILD_PLACEHOLDERS)
        raise ValueError(f"there is no {{{strange[0]}}}; allowed are {allowed}")
    return text


BuildText = Annotated[str, AfterValidator(_build_text)]
_WORDS = WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}})
BuildTexts = Annotated[dict[str, BuildText], BeforeValidator(_words), _WORDS]
SecretName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]


class Build(_Table):
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
                _relative(place)
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


class Image(_Table):
    """`[images.NAME]`: one OS image."""

    name: Annotated[str, AfterValidator(_image_name)] = ""
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
    platforms: Annotated[tuple[Platform, ...], AfterValidator(_once_each)] = Field(("linux/amd64",), min_length=1)
    """Each is built, made a disk of and booted; several become one index."""
    build_args: Annotated[dict[str, str], BeforeValidator(_words), _WORDS] = {}
    """Values for the ARG lines of the Containerfile."""
    build: Build = Build()
    """How podman builds it, beyond that."""
    update_ref: Annotated[str, AfterValidator(_reference)] = ""
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


class Lint(_Table):
    """`lint` of `[gates.next]`: `bootc container lint`, when the image has bootc. Our layout checks always run."""

    run: bool = True
    """False: bootc's lint is left out."""
    fatal_warnings: bool = True
    """Whether what bootc calls a warning fails, too."""
    skip: tuple[LintName, ...] = ()
    """Lints of bootc (`bootc container lint --list`) that are left out; `nonempty-boot` leaves out ours, too."""


class NextGate(_Table):
    """`[gates.next]`: what the image must pass before it is pushed."""

    tests: RelativePath | None = None
    """A folder: its executables run inside the built image, network off; exit code 0 passes."""
    lint: Annotated[
        Lint,
        BeforeValidator(lambda found: {"run": found} if isinstance(found, bool) else found),
        Field(json_schema_extra=lambda it: it.update(anyOf=[{"type": "boolean"}, {"$ref": it.pop("$ref")}])),
    ] = Lint()
    """A table, or just `true` or `false`."""
    timeout: Duration = 1800.0
    """For building an image, and again for its tests."""


class Builder(_Table):
    """The disk builder: an image with the command line of bootc-image-builder, of its successor, or of one's own."""

    image: str = BOOTC_IMAGE_BUILDER
    """The image of the program that makes the disk; by digest it is the same one tomorrow."""
    args: tuple[str, ...] = ("--type", "qcow2")
    """What it is called with, after its image's entrypoint: `{ref}` becomes the image reference, `{output}` the folder
    for the disk, `{arch}` the machine name of the platform (`aarch64`). Without `{ref}` in any of them,
    `--output {output} {ref}` follows, as bootc-image-builder wants it."""
    disk: RelativePath = "qcow2/disk.qcow2"
    """Where below the output folder the disk is afterwards."""
    needs: tuple[ImageReference, ...] = ()
    """Images that the builder takes from the same storage (`--build-container`): they are pulled there before."""
    outputs: tuple[Literal["qcow2", "raw", "iso", "anaconda-iso", "vmdk", "vhd", "ami", "gce"], ...] = ("qcow2",)
    """What is built of the image: the qcow2 that boots and is tested, and what is stored and uploaded beside it. Of
    those an ISO is booted to its installer, and nothing else is run. `{type}` in `args`, or what follows `--type`,
    becomes each of them."""
    config: RelativePath | None = None
    """A file of the repository, mounted at /config.toml (or /config.json). It shapes the disk that ships."""
    timeout: Duration = 3600.0
    """For making one disk."""

    @field_validator("args")
    @classmethod
    def _known_placeholders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = {word for argument in value for word in re.findall(r"\{[a-z_]+\}", argument)} - set(_PLACEHOLDERS)
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))} is no placeholder; allowed are {', '.join(_PLACEHOLDERS)}")
        return value

    @field_validator("config")
    @classmethod
    def _toml_or_json(cls, value: str | None) -> str | None:
        if value and not value.endswith((".toml", ".json")):
            raise ValueError("expected a file that ends with .toml or .json, by which the builder tells them apart")
        return value

    @model_validator(mode="after")
    def _told_what_to_make(self) -> "Builder":
        if self.others and not any("{type}" in word or word == "--type" for word in self.args):
            raise ValueError("outputs beside qcow2 take a {type} in args, by which the builder is told what to make")
        return self

    @property
    def others(self) -> tuple[str, ...]:
        """What is built beside the disk that is tested."""
        return tuple(kind for kind in dict.fromkeys(self.outputs) if kind != QCOW2)

    def arguments(self, platform: str, reference: str, kind: str = QCOW2) -> list[str]:
        """What the builder is called with for `reference` on this platform, as a disk or what else `kind` is."""
        called = any("{ref}" in word for word in self.args)
        words = list(self.args if called else (*self.args, "--output", "{output}", "{ref}"))
        if kind != QCOW2 and "--type" in words[:-1]:
            words[words.index("--type") + 1] = kind
        values = {"{ref}": reference, "{output}": OUTPUT, "{arch}": architecture(platform), "{type}": kind}
        return [_PLACEHOLDER.sub(lambda found: values[found.group()], word) for word in words]


class Budgets(_Table):
    """`[gates.testing.budgets]`: how large the image may be, and how far it may fall behind the current stable one.

    Growth is always looked at; a limit that stands here fails the gate, the usual one is advice.
    """

    image_size: Size | None = None
    """What a user pulls: the image's compressed layers."""
    disk_size: Size | None = None
    """What a user downloads: the disk's file."""
    size_growth: Percent | None = None
    """Of image and disk, above those of the current stable."""
    boot_growth: Percent | None = None
    """Of the time from power-on to ready, where both were measured with the same accelerator."""


class TestingGate(_Table):
    """`[gates.testing]`: the disk and its boot in QEMU."""

    builder: Builder = Builder()
    """What makes the disk."""
    firmware: Literal["uefi", "bios", "uefi-secureboot"] = "uefi"
    """What starts the boot loader."""
    bus: Literal["virtio", "nvme", "scsi"] = "virtio"
    """How the disk is attached."""
    memory: Size = 2 * 1024**3
    """Of the machine."""
    cpus: int = Field(2, ge=1, le=64)
    """Processors of the machine."""
    access: Annotated[tuple[Way, ...], Field(min_length=1)] = tuple(Way)
    """How to get into the guest, in this order: root's key at the SSH server that the image runs (`key`), at one that a
    credential starts and opens (`server`), by a shell on a virtio console (`shell`)."""
    network: bool | Annotated[tuple[HostPort, ...], Field(max_length=MOST)] = False
    """What the guest reaches of the outside, as first-boot services may need it: nothing, everything (`true`), or
    these HOST:PORT. Never with a login."""
    services: tuple[str, ...] = ()
    """Units that must be active. What the image enables must have been started in any case."""
    boot_budget: Duration = 300.0
    """From power-on to ready. Under TCG the harness scales it, and says so."""
    budgets: Budgets = Budgets()
    """How large the image may be, and how far behind stable."""
    checks: RelativePath | None = None
    """A folder: executables and pytest-testinfra modules that run against the booted system."""
    platforms: Annotated[tuple[Platform, ...] | None, Field(min_length=1)] = None
    """Whose disks are made and booted; all that the gate can boot (amd64 and arm64) unless said otherwise."""
    unbooted: dict[Platform, Annotated[str, Field(min_length=1)]] = {}
    """Platforms that are promoted without a disk and a boot, each with the reason, which the evidence shows."""
    require_kvm: bool = False
    """True: a boot under emulation does not count."""
    listen: tuple[Socket, ...] | None = None
    """Sockets that may listen beyond loopback, as `tcp/22` or `udp/5353`; anything may when absent."""
    upgrade: bool = True
    """Boot the disk of the current stable, upgrade it to the candidate, and go back."""
    allowed_skips: tuple[SkipReason, ...] = tuple(sorted(Spec.model_fields["allowed_skips"].default))
    """Reasons for which a required check may be skipped, because image or configuration do not ask for it."""
    wait_for_build: Duration = 0.0
    """How long a promotion waits for the image of its commit when it is not there yet."""
    timeout: Duration = 3600.0
    """For the machines of one platform, from the first boot to the last check."""


class OpenQAJob(_Table):
    """`[gates.stable.openqa.jobs.NAME]`: what is special about one scenario; NAME is `TEST` or `TEST@MACHINE`."""

    required: bool = True
    """False: it runs, its result is shown, and it stops no release."""
    accept_softfailed: bool | None = None
    """As for all jobs when absent."""


def _template(text: str) -> str:
    if unknown := unknown_placeholders(text):
        allowed = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise ValueError(f"there is no {{{unknown[0]}}}; allowed are {allowed}")
    return text


Template = Annotated[str, AfterValidator(_template)]


class OpenQA(_Table):
    """`openqa` of `[gates.stable]`: the server and what it must run."""

    url: Url
    """The address of the server."""
    scenarios: RelativePath | None = None
    """Scenario definitions sent with the request; without them the server's own job templates decide."""
    distri: str = "bootc"
    """The test distribution: DISTRI."""
    flavor: str | Annotated[tuple[str, ...], Field(min_length=1)] = "qcow2"
    """One, or several that all must pass."""
    version: Template = "{version}"
    """VERSION of the jobs; see `settings` for what may stand in it."""
    arch: dict[str, str] = {}
    """By platform (`linux/amd64`), when openQA calls the architecture otherwise than the kernel does."""
    test: str | None = None
    """Limit to this scenario; all that match otherwise."""
    asset: Annotated[str, Field(pattern=rf"^({ASSET.pattern})$")] = "HDD_1"
    """The setting by which the jobs get the disk: HDD_1, ISO, ASSET_1 …; its address goes into the same with _URL."""
    assets: dict[Annotated[str, Field(pattern=rf"^({ASSET.pattern})$")], RelativePath] = {}
    """More files for every job, by the setting that names them (UEFI_PFLASH_VARS, ISO_1, ASSET_1 …): files of the
    repository, uploaded beside the disk; their addresses go into the same with _URL."""
    settings: dict[str, Template] = {}
    """More settings for every job: all that openQA takes, but what the pipeline sets itself."""
    jobs: dict[str, OpenQAJob] = {}
    """By scenario: advisory ones, and whether softfailed passes."""
    expect_jobs: int = Field(1, ge=1)
    """At least this many, of each architecture and flavor."""
    accept_softfailed: bool = False
    """Whether a job that openQA calls softfailed passes."""
    bug_references: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,10}$")], ...] = ()
    """Trackers as openQA abbreviates them (`bsc`, `gh`): a comment with one of their bugs lets a failed job through."""
    in_background: bool = False
    """openQA answers at once and makes the jobs afterwards: for products so large that the request would time out."""
    video: bool = False
    """Bring the videos of jobs that did not pass into the report."""
    leave_jobs: bool = False
    """Leave the jobs of a run that was interrupted or came to its deadline; a repeated command then takes them up."""
    timeout: Duration = 4 * 3600.0
    """From the submission to the last job's end."""
    pickup_timeout: Duration = 1800.0
    """How long a job may wait for a worker."""
    poll: Duration = Field(10.0, ge=1)
    """How often the server is asked."""

    @property
    def flavors(self) -> tuple[str, ...]:
        """Each is a submission of its own."""
        return (self.flavor,) if isinstance(self.flavor, str) else self.flavor

    @field_validator("assets")
    @classmethod
    def _assets_are_not_the_disk(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if info.data.get("asset") in value:
            raise ValueError(f"expected another setting than {info.data['asset']}, which names the disk under test")
        return value

    @field_validator("settings")
    @classmethod
    def _settings_are_the_users(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        owned = (info.data.get("asset", "HDD_1"), *info.data.get("assets", ()))
        refused = [why for name in value if (why := refused_setting(name, *owned))]
        if refused:
            raise ValueError("; ".join(refused))
        return value


class Upload(_Table):
    """`upload` of `[gates.stable]`: the object store or web server where openQA fetches the disk."""

    url: UploadUrl
    """s3://BUCKET/PREFIX, or an http(s) address that takes PUT."""
    public_url: Url
    """The address of the same folder as openQA and users see it."""
    endpoint: Url | None = None
    """For S3 that is not Amazon's: the server's address."""
    region: str = "us-east-1"
    """Of the S3 bucket."""
    timeout: Duration = 3600.0
    """For one disk."""

    @model_validator(mode="after")
    def _endpoint_is_for_s3(self) -> "Upload":
        if self.endpoint and not self.url.startswith("s3://"):
            raise ValueError("endpoint goes with an s3:// url only")
        return self


class StableGate(_Table):
    """`[gates.stable]`: the full openQA run."""

    openqa: OpenQA | None = None
    """The server and what it must run; without it there is no release."""
    upload: Upload | None = None
    """Where openQA fetches the disk."""


class KnownFinding(Waiver):
    """`[[waivers]]`: a known finding of a check, or of a job or module of openQA, that may ship for a while."""

    @field_validator("check")
    @classmethod
    def _exists(cls, value: str) -> str:
        if value and gate_of(value) is None:
            raise ValueError(f"expected {no_such_check(value)}")
        return value

    @field_validator("gate")
    @classmethod
    def _makes_the_check(cls, value: Channel | None, info: ValidationInfo) -> Channel | None:
        makes = gate_of(info.data.get("check", ""))
        if value and makes and value is not makes:
            raise ValueError(f"expected {makes.value!r}, the gate that makes the check {info.data['check']}, or none")
        return value


class Gates(_Table):
    """`[gates]`."""

    next: NextGate = NextGate()
    """Before `:next`."""
    testing: TestingGate = TestingGate()
    """Before `:testing`."""
    stable: StableGate = StableGate()
    """Before `:stable`."""


class StaleAfter(_Table):
    """`[stale_after]`: how old a channel's image may be before `verify` calls it stale; any age when absent."""

    next: Duration | None = None
    """Since the image of `:next` was built."""
    testing: Duration | None = None
    """Since the image of `:testing` was built."""
    stable: Duration | None = None
    """Since the image of `:stable` was built."""


class Signer(_Table):
    """One of those whose signatures count: by a key, or by an identity."""

    key: RelativePath | None = None
    """A file of the repository with a public key (PEM), as cosign.pub."""
    issuer: Url | None = None
    """Who vouches for the identity: `https://token.actions.githubusercontent.com` for a workflow on GitHub."""
    identity: Annotated[str, Field(min_length=2)] | None = None
    """Whom the certificate must name; `*` is anything: `https://github.com/O/R/.github/workflows/x.yml@refs/tags/v*`."""

    @model_validator(mode="after")
    def _one_way(self) -> "Signer":
        if [bool(self.key), bool(self.issuer), bool(self.identity)] not in ([True, False, False], [False, True, True]):
            raise ValueError("expected either key, or issuer and identity")
        return self


Signers = Annotated[
    tuple[Signer, ...],
    Field(min_length=1),
    BeforeValidator(
        lambda found: [found] if isinstance(found, dict) else found, json_schema_input_type=Signer | tuple[Signer, ...]
    ),
]


class Trust(_Table):
    """`[trust]`: whose signatures count. It is read from the main branch, wherever else the file is."""

    next: Signers | None = None
    """Whose evidence of the next gate counts, and whose entries in the ledger of `:next`: one or several."""
    testing: Signers | None = None
    """The same of the testing gate and `:testing`."""
    stable: Signers | None = None
    """The same of the stable gate and `:stable`."""
    ledger: Signers | None = None
    """Whose entries count in every ledger besides: of those who hold, roll back and release by hand."""
    cosign: ImageReference | None = None
    """An image with cosign 2 as its entrypoint, for keys in a KMS; Debian's cosign has no drivers for those."""
    trusted_root: RelativePath | None = None
    """A file of the repository: trusted_root.json of a Sigstore of your own. The public one's without it."""
    fulcio: Url = FULCIO
    """The certificate authority that signing with an identity token asks; of your own only with trusted_root."""
    rekor: Url = REKOR
    """The log that it writes to."""

    def signers(self) -> dict[str, tuple[Signer, ...]]:
        """By gate and `ledger`, those that are named."""
        named = {"next": self.next, "testing": self.testing, "stable": self.stable, "ledger": self.ledger}
        return {name: found for name, found in named.items() if found}


class Config(_Table):
    """The whole file."""

    images: dict[str, Image] = Field(min_length=1)
    """One table for each OS image; they are released together."""
    defaults: Annotated[
        dict[str, Any], WithJsonSchema({"type": "object", "additionalProperties": {"title": "value"}})
    ] = {}
    """What the tables of all images share: the keys of [images.NAME]; `{name}` becomes the image's NAME."""
    main_branch: Branches = ("main",)
    """Only commits on one of these are pushed; a name may be a pattern, such as `release/*`."""
    plain_http: tuple[str, ...] = ()
    """Registry hosts (with port) that are spoken to without TLS."""
    gates: Gates = Gates()
    """What must hold before a channel moves."""
    waivers: tuple[KnownFinding, ...] = ()
    """Known findings that may ship for a while."""
    retention: Rules = Rules()
    """What `prune` may delete."""
    stale_after: StaleAfter = StaleAfter()
    """When a channel counts as stale."""
    trust: Trust | None = None
    """Whose signatures count: read from the main branch; what this file says of it elsewhere decides nothing."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, document: Any) -> Any:
        images, shared = (document.get(key, {}) for key in ("images", "defaults")) if document else ({}, {})
        if not isinstance(images, dict) or not isinstance(shared, dict):
            return document
        whole = {
            name: fleet.with_defaults(table, shared, name) | {"name": name} if isinstance(table, dict) else table
            for name, table in images.items()
        }
        return document | {"images": whole} if "images" in document else document

    @field_validator("defaults")
    @classmethod
    def _keys_of_an_image(cls, value: dict[str, Any]) -> dict[str, Any]:
        allowed = [key for key in Image.model_fields if key != "name"]
        if unknown := [key for key in value if key not in allowed]:
            close = get_close_matches(unknown[0], allowed, n=1)
            meant = f"; did you mean {close[0]}?" if close else f"; allowed here: {', '.join(allowed)}"
            raise ValueError(f"{unknown[0]} is no key of an image{meant}")
        return value

    @field_validator("images")
    @classmethod
    def _there_is_an_order(cls, value: dict[str, Image]) -> dict[str, Image]:
        for image in value.values():
            if missing := [name for name in image.needs if name not in value]:
                raise ValueError(f"{image.name} needs {missing[0]}, which is no image of this file")
        fleet.waves({image.name: image.needs for image in value.values()})
        return value

    @field_validator("images")
    @classmethod
    def _every_tag_is_of_one_image(cls, value: dict[str, Image]) -> dict[str, Image]:
        sharing = defaultdict[Repository, list[Image]](list)
        for image in value.values():
            for repository in image.homes:
                sharing[repository].append(image)
        for repository, images in sharing.items():
            for one, other in combinations(images, 2):
                if found := common(one.tags, other.tags):
                    raise ValueError(
                        f"{one.name} and {other.name} share the repository {repository}, where one tag could be the "
                        f"{found[0]} of the first and the {found[1]} of the second; give each a prefix of its own, as "
                        f'in prefix = "{one.name}-", or a repository'
                    )
        return value

    @model_validator(mode="after")
    def _no_platform_goes_unseen(self) -> "Config":
        gate = self.gates.testing
        if gate.platforms and (wrong := [one for one in gate.platforms if platforms_.machine(one) not in BOOTABLE]):
            raise ValueError(
                f"gates.testing.platforms has {wrong[0]}, which the gate cannot boot: expected processors "
                f"{' or '.join(sorted(BOOTABLE))}. Name it in gates.testing.unbooted, with the reason"
            )
        for image in self.images.values():
            if unseen := platforms_.unexcused(image.platforms, gate.platforms, gate.unbooted):
                raise ValueError(
                    f"images.{image.name}.platforms has {unseen[0]}, which the testing gate does not boot: expected it "
                    f'in gates.testing.platforms, or gates.testing.unbooted = {{ "{unseen[0]}" = "why" }} to '
                    "promote it all the same"
                )
        return self

    def booted(self, image: Image) -> list[str]:
        """The platforms of an image whose disks are made and booted by the testing gate."""
        return platforms_.booted(image.platforms, self.gates.testing.platforms, self.gates.testing.unbooted)

    def unbooted(self, image: Image) -> dict[str, str]:
        """The others, each with the reason."""
        return {one: why for one, why in self.gates.testing.unbooted.items() if one in image.platforms}

    def in_order(self, images: Sequence[Image]) -> list[list[Image]]:
        """Some images in groups, each after what it needs of them."""
        chosen = {image.name: image for image in images}
        needs = {name: [one for one in image.needs if one in chosen] for name, image in chosen.items()}
        return [[chosen[name] for name in wave] for wave in fleet.waves(needs)]

    def sharing(self, repository: Repository) -> list[Image]:
        """The images that have tags in a repository."""
        return [image for image in self.images.values() if repository in image.homes]

    def is_promoted(self, repository: Repository, tag: Tag) -> bool:
        """Whether only a promotion writes this tag: as a channel, an alias or a version of some image."""
        moved = {Kind.CHANNEL, Kind.ALIAS, Kind.VERSION}
        read = (image.tags.read(tag) for image in self.sharing(repository))
        return looks_promoted(repository, tag) or any(name and name.kind in moved for name in read)

    def selected(self, names: list[str]) -> list[Image]:
        """The images named by `--image`, or all of them; UsageError for a name that is not in the file."""
        unknown = [name for name in names if name not in self.images]
        if unknown:
            raise UsageError(
                f"{FILE} has no image {', '.join(unknown)}; it has {', '.join(self.images)}. Correct --image."
            )
        return [self.images[name] for name in names] if names else list(self.images.values())

    def waivers_in(self, gate: Channel) -> list[Waiver]:
        """The known findings of a gate's checks."""
        return [waiver for waiver in self.waivers if waiver.holds_in(gate)]

    def paths_of(self, channel: Channel) -> list[str]:
        """Files and folders of the repository that belong to what a gate asks for."""
        stable = self.gates.stable.openqa
        found = {
            Channel.NEXT: [self.gates.next.tests],
            Channel.TESTING: [self.gates.testing.checks, self.gates.testing.builder.config],
            Channel.STABLE: [stable.scenarios, *stable.assets.values()] if stable else [],
        }
        return [path for path in found[channel] if path]

    def gate_version(self, channel: Channel, *images: Image, trees: Sequence[str] = ()) -> str:
        """What a gate asks of these images (all of them by default), as 12 hexadecimal digits.

        Evidence of another version does not count. Only what the file says is in it, so that a new key with a default
        does not take old evidence away; and a number of the gate itself, which changes when a check comes to mean
        something else. `trees`: what the files and folders of `paths_of` are, as git names them.
        """
        gate: BaseModel = getattr(self.gates, channel.value)
        platforms = sorted({platform for image in images or self.images.values() for platform in image.platforms})
        asked = [
            f"{channel} {GATE_NUMBERS[channel]}",
            *platforms,
            *trees,
            *(f"{image.prefix} {image.update_reference}" for image in images if image.prefix or image.names),
            gate.model_dump_json(exclude_defaults=True),
            *(waiver.model_dump_json(exclude_defaults=True) for waiver in self.waivers_in(channel)),
        ]
        return hashlib.sha256("\n".join(asked).encode()).hexdigest()[:12]


def architecture(platform: str) -> str:
    """The machine name of a platform: `linux/amd64` is `x86_64`."""
    return platforms_.machine(platform)


def parse(text: str, file: str = FILE) -> Config:
    """Read pipeline.toml.

    Raises UsageError with one line for each wrong key: file, key, what was found, what is allowed.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file} is not TOML: {error}") from error
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        details = error.errors()
        hollow = [one for one in details if one["type"] == "too_short" and _is_above(one["loc"], details)]
        shown = [_shared(document, detail) for detail in details if detail not in hollow]
        raise UsageError("\n".join(dict.fromkeys(_explain(file, detail) for detail in shown))) from error


def _shared(document: dict[str, Any], detail: Any) -> Any:
    """A wrong value that an image has from [defaults], as an error of that table: it is said once for all images."""
    match detail["loc"]:
        case ("images", str(name), str(key), *rest):
            own, shared = document["images"].get(name), document.get("defaults", {})
            if isinstance(own, dict) and key in shared and key not in own:
                return detail | {"loc": ("defaults", key, *rest)}
    return detail


def _is_above(place: tuple[Any, ...], details: Sequence[Any]) -> bool:
    """Whether something in this list was refused: that it is empty without that needs no saying."""
    return any(len(one["loc"]) > len(place) and one["loc"][: len(place)] == place for one in details)


def parse_trust(text: str, place: str) -> Trust | None:
    """`[trust]` of a pipeline.toml and nothing else of it; None without one. UsageError as for the whole file."""
    try:
        found = tomllib.loads(text).get("trust")
        return None if found is None else Trust.model_validate(found)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{place} is not TOML: {error}") from error
    except ValidationError as error:
        details = [(".".join(("trust", *map(str, one["loc"]))), one["msg"]) for one in error.errors()]
        raise UsageError("\n".join(f"{place}: {key}: {message}" for key, message in details)) from error


def _explain(file: str, detail: Any) -> str:
    path = [part for part in detail["loc"] if part != "name" or isinstance(part, int)]
    key = ".".join(str(part) for part in path) or "(top level)"
    match detail["type"]:
        case "extra_forbidden":
            allowed = _allowed(path[:-1])
            meant = _meant(str(path[-1]), allowed)
            return f"{file}: {key}: this key is not known;{meant} allowed here: {', '.join(allowed)}"
        case "missing":
            return f"{file}: {key}: this key is required and not there"
        case _:
            message = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            found = detail["input"]
            message = message.removeprefix(f"{found!r} is not ")
            if isinstance(found, dict) and detail["type"] == "value_error":  # a table whose keys do not go together
                return f"{file}: {key}: {message}."
            shown = _without_login(found)
            if shown != found:
                message = message.replace(str(found), shown)
            meant = _meant_word(shown, detail.get("ctx", {}).get("expected", ""))
            return f"{file}: {key}: found {shown!r}; expected {message.removeprefix('expected ')}{meant}"


def _meant_word(found: Any, allowed: Any) -> str:
    """The word that looks alike, of those that pydantic lists as `'a', 'b' or 'c'`."""
    close = get_close_matches(str(found), re.findall(r"'([^']*)'", str(allowed)), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _meant(key: str, allowed: list[str]) -> str:
    """A key that looks alike in this table, or the tables that have this very key."""
    if close := get_close_matches(key, allowed, n=1):
        return f" did you mean {close[0]}?"
    homes = [table for table, keys in _tables(Config).items() if key in keys]
    return f" did you mean the one of {' or '.join(homes)}?" if homes else ""


def _tables(model: type[BaseModel], place: str = "") -> dict[str, list[str]]:
    """The keys of every table of the file, by the name that stands between its brackets."""
    found = {f"[{place}]" if place else "the top level": [name for name in model.model_fields if name != "name"]}
    for name, field in model.model_fields.items():
        if inner := _table_of(field.annotation):
            shown = f"{name}.NAME" if name == "images" else name
            found |= _tables(inner, f"{place}.{shown}".lstrip("."))
    return found


def _allowed(path: list[Any]) -> list[str]:
    """The keys of the table at this place, found by walking the models."""
    model: Any = Config
    for part in path:
        if part in getattr(model, "model_fields", {}):
            model = _table_of(model.model_fields[part].annotation)
        # else: a name or an index inside a dict or tuple of tables, which have the same model
    return [name for name in getattr(model, "model_fields", {}) if not (model is Image and name == "name")]


def _table_of(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if found := _table_of(argument):
            return found
    return None
