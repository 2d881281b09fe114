"""Commands of several people and machines at once, with requests that are under way for up to five minutes.

After each race: what was acknowledged is there, what was taken back is in no channel, version tags are where they were
first, and the ledger explains every channel, or a command has said that it does not and the same commands mend it.
"""

import os
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import methodcaller
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import anyio
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from memory_registry import HOST, Delay, MemoryRegistry, Weather
from scaffold import Bench, configured, outcome
from virtual_time import run

from pipeline.config import Image
from pipeline.domain import Channel, Digest, Outcome, Tag
from pipeline.gates import evidence
from pipeline.policy.names import CREATED
from pipeline.policy.retention import Rules
from pipeline.policy.tags import is_version_tag
from pipeline.registry import ledger
from pipeline.registry.evidence import StoredEvidence, attach_evidence
from pipeline.report.model import Result

EXAMPLES = int(os.environ.get("PIPELINE_RACES", "25"))
THOROUGH = int(os.environ.get("PIPELINE_RACES", "1500"))
QUIET = 400.0
"""Seconds after which nothing is under way any more."""

SAID_SO = {Outcome.CONFLICT, Outcome.PARTIAL, Outcome.INFRA}
GOOD = {Outcome.PASSED, Outcome.UNCHANGED, Outcome.SUPERSEDED}

FORGOTTEN = "v1.2.5"
"""The version of a commit that was built long ago and never tested: prune may take its candidate."""
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
RETENTION = Rules.model_validate({"keep_last": 0, "older_than": "24h", "rollback_targets": 1, "max_percent": 100})

Command = Callable[[Bench], Awaitable[list[Result]]]

COMMANDS: dict[str, Command] = {
    "build": methodcaller("build_next"),
    "test v1.3.0": methodcaller("promote_testing", "v1.3.0-test"),
    "test v1.2.0 again": methodcaller("promote_testing", "v1.2.0-test.1"),
    "release v1.1.0": methodcaller("promote_stable", "v1.1.0"),
    "release v1.2.0": methodcaller("promote_stable", "v1.2.0"),
    "release v1.2.0 over a hold": methodcaller("promote_stable", "v1.2.0", override_hold=True),
    "roll back stable": methodcaller("rollback", Channel.STABLE),
    "roll back testing": methodcaller("rollback", Channel.TESTING),
    "hold stable": methodcaller("hold", Channel.STABLE),
    "hold testing": methodcaller("hold", Channel.TESTING),
    "go on with stable": methodcaller("release_hold", Channel.STABLE),
    "go on with testing": methodcaller("release_hold", Channel.TESTING),
    "gate v1.3.0": methodcaller("gate_testing", "v1.3.0-test"),
    "test an old candidate": methodcaller("promote_testing", f"{FORGOTTEN}-test"),
    "prune": methodcaller("prune"),
}

_acting: ContextVar[int] = ContextVar("acting", default=-1)


@dataclass(frozen=True)
class Slow:
    """A request of a command that takes its time."""

    command: int
    kind: str
    """How the method and the path begin."""
    number: int
    """Which of these it is."""
    delay: Delay


@dataclass
class Race:
    """What happens at once."""

    commands: list[str]
    starts: list[float]
    slow: list[Slow]
    gate_takes: float
    seed: int
    asked: Counter[tuple[int, str]] = field(default_factory=Counter)

    def delays(self, what: str) -> Delay | None:
        """Counts the requests of each command."""
        found = None
        for kind in {one.kind for one in self.slow}:
            if what.startswith(kind):
                self.asked[_acting.get(), kind] += 1
        for one in self.slow:
            mine = what.startswith(one.kind) and one.command == _acting.get()
            if mine and self.asked[one.command, one.kind] == one.number:
                found = one.delay
        return found


delays = st.builds(Delay, st.sampled_from([1.0, 5.0, 20.0, 35.0, 60.0, 130.0, 300.0]), st.booleans())
kinds = st.sampled_from(["tool tags", "tool tags", "PUT", "DELETE", "GET /v2/os/tags", "GET", ""])


@st.composite
def races(draw: st.DrawFn) -> Race:
    commands = draw(st.lists(st.sampled_from(sorted(COMMANDS)), min_size=2, max_size=4))
    here = st.integers(0, len(commands) - 1)
    slow = st.builds(Slow, here, kinds, st.integers(1, 6) | st.integers(1, 80), delays)
    return Race(
        commands,
        [draw(st.sampled_from([0.0, 0.0, 0.5, 3.0, 30.0, 100.0])) for _ in commands],
        draw(st.lists(slow, min_size=1, max_size=2)),
        draw(st.sampled_from([0.0, 20.0])),
        draw(st.integers(0, 1000)),
    )


