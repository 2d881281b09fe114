"""The system boots a second time, and is as well as the first time."""

from pipeline.vm.checks import console, journal, kernel, services, system_state, units
from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found, Skipped

AGAIN = (kernel.CHECK, system_state.CHECK, units.CHECK, services.CHECK, console.CHECK, journal.CHECK)


async def _look(session: Session) -> Found | Skipped:
    if not session.spec.reboot:
        return Skipped("not-configured", "the second boot is switched off")
    before = await _boot_id(session)
    await session.reboot()
    after = await _boot_id(session)
    if after == before:
        return Found([f"the boot id is still {after}"], "a new boot id after `systemctl reboot`")
    findings, outputs = await look_again(session)
    took = session.ready[-1] - session.machine.console.boot.started
    return Found(
        findings, "a second boot as clean as the first", f"in {took:.1f} s after the reset", "\n".join(outputs)
    )


async def look_again(session: Session) -> tuple[list[str], list[str]]:
    """What the checks of a boot find now, each with the check's name before it, and what they have to show."""
    findings, outputs = [], []
    for check in AGAIN:
        found = await check.look(session)
        if isinstance(found, Found) and found.findings:
            findings += [f"{check.name}: {finding}" for finding in found.findings]
            outputs.append(found.output)
    return findings, outputs


async def _boot_id(session: Session) -> str:
    return await session.guest.out("cat", "/proc/sys/kernel/random/boot_id")


CHECK = VmCheck("reboot", _look, timeout=600)
