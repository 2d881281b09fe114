"""docs/runbook.md, followed to the letter: what a page prints is run in the state that the page is about."""

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta, tzinfo
from typing import Self

import httpx
import pytest
from memory_registry import HOST, MemoryRegistry
from pages import Told, commands, follow
from scaffold import Bench, configured, outcome

from pipeline.commands import prune as pruning
from pipeline.config import Image, parse
from pipeline.domain import Channel, Digest, Outcome, Refresh, Repository, Tag
from pipeline.errors import InfrastructureError
from pipeline.policy.gate import verdict
from pipeline.policy.retention import Rules
from pipeline.report.model import Result
from pipeline.vm.verdict import Found, Waivers, judge


@pytest.fixture
async def bench(registry: MemoryRegistry) -> Bench:
    """Two releases."""
    bench = _untouched(registry)
    await _release(bench, "v1.0.0")
    await _release(bench, "v1.1.0")
    return bench


def _untouched(registry: MemoryRegistry) -> Bench:
    async def push(image: Image, tag: Tag, labels: dict[str, str]) -> Digest:
        return await registry.push(image.repository.path, tag, labels, f"{tag}")

    return Bench(configured("os", host=HOST, aliases=["latest"]), registry.copy, push)


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


def _went_well(told: Told) -> str:
    assert told.outcome == Outcome.PASSED, told.text
    return told.text


def _entries(registry: MemoryRegistry, number: int) -> list[str]:
    return [tag for tag in registry.store("os").tags if tag.startswith(f"pipeline-ledger-stable-{number}-")]


async def _tested_and_tagged(bench: Bench) -> None:
    """The v1.4.0 that the pages speak of, ready to be released."""
    await _tested(bench, "v1.4.0-test")
    bench.git.tags["v1.4.0"] = bench.git.tags["v1.4.0-test"]


async def test_stable_is_bad(registry: MemoryRegistry, bench: Bench) -> None:
    tags = registry.store("os").tags
    for line in commands("Stable is bad")[:2]:
        _went_well(await follow(bench, line))
    assert tags["stable"] == tags["latest"] == tags["v1.0.0"]
    withdrawn = "Withdrawn: stable was taken back from it"
    assert withdrawn in _went_well(await follow(bench, "pipeline why --ref=v1.1.0"))
    assert withdrawn not in _went_well(await follow(bench, "pipeline why --ref=stable"))
    _went_well(await follow(bench, commands("Stable is bad")[2]))
    assert outcome(await bench.promote_stable("v1.1.0")) == Outcome.PRECONDITION  # it goes nowhere again
    await _release(bench, "v1.2.0")
    _passed(await bench.verify())


async def test_the_first_release_is_bad(registry: MemoryRegistry) -> None:
    """There is nothing to go back to, and the hold of the page keeps the next promotion away."""
    bench, (back, *_, hold) = _untouched(registry), commands("Stable is bad")
    await _release(bench, "v1.0.0")
    refused = await follow(bench, back)
    assert refused.outcome == Outcome.PRECONDITION
    assert "hold --channel=stable" in refused.text
    _went_well(await follow(bench, hold))
    await _tested_and_tagged(bench)
    assert outcome(await bench.promote_stable("v1.4.0")) == Outcome.PRECONDITION
    tags = registry.store("os").tags
    assert tags["stable"] == tags["v1.0.0"]


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


