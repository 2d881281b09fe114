"""The services that the configuration names are active."""

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found, Skipped


async def _look(session: Session) -> Found | Skipped:
    services = session.spec.services
    if not services:
        return Skipped("not-configured", "no services are named in the configuration")
    states = (await session.guest.out("systemctl", "is-active", *services)).split()
    return compare(dict(zip(services, states, strict=False)), services)


def compare(states: dict[str, str], services: list[str]) -> Found:
    """The verdict on what `systemctl is-active` said; a service that it left out is unknown."""
    wrong = [f"{name} is {states.get(name, 'unknown')}" for name in services if states.get(name) != "active"]
    return Found(wrong, "active", note=f"active: {', '.join(services)}")


CHECK = VmCheck("services", _look, again=True)
