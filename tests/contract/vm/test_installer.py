"""An installation medium is booted to its installer's first screen, and to nothing else."""

import dagger
import pytest
from dagger import dag

from pipeline.domain import Outcome
from pipeline.lab.images import tiny_os
from pipeline.report.model import Result

from .conftest import ROOT, disk_of


@pytest.mark.thorough
async def test_an_iso_of_an_image_boots_to_its_installer(toolbox: dagger.Container) -> None:
    files = dag.host().directory(str(ROOT / "ci" / "lab"))
    ended = await (
        toolbox.with_mounted_file("/medium.iso", disk_of(files, tiny_os(files), "iso"))
        .with_exec(
            ["python", "-m", "pipeline.vm.installer", "/medium.iso", "--report", "/report"],
            insecure_root_capabilities=True,  # the only way to /dev/kvm
            expect=dagger.ReturnType.ANY,
        )
        .sync()
    )
    report = ended.directory("/report")
    result = Result.model_validate_json(await report.file("result.json").contents())
    assert result.outcome is Outcome.PASSED, result.reason
    assert "Starting installer, one moment..." in result.reason
    assert {"installer.png", "console.log"} <= set(await report.entries())
