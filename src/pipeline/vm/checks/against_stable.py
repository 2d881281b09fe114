"""Compared with the current stable image, the candidate boots about as fast and is about as large."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.quantities import duration_text, size_text
from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.spec import BOOT_CHANGE, BOOT_PHASES, SIZE_CHANGE, Baseline
from pipeline.vm.verdict import Found, Skipped


@dataclass(frozen=True)
class Pair:
    """One figure of both images."""

    name: str
    candidate: float
    stable: float
    candidate_text: str
    stable_text: str

    @property
    def growth(self) -> float:
        """Percent that the candidate has more."""
        return 100 * (self.candidate - self.stable) / self.stable if self.stable else 0.0

    @property
    def text(self) -> str:
        """Both side by side."""
        return f"{self.name} {self.candidate_text}, stable's {self.stable_text} ({self.growth:+.0f}%)"


async def _look_at_boot(session: Session) -> Found | Skipped:
    phases = {phase.name: phase.end - phase.start for phase in session.phases() if phase.name in BOOT_PHASES}
    return judge_boot(phases, session.accelerator.name, session.spec.stable, session.spec.budgets.boot_growth)


def judge_boot(phases: Mapping[str, float], accelerator: str, stable: Baseline | None, limit: float) -> Found | Skipped:
    """The verdict on the seconds of each phase; the sum may be `limit` percent above stable's.

    Emulated boots are not compared, not even with one another: their seconds tell of the machine that emulates.
    """
    if stable is None:
        return _first_release()
    if not stable.phases:
        return Skipped("no-stable-evidence", f"no gate measured the boot of {stable.name}")
    if stable.busy:
        return Skipped("no-stable-evidence", f"{stable.name} was measured on a loaded machine, which is no baseline")
    if {accelerator, stable.accelerator} != {"kvm"}:
        was = stable.accelerator or "an unknown accelerator"
        told = f"{stable.name} was measured under {was}, this system under {accelerator}; only boots with KVM compare"
        return Skipped("other-accelerator", told)
    pairs = [
        _seconds("boot", sum(phases.values()), sum(stable.phases.values())),
        *(_seconds(name, phases[name], stable.phases[name]) for name in phases if name in stable.phases),
    ]
    return _judged(pairs[:1], pairs, stable, limit)


async def _look_at_size(session: Session) -> Found | Skipped:
    spec = session.spec
    return judge_growth(spec.image_size, session.disk_size, spec.stable, spec.budgets.size_growth)


def judge_growth(image: int | None, disk: int, stable: Baseline | None, limit: float) -> Found | Skipped:
    """The verdict on the sizes in bytes; each that is known of both may be `limit` percent above stable's."""
    if stable is None:
        return _first_release()
    known = (("image", image, stable.image_size), ("disk", disk, stable.disk_size))
    pairs = [
        Pair(name, ours, theirs, size_text(ours), size_text(theirs))
        for name, ours, theirs in known
        if ours is not None and theirs is not None
    ]
    if not pairs:
        return Skipped("no-stable-evidence", f"the sizes of {stable.name} are not known")
    return _judged(pairs, pairs, stable, limit)


def _judged(judged: Sequence[Pair], shown: Sequence[Pair], stable: Baseline, limit: float) -> Found:
    findings = [pair.text for pair in judged if pair.growth > limit]
    note = f"{'; '.join(pair.text for pair in judged)}; limit +{limit:g}%"
    return Found(findings, f"at most {limit:g}% more than stable", note=note, output=_table(shown, stable))


def _seconds(name: str, candidate: float, stable: float) -> Pair:
    return Pair(name, candidate, stable, duration_text(candidate), duration_text(stable))


def _table(pairs: Sequence[Pair], stable: Baseline) -> str:
    lines = [f"{'':<12}{'candidate':>12}{'stable':>12}{'change':>9}   stable is {stable.name}"]
    lines += [f"{p.name:<12}{p.candidate_text:>12}{p.stable_text:>12}{p.growth:>+8.0f}%" for p in pairs]
    return "\n".join(lines)


def _first_release() -> Skipped:
    return Skipped("first-release", "there is no stable image to compare with")


BOOT = VmCheck(BOOT_CHANGE, _look_at_boot, required=False)
SIZE = VmCheck(SIZE_CHANGE, _look_at_size, required=False)
