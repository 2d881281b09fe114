"""The guest itself reports that Secure Boot was on when it started."""

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.spec import Firmware
from pipeline.vm.verdict import Found, Skipped

VARIABLE = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
"""UEFI specification, section 3.3: four bytes of attributes, then 1 when the firmware enforces signatures."""


async def _look(session: Session) -> Found | Skipped:
    if session.spec.firmware is not Firmware.UEFI_SECUREBOOT:
        return Skipped("not-configured", f"the firmware is configured as {session.spec.firmware}")
    variable = await session.guest.out("od", "-An", "-t", "u1", VARIABLE)
    kernel = await session.guest.out("sh", "-c", "dmesg | grep -i 'secure *boot'")
    return judge_variable(variable, kernel)


def judge_variable(variable: str, kernel: str) -> Found:
    """The verdict on the variable's bytes in decimal; without efivarfs there are none, and the kernel's log decides."""
    if variable.split()[4:] == ["1"]:
        return Found(note="enabled, says the SecureBoot variable", output=kernel)
    if not variable and "Secure boot enabled" in kernel:
        return Found(note="enabled, says the kernel's log", output=kernel)
    seen = f"the SecureBoot variable holds {variable.split()[4:]}" if variable else "there is no SecureBoot variable"
    return Found([f"Secure Boot is not on: {seen}"], "a system that was started under Secure Boot", output=kernel)


CHECK = VmCheck("secure-boot", _look)
