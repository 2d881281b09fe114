"""What a testing gate found of stable becomes what the next candidate is compared with."""

import pytest

from pipeline import config
from pipeline.domain import Digest, Outcome
from pipeline.gates.baseline import baseline, budgets, required
from pipeline.report.model import Phase, Result
from pipeline.vm.checks.against_stable import judge_boot
from pipeline.vm.verdict import Skipped

STABLE = Digest("sha256:" + "ab" * 32)
FIRST_RUN = '[images.os]\nrepository = "ghcr.io/owner/os"\n'


def gate(prefix: str = "", *, ready: bool = True) -> Result:
    ends = {"firmware": 4.0, "kernel": 6.0, "userspace": 11.0, **({"ready": 12.0} if ready else {}), "checks": 20.0}
    starts = [0.0, *ends.values()]
    return Result(
        command="promote-testing",
        outcome=Outcome.PASSED,
        reason="",
        timeline=[
            Phase(name=prefix + name, start=start, end=end)
            for start, (name, end) in zip(starts, ends.items(), strict=False)
        ],
        inputs={f"{prefix}accelerator": "kvm", f"{prefix}disk_size": "4096"},
    )


def test_stable_is_known_by_its_boot_and_its_sizes() -> None:
    known = baseline(STABLE, 1000, gate(), "x86_64")
    assert known.phases == {"firmware": 4.0, "kernel": 2.0, "userspace": 5.0, "ready": 1.0}
    assert (known.accelerator, known.image_size, known.disk_size) == ("kvm", 1000, 4096)
    assert known.name == STABLE.short


def test_of_several_platforms_each_is_compared_with_its_own() -> None:
    assert baseline(STABLE, None, gate("aarch64/"), "aarch64").phases["kernel"] == 2.0
    assert baseline(STABLE, None, gate("aarch64/"), "x86_64").phases == {}


def test_a_boot_that_never_ended_is_nothing_to_compare_with() -> None:
    assert baseline(STABLE, None, gate(ready=False), "x86_64").phases == {}


@pytest.mark.parametrize(("waited", "busy"), [("0.02", False), ("0.25", True), ("0.71", True), ("", False)])
def test_a_boot_on_a_loaded_machine_is_marked_and_is_no_baseline(waited: str, busy: bool) -> None:
    measured = gate()
    measured.inputs["waited_for_processor"] = waited
    known = baseline(STABLE, None, measured, "x86_64")
    assert known.busy is busy
    judged = judge_boot(known.phases, "kvm", known, 50)
    assert isinstance(judged, Skipped) is busy


def test_without_evidence_only_the_size_is_known() -> None:
    known = baseline(STABLE, 1000, None, "x86_64")
    assert (known.image_size, known.phases, known.disk_size) == (1000, {}, None)


def test_only_a_limit_that_is_written_down_is_required() -> None:
    usual = config.parse(FIRST_RUN).gates.testing.budgets
    assert (budgets(usual).boot_growth, required(usual)) == (50, frozenset())
    text = FIRST_RUN + '[gates.testing.budgets]\nboot_growth = "20%"\nimage_size = "2GiB"\n'
    strict = config.parse(text).gates.testing.budgets
    assert (budgets(strict).boot_growth, budgets(strict).size_growth) == (20, 25)
    assert budgets(strict).image_size == 2 << 30
    assert required(strict) == {"boot-time-change"}
