"""The testing gate of an image of several platforms; what each platform's machines find is a stand-in."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from pipeline.config import parse
from pipeline.domain import Digest, Outcome
from pipeline.errors import InfrastructureError, PipelineError
from pipeline.gates import boot as under_test
from pipeline.gates.boot import Tried
from pipeline.gates.evidence import GateRun
from pipeline.report.model import Check, CheckStatus

CONFIG = parse('[images.os]\nrepository = "ghcr.io/o/os"\nplatforms = ["linux/amd64", "linux/arm64"]\n')
PASSED = Check(name="boot", status=CheckStatus.PASSED)
FAILED = Check(name="boot", status=CheckStatus.FAILED, reason="no login")


class Machines:
    """Those of each platform wait until `together` of them are under way, then find what they are told."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, found: Mapping[str, Tried | PipelineError], together: int
    ) -> None:
        self.began: list[str] = []
        self._found, self._together, self._all = found, together, anyio.Event()
        monkeypatch.setattr(under_test, "_through", self.through)
        monkeypatch.setattr(under_test, "at_once", self.at_once)
        monkeypatch.setattr(under_test.evidence, "exported", self.exported)

    async def at_once(self, world: Any) -> int:
        return self._together

    async def exported(self, files: Any) -> Any:
        return files

    async def through(self, world: Any, image: Any, digest: Digest, platform: str, *, keep_disks: bool) -> Tried:
        self.began.append(platform)
        if len(self.began) == self._together:
            self._all.set()
        with anyio.fail_after(5):
            await self._all.wait()
        found = self._found[platform]
        if isinstance(found, PipelineError):
            raise found
        return found

    async def run(self) -> GateRun:
        world: Any = SimpleNamespace(config=CONFIG, images=list(CONFIG.images.values()))
        candidate = SimpleNamespace(digest=Digest("sha256:" + "a" * 64), commit="b" * 40)
        subject: Any = SimpleNamespace(image=CONFIG.images["os"], candidate=candidate)
        run, _ = await under_test.testing_gate(world, subject, "promote-testing", keep_disks=False)
        return run


async def test_as_many_platforms_are_under_way_as_were_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(monkeypatch, {"linux/amd64": Tried([PASSED]), "linux/arm64": Tried([PASSED])}, together=2)
    result = (await machines.run()).result
    assert result.outcome is Outcome.PASSED
    assert [check.name for check in result.checks] == ["x86_64/boot", "aarch64/boot"]


async def test_no_platform_is_begun_after_one_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(monkeypatch, {"linux/amd64": Tried([FAILED]), "linux/arm64": Tried([PASSED])}, together=1)
    result = (await machines.run()).result
    assert machines.began == ["linux/amd64"]
    assert (result.outcome, result.reason) == (Outcome.GATE_FAILED, "x86_64/boot failed: no login")


async def test_what_the_others_found_is_told_beside_the_one_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(monkeypatch, {"linux/amd64": Tried([PASSED]), "linux/arm64": Tried([FAILED])}, together=2)
    result = (await machines.run()).result
    assert result.outcome is Outcome.GATE_FAILED
    assert [check.status for check in result.checks] == [CheckStatus.PASSED, CheckStatus.FAILED]


AWAY = InfrastructureError("the registry is away")
BROKEN = Tried([PASSED], stopped=(Outcome.INFRA, "the machine stood still"))


@pytest.mark.parametrize("other", [AWAY, BROKEN], ids=["raised", "stopped"])
@pytest.mark.parametrize("first", ["linux/amd64", "linux/arm64"])
@pytest.mark.parametrize(
    "no", [Tried([FAILED]), Tried([PASSED], stopped=(Outcome.GATE_FAILED, "boot failed: no login"))]
)
async def test_a_no_is_heard_also_where_another_platform_came_to_no_verdict(
    monkeypatch: pytest.MonkeyPatch, first: str, other: Tried | PipelineError, no: Tried
) -> None:
    found = {"linux/amd64": other, "linux/arm64": other} | {first: no}
    result = (await Machines(monkeypatch, found, together=2).run()).result
    assert result.outcome is Outcome.GATE_FAILED
    assert result.reason.endswith("no login")
    assert len(result.checks) == 2


async def test_without_a_no_the_error_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(monkeypatch, {"linux/amd64": Tried([PASSED]), "linux/arm64": AWAY}, together=2)
    with pytest.raises(InfrastructureError, match="away"):
        await machines.run()


async def test_of_platforms_that_came_to_no_verdict_the_first_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    machines = Machines(monkeypatch, {"linux/amd64": Tried([PASSED]), "linux/arm64": BROKEN}, together=2)
    result = (await machines.run()).result
    assert (result.outcome, result.reason) == (Outcome.INFRA, "the machine stood still")
