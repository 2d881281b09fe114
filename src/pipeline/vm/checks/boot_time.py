"""The system is there within its budget."""

from pipeline.quantities import duration_text
from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.verdict import Found, Skipped


async def _look(session: Session) -> Found | Skipped:
    said = (await session.guest.out("systemd-analyze", "time")).partition("\n")[0]
    return judge_time(session.settled[0], session.spec.boot_budget, session.accelerator.factor, said)


def judge_time(took: float, budget: float | None, factor: float, said: str) -> Found | Skipped:
    """The verdict on seconds from power on until start-up ended; under emulation the budget grows by `factor`."""
    seen = f"{duration_text(took)} from power on" + (f" ({said})" if said else "")
    if budget is None:
        return Skipped("not-configured", f"no budget is set; it took {seen}")
    limit = f"{duration_text(budget)}" + (f" times {factor:g} for emulation" if factor != 1 else "")
    if took > budget * factor:
        return Found([f"start-up took {seen}"], f"at most {limit}")
    return Found(note=f"{seen}; budget {limit}")


CHECK = VmCheck("boot-time", _look)