@pytest.mark.parametrize("lost", ["v1.2.0", "v1.2.0-test"])
async def test_an_older_release_lost_a_tag(registry: MemoryRegistry, bench: Bench, lost: str) -> None:
    """No promotion: that would be one of an older version. The newest candidate of its commit is another digest."""
    await _release(bench, "v1.2.0")
    _passed(await bench.build_next(Refresh.ALWAYS))
    await _release(bench, "v1.3.0")
    tags = registry.store("os").tags
    before = dict(tags)
    del tags[lost]
    again = bench.promote_testing if lost.endswith("test") else bench.promote_stable
    assert outcome(await again(lost)) == Outcome.USAGE
    look, copy, compare = commands("The registry lost a tag")
    found = await follow(bench, look)
    assert found.outcome == Outcome.PRECONDITION
    said = {"REPOSITORY": f"{HOST}/os", ":v1.2.0": f":{lost}"}
    await follow(bench, copy, said | {"DIGEST": before["stable"]})
    assert (await follow(bench, compare)).outcome == Outcome.PRECONDITION  # the wrong digest
    assert before[lost] in found.text
    await follow(bench, copy, said | {"DIGEST": before[lost]})
    _went_well(await follow(bench, compare))
    assert tags == before


async def test_openqa_is_down(registry: MemoryRegistry, bench: Bench) -> None:
    await _tested_and_tagged(bench)
    before = dict(registry.store("os").tags)
    bench.verdicts[Channel.STABLE] = Outcome.INFRA
    assert outcome(await bench.promote_stable("v1.4.0")) == Outcome.INFRA
    assert {tag: registry.store("os").tags[tag] for tag in ("stable", "latest", "testing")} == {
        tag: before[tag] for tag in ("stable", "latest", "testing")
    }
    assert "v1.4.0" not in registry.store("os").tags
    (which,) = commands("openQA is down")
    assert before["v1.4.0-test"] in _went_well(await follow(bench, which))
    bench.verdicts[Channel.STABLE] = Outcome.PASSED
    _passed(await bench.promote_stable("v1.4.0"))


@pytest.mark.parametrize("moved", [["v1.4.0"], ["v1.4.0", "latest"]])
async def test_a_release_stopped_half_way(registry: MemoryRegistry, bench: Bench, moved: list[str]) -> None:
    await _tested_and_tagged(bench)
    copy = bench.copy

    async def stopping(source: Repository, digest: Digest, target: Repository, tag: Tag | None) -> None:
        if tag and tag not in moved:
            raise InfrastructureError("the network is away")
        await copy(source, digest, target, tag)

    bench.copy = stopping
    plan, again = commands("A release stopped half-way")
    assert (await follow(bench, again)).outcome == Outcome.PARTIAL
    bench.copy = copy
    assert "stable" in _went_well(await follow(bench, plan))
    _went_well(await follow(bench, again))
    assert "Nothing would move" in _went_well(await follow(bench, plan))
    _passed(await bench.verify())


@pytest.mark.parametrize("number", [1, 2])
async def test_an_entry_of_the_ledger_is_copied_back(registry: MemoryRegistry, bench: Bench, number: int) -> None:
    """The last one is gone without a gap, which shows by the channel."""
    store = registry.store("os")
    (lost,) = _entries(registry, number)
    old = registry.store("old")
    old.manifests, old.blobs, old.tags = dict(store.manifests), dict(store.blobs), dict(store.tags)
    del store.tags[lost]
    assert outcome(await bench.verify()) == Outcome.PRECONDITION
    said = {"OLD": f"{HOST}/old", "REPOSITORY": f"{HOST}/os", "pipeline-ledger-…": lost}
    _went_well(await follow(bench, commands("The ledger has a hole")[0], said))
    _passed(await bench.verify())


async def test_the_newest_entry_of_the_ledger_is_gone(registry: MemoryRegistry, bench: Bench) -> None:
    (lost,) = _entries(registry, 2)
    del registry.store("os").tags[lost]
    assert outcome(await bench.verify()) == Outcome.PRECONDITION
    await _release(bench, "v1.2.0")
    assert "v1.1.0 is there and no entry" in (await bench.verify())[0].reason
    del registry.store("os").tags["v1.1.0"]
    _passed(await bench.verify())


