"""docs/runbook.md, followed to the letter."""

import pytest
from memory_registry import HOST, MemoryRegistry
from scaffold import Bench, configured, outcome

from pipeline.config import Image
from pipeline.domain import Channel, Digest, Outcome, Tag
from pipeline.report.model import Result


@pytest.fixture
async def bench(registry: MemoryRegistry) -> Bench:
    """Two releases."""

    async def push(image: Image, tag: Tag, labels: dict[str, str]) -> Digest:
        return await registry.push(image.repository.path, tag, labels, f"{tag}")

    bench = Bench(configured("os", host=HOST, aliases=["latest"]), registry.copy, push)
    await _release(bench, "v1.0.0")
    await _release(bench, "v1.1.0")
    return bench


async def _tested(bench: Bench, tag: str) -> None:
    bench.git.tags[tag] = bench.git.commit()
    _passed(await bench.build_next())
    _passed(await bench.promote_testing(tag))


async def _release(bench: Bench, version: str) -> None:
    await _tested(bench, f"{version}-test")
    bench.git.tags[version] = bench.git.tags[f"{version}-test"]
    _passed(await bench.promote_stable(version))


def _passed(results: list[Result]) -> None:
    assert outcome(results) == Outcome.PASSED, results[0].reason


async def test_stable_is_bad(registry: MemoryRegistry, bench: Bench) -> None:
    tags = registry.store("os").tags
    _passed(await bench.rollback(Channel.STABLE))
    _passed(await bench.verify())
    assert tags["stable"] == tags["latest"] == tags["v1.0.0"]
    _passed(await bench.release_hold(Channel.STABLE))
    assert outcome(await bench.promote_stable("v1.1.0")) == Outcome.PRECONDITION  # it goes nowhere again
    await _release(bench, "v1.2.0")
    _passed(await bench.verify())


async def test_a_test_tag_was_on_the_wrong_commit(registry: MemoryRegistry, bench: Bench) -> None:
    await _tested(bench, "v1.2.0-test")
    await _tested(bench, "v1.2.0-test.2")
    bench.git.tags["v1.2.0"] = bench.git.tags["v1.2.0-test.2"]
    _passed(await bench.promote_stable("v1.2.0"))
    assert registry.store("os").tags["stable"] == registry.store("os").tags["v1.2.0-test.2"]


@pytest.mark.parametrize("lost", ["v1.1.0", "stable", "latest"])
async def test_the_newest_release_lost_a_tag(registry: MemoryRegistry, bench: Bench, lost: str) -> None:
    before = dict(registry.store("os").tags)
    del registry.store("os").tags[Tag(lost)]
    assert outcome(await bench.verify()) == Outcome.PRECONDITION
    _passed(await bench.promote_stable("v1.1.0"))
    assert {tag: registry.store("os").tags[tag] for tag in before} == before
    _passed(await bench.verify())


async def test_next_was_lost(registry: MemoryRegistry, bench: Bench) -> None:
    lost = registry.store("os").tags.pop(Tag("next"))
    _passed(await bench.build_next())
    assert registry.store("os").tags[Tag("next")] == lost


@pytest.mark.parametrize("lost", ["v1.0.0", "v1.0.0-test"])
async def test_an_older_release_lost_a_tag(registry: MemoryRegistry, bench: Bench, lost: str) -> None:
    """No promotion: that would be one of an older version. `verify` compares what was copied with the ledger."""
    tags = registry.store("os").tags
    digest, stable = tags.pop(Tag(lost)), tags[Tag("stable")]
    again = bench.promote_testing if lost.endswith("test") else bench.promote_stable
    assert outcome(await again(lost)) == Outcome.USAGE
    image = bench.images[0].repository
    await registry.copy(image, stable, image, Tag(lost))
    assert outcome(await bench.verify()) == Outcome.PRECONDITION  # the wrong digest
    await registry.copy(image, digest, image, Tag(lost))
    _passed(await bench.verify())
    assert tags[Tag("stable")] == stable
