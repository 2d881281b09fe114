"""Finds the UEFI firmware that the distribution installed, by QEMU's own descriptors.

Distributions describe their firmware in JSON files that are read in the order of their names
(QEMU docs/interop/firmware.json); so no path is guessed while a descriptor exists.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import InfrastructureError
from pipeline.vm.spec import Arch, Firmware

DESCRIPTORS = (Path("/etc/qemu/firmware"), Path("/usr/share/qemu/firmware"))


@dataclass(frozen=True)
class Flash:
    """The two halves of a UEFI: code (read-only) and the template of its variables; the template is always copied."""

    code: Path
    variables: Path
    needs_smm: bool = False


# For distributions that ship the files without descriptors.
_UNDESCRIBED = {
    Arch.X86_64: (
        Flash(Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")),
        Flash(Path("/usr/share/OVMF/OVMF_CODE.fd"), Path("/usr/share/OVMF/OVMF_VARS.fd")),
        Flash(Path("/usr/share/edk2/ovmf/OVMF_CODE.fd"), Path("/usr/share/edk2/ovmf/OVMF_VARS.fd")),
    ),
    Arch.AARCH64: (
        Flash(Path("/usr/share/AAVMF/AAVMF_CODE.fd"), Path("/usr/share/AAVMF/AAVMF_VARS.fd")),
        Flash(
            Path("/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw"),
            Path("/usr/share/edk2/aarch64/vars-template-pflash.raw"),
        ),
    ),
}


def find(arch: Arch, firmware: Firmware, descriptors: tuple[Path, ...] = DESCRIPTORS) -> Flash | None:
    """The firmware to boot with; None for BIOS, which QEMU brings along.

    Raises InfrastructureError when none is installed.
    """
    if firmware is Firmware.BIOS:
        return None
    secure = firmware is Firmware.UEFI_SECUREBOOT
    candidates = [*_described(arch, secure, descriptors)]
    if not secure:
        candidates += _UNDESCRIBED[arch]
    for flash in candidates:
        if flash.code.is_file() and flash.variables.is_file():
            return flash
    package = "ovmf" if arch is Arch.X86_64 else "qemu-efi-aarch64"
    raise InfrastructureError(
        f"no {firmware} firmware for {arch} is installed here; expected a descriptor in "
        f"{' or '.join(map(str, descriptors))}: install {package} (Debian) or edk2 (Fedora), or choose --firmware bios"
    )


def _described(arch: Arch, secure: bool, folders: tuple[Path, ...]) -> Iterator[Flash]:
    files = {file.name: file for folder in reversed(folders) if folder.is_dir() for file in folder.glob("*.json")}
    for _, file in sorted(files.items()):
        try:
            described = json.loads(file.read_text())
        except ValueError:
            continue
        if flash := _flash(described, arch, secure):
            yield flash


def _flash(described: dict[str, Any], arch: Arch, secure: bool) -> Flash | None:
    """The flash pair of one descriptor when it suits: Secure Boot wants enrolled keys, plain UEFI wants neither."""
    mapping, features = described.get("mapping", {}), set(described.get("features", []))
    executable, template = mapping.get("executable", {}), mapping.get("nvram-template", {})
    suits = (
        mapping.get("device") == "flash"
        and mapping.get("mode", "split") == "split"
        and executable.get("format") == template.get("format") == "raw"
        and any(target.get("architecture") == arch for target in described.get("targets", []))
        and not features & {"amd-sev-es", "amd-sev-snp", "intel-tdx"}
        and (secure == ({"secure-boot", "enrolled-keys"} <= features))
        and (secure or "secure-boot" not in features)
    )
    if not suits:
        return None
    return Flash(Path(executable["filename"]), Path(template["filename"]), needs_smm="requires-smm" in features)
