"""The image and its disk are within their budgets."""

from pipeline.quantities import size_text
from pipeline.vm.checks.base import VmCheck
from pipeline.vm.session import Session
from pipeline.vm.spec import Budgets
from pipeline.vm.verdict import Found, Skipped


async def _look(session: Session) -> Found | Skipped:
    return judge_size(session.spec.image_size, session.disk_size, session.spec.budgets)


def judge_size(image: int | None, disk: int, budgets: Budgets) -> Found | Skipped:
    """The verdict on the sizes in bytes; `image` is None when it is not known, which fails a budget for it."""
    seen = f"image {size_text(image) if image is not None else 'unknown'}, disk {size_text(disk)}"
    if budgets.image_size is None and budgets.disk_size is None:
        return Skipped("not-configured", f"no budget is set; {seen}")
    findings, limits = [], []
    for name, value, limit in (("image", image, budgets.image_size), ("disk", disk, budgets.disk_size)):
        if limit is None:
            continue
        limits.append(f"at most {size_text(limit)} for the {name}")
        if value is None:
            findings.append(f"the size of the {name} is not known")
        elif value > limit:
            findings.append(f"the {name} has {size_text(value)} ({value - limit:,} bytes too many)")
    return Found(findings, ", ".join(limits), note=f"{seen}; {', '.join(limits)}")


CHECK = VmCheck("size", _look)
