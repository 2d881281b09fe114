"""A fleet: images that are built on one another, and releases whose gates ran in many jobs."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from memory_registry import HOST, MemoryRegistry
from scaffold import Bench, outcome

from pipeline.commands.matrix import matrix
from pipeline.config import Image, parse
from pipeline.containers.machine import read_room
from pipeline.domain import Channel, Outcome, Tag
from pipeline.errors import InfrastructureError
from pipeline.report.model import Result
from pipeline.stages import testing

CONFIG = f"""
[defaults]
repository = "{HOST}/os"
prefix = "{{name}}-"
platforms = ["linux/amd64", "linux/arm64"]
[images.nvidia]
needs = ["desktop"]
[images.base]
[images.desktop]
needs = ["base"]
"""


class Fleet(Bench):
    registry: MemoryRegistry

    @property
    def tags(self) -> dict[str, str]:
        return dict(self.registry.store("os").tags)

    async def gate_testing(self, *images: str) -> list[Result]:
        """As a job of CI does it."""
        self.only = images
        with self.git.standing_at("v1.0.0-test"):
            return await self._run(self._kept)

    async def _kept(self, world: Any) -> list[Result]:
        return [run.result for run in await testing.gate_testing(world, "v1.0.0-test", keep=True, gate=self._boot)]

    async def promote(self, **told: bool) -> list[Result]:
        self.only = ()
        return await self.promote_testing("v1.0.0-test", **told)


@pytest.fixture
async def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fleet]:
    monkeypatch.chdir(tmp_path)
    registry = MemoryRegistry()
    for name in ("base", "desktop", "nvidia"):
        registry.channels |= {f"{name}-{channel}": (f"{name}-", channel) for channel in Channel}

    async def push(image: Image, tag: Tag, labels: dict[str, str]) -> None:
        await registry.push(image.repository.path, tag, labels, tag)

    made = Fleet(parse(CONFIG), registry.copy, push)
    made.registry = registry
    commit = made.git.commit()
    made.git.tags["v1.0.0-test"] = commit
    with registry.serving():
        yield made


async def test_each_image_is_built_on_this_commits_image_of_what_it_needs(fleet: Fleet) -> None:
    results = await fleet.build_next()
    assert [(result.image, result.outcome) for result in results] == [
        ("nvidia", Outcome.PASSED),
        ("base", Outcome.PASSED),
        ("desktop", Outcome.PASSED),
    ]
    commit, tags = fleet.git.commits[-1], fleet.tags
    assert [dict(recipe.args) for recipe in fleet.recipes] == [
        {},
        {"BASE_IMAGE": f"{HOST}/os@{tags[f'base-{commit}']}"},
        {"DESKTOP_IMAGE": f"{HOST}/os@{tags[f'desktop-{commit}']}"},
    ]
    assert all(tags[f"{name}-next"] == tags[f"{name}-{commit}"] for name in ("base", "desktop", "nvidia"))
    assert outcome(await fleet.build_next()) is Outcome.UNCHANGED


async def test_what_an_image_needs_is_in_the_registry_although_next_waits_for_all(fleet: Fleet) -> None:
    fleet.only = ["base"]
    await fleet.build_next()
    before = fleet.tags["base-next"]
    fleet.only, fleet.git.checked_out = (), -1
    fleet.git.commit()
    fleet.verdicts[Channel.NEXT] = Outcome.GATE_FAILED
    results = await fleet.build_next()
    assert {result.image: result.outcome for result in results} == dict.fromkeys(
        ("nvidia", "base", "desktop"), Outcome.GATE_FAILED
    )
    assert "Not built, because base did not pass" in results[0].reason
    assert fleet.tags["base-next"] == before
    assert len(fleet.recipes) == 1


async def test_an_image_alone_takes_what_was_built_before_or_is_refused(fleet: Fleet) -> None:
    fleet.only = ["desktop"]
    (refused,) = await fleet.build_next()
    assert refused.outcome is Outcome.PRECONDITION
    assert "desktop is built on base, which has no candidate of commit" in refused.reason
    fleet.only = ["base"]
    await fleet.build_next()
    fleet.only = ["desktop"]
    assert outcome(await fleet.build_next()) is Outcome.PASSED
    assert "BASE_IMAGE" in fleet.recipes[-1].args


async def test_a_release_that_was_gated_in_many_jobs_is_moved_by_one_all_or_none(fleet: Fleet) -> None:
    await fleet.build_next()
    for name in ("base", "desktop"):
        assert outcome(await fleet.gate_testing(name)) is Outcome.PASSED
    refused = await fleet.promote(gated_before=True)
    assert outcome(refused) is Outcome.PRECONDITION
    assert "nvidia has no passed evidence" in refused[0].reason
    assert not [tag for tag in fleet.tags if tag.endswith(("-testing", "-test"))]

    fleet.verdicts[Channel.TESTING] = Outcome.GATE_FAILED
    assert outcome(await fleet.gate_testing("nvidia")) is Outcome.GATE_FAILED
    assert outcome(await fleet.promote(gated_before=True)) is Outcome.PRECONDITION

    fleet.verdicts[Channel.TESTING] = Outcome.PASSED
    assert outcome(await fleet.gate_testing("nvidia")) is Outcome.PASSED
    runs = len(fleet.gate_runs)
    assert outcome(await fleet.promote(gated_before=True)) is Outcome.PASSED
    assert len(fleet.gate_runs) == runs
    assert all(fleet.tags[f"{name}-testing"] == fleet.tags[f"{name}-next"] for name in ("base", "desktop", "nvidia"))


async def test_a_gate_that_was_kept_is_not_run_again(fleet: Fleet) -> None:
    await fleet.build_next()
    await fleet.gate_testing("base")
    runs = len(fleet.gate_runs)
    assert outcome(await fleet.gate_testing("base")) is Outcome.PASSED
    assert len(fleet.gate_runs) == runs


async def test_the_matrix_has_a_cell_for_each_image_or_platform_in_the_order_of_building(fleet: Fleet) -> None:
    async with fleet.world() as world:
        images = json.loads(json.dumps(matrix(world)))["include"]
        platforms = matrix(world, each_platform=True)["include"]
    assert [(cell["image"], cell["group"], cell["needs"]) for cell in images] == [
        ("base", 0, []),
        ("desktop", 1, ["base"]),
        ("nvidia", 2, ["desktop"]),
    ]
    assert images[0]["platforms"] == images[0]["booted"] == ["linux/amd64", "linux/arm64"]
    assert [(cell["image"], cell["machine"], cell["booted"]) for cell in platforms[:2]] == [
        ("base", "x86_64", True),
        ("base", "aarch64", True),
    ]


def test_the_room_of_a_machine_is_read_from_what_it_says() -> None:
    assert read_room("4\nMemTotal: 9 kB\nMemAvailable:    2097152 kB\n") == (2 * 1024**3, 4)
    with pytest.raises(InfrastructureError, match="could not be read"):
        read_room("nproc: not found")
