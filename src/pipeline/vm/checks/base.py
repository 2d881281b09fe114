"""What a check is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pipeline.vm.session import Session
from pipeline.vm.verdict import Found, Skipped

UNITS = ("units", "system-state", "services")
LOGS = ("console", "journal")
REPEATED = (*UNITS, *LOGS, "kernel")
"""What is asked again after each further boot."""
REPEATS = ("reboot", "upgrade", "rollback")
"""The checks that do so, and report what is found as `NAME: FINDING`."""


def siblings(name: str) -> tuple[str, ...]:
    """The other checks that see the same trouble: one waiver holds in all of them."""
    family: tuple[str, ...] = ()
    if name in REPEATS:
        family = (*REPEATED, *REPEATS)
    elif name in REPEATED:
        family = next((kin for kin in (UNITS, LOGS) if name in kin), ())
    return tuple(other for other in family if other != name)


@dataclass(frozen=True)
class VmCheck:
    """One question to a booted system. A new one is a module here with its `CHECK`, and a line in `checks.ALL`."""

    name: str
    look: Callable[[Session], Awaitable[Found | Skipped]]
    """Raises GuestLost, Dead or Overdue when the guest did not live to answer."""
    required: bool = True
    timeout: float | None = None
    """Seconds with KVM; None takes `Spec.deadlines.check`."""
    again: bool = False
    """Whether it is asked a second time after the reboot."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its name and those under which it may be waived."""
        return (self.name, *siblings(self.name))