class Shop:
    """A registry with two releases behind it and two more before it."""

    def __init__(self, *, apart: bool = False) -> None:
        self.registry = MemoryRegistry(referrers_api=False)

        async def push(image: Image, tag: Tag, labels: dict[str, str]) -> None:
            built = self.bench.long_ago or datetime.now(UTC)
            await self.registry.push(image.repository.path, tag, labels | {CREATED: built.isoformat()}, tag)

        config = configured("os", host=HOST, apart=apart).model_copy(update={"retention": RETENTION})
        self.bench = Bench(config, self.registry.copy, push, deadline=120.0)
        self.bench.long_ago = LONG_AGO
        self.attached: list[tuple[str, Digest, StoredEvidence]] = []

    async def open(self) -> None:
        bench = self.bench
        for version in ("v0.9.0", "v1.0.0", "v1.1.0", "v1.2.0", FORGOTTEN, "v1.2.6"):
            bench.git.tags |= dict.fromkeys((version, f"{version}-test", f"{version}-test.1"), bench.git.commit())
            steps = [bench.build_next]
            if version < FORGOTTEN:
                steps.append(lambda version=version: bench.promote_testing(f"{version}-test"))
            if version < "v1.1.0":
                steps.append(lambda version=version: bench.promote_stable(version))
            for step in steps:
                assert outcome(await step()) == Outcome.PASSED
        bench.git.tags |= dict.fromkeys(("v1.3.0", "v1.3.0-test"), bench.git.commit())
        bench.long_ago = None

    async def attach(self, repo: Any, digest: Digest, *told: Any) -> StoredEvidence:
        """`attach_evidence`, with an ear on its answers."""
        stored = await attach_evidence(repo, digest, *told)
        self.attached.append((repo.repository.path, digest, stored))
        return stored

    async def race(self, race: Race) -> list[Result]:
        """How each command ended."""
        results: dict[int, Result] = {}

        async def one(number: int) -> None:
            _acting.set(number)
            await anyio.sleep(race.starts[number])
            results[number] = (await COMMANDS[race.commands[number]](self.bench))[0]

        self.bench.gate_takes = race.gate_takes
        self.registry.weather = Weather(slow=Random(race.seed), delays=race.delays)
        async with anyio.create_task_group() as group:
            for number in range(len(race.commands)):
                group.start_soon(one, number)
        await anyio.sleep(QUIET)
        self.registry.weather = Weather()
        return [results[number] for number in range(len(race.commands))]

    def entries(self, channel: Channel) -> dict[Digest, dict[str, Any]]:
        """Of the ledger, newest first, read by other code than the pipeline's."""
        path = self.bench.images[0].home(channel).path
        return {digest: self.registry._entry(path, digest) for digest in self.registry.chain(path, channel)}

    def withdrawn(self, channel: Channel) -> set[Digest]:
        """What rollbacks of a channel took back, and no override took again."""
        retaken = {one for every in Channel for entry in self.entries(every).values() for one in entry["retakes"]}
        return {
            Digest(move["old"])
            for digest, entry in self.entries(channel).items()
            if entry["kind"] == "rollback" and digest not in retaken
            for move in entry["moves"]
        }

    def channel(self, channel: Channel) -> Digest | None:
        image = self.bench.images[0]
        return self.registry.store(image.home(channel).path).tags.get(channel)

    def check(self, begun: int) -> None:
        """What holds after every race, whatever its commands said."""
        for (path, channel), written in self.bench.acknowledged.items():
            assert set(written) <= set(self.registry.chain(path, channel)), f"the {channel} ledger lost an entry"
        for path, subject, stored in self.attached:
            store = self.registry.store(path)
            if subject not in store.manifests:
                continue  # prune took the image, with all that speaks of it
            assert stored.digest in store.manifests, "evidence is gone"
            assert stored.digest in store.tags.values(), "evidence has lost its tag"
        for write in self.registry.writes[begun:]:
            assert not is_version_tag(write.tag) or write.old in (None, write.new), f"{write.tag} moved"
        for channel in Channel:
            assert self.channel(channel) not in self.withdrawn(channel), f"{channel} is at what it was taken back from"
        for path, store in self.registry.stores.items():
            for tag, digest in store.tags.items():
                assert self.registry.whole(path, digest), f"a part of {path}:{tag} is gone"


