"""Whose fault it is when there is no bill of material, and that nobody is left to believe that there is one."""

import json
from datetime import date
from pathlib import Path

import pytest

from pipeline.errors import InfrastructureError
from pipeline.image import sbom as module
from pipeline.image.podman import Finished
from pipeline.image.sbom import NONE, Generator, bill
from pipeline.policy.gate import verdict
from pipeline.policy.waivers import Waiver
from pipeline.report.model import Check, CheckStatus
from pipeline.vm.verdict import NONE as UNWAIVED
from pipeline.vm.verdict import Waivers

BILL = json.dumps({"spdxVersion": "SPDX-2.3", "packages": [{"SPDXID": "a", "name": "bash", "versionInfo": "5"}]})
SYFT = Generator("syft:1", ["scan", "dir:{root}"])
KNOWN = Waivers((Waiver(check="sbom", match="ended with 2", bug="https://example.org/1", until=date.max),), date.max)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Of the last command."""
    said: list[str] = []

    async def podman(*arguments: str, deadline: float) -> Finished:
        said.extend(arguments)
        return Finished(int(said[0]), said[1], "what was said", 1.0)

    monkeypatch.setattr(module, "podman", podman)
    return said


async def made(said: list[str], code: int, stdout: str, file: Path, waivers: Waivers = UNWAIVED) -> Check:
    said[:] = [str(code), stdout]
    return await bill("localhost/os:1", SYFT, file, waivers, deadline=60)


async def test_what_the_generator_prints_is_kept_as_it_is(said: list[str], tmp_path: Path) -> None:
    check = await made(said, 0, BILL, tmp_path / "a")
    assert (check.status, check.reason, check.required) == (CheckStatus.PASSED, "1 packages", True)
    assert (tmp_path / "a").read_text() == BILL
    assert said[-3:] == ["syft:1", "scan", "dir:/image"]
    assert "--network=none" in said


@pytest.mark.parametrize(
    ("code", "stdout", "found"),
    [
        (2, BILL, "syft:1 ended with 2: what was said"),
        (0, "", "syft:1 printed no SPDX 2.3 document"),
        (0, '{"spdxVersion": "SPDX-3.0"}', "a document of SPDX-3.0"),
    ],
)
async def test_a_generator_that_fails_fails_its_check(
    said: list[str], code: int, stdout: str, found: str, tmp_path: Path
) -> None:
    check = await made(said, code, stdout, tmp_path / "a")
    assert (check.status, found in check.reason) == (CheckStatus.FAILED, True), check.reason
    assert not (tmp_path / "a").exists()
    waived = await made(said, code, stdout, tmp_path / "a", KNOWN)
    assert waived.status is (CheckStatus.WAIVED if code else CheckStatus.FAILED)


@pytest.mark.parametrize("code", [125, 137])
async def test_one_that_cannot_run_says_nothing_about_the_image(said: list[str], code: int, tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match="could not run the SBOM generator syft:1"):
        await made(said, code, "", tmp_path / "a")


def test_without_a_generator_that_is_said_and_stops_nothing() -> None:
    assert "gates.next.sbom of pipeline.toml names no generator" in NONE.reason
    assert NONE.lets_through
    assert verdict([NONE, Check(name="boot", status=CheckStatus.PASSED)])[1] == "1 checks passed"
