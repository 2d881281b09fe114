"""Two releases that are promoted in the same moment, with many orders of their requests."""

from collections import Counter
from pathlib import Path
from random import Random

import anyio
import pytest
from memory_registry import HOST, MemoryRegistry, Weather
from scaffold import Bench, configured, outcome
from virtual_time import run

from pipeline.config import Image
from pipeline.domain import Commit, Outcome

LOW, HIGH = "v1.0.0", "v1.1.0"
SEEDS = 25


async def at_once(registry: MemoryRegistry, bench: Bench, random: Random) -> dict[str, Outcome]:
    """How the two ended."""
    for version in (LOW, HIGH):
        bench.git.tags |= dict.fromkeys((version, f"{version}-test"), bench.git.commit())
        await bench.build_next()
        await bench.promote_testing(f"{version}-test")
    found: dict[str, Outcome] = {}

    async def one(version: str) -> None:
        await anyio.sleep(random.uniform(0, 0.1))
        found[version] = outcome(await bench.promote_stable(version))

    registry.weather = Weather(slow=random)
    async with anyio.create_task_group() as group:
        group.start_soon(one, LOW)
        group.start_soon(one, HIGH)
    registry.weather = Weather()
    return found


def test_the_higher_one_stays_the_history_explains_it_and_the_loser_may_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ends: Counter[tuple[Outcome, Outcome]] = Counter()

    async def story(seed: int) -> None:
        registry = MemoryRegistry()

        async def push(image: Image, commit: Commit, labels: dict[str, str]) -> None:
            await registry.push(image.repository.path, commit, labels, commit)

        bench = Bench(configured("os", host=HOST), registry.copy, push)
        with registry.serving():
            found = await at_once(registry, bench, Random(seed))
            ends[found[LOW], found[HIGH]] += 1
            for version in (LOW, HIGH):
                assert outcome(await bench.promote_stable(version)).exit_code == 0
            tags = registry.store("os").tags
            assert tags["stable"] == tags[HIGH], f"seed {seed}: {found}"
            told = await bench.verify()
            assert outcome(told) == Outcome.PASSED, f"seed {seed}: {found}, {told[0].reason}"

    for seed in range(SEEDS):
        run(story(seed))
    assert {end for found in ends for end in found} >= {Outcome.PASSED, Outcome.CONFLICT}, "they never met"