def play(race: Race, shop: Shop, saved: Any) -> Counter[Outcome]:
    """One race, what it left, and the same commands one after the other."""
    start, acknowledged = saved
    shop.registry.restore(start)
    shop.bench.acknowledged, shop.attached = {key: list(found) for key, found in acknowledged.items()}, []
    begun = len(shop.registry.writes)
    found = run(shop.race(race))
    ends = [result.outcome for result in found]
    told = "; ".join(f"{name}: {one.outcome}, {one.reason}" for name, one in zip(race.commands, found, strict=True))
    try:
        shop.check(begun)
        seen = run(shop.bench.verify())[0]
        assert seen.outcome == Outcome.PASSED or SAID_SO & set(ends), seen.reason
        again = [run(COMMANDS[name](shop.bench))[0] for name in race.commands]  # type: ignore[arg-type]
        told += " | again: " + "; ".join(f"{one.outcome}, {one.reason}" for one in again)
        shop.check(begun)
        seen = run(shop.bench.verify())[0]
        assert seen.outcome == Outcome.PASSED, f"again: {seen.reason}"
    except AssertionError as error:
        raise AssertionError(f"{error}\n{race}\n{told}") from error
    return Counter(ends)


def play_many(examples: int, *, derandomize: bool, apart: bool = False) -> Counter[Outcome]:
    """How often the commands ended how."""
    shop, ends = Shop(apart=apart), Counter[Outcome]()
    with ExitStack() as stack:
        stack.enter_context(shop.registry.serving())
        stack.enter_context(patch.object(ledger, "append", shop.bench.listening(ledger.append)))
        stack.enter_context(patch.object(evidence, "attach_evidence", shop.attach))
        run(shop.open())
        saved = shop.registry.saved(), {key: list(found) for key, found in shop.bench.acknowledged.items()}

        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=derandomize,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            print_blob=False,
        )
        @given(races())
        def every(race: Race) -> None:
            ends.update(play(race, shop, saved))

        every()
    return ends


def test_nothing_is_lost_and_nothing_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tell(capsys, play_many(EXAMPLES, derandomize=True))


@pytest.mark.parametrize("between", ["hold stable", "roll back testing"])
def test_a_slow_promotion_does_not_put_in_force_another_that_was_refused(
    between: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is recorded, and refused before it moves anything, while the slow one's write is under way."""
    monkeypatch.chdir(tmp_path)
    shop = Shop()
    slow = Slow(0, "tool tags stable", 1, Delay(60.0))
    refused = Slow(1, "PUT /v2/os/manifests/pipeline-ledger-stable", 1, Delay(20.0, after=True))
    with shop.registry.serving():
        run(shop.open())
        race = Race(["release v1.1.0", "release v1.2.0", between], [0.0, 10.0, 20.0], [slow, refused], 0.0, 0)
        ends = [result.outcome for result in run(shop.race(race))]
        assert ends == [Outcome.PASSED, Outcome.PARTIAL, Outcome.PASSED]
        tags = shop.registry.store("os").tags
        assert tags["stable"] == tags["v1.1.0"]
        assert run(shop.bench.verify())[0].outcome == Outcome.PASSED


@pytest.mark.parametrize("start", [20.0, 100.0, 119.0, 121.0, 200.0])
def test_a_deletion_that_nobody_waits_for_any_more_takes_nothing_from_a_channel(
    start: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prune gives up on the evidence of an old candidate after two minutes; the registry deletes it after five."""
    monkeypatch.chdir(tmp_path)
    shop = Shop()
    with shop.registry.serving():
        run(shop.open())
        tags = shop.registry.store("os").tags
        candidate = tags[shop.bench.git.tags[FORGOTTEN]].removeprefix("sha256:")
        (proof,) = {digest for tag, digest in tags.items() if tag.startswith(f"pipeline-evidence-next-{candidate}")}
        slow = [Slow(0, f"DELETE /v2/os/manifests/{proof}", number, Delay(300.0)) for number in range(1, 9)]
        race = Race(["prune", "test an old candidate"], [0.0, start], slow, 0.0, 0)
        pruned, tested = run(shop.race(race))
        assert pruned.outcome is Outcome.PARTIAL, pruned.reason
        assert proof not in shop.registry.store("os").manifests
        assert tested.outcome is Outcome.CONFLICT, tested.reason
        assert shop.channel(Channel.TESTING) == shop.registry.store("os").tags["v1.2.0-test"]


@pytest.mark.thorough
@pytest.mark.parametrize("apart", [False, True])
def test_nothing_is_lost_and_nothing_comes_back_in_many_races(
    apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tell(capsys, play_many(THOROUGH, derandomize=False, apart=apart))


def tell(capsys: pytest.CaptureFixture[str], ends: Counter[Outcome]) -> None:
    with capsys.disabled():
        print(f"\n{ends.total()} commands in races: " + ", ".join(f"{number} {end}" for end, number in ends.items()))
