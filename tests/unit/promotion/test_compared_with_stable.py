"""The boot gate of a candidate is told what the current stable's own gate measured, wherever stable lives."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from memory_registry import HOST, MemoryRegistry
from scaffold import Bench, configured, outcome

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest, Outcome, Tag
from pipeline.gates.baseline import compared_with_stable
from pipeline.report.model import Phase, Result
from pipeline.vm.spec import Spec

BOOT = [Phase(name="firmware", start=0, end=4), Phase(name="ready", start=4, end=5)]


class Measured(Bench):
    """A boot gate that measures."""

    def found(self, gate: Channel) -> Result:
        figures = {"timeline": BOOT, "inputs": {"accelerator": "tcg", "disk_size": "4096"}}
        return super().found(gate).model_copy(update=figures)


@pytest.fixture(params=[False, True], ids=["together", "apart"])
async def bench(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    monkeypatch.chdir(tmp_path)
    registry = MemoryRegistry()

    async def push(image: Image, commit: Commit, labels: dict[str, str]) -> None:
        await registry.push(image.repository.path, commit, labels, f"{image.name} {commit}")

    with registry.serving():
        yield Measured(configured("os", host=HOST, apart=request.param), registry.copy, push)


async def built(bench: Bench) -> Digest:
    """A new candidate."""
    bench.git.commit()
    assert outcome(await bench.build_next()) == Outcome.PASSED
    async with bench.world() as world:
        digest = await world.repository(bench.images[0]).digest(Tag(Channel.NEXT))
    assert digest
    return digest


async def told(bench: Bench, digest: Digest) -> Spec:
    async with bench.world() as world:
        return await compared_with_stable(world, bench.images[0], digest, "linux/amd64", Spec())


async def test_a_first_release_has_nothing_to_be_compared_with(bench: Bench) -> None:
    spec = await told(bench, await built(bench))
    assert spec.stable is None
    assert spec.image_size


async def test_the_next_candidate_is_compared_with_what_was_measured_of_stable(bench: Bench) -> None:
    released = await built(bench)
    bench.git.tags |= dict.fromkeys(("v1.0.0", "v1.0.0-test"), bench.git.commits[-1])
    steps: list[Callable[[], Awaitable[list[Result]]]] = [
        lambda: bench.promote_testing("v1.0.0-test"),
        lambda: bench.promote_stable("v1.0.0"),
    ]
    for step in steps:
        assert outcome(await step()) == Outcome.PASSED

    stable = (await told(bench, await built(bench))).stable
    assert stable
    assert stable.name == released.short
    assert stable.phases == {"firmware": 4.0, "ready": 1.0}
    assert (stable.accelerator, stable.disk_size) == ("tcg", 4096)
    assert stable.image_size
