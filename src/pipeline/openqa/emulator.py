"""A failed job in which not the image was at fault, but the machine that was emulated for it."""

from pipeline.openqa.foreign import readable
from pipeline.vm.rules import RULES, Reader, Severity, Where

_OURS = tuple(rule for rule in RULES if rule.severity is Severity.OURS)


def fault_of_the_emulator(console: str) -> str:
    """The first line of a serial console that says so, by the rules of the boot gate; empty when none does.

    Under emulation QEMU loses a timer once in some hundred boots: the guest then waits for ever.
    """
    reader = Reader(Where.CONSOLE, _OURS)
    found = (str(match) for line in console.splitlines() for match in reader.read(line))
    return readable(next(found, ""), 300)
