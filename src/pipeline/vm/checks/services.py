"""The services that the configuration names are active, and those that the image enables were started."""

from collections.abc import Collection, Mapping

from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found

_PROPERTIES = "Id,LoadState,ActiveState,ConditionTimestampMonotonic"
_ENABLED = (
    "cd /etc/systemd/system && find . -mindepth 2 -maxdepth 2 -name '*.service' "
    "'(' -path '*.target.wants/*' -o -path '*.target.requires/*' ')' "
    "! -newermt \"@$(sed -n 's/^btime //p' /proc/stat)\" -printf '%P\\n'"
)
"""The links that `systemctl enable` makes, but those of this boot, which wait for the next. systemd itself would read
every unit file to answer that, and nothing else meanwhile (27 s under emulation, measured)."""


async def _look(session: Session) -> Found:
    named, within = session.spec.services, session.scaled(30)
    links = read_links(await session.guest.out("sh", "-c", _ENABLED, within=within))
    states = (await session.guest.out("systemctl", "is-active", *named, within=within)).split() if named else []
    found = compare(dict(zip(named, states, strict=False)), named)
    names = sorted({name for link in links for name in link})
    command = ("systemctl", "show", f"--property={_PROPERTIES}", *names)
    shown = read_units(await session.guest.out(*command, within=within)) if names else []
    started = judge_enabled(links, dict(zip(names, shown, strict=False)))
    notes = [note for note in (found.note, started.note) if note]
    return Found([*found.findings, *started.findings], "active", note="; ".join(notes))


def read_links(found: str) -> list[tuple[str, str]]:
    """Each target with a service that it wants, of lines as `multi-user.target.wants/sshd.service`."""
    pairs = (line.partition("/")[::2] for line in found.splitlines() if "/" in line)
    return [(folder.rpartition(".")[0], service) for folder, service in pairs]


def read_units(shown: str) -> list[dict[str, str]]:
    """The properties of each unit in `systemctl show`, which leaves an empty line between two, in the order asked."""
    return [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in shown.split("\n\n")
        if block.strip()
    ]


def judge_enabled(links: Collection[tuple[str, str]], units: Mapping[str, Mapping[str, str]]) -> Found:
    """The verdict on enabled services that an active target wants: none failed, and each was at least tried.

    One that ended well, or whose condition did not hold, has done what it should. One that was never tried lost its
    place (to a dependency that failed, or to an ordering cycle), and `systemctl --failed` does not know it.
    """
    active = {name for name, unit in units.items() if unit.get("ActiveState") == "active"}
    wanted = sorted({service for target, service in links if target in active})
    findings, fine = [], 0
    for name in wanted:
        unit = units.get(name, {})
        state, tried = unit.get("ActiveState"), unit.get("ConditionTimestampMonotonic", "0") != "0"
        if unit.get("LoadState") != "loaded":
            continue
        if state == "failed":
            findings.append(f"{name} is failed")
        elif state == "inactive" and not tried:
            findings.append(f"{name} is enabled and was never started")
        else:
            fine += 1
    return Found(findings, "active", note=f"{fine} enabled services were started" if fine else "")


def compare(states: dict[str, str], services: list[str]) -> Found:
    """The verdict on what `systemctl is-active` said; a service that it left out is unknown."""
    wrong = [f"{name} is {states.get(name, 'unknown')}" for name in services if states.get(name) != "active"]
    return Found(wrong, "active", note=f"active: {', '.join(services)}" if services else "")


CHECK = VmCheck("services", _look, again=True)