@pytest.mark.parametrize("numbers", [[1], [2], [1, 2]])
async def test_entries_of_the_ledger_are_gone_for_good(
    registry: MemoryRegistry, bench: Bench, numbers: list[int]
) -> None:
    await _release(bench, "v1.2.0")
    for tag in [tag for number in numbers for tag in _entries(registry, number)]:
        del registry.store("os").tags[tag]
    refused = [await follow(bench, line) for line in ("pipeline verify", "pipeline history --channel=stable")]
    assert all(told.outcome == Outcome.PRECONDITION and f"entry {numbers[0]}" in told.text for told in refused)
    assert "is broken" in " ".join(_went_well(await follow(bench, "pipeline status")).split())
    _, loss, status, release = commands("The ledger has a hole")
    _went_well(await follow(bench, loss))
    holds = _holds(_went_well(await follow(bench, status)))
    assert len(holds) == len(numbers)
    _went_well(await follow(bench, release, {"--hold=…": " ".join(f"--hold={one}" for one in holds)}))
    _passed(await bench.verify())
    await _release(bench, "v1.3.0")


async def test_a_version_that_no_gate_passed_does_not_count_for_a_lost_entry(
    registry: MemoryRegistry, bench: Bench
) -> None:
    """Nor do more versions than entries were lost."""
    await _release(bench, "v1.2.0")
    tags = registry.store("os").tags
    (lost,) = _entries(registry, 1)
    del tags[lost]
    _passed(await bench.record_loss(Channel.STABLE))
    _passed(await bench.release_hold(Channel.STABLE))
    _passed(await bench.verify())
    tags["v1.0.1"] = tags["v1.0.0"]
    assert outcome(await bench.verify()) == Outcome.PRECONDITION
    del tags["v1.0.1"]
    tags["v1.0.0"] = registry.put_image("os", {}, "somebody's")
    assert outcome(await bench.verify()) == Outcome.PRECONDITION


def _holds(status: str) -> list[str]:
    """As `status` shows them."""
    return re.findall(r"on hold ([0-9a-f]{12}) by ", " ".join(status.split()))


