"""The machine as a QEMU command line."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import anyio

from pipeline.errors import InfrastructureError
from pipeline.vm import way_out
from pipeline.vm.accelerator import Accelerator
from pipeline.vm.firmware import Flash
from pipeline.vm.spec import Arch, Bus, Spec
from pipeline.vm.ways import PORT, Way, credentials

SSH = 22
IDLE = 61022
"""A port of the guest where nobody listens: above what Linux gives to clients, below what anybody is known to use."""


@dataclass(frozen=True)
class Files:
    """What belongs to one run of one machine."""

    overlay: Path
    variables: Path | None
    """The writable copy of the firmware's variables; None for BIOS."""
    qmp: Path
    """The socket on which the harness waits for QEMU to call."""

    @property
    def shell(self) -> Path:
        """The socket that leads to the virtio console, where there is one."""
        return self.qmp.with_name("shell")

    @classmethod
    def prepare(cls, folder: Path, flash: Flash | None, kept: Path | None = None) -> Self:
        """Name the files in an empty folder, and give the machine its own copy of the firmware's variables.

        What the machine writes is in `kept` instead when there is one; the socket's path has to be short.
        """
        place = kept or folder
        place.mkdir(exist_ok=True)
        variables = Path(shutil.copyfile(flash.variables, place / "variables.fd")) if flash else None
        return cls(place / "overlay.qcow2", variables, folder / "qmp")


def command(
    spec: Spec,
    accelerator: Accelerator,
    flash: Flash | None,
    files: Files,
    public_key: str,
    served: Sequence[str] = (),
    way: Way = Way.KEY,
) -> list[str]:
    """One option a line, grouped by purpose. The serial console is QEMU's standard output.

    `served`: more of QEMU's user network, such as what is served to the guest in it.
    """
    x86 = spec.arch is Arch.X86_64
    told = credentials(way, public_key, way_out.hosts(spec.network))
    machine = ("q35" if x86 else "virt") + (",smm=on" if flash and flash.needs_smm else "")
    return [
        f"qemu-system-{spec.arch}",
        "-name", "gate",
        "-nodefaults", "-no-user-config",
        "-machine", machine,
        "-accel", "kvm" if accelerator.is_kvm else "tcg,thread=multi",
        # A reset ends this process, and the harness starts the next; a panicked guest stays for its screenshot.
        "-action", "reboot=shutdown,panic=none",
        "-cpu", _cpu(spec.arch, accelerator),
        "-smp", str(spec.cpus),
        "-m", str(spec.memory_mib),
        *_flash(flash, files),
        # The disk; the cache is unsafe because the overlay is thrown away.
        "-drive", f"if=none,id=disk,file={_escaped(files.overlay)},format=qcow2,cache=unsafe,discard=unmap",
        *_disk(spec.bus),
        # The guest sees the harness, on ports that QEMU picks, what is served to it, and what the image asks for.
        "-netdev", ",".join(["user,id=net", *way_out.network(spec.network), *_forwards(SSH, IDLE), *served]),
        "-device", "virtio-net-pci,netdev=net,romfile=",
        "-device", "virtio-rng-pci",
        # systemd reads what lets us in from SMBIOS (systemd.system-credentials(7)): nothing is baked into the image.
        "-smbios", ",".join(["type=11", *(f"value={credential}" for credential in told)]),
        *_shell(files, way),
        # Screenshots need a display adapter, people do not.
        "-display", "none",
        *(["-vga", "std"] if x86 else ["-device", "ramfb"]),
        *(["-device", "pvpanic"] if x86 else ["-device", "pvpanic-pci"]),
        "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
        "-chardev", f"socket,id=qmp,path={_escaped(files.qmp)}", "-mon", "chardev=qmp,mode=control",
    ]  # fmt: skip


def _forwards(*inside: int) -> list[str]:
    return [f"hostfwd=tcp:127.0.0.1:0-:{port}" for port in inside]


def _cpu(arch: Arch, accelerator: Accelerator) -> str:
    if accelerator.is_kvm:
        return "host"
    # QEMU 7.2 mis-emulates cmpxchg16b for kernels from 6.12; `max` has it too and is slower.
    return "Nehalem,cx16=off" if arch is Arch.X86_64 else "cortex-a57"


def _flash(flash: Flash | None, files: Files) -> list[str]:
    if not flash:
        return []
    secure = ["-global", "driver=cfi.pflash01,property=secure,value=on"] if flash.needs_smm else []
    return [
        *secure,
        "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={_escaped(flash.code)}",
        "-drive", f"if=pflash,unit=1,format=raw,file={_escaped(files.variables)}",
    ]  # fmt: skip


def _disk(bus: Bus) -> list[str]:
    match bus:
        case Bus.VIRTIO:
            return ["-device", "virtio-blk-pci,drive=disk,bootindex=0"]
        case Bus.NVME:
            return ["-device", "nvme,drive=disk,serial=gate,bootindex=0"]
        case Bus.SCSI:
            return ["-device", "virtio-scsi-pci", "-device", "scsi-hd,drive=disk,bootindex=0"]


def drive(medium: Path) -> list[str]:
    """A drive with a medium in it, from which the machine boots when its disk is empty."""
    return [
        "-drive", f"if=none,id=medium,media=cdrom,readonly=on,format=raw,file={_escaped(medium)}",
        "-device", "virtio-scsi-pci,id=drives",
        "-device", "scsi-cd,drive=medium,bus=drives.0,bootindex=1",
        "-device", "qemu-xhci", "-device", "usb-kbd",
    ]  # fmt: skip


def _shell(files: Files, way: Way) -> list[str]:
    if way is not Way.SHELL:
        return []
    return [
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=shell,path={_escaped(files.shell)},server=on,wait=off",
        "-device", f"virtserialport,chardev=shell,name={PORT}",
    ]  # fmt: skip


def _escaped(path: Path | None) -> str:
    """A comma in an option's value is written twice."""
    return str(path).replace(",", ",,")


async def version(arch: Arch) -> str:
    """What the emulator calls itself.

    Raises InfrastructureError when it is not installed.
    """
    program = f"qemu-system-{arch}"
    try:
        answer = await anyio.run_process([program, "--version"])
    except OSError:
        package = "qemu-system-x86" if arch is Arch.X86_64 else "qemu-system-arm"
        raise InfrastructureError(
            f"{program} is not installed here; expected QEMU: install {package} (Debian)"
        ) from None
    return answer.stdout.decode().splitlines()[0]
