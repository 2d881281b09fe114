"""A chain on the real disk: the second job starts from what the first one published."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.domain import Digest, Outcome
from pipeline.openqa.gate import run_gate
from pipeline.openqa.runs import Submission
from pipeline.openqa.verdict import Expectation

Lab = Any  # of conftest.py, which tests cannot import


@pytest.mark.thorough
async def test_a_job_that_starts_from_a_published_disk_counts_with_the_one_that_published_it(
    lab: Lab, tmp_path: Path
) -> None:
    digest = "a" * 12
    order = replace(
        lab.order(""),
        flavor="qcow2",
        digest=Digest(f"sha256:{digest:0<64}"),
        disk_url=f"http://files:8080/good-{digest}.qcow2",
        scenarios=(Path(__file__).parent / "chain.yaml").read_text(),
    )
    run = Submission(await lab.submit(order), Expectation.of(order, jobs=2))
    outcome = await run_gate(lab.client, run, tmp_path, replace(lab.quick, overall=600))
    assert outcome.outcome is Outcome.PASSED, outcome.reason
    first, then = [await lab.client.job(number) for number in outcome.jobs]
    assert then.settings["HDD_1"] == f"{order.build}-configured.qcow2"
    assert [module.name for module in first.modules or ()] == ["boot", "configure", "power_off"]
    assert [module.name for module in then.modules or ()] == ["boot", "configured"]
    assert ["with configure@uefi, which booted the disk" in check.reason for check in outcome.checks].count(True) == 1
