"""The board of what really went through: what lies between the channels, what releases cost, what a gate stopped."""

import pytest
from memory_registry import HOST, MemoryRegistry
from scaffold import Bench, configured, outcome

from pipeline.commands import board
from pipeline.config import Image
from pipeline.domain import Channel, Digest, Outcome, Tag
from pipeline.report.model import Check, CheckStatus, Phase, Result
from pipeline.vm.relay import told_fetched


class Measuring(Bench):
    """Its boot gate leaves what the real one measures."""

    boots_in = 12.0
    log = "GET /v2/os/blobs/sha256:1 200 2097152"

    def found(self, gate: Channel) -> Result:
        result = super().found(gate)
        if gate is not Channel.TESTING:
            return result
        upgrade = Check(name="upgrade", status=CheckStatus.PASSED, reason=f"it follows; {told_fetched(self.log)}")
        timeline = [Phase(name="firmware", start=0, end=2), Phase(name="ready", start=2, end=self.boots_in)]
        told = {"checks": [*result.checks, upgrade], "timeline": timeline, "inputs": {"accelerator": "tcg"}}
        return result.model_copy(update=told)

    async def release(self, version: str, *packages: str) -> None:
        await self.tested(version, *packages)
        assert outcome(await self.promote_stable(version)) == Outcome.PASSED

    async def tested(self, version: str, *packages: str) -> list[Result]:
        self.packages = packages
        self.git.tags |= dict.fromkeys((version, f"{version}-test"), self.git.commit())
        assert outcome(await self.build_next()) == Outcome.PASSED
        return await self.promote_testing(f"{version}-test")

    async def board(self) -> dict[str, str]:
        async with self.world() as world:
            return await board.board(world)


@pytest.fixture
def bench(registry: MemoryRegistry) -> Measuring:
    async def push(image: Image, tag: Tag, labels: dict[str, str]) -> Digest:
        return await registry.push(image.repository.path, tag, labels, f"{image.name} {tag}")

    return Measuring(configured("os", host=HOST), registry.copy, push)


async def test_it_says_what_lies_between_the_channels(bench: Measuring) -> None:
    await bench.release("v1.0.0", "kernel 6.1")
    assert outcome(await bench.tested("v1.1.0", "kernel 6.2", "zstd 1.5")) == Outcome.PASSED
    index = (await bench.board())["index.html"]
    assert "testing has 1 commit, 2 changed packages and 0.0 days more than stable" in " ".join(index.split())
    assert "zstd" in index
    assert "more than testing" not in index


async def test_a_release_is_shown_with_what_its_gates_measured(bench: Measuring) -> None:
    await bench.release("v1.0.0")
    bench.boots_in = 24.0
    await bench.release("v1.1.0")
    index = (await bench.board())["index.html"]
    assert index.index("<td>v1.1.0") < index.index("<td>v1.0.0")
    assert '24s <small class="dim">emulated</small><i style="width:100.0%">' in index
    assert '12s <small class="dim">emulated</small><i style="width:50.0%">' in index
    assert index.count("2.0 MiB<i") == 2


async def test_every_gate_that_a_channel_came_through_has_its_report(bench: Measuring) -> None:
    await bench.release("v1.0.0")
    pages = await bench.board()
    reports = [path for path in pages if path.startswith("reports/os/")]
    assert sorted(path.split("/")[2].partition("-")[0] for path in reports) == ["next", "stable", "testing"]
    assert all(f'href="{path}"' in pages["index.html"] for path in reports)
    assert "evidence passed, not signed" in pages["index.html"]


async def test_a_gate_that_stopped_a_digest_says_why(bench: Measuring) -> None:
    await bench.release("v1.0.0")
    bench.verdicts[Channel.TESTING] = Outcome.GATE_FAILED
    assert outcome(await bench.tested("v1.1.0")) == Outcome.GATE_FAILED
    pages = await bench.board()
    assert "Stopped by a gate" in pages["index.html"]
    assert "the testing gate says gate_failed" in pages["index.html"]
    bench.verdicts[Channel.TESTING] = Outcome.PASSED
    assert outcome(await bench.promote_testing("v1.1.0-test")) == Outcome.PASSED
    assert "Stopped by a gate" not in (await bench.board())["index.html"]


async def test_what_is_too_much_to_be_read_is_said(bench: Measuring, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.verdicts[Channel.TESTING] = Outcome.GATE_FAILED
    for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
        assert outcome(await bench.tested(version)) == Outcome.GATE_FAILED
    monkeypatch.setattr(board, "_READ", 2)
    assert "1 more digests with evidence that no channel took were not looked at" in (await bench.board())["index.html"]


async def test_a_broken_ledger_is_told_and_the_rest_is_shown(bench: Measuring, registry: MemoryRegistry) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        await bench.release(version)
    there = registry.store("os").tags
    del there[min(tag for tag in there if "ledger-stable-" in tag)]
    index = (await bench.board())["index.html"]
    assert "v1.1.0" in index
    assert "Last moves of stable" not in index


async def test_a_release_that_stable_was_taken_back_from_is_no_ordinary_one(bench: Measuring) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        await bench.release(version)
    assert index_of(await bench.board()).count("taken back") == 0
    await bench.rollback(Channel.STABLE)
    index = index_of(await bench.board())
    assert 'v1.1.0 <small class="dim">taken back</small>' in index
    assert "v1.0.0 <small" not in index


def index_of(board: dict[str, str]) -> str:
    return " ".join(board["index.html"].split())
