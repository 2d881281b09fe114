"""Between build and gate a tool takes the image apart: the gate looks at what it leaves, and that is pushed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from memory_registry import HOST, MemoryRegistry
from scaffold import Bench, outcome

from pipeline.config import Image, parse
from pipeline.domain import Outcome, Refresh, Tag
from pipeline.policy.candidate import CREATED_LABEL, REVISION_LABEL

CONFIG = f"""\
[images.os]
repository = "{HOST}/os"
platforms = ["linux/amd64", "linux/arm64"]
rechunk = {{ image = "{HOST}/rechunker:1", args = ["{{root}}", "{{layout}}"] }}
"""


class Lab(Bench):
    registry: MemoryRegistry


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.chdir(tmp_path)
    registry, built = MemoryRegistry(), list[str]()

    async def push(image: Image, tag: Tag, labels: dict[str, str]) -> None:
        built.append(tag)
        await registry.push(image.repository.path, tag, labels, f"build {len(built)}")

    lab = Lab(parse(CONFIG), registry.copy, push)
    lab.registry = registry
    lab.git.commit()
    with registry.serving():
        yield lab


async def test_the_gate_looks_at_what_the_tool_left(lab: Lab) -> None:
    assert outcome(await lab.build_next()) == Outcome.PASSED
    assert lab.steps == ["build", "lay out", "take", "gate"]
    assert outcome(await lab.build_next()) == Outcome.UNCHANGED
    assert lab.steps == ["build", "lay out", "take", "gate"]


@pytest.mark.parametrize("label", [REVISION_LABEL, CREATED_LABEL])
async def test_what_lost_its_labels_is_refused_and_nothing_is_pushed(lab: Lab, label: str) -> None:
    lab.rechunker_drops = [label]
    (result,) = await lab.build_next()
    assert result.outcome == Outcome.PRECONDITION
    assert "What rechunk made of os lacks labels on linux/amd64" in result.reason
    assert label in result.reason
    assert "gate" not in lab.steps
    assert not lab.registry.store("os").manifests


async def test_a_tool_that_fails_is_a_failed_gate(lab: Lab) -> None:
    lab.rechunker_fails = True
    (result,) = await lab.build_next()
    assert result.outcome == Outcome.GATE_FAILED
    assert [(check.name, check.reason) for check in result.checks] == [("build", "rechunk of os: it ended with 1")]
    assert not lab.registry.store("os").tags


async def test_layers_are_compared_as_the_tool_left_them(lab: Lab) -> None:
    """Two builds that the tool makes the same of are one candidate."""
    assert outcome(await lab.build_next()) == Outcome.PASSED
    (result,) = await lab.build_next(Refresh.ALWAYS)
    assert (result.outcome, "candidate 2" in result.reason) == (Outcome.PASSED, True)
    lab.rechunker_leaves = "build 2"
    (result,) = await lab.build_next(Refresh.ALWAYS)
    assert (result.outcome, "the same layers" in result.reason) == (Outcome.UNCHANGED, True)
    assert lab.steps.count("gate") == 2
