"""The machine that is built, and the firmware that is found for it."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import InfrastructureError
from pipeline.vm import firmware, qemu
from pipeline.vm.accelerator import Accelerator, Countdown, boot_sector, judge_race
from pipeline.vm.firmware import Flash
from pipeline.vm.spec import Arch, Bus, Firmware, Spec
from pipeline.vm.ways import Way, credentials

KVM = Accelerator("kvm", "", 1)
TCG = Accelerator("tcg", "", 5)
KEY = "ssh-ed25519 AAAAC3Nza gate"
FILES = qemu.Files(Path("/run/a,b/overlay.qcow2"), Path("/run/vars.fd"), Path("/run/qmp"))


def build(spec: Spec, accelerator: Accelerator = TCG, flash: Flash | None = None) -> str:
    return " ".join(qemu.command(spec, accelerator, flash, FILES, KEY))


def test_kvm_uses_the_hosts_processor_and_emulation_one_that_works() -> None:
    assert "-accel kvm -" in build(Spec(), KVM)
    assert "-cpu host" in build(Spec(), KVM)
    assert "-cpu Nehalem,cx16=off" in build(Spec(), TCG)


@pytest.mark.parametrize(
    ("bus", "device"), [(Bus.VIRTIO, "virtio-blk-pci,"), (Bus.NVME, "nvme,"), (Bus.SCSI, "scsi-hd,")]
)
def test_the_disk_hangs_on_the_bus_that_was_asked_for(bus: Bus, device: str) -> None:
    assert f"-device {device}drive=disk" in build(Spec(bus=bus))


def test_a_comma_in_a_path_is_no_option() -> None:
    assert "file=/run/a,,b/overlay.qcow2," in build(Spec())


def test_the_key_reaches_the_guest_also_where_it_has_keys_of_its_own() -> None:
    made, appended = credentials(Way.KEY, KEY)
    assert base64.b64decode(made.split("=", 1)[1]).decode() == KEY + "\n"
    line = base64.b64decode(appended.split("=", 1)[1]).decode().split()
    assert line[:2] == ["w+~", "/root/.ssh/authorized_keys"]
    assert base64.b64decode(line[-1]).decode() == KEY + "\n"


def test_secure_boot_firmware_runs_in_system_management_mode() -> None:
    command = build(Spec(), TCG, Flash(Path("/code.fd"), Path("/vars.fd"), needs_smm=True))
    assert "-machine q35,smm=on" in command
    assert "driver=cfi.pflash01,property=secure,value=on" in command
    assert "unit=0,format=raw,readonly=on,file=/code.fd" in command


def test_the_firmwares_variables_are_a_copy(tmp_path: Path) -> None:
    template = tmp_path / "template.fd"
    template.write_bytes(b"variables")
    work = tmp_path / "work"
    work.mkdir()
    files = qemu.Files.prepare(work, Flash(tmp_path / "code.fd", template))
    assert files.variables != template
    assert files.variables is not None
    assert files.variables.read_bytes() == b"variables"


def test_an_aarch64_guest_is_a_virt_machine() -> None:
    command = build(Spec(arch=Arch.AARCH64))
    assert command.startswith("qemu-system-aarch64 ")
    assert "-machine virt" in command
    assert "-vga" not in command


@pytest.fixture
def descriptors(tmp_path: Path) -> Path:
    def describe(name: str, features: list[str], arch: str = "x86_64", **mapping: Any) -> None:
        code, variables = tmp_path / f"{name}.code", tmp_path / f"{name}.vars"
        code.touch()
        variables.touch()
        flash = {
            "device": "flash",
            "executable": {"filename": str(code), "format": "raw"},
            "nvram-template": {"filename": str(variables), "format": "raw"},
        }
        targets = [{"architecture": arch, "machines": ["*"]}]
        document = {"mapping": flash | mapping, "targets": targets, "features": features}
        (tmp_path / f"{name}.json").write_text(json.dumps(document))

    describe("10-memory", [], device="memory")
    describe("20-stateless", [], mode="stateless")
    describe("30-aarch64", [], arch="aarch64")
    describe("40-enrolled", ["secure-boot", "enrolled-keys", "requires-smm"])
    describe("50-secure", ["secure-boot", "requires-smm"])
    describe("60-plain", ["acpi-s3"])
    (tmp_path / "05-broken.json").write_text("{")
    return tmp_path


@pytest.mark.parametrize(
    ("arch", "kind", "name"),
    [
        (Arch.X86_64, Firmware.UEFI, "60-plain"),
        (Arch.X86_64, Firmware.UEFI_SECUREBOOT, "40-enrolled"),
        (Arch.AARCH64, Firmware.UEFI, "30-aarch64"),
    ],
)
def test_firmware_is_found_by_its_descriptor(descriptors: Path, arch: Arch, kind: Firmware, name: str) -> None:
    flash = firmware.find(arch, kind, (descriptors,))
    assert flash == Flash(
        descriptors / f"{name}.code", descriptors / f"{name}.vars", needs_smm=kind is Firmware.UEFI_SECUREBOOT
    )


def test_bios_needs_no_file(tmp_path: Path) -> None:
    assert firmware.find(Arch.X86_64, Firmware.BIOS, (tmp_path,)) is None


def test_missing_firmware_is_infrastructure_and_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="install ovmf"):
        firmware.find(Arch.X86_64, Firmware.UEFI_SECUREBOOT, (tmp_path,))


def test_the_probe_is_a_boot_sector() -> None:
    sector = boot_sector(1000)
    assert len(sector) == 512
    assert sector[-2:] == b"\x55\xaa"
    assert sector[2:6] == (1000).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("ran", "usable", "said"),
    [
        ({"kvm": Countdown(0.21)}, True, "0.21 s in KVM, and emulation was not done"),
        ({"tcg": Countdown(0.52)}, False, "and is no help: 200,000,000 iterations took 0.52 s in emulation"),
        ({"kvm": Countdown(None, "kvm: Permission denied")}, False, "Permission denied"),
        ({}, False, "KVM did not do"),
    ],
)
def test_kvm_is_used_when_it_is_done_before_emulation(ran: dict[str, Countdown], usable: bool, said: str) -> None:
    won, why = judge_race(ran, 200_000_000)
    assert won is usable
    assert said in why
    assert "200,000,000 iterations" in why
