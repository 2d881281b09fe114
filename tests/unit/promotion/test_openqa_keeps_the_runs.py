"""After the promotion openQA is asked to keep the runs; whatever it says, the release has happened."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from memory_registry import HOST, MemoryRegistry
from scaffold import Bench, configured, outcome

from pipeline.config import Image
from pipeline.domain import Commit, Outcome
from pipeline.policy.tags import ReleaseTag
from pipeline.report.model import CheckStatus, Result
from pipeline.stages import stable
from pipeline.world import World


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.chdir(tmp_path)
    registry = MemoryRegistry()

    async def push(image: Image, commit: Commit, labels: dict[str, str]) -> None:
        await registry.push(image.repository.path, commit, labels, f"{image.name} {commit}")

    bench = Bench(configured("os", "desktop", host=HOST), registry.copy, push)
    with registry.serving():
        yield bench


async def test_a_release_is_told_and_what_openqa_says_fails_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, list[Outcome]]] = []

    async def keep(world: World, results: list[Result], tag: ReleaseTag) -> list[str]:
        told.append((tag.tag, [result.outcome for result in results]))
        return ["openQA's group 7 does not know of the release"]

    monkeypatch.setattr(stable, "keep_openqa_results", keep)
    for version in ("v1.0.0", "v1.1.0"):
        bench.git.tags |= dict.fromkeys((version, f"{version}-test"), bench.git.commit())
        assert outcome(await bench.build_next()) == Outcome.PASSED
        assert outcome(await bench.promote_testing(f"{version}-test")) == Outcome.PASSED
        if version == "v1.0.0":
            results = await bench.promote_stable(version)
            assert outcome(results) == Outcome.PASSED
            assert [[check.reason for check in result.checks if check.name == stable.KEPT] for result in results] == [
                ["openQA's group 7 does not know of the release"],
                [],
            ]
            assert {check.status for result in results for check in result.checks if not check.required} == {
                CheckStatus.INFRA
            }
    assert outcome(await bench.promote_stable("v1.0.0")) == Outcome.UNCHANGED
    assert outcome(await bench.promote_stable("v1.1.0")) == Outcome.PASSED
    assert outcome(await bench.promote_stable("v1.0.0")) == Outcome.SUPERSEDED
    assert told == [
        ("v1.0.0", [Outcome.PASSED] * 2),
        ("v1.0.0", [Outcome.UNCHANGED] * 2),
        ("v1.1.0", [Outcome.PASSED] * 2),
    ]


async def test_a_gate_that_fails_tells_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stable, "keep_openqa_results", None)
    bench.git.tags |= dict.fromkeys(("v1.0.0", "v1.0.0-test"), bench.git.commit())
    await bench.build_next()
    await bench.promote_testing("v1.0.0-test")
    bench.verdicts[stable.Channel.STABLE] = Outcome.GATE_FAILED
    assert outcome(await bench.promote_stable("v1.0.0")) == Outcome.GATE_FAILED
