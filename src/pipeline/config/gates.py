"""`[gates]`: what must hold before a channel moves; and the known findings that may ship all the same."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from pipeline.config.builder import Builder
from pipeline.config.openqa import OpenQA, Upload
from pipeline.config.words import (
    HostPort,
    ImageReference,
    LintName,
    Platform,
    RelativePath,
    Said,
    SkipReason,
    Socket,
    Table,
    Unit,
    having,
)
from pipeline.domain import Channel
from pipeline.policy.checks import gate_of, no_such_check
from pipeline.policy.waivers import Waiver
from pipeline.quantities import Deadline, Duration, Percent, Size
from pipeline.vm.spec import LEAST_MEMORY, Spec
from pipeline.vm.way_out import MOST
from pipeline.vm.ways import Way

GATE_NUMBERS = {Channel.NEXT: 1, Channel.TESTING: 1, Channel.STABLE: 1}
"""Raised when a check of that gate comes to mean something else: older evidence then does not count any more."""


class Lint(Table):
    """`lint` of `[gates.next]`: `bootc container lint`, when the image has bootc. Our layout checks always run."""

    run: bool = True
    """False: bootc's lint is left out."""
    fatal_warnings: bool = True
    """Whether what bootc calls a warning fails, too."""
    skip: tuple[LintName, ...] = ()
    """Lints of bootc (`bootc container lint --list`) that are left out; `nonempty-boot` leaves out ours, too."""


SBOM_PLACEHOLDERS = ("root", "name")
"""What `{…}` may stand for in the arguments of what writes a bill of material."""


class Sbom(Table):
    """`sbom` of `[gates.next]`: what writes a bill of material (SPDX 2.3 in JSON) of each image, network off."""

    image: ImageReference
    """The image that holds the generator, as `docker.io/anchore/syft:v1.57.1`."""
    args: Annotated[tuple[Annotated[str, having(SBOM_PLACEHOLDERS)], ...], Field(min_length=1)] = (
        "scan",
        "dir:{root}",
        "--source-name={name}",
        "--output=spdx-json",
    )
    """What it is called with, after its image's entrypoint: `{root}` is the folder with the image's files, `{name}` the
    NAME of the image; it prints the document. Those of syft unless said."""


class NextGate(Table):
    """`[gates.next]`: what the image must pass before it is pushed."""

    tests: RelativePath | None = None
    """A folder: its executables run inside the built image, network off; exit code 0 passes."""
    lint: Annotated[
        Lint,
        BeforeValidator(lambda found: {"run": found} if isinstance(found, bool) else found),
        Field(json_schema_extra=lambda it: it.update(anyOf=[{"type": "boolean"}, {"$ref": it.pop("$ref")}])),
    ] = Lint()
    """A table, or just `true` or `false`."""
    sbom: Sbom | None = None
    """What writes a bill of material, which is attached to the image of each platform; none is made without it."""
    timeout: Deadline = 1800.0
    """For building an image, and again for its tests."""


class Budgets(Table):
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
    """Of the time from power-on to ready, where both booted with KVM."""


class TestingGate(Table):
    """`[gates.testing]`: the disk and its boot in QEMU."""

    builder: Builder = Builder()
    """What makes the disk."""
    firmware: Literal["uefi", "bios", "uefi-secureboot"] = "uefi"
    """What starts the boot loader."""
    bus: Literal["virtio", "nvme", "scsi"] = "virtio"
    """How the disk is attached."""
    memory: Size = Field(2 * 1024**3, ge=LEAST_MEMORY)
    """Of the machine."""
    cpus: int = Field(2, ge=1, le=64, strict=True)
    """Processors of the machine."""
    access: Annotated[tuple[Way, ...], Field(min_length=1)] = tuple(Way)
    """How to get into the guest, in this order: root's key at the SSH server that the image runs (`key`), at one that a
    credential starts and opens (`server`), by a shell on a virtio console (`shell`)."""
    network: bool | Annotated[tuple[HostPort, ...], Field(max_length=MOST)] = False
    """What the guest reaches of the outside, as first-boot services may need it: nothing, everything (`true`), or
    these HOST:PORT. Never with a login."""
    services: tuple[Unit, ...] = ()
    """Units that must be active. What the image enables must have been started in any case."""
    boot_budget: Deadline = 300.0
    """From power-on to ready. Under TCG the harness scales it, and says so."""
    budgets: Budgets = Budgets()
    """How large the image may be, and how far behind stable."""
    checks: RelativePath | None = None
    """A folder: executables and pytest-testinfra modules that run against the booted system."""
    platforms: Annotated[tuple[Platform, ...] | None, Field(min_length=1)] = None
    """Whose disks are made and booted; all that the gate can boot (amd64 and arm64) unless said otherwise."""
    unbooted: dict[Platform, Said] = {}
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
    timeout: Deadline = 3600.0
    """For the machines of one platform, from the first boot to the last check."""


class StableGate(Table):
    """`[gates.stable]`: the full openQA run."""

    openqa: OpenQA | None = None
    """The server and what it must run; without it there is no release."""
    upload: Upload | None = None
    """Where openQA fetches the disk."""


class Gates(Table):
    """`[gates]`."""

    next: NextGate = NextGate()
    """Before `:next`."""
    testing: TestingGate = TestingGate()
    """Before `:testing`."""
    stable: StableGate = StableGate()
    """Before `:stable`."""


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
