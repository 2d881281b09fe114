"""What a check is."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pipeline.vm.session import Session
from pipeline.vm.verdict import Found, Skipped


@dataclass(frozen=True)
class VmCheck:
    """One question to a booted system. A new one is a module here with its `CHECK`, and a line in `checks.ALL`."""

    name: str
    look: Callable[[Session], Awaitable[Found | Skipped]]
    """Raises GuestLost, Dead or Overdue when the guest did not live to answer."""
    required: bool = True
    timeout: float | None = None
    """Seconds with KVM; None takes `Spec.deadlines.check`."""
    waived_as: tuple[str, ...] = ()
    """Other checks whose waivers hold here too, because both see the same trouble."""
    again: bool = False
    """Whether it is asked a second time after the reboot."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its name and those under which it may be waived."""
        return (self.name, *self.waived_as)
