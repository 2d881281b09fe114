"""What the gate is told: the machine to build, what the image promises, and how long to wait."""

from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from pipeline.domain import Digest
from pipeline.policy.waivers import Waiver
from pipeline.vm.ways import Way


class Firmware(StrEnum):
    """What starts the boot loader."""

    UEFI = "uefi"
    UEFI_SECUREBOOT = "uefi-secureboot"
    BIOS = "bios"


class Bus(StrEnum):
    """How the disk is attached."""

    VIRTIO = "virtio"
    NVME = "nvme"
    SCSI = "scsi"


class Arch(StrEnum):
    """The guest's processor architecture, by its kernel name."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"


class Deadlines(BaseModel):
    """Seconds that each phase may take on a machine with KVM; under TCG all are multiplied by `Spec.tcg_factor`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    boot: float = 120
    """Power on until the first command over SSH."""
    ssh_after_boot: float = 45
    """How long SSH may lag behind the login prompt or the multi-user target: longer than OpenSSH's penalties (15 s)."""
    settle: float = 90
    """First command until systemd has no more start-up jobs."""
    check: float = 60
    """One check, unless it says otherwise."""
    reboot: float = 180
    """`systemctl reboot` until the system has settled again."""


class Upgrade(BaseModel):
    """What a system that runs the current stable image is to take, by a plain `bootc upgrade`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reference: str
    """What installed systems follow for updates, as in `ghcr.io/owner/image:stable`; it names the candidate here."""
    layout: Path
    """The candidate: an OCI image layout in which its manifest has the reference's tag."""
    digests: tuple[Digest, ...] = Field(min_length=1)
    """What must be booted afterwards: the candidate, or the platform's image of the index that it is."""


class Budgets(BaseModel):
    """How large the image and its disk may be (bytes), and how much more than stable's they may take (percent)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: int | None = None
    disk_size: int | None = None
    size_growth: float = 25
    boot_growth: float = 50


BOOT_CHANGE, SIZE_CHANGE = "boot-time-change", "size-change"
"""The checks that compare with stable; they only advise unless somebody set a limit."""
DISK_SHA256 = "disk_sha256"
"""The input that names the file that booted, in hexadecimal."""
WAITED = "waited_for_processor"
"""The input that has the share of the boot's time in which the guest waited for this machine's processors."""
BUSY = 0.25
"""From this share on the time that a boot took says more about the machine than about the image."""
BOOT_PHASES = ("firmware", "kernel", "userspace", "ready")
"""Of the timeline: from power on until start-up has ended."""


class Baseline(BaseModel):
    """The current stable image, as its own gate saw it; None is what is not known of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """What people call it; only shown."""
    accelerator: str = ""
    busy: bool = False
    """Whether the machine on which it booted had too much else to do for its times to be compared with."""
    phases: dict[str, float] = {}
    """Seconds of each phase of its first boot; their sum is the time from power on until start-up ended."""
    image_size: int | None = None
    disk_size: int | None = None


LEAST_MEMORY = 128 * 1024**2
"""Bytes with which a machine begins to boot at all."""


class Spec(BaseModel):
    """One gate run. All durations in seconds, sizes in MiB: programs write this, people use the command line."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str = ""
    """What people call the image under test; only shown."""
    digest: Digest | None = None
    """The manifest that `bootc status` must report as booted; None leaves the digest unchecked."""
    platform_digest: Digest | None = None
    """The image of this platform, where `digest` is an index: a disk builder may have recorded either."""
    update_ref: str | None = None
    """The reference that the installed system must follow for updates; None leaves it unchecked."""
    kernel: str | None = None
    """The kernel release that the image ships; None takes the one that the guest finds in /usr/lib/modules."""

    arch: Arch = Arch.X86_64
    firmware: Firmware = Firmware.UEFI
    bus: Bus = Bus.VIRTIO
    memory_mib: int = Field(2048, ge=LEAST_MEMORY // 1024**2)
    cpus: int = Field(2, ge=1)
    require_kvm: bool = False
    """Fail as infrastructure instead of falling back to emulation."""
    tcg_factor: float = Field(5, ge=1)
    """How much longer everything may take without KVM."""
    deadlines: Deadlines = Deadlines()

    ways: tuple[Way, ...] = Field(tuple(Way), min_length=1)
    """How to get in, in the order in which it is tried."""
    network: bool | tuple[str, ...] = False
    """What the guest reaches of the outside: nothing, everything, or these HOST:PORT (`pipeline.vm.way_out`)."""
    services: list[str] = []
    """Units that must be active; what the image enables must have been started anyway."""
    boot_budget: float | None = None
    """Seconds from power on until the system has settled; multiplied by `tcg_factor` under TCG."""
    image_size: int | None = None
    """Bytes of the image's compressed layers; None when nobody asked the registry."""
    stable: Baseline | None = None
    """What to compare with; None for a first release."""
    budgets: Budgets = Budgets()
    disk_budget_percent: float = Field(90, gt=0, le=100)
    """How full a file system of the freshly booted system may be."""
    listen: list[str] | None = None
    """Sockets that may listen beyond loopback, as `tcp/22` or `udp/5353`; None leaves them unchecked."""
    usr_read_only: bool | None = None
    """Whether /usr must not be writable; None asks the booted system whether it is such a deployment."""
    reboot: bool = True
    """Whether to boot a second time and look again."""
    upgrade: Upgrade | None = None
    """Instead of the usual checks: the disk is that of the current stable image; go to the candidate and back.
    The guest reaches the relay that serves the candidate (`pipeline.vm.relay`), and nothing else."""
    checks: Path | None = None
    """The repository's own checks: executables run in the guest, `test_*.py` run by pytest-testinfra over SSH."""
    waivers: list[Waiver] = []
    required: frozenset[str] = frozenset()
    """Checks that must pass although they are advice by themselves."""
    allowed_skips: frozenset[str] = frozenset(
        {
            *("no-bootc", "no-selinux-policy", "not-promised", "not-configured"),
            *("first-release", "same-as-stable", "stable-no-bootc"),
            *("other-accelerator", "no-stable-evidence", "no-ssh"),
        }
    )
    """Skip reasons that let a required check through, because the image or its configuration does not ask for it."""
