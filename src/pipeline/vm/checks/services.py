"""The services that the configuration names are active, and those that the image enables were started."""

from collections.abc import Collection, Iterator

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found

_PROPERTIES = "Id,LoadState,ActiveState,ConditionTimestampMonotonic,WantedBy,RequiredBy"
_ENABLED_NOW = "find /etc/systemd/system -type l -newermt \"@$(sed -n 's/^btime //p' /proc/stat)\" -printf '%f\\n'"


async def _look(session: Session) -> Found:
    named, enabled = session.spec.services, await _enabled(session)
    states = (await session.guest.out("systemctl", "is-active", *named)).split() if named else []
    found = compare(dict(zip(named, states, strict=False)), named)
    started = judge_enabled(enabled, await _listed(session, "list-units", "--type=target", "--state=active"))
    notes = [note for note in (found.note, started.note) if note]
    return Found([*found.findings, *started.findings], "active", note="; ".join(notes))


async def _enabled(session: Session) -> list[dict[str, str]]:
    """The services that were enabled when this boot began: one that is enabled since waits for the next."""
    late = set((await session.guest.out("sh", "-c", _ENABLED_NOW)).split())
    listed = await _listed(session, "list-unit-files", "--type=service", "--state=enabled")
    units = [unit for unit in listed if "@." not in unit and unit not in late]
    if not units:
        return []
    return list(read_units(await session.guest.out("systemctl", "show", f"--property={_PROPERTIES}", *units)))


async def _listed(session: Session, *command: str) -> list[str]:
    listed = await session.guest.out("systemctl", *command, "--no-legend", "--no-pager", "--plain", "--full")
    return [line.split()[0] for line in listed.splitlines() if line.strip()]


def read_units(shown: str) -> Iterator[dict[str, str]]:
    """The properties of each unit in `systemctl show`, which leaves an empty line between two."""
    for block in shown.split("\n\n"):
        yield dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def judge_enabled(units: Collection[dict[str, str]], targets: Collection[str]) -> Found:
    """The verdict on enabled services that an active target wants: none failed, and each was at least tried.

    One that ended well, or whose condition did not hold, has done what it should. One that was never tried lost its
    place (to a dependency that failed, or to an ordering cycle), and `systemctl --failed` does not know it.
    """
    findings, fine = [], 0
    for unit in units:
        wanted_by = f"{unit.get('WantedBy', '')} {unit.get('RequiredBy', '')}".split()
        if unit.get("LoadState") != "loaded" or not set(wanted_by) & set(targets):
            continue
        state, tried = unit.get("ActiveState"), unit.get("ConditionTimestampMonotonic", "0") != "0"
        if state == "failed":
            findings.append(f"{unit['Id']} is failed")
        elif state == "inactive" and not tried:
            findings.append(f"{unit['Id']} is enabled and was never started")
        else:
            fine += 1
    return Found(findings, "active", note=f"{fine} enabled services were started" if fine else "")


def compare(states: dict[str, str], services: list[str]) -> Found:
    """The verdict on what `systemctl is-active` said; a service that it left out is unknown."""
    wrong = [f"{name} is {states.get(name, 'unknown')}" for name in services if states.get(name) != "active"]
    return Found(wrong, "active", note=f"active: {', '.join(services)}" if services else "")


CHECK = VmCheck("services", _look, again=True)