async def test_a_full_registry(registry: MemoryRegistry, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two months after candidates that nobody promoted."""
    tags = registry.store("os").tags
    for _ in range(3):
        bench.git.commit()
        _passed(await bench.build_next())
    old = tags[bench.git.commits[-2]]
    bench.config = bench.config.model_copy(update={"retention": Rules(keep_last=0)})
    monkeypatch.setattr(pruning, "datetime", _Later)
    plan, confirm, why = commands("A registry that is full")
    answer = registry._registry
    monkeypatch.setattr(registry, "_registry", _full(answer))
    bench.git.commit()
    assert "prune" in (await bench.build_next())[0].reason
    bench.git.commits.pop()
    assert "may go" in _went_well(await follow(bench, plan))
    refused = await follow(bench, confirm)
    assert refused.outcome == Outcome.PRECONDITION
    assert "a few kB" in refused.text
    assert old in registry.store("os").manifests
    monkeypatch.setattr(registry, "_registry", answer)
    _went_well(await follow(bench, confirm))
    assert old not in registry.store("os").manifests
    assert "stays" in _went_well(await follow(bench, why, {"DIGEST": tags["v1.0.0"]}))
    _passed(await bench.verify())


class _Later(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + timedelta(days=60)


def _full(answer: Callable[[httpx.Request], httpx.Response]) -> Callable[[httpx.Request], httpx.Response]:
    """A registry whose quota is used up."""
    said = {"errors": [{"code": "DENIED", "message": "quota exceeded"}]}
    return lambda asked: httpx.Response(403, json=said) if asked.method in ("PUT", "POST") else answer(asked)


async def test_a_hold_that_nobody_needs(bench: Bench) -> None:
    _passed(await bench.hold(Channel.TESTING, "wait for the base"))
    _passed(await bench.hold(Channel.TESTING, "wait for the fair"))
    status, release = commands("A hold that nobody needs")
    holds = _holds(_went_well(await follow(bench, status)))
    _went_well(await follow(bench, release, {"--hold=…": f"--hold={holds[0]}", "…": "over"}))
    assert _holds(_went_well(await follow(bench, status))) == holds[1:]
    bench.git.tags["v1.4.0-test"] = bench.git.commit()
    _passed(await bench.build_next())
    assert outcome(await bench.promote_testing("v1.4.0-test")) == Outcome.PRECONDITION
    _passed(await bench.promote_testing("v1.4.0-test", override_hold=True))
    assert _holds(_went_well(await follow(bench, status))) == holds[1:]


async def test_a_reason_is_one_line_for_the_record(bench: Bench) -> None:
    _passed(await bench.hold(Channel.TESTING, "a\nb \x1b[31m \ud800 " + "x" * 100_000))
    bench.git.tags["v1.4.0-test"] = bench.git.commit()
    _passed(await bench.build_next())
    (told,) = await bench.promote_testing("v1.4.0-test")
    assert "(a b ?[31m ? xxx" in told.reason
    assert len(told.reason) < 2000


WAIVED = """[images.os]
repository = "registry.test/os"
[[waivers]]
check = "journal"
match = "oops"
bug = "https://bugs.example.org/1"
until = {until}
"""


@pytest.mark.parametrize(
    ("until", "findings", "expected"),
    [
        ("2026-05-31", ["oops: again"], Outcome.GATE_FAILED),
        ("2026-05-31", [], Outcome.PASSED),  # the bug is mended
        ("2026-07-31", ["oops: again"], Outcome.PASSED),  # a new date
    ],
)
def test_a_waiver_has_ended(until: str, findings: list[str], expected: Outcome) -> None:
    config = parse(WAIVED.format(until=until))
    check = judge(["journal"], Found(findings), Waivers(config.waivers, date(2026, 6, 1)), frozenset())
    said, reason = verdict([check])
    assert said == expected
    assert ("https://bugs.example.org/1" in reason) == (said is Outcome.GATE_FAILED)


@pytest.mark.parametrize("recorded", [False, True])
async def test_a_key_has_leaked(registry: MemoryRegistry, bench: Bench, recorded: bool) -> None:
    """Somebody moved stable, past the pipeline or with it."""
    tags = registry.store("os").tags
    good = dict(tags)
    if recorded:
        await _release(bench, "v6.6.6")
    else:
        registry.tag("os", "stable", registry.put_image("os", {}, "somebody's"), by_us=False)
    history, verify, rollback = commands("A key has leaked")
    assert ("v6.6.6" in _went_well(await follow(bench, history))) == recorded
    assert (await follow(bench, verify)).outcome == (Outcome.PASSED if recorded else Outcome.PRECONDITION)
    _went_well(await follow(bench, rollback, {"DIGEST": good["v1.1.0"]}))
    assert tags["stable"] == good["stable"]
    _went_well(await follow(bench, verify))


async def test_the_image_moves_to_another_registry(registry: MemoryRegistry, bench: Bench) -> None:
    before = dict(registry.store("os").tags)
    bench.config = configured("new", host=HOST, aliases=["latest"])
    (move,) = commands("The image moves to another registry")
    _went_well(await follow(bench, move, {"ghcr.io/old/yellowfin": f"{HOST}/os"}))
    assert registry.store("new").tags == before


async def test_a_gate_fails_and_its_report_is_beside_the_digest(bench: Bench) -> None:
    """The tag is in git alone: what failed is named by no version tag of the registry."""
    bench.git.tags["v1.4.0-test"] = bench.git.commit()
    _passed(await bench.build_next())
    bench.verdicts[Channel.TESTING] = Outcome.GATE_FAILED
    assert outcome(await bench.promote_testing("v1.4.0-test")) == Outcome.GATE_FAILED
    evidence, _ = commands("A gate fails and nobody sees why")  # the other boots the disk, on an engine
    _went_well(await follow(bench, evidence))
