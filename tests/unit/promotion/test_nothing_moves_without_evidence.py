"""Any sequence of builds, tags, promotions, rollbacks, holds, crashes, outages and races keeps what must always hold.

Every command runs on copies of the same registry: once in good weather, then again (nothing changes), and once in bad
weather, after which running it again must lead exactly where good weather would have led (DESIGN, section 2).
"""

import os
import re
from asyncio import Runner
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import anyio
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from memory_registry import HOST, Bad, Crash, MemoryRegistry, Weather, Write, acting
from scaffold import Bench, configured, outcome
from virtual_time import VirtualTime

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest, Outcome, Refresh, Tag
from pipeline.policy.candidate import DEMANDED_LABELS, REVISION_LABEL
from pipeline.policy.tags import TestTag, Version, is_version_tag, release_tags, tags_for_testing
from pipeline.registry import ledger
from pipeline.report.model import Result

EXAMPLES = int(os.environ.get("PIPELINE_PROPERTY_EXAMPLES", "25"))
STEPS = 14
CANDIDATE = re.compile(r"[0-9a-f]{40}(\.[0-9]+)?")

GOOD = {Outcome.PASSED, Outcome.UNCHANGED, Outcome.SUPERSEDED}
REFUSALS = {Outcome.USAGE, Outcome.PRECONDITION}
AN_OUTAGE = {Outcome.INFRA, Outcome.PARTIAL}

Command = Callable[[], Awaitable[list[Result]]]

channels = st.sampled_from(list(Channel))
verdicts = st.sampled_from([Outcome.PASSED] * 4 + [Outcome.GATE_FAILED, Outcome.INFRA])
# where it hits: counted from the first request, or from the last, around which the tags are written
bad_weather = st.none() | st.tuples(
    st.sampled_from(list(Bad)), st.integers(0, 400) | st.integers(-40, -1), st.booleans()
)
versions = st.sampled_from(["v1.0.0", "v1.0.1", "v1.1.0", "v2.0.0"])


class Releases(RuleBasedStateMachine):
    """A release engineer, several CI runners, a bad network and a stranger with push rights."""

    tried: dict[str, int] = {}
    """What was tried, over all examples."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = Runner(loop_factory=VirtualTime)
        self.stack = ExitStack()
        self.before = Path.cwd()
        os.chdir(self.stack.enter_context(TemporaryDirectory()))
        self.registry = MemoryRegistry()
        self.stack.enter_context(self.registry.serving())

    def teardown(self) -> None:
        os.chdir(self.before)
        self.stack.close()
        self.runner.close()

    @initialize(
        names=st.sampled_from([("os",), ("os", "desktop")]),
        referrers_api=st.booleans(),
        past=st.booleans(),
        apart=st.booleans(),
    )
    def start(self, names: tuple[str, ...], referrers_api: bool, past: bool, apart: bool) -> None:
        self.registry.referrers_api = referrers_api
        config = configured(*names, host=HOST, apart=apart, aliases=["latest", "{major}"] if past else [])
        self.bench = Bench(config, self.registry.copy, self.push, containerfile=f"FROM {HOST}/base:10")
        self.stack.enter_context(patch.object(ledger, "append", self.bench.listening(ledger.append)))
        self.builds = 0
        self.over = False
        """Whether the command overrides holds."""
        self.racing = False
        self.checked = 0
        self.base_moves()
        commit = self.bench.git.commit()
        if past:  # two releases are behind us
            for version in ("v0.8.0", "v0.9.0"):
                self.bench.git.tags |= {version: commit, f"{version}-test": commit}
                self.run(self.bench.build_next)
                self.run(self.promoting(f"{version}-test"))
                assert outcome(self.run(self.promoting(version))) == Outcome.PASSED
                commit = self.bench.git.commit()

    async def push(self, image: Image, commit: Commit, labels: dict[str, str]) -> None:
        self.builds += 1  # no two builds are alike
        await self.registry.push(image.repository.path, commit, labels, f"{commit} {self.builds}")

    # What people and machines do ------------------------------------------------------------------------------------

    @rule()
    def commit(self) -> None:
        self.bench.git.commit()

    @rule(verdict=verdicts, weather=bad_weather, back=st.integers(0, 1))
    def build(self, verdict: Outcome, weather: Any, back: int) -> None:
        self.bench.git.checked_out = max(-1 - back, -len(self.bench.git.commits))
        self.perform(self.bench.build_next, Channel.NEXT, verdict, weather)

    @rule()
    def base_moves(self) -> None:
        """Others push what every image here is built on."""
        self.builds += 1
        self.registry.tag("base", "10", self.registry.put_image("base", {}, f"base {self.builds}"), by_us=False)

    @rule(verdict=verdicts, weather=bad_weather, back=st.integers(0, 1))
    def refresh(self, verdict: Outcome, weather: Any, back: int) -> None:
        self.bench.git.checked_out = max(-1 - back, -len(self.bench.git.commits))
        self.perform(lambda: self.bench.build_next(Refresh.AUTO), Channel.NEXT, verdict, weather)

    @rule(verdict=verdicts, weather=bad_weather, back=st.integers(0, 1))
    def submit(self, verdict: Outcome, weather: Any, back: int) -> None:
        """Another job built the first image of a commit, which is checked out."""
        config, git = self.bench.config, self.bench.git
        git.checked_out = max(-1 - back, -len(git.commits))
        self.builds += 1
        labels = dict.fromkeys(DEMANDED_LABELS, "x") | {REVISION_LABEL: git.commits[git.checked_out]}
        built = self.registry.put_image("elsewhere", labels, f"elsewhere {self.builds}")
        self.bench.config = config.model_copy(update={"images": dict(list(config.images.items())[:1])})
        self.perform(lambda: self.bench.submit_next(f"{HOST}/elsewhere@{built}"), Channel.NEXT, verdict, weather)
        self.bench.config = config

    @rule(version=versions, attempt=st.sampled_from(["", "", ".1"]), back=st.integers(0, 2))
    def tag_for_testing(self, version: str, attempt: str, back: int) -> None:
        commits = self.bench.git.commits
        self.bench.git.tags.setdefault(f"{version}-test{attempt}", commits[max(0, len(commits) - 1 - back)])

    @precondition(lambda self: self.bench.git.tags)
    @rule(data=st.data(), verdict=verdicts, weather=bad_weather, older=st.booleans(), over=st.booleans())
    def promote_to_testing(self, data: st.DataObject, verdict: Outcome, weather: Any, older: bool, over: bool) -> None:
        tag = data.draw(st.sampled_from([tag for tag in self.bench.git.tags if "-test" in tag]))
        self.promote(Channel.TESTING, tag, verdict, weather, older, over)

    @precondition(lambda self: self.bench.git.tags)
    @rule(data=st.data(), verdict=verdicts, weather=bad_weather, older=st.booleans(), over=st.booleans())
    def promote_to_stable(self, data: st.DataObject, verdict: Outcome, weather: Any, older: bool, over: bool) -> None:
        test_tag = data.draw(st.sampled_from([tag for tag in self.bench.git.tags if "-test" in tag]))
        tag = test_tag.partition("-")[0]
        self.bench.git.tags.setdefault(tag, self.bench.git.tags[test_tag])
        self.promote(Channel.STABLE, tag, verdict, weather, older, over)

    def promote(self, channel: Channel, tag: str, verdict: Outcome, weather: Any, older: bool, over: bool) -> None:
        act = self.bench.promote_testing if channel is Channel.TESTING else self.bench.promote_stable
        self.over = over
        self.perform(lambda: act(tag, allow_older=older, override_hold=over), channel, verdict, weather, lowers=older)
        self.over = False

    @rule(channel=channels, weather=bad_weather)
    def take_back(self, channel: Channel, weather: Any) -> None:
        self.perform(lambda: self.bench.rollback(channel), None, Outcome.PASSED, weather, lowers=True)

    @rule(channel=channels, weather=bad_weather)
    def hold(self, channel: Channel, weather: Any) -> None:
        self.perform(lambda: self.bench.hold(channel), None, Outcome.PASSED, weather)

    @rule(channel=channels, weather=bad_weather)
    def release_hold(self, channel: Channel, weather: Any) -> None:
        self.perform(lambda: self.bench.release_hold(channel), None, Outcome.PASSED, weather)

    @rule(channel=channels)
    def stranger(self, channel: Channel) -> None:
        """Somebody pushes to a channel past the pipeline."""
        self.move_by_stranger(channel)
        assert outcome(self.run(self.bench.verify)) == Outcome.PRECONDITION, "verify does not see the stranger"

    @precondition(lambda self: self.bench.git.tags)
    @rule(data=st.data(), at=st.integers(0, 100))
    def stranger_meanwhile(self, data: st.DataObject, at: int) -> None:
        """Somebody moves a channel in the middle of a promotion to it."""
        tag = data.draw(st.sampled_from(sorted(self.bench.git.tags)))
        channel = Channel.TESTING if "-test" in tag else Channel.STABLE
        act = self.bench.promote_testing if channel is Channel.TESTING else self.bench.promote_stable
        self.bench.verdicts = dict.fromkeys(Channel, Outcome.PASSED)
        self.registry.weather = Weather(at=at, stranger=lambda: self.move_by_stranger(channel))
        found = outcome(self.run(lambda: act(tag)))
        self.registry.weather = Weather()
        assert found in GOOD | REFUSALS | {Outcome.CONFLICT}
        self.check_writes()
        self.count("strangers in the middle")

    @precondition(lambda self: self.bench.git.tags)
    @rule(data=st.data(), seed=st.integers(0, 2**32))
    def race(self, data: st.DataObject, seed: int) -> None:
        """Two commands at once; run again one after the other, they come to rest."""
        tags = sorted(self.bench.git.tags)
        commands: dict[str, Command] = {"build": self.bench.build_next}
        commands["refresh"] = lambda: self.bench.build_next(Refresh.AUTO)
        commands |= {
            f"roll back {channel}": self.rolling_back(channel) for channel in (Channel.TESTING, Channel.STABLE)
        }
        commands |= {f"promote {tag}": self.promoting(tag) for tag in tags}
        self.bench.verdicts = dict.fromkeys(Channel, Outcome.PASSED)
        names = data.draw(st.lists(st.sampled_from(sorted(commands)), min_size=2, max_size=2))
        found: list[Outcome] = []

        async def one(number: int, name: str) -> None:
            acting.set(str(number))
            found.append(outcome(await commands[name]()))

        async def both() -> None:
            async with anyio.create_task_group() as group:
                for number, name in enumerate(names):
                    group.start_soon(one, number, name)

        self.registry.weather = Weather(slow=Random(seed))
        self.runner.run(both())
        self.registry.weather = Weather()
        assert set(found) <= GOOD | REFUSALS | {Outcome.CONFLICT, Outcome.PARTIAL}
        self.racing = True
        self.check_writes()
        self.racing = False
        self.count("races")

        async def afterwards() -> None:
            for name in names:
                await commands[name]()

        self.runner.run(afterwards())
        rest = self.tags()
        self.runner.run(afterwards())
        assert self.tags() == rest, "it does not come to rest"
        self.check()

    def promoting(self, tag: str) -> Command:
        return lambda: self.bench.promote_testing(tag) if "-test" in tag else self.bench.promote_stable(tag)

    def rolling_back(self, channel: Channel) -> Command:
        return lambda: self.bench.rollback(channel)

    # How each command is tried --------------------------------------------------------------------------------------

    def perform(
        self, command: Command, gate: Channel | None, verdict: Outcome, weather: Any, *, lowers: bool = False
    ) -> None:
        self.bench.verdicts = dict.fromkeys(Channel, Outcome.PASSED) | ({gate: verdict} if gate else {})
        start = self.saved()
        if weather:
            clean, requests = self.clean(command, verdict)
            expected = self.tags(), self.ledgers()
            self.restore(start)
            self.storm(command, clean, weather, requests)
            again = outcome(self.run(command))
            assert again == clean or (clean in GOOD and again in GOOD), f"{clean} in good weather, now {again}"
            assert (self.tags(), self.ledgers()) == expected, "not where good weather leads"
        else:
            clean, _ = self.clean(command, verdict)
        self.check(lowers=lowers)
        if clean in GOOD:
            rest, runs = self.tags(), len(self.bench.gate_runs)
            repeated = outcome(self.run(command))
            assert repeated in (Outcome.UNCHANGED, Outcome.SUPERSEDED), f"repeated, it says {repeated}"
            assert self.tags() == rest, "repeated, it moves tags"
            assert len(self.bench.gate_runs) == runs, "repeated, it runs its gate again"

    def clean(self, command: Command, verdict: Outcome) -> tuple[Outcome, int]:
        self.registry.weather = Weather()
        results = self.run(command)
        requests, found = self.registry.weather.count, outcome(results)
        assert found in GOOD | REFUSALS | {verdict}, (found, [result.reason for result in results])
        self.count(found)
        return found, requests

    def storm(self, command: Command, clean: Outcome, weather: Any, requests: int) -> None:
        bad, at, lasting = weather
        self.registry.weather = Weather(bad, 1 + at % max(requests, 1), lasting)
        try:
            found = outcome(self.run(command))
        except Crash:
            self.count("crashes")
        else:
            assert found in AN_OUTAGE | {clean} | (GOOD if clean in GOOD else set()), f"{clean}, but in {bad}: {found}"
            self.count("outages")
        self.registry.weather = Weather()
        self.check_writes()

    def run(self, command: Command) -> list[Result]:
        return self.runner.run(command())

    def saved(self) -> Any:
        return self.registry.saved(), deepcopy(self.bench.acknowledged)

    def restore(self, saved: Any) -> None:
        self.registry.restore(saved[0])
        self.bench.acknowledged = deepcopy(saved[1])
        self.checked = len(self.registry.writes)

    def count(self, what: str) -> None:
        self.tried[what] = self.tried.get(what, 0) + 1

    def move_by_stranger(self, channel: Channel) -> None:
        path = self.bench.images[0].home(channel).path
        self.builds += 1
        image = self.registry.put_image(path, {}, f"stranger {self.builds}")
        self.registry.tag(path, Tag(channel), image, by_us=False)

    # What must always hold ------------------------------------------------------------------------------------------

    def check(self, *, lowers: bool = True) -> None:
        self.check_writes(lowers=lowers)
        strange = [write for write in self.last_channel_writes() if not write.by_us]
        found = self.run(self.bench.verify)
        if not strange:
            assert outcome(found) == Outcome.PASSED, [result.reason for result in found]

    def check_writes(self, *, lowers: bool = True) -> None:
        """Each write so far was allowed when it was made, and no acknowledged entry of a ledger is lost."""
        for write in self.registry.writes[self.checked :]:
            if is_version_tag(write.tag):
                assert write.old in (None, write.new), f"{write.tag} moved"
                gate = Channel.TESTING if "-test" in write.tag else Channel.STABLE
                assert write.verdicts[gate] == Outcome.PASSED
            if CANDIDATE.fullmatch(write.tag) and not self.racing:  # no registry has a tag that is only created
                assert write.old in (None, write.new), f"the candidate {write.tag} was written again"
            if write.tag in list(Channel) and write.by_us:
                needed = list(Channel)[: list(Channel).index(Channel(write.tag)) + 1]
                assert {write.verdicts[gate] for gate in needed} == {Outcome.PASSED}, f"{write} without evidence"
                assert not write.over_hold or self.over, f"{write} although it is on hold"
                assert not write.knowingly_over_another, f"{write} over what somebody else wrote"
            if write.tag == Channel.STABLE and write.by_us and not lowers:
                assert self.version(write.path, write.old) <= self.version(write.path, write.new), "stable goes back"
            if write.tag == Channel.TESTING and write.by_us and not lowers:
                assert self.attempt(write.path, write.old) <= self.attempt(write.path, write.new), "testing goes back"
            if write.tag == Channel.NEXT and write.by_us and not lowers:
                assert self.place(write.path, write.old) <= self.place(write.path, write.new), "next goes back"
        self.checked = len(self.registry.writes)
        for (path, channel), entries in self.bench.acknowledged.items():
            assert set(entries) <= set(self.registry.chain(path, channel)), f"the {channel} ledger lost an entry"

    def version(self, path: str, digest: Digest | None) -> Version:
        """The highest that a digest was released under; 0.0.0 for none."""
        tags = self.registry.store(path).tags
        found = release_tags(tag for tag, named in tags.items() if named == digest)
        return found[-1].version if found else Version(0, 0, 0)

    def attempt(self, path: str, digest: Digest | None) -> TestTag:
        """The highest that a digest was tested under; v0.0.0-test for none."""
        tags = self.registry.store(path).tags
        found = tags_for_testing(tag for tag, named in tags.items() if named == digest)
        return found[-1] if found else TestTag(Version(0, 0, 0))

    def place(self, path: str, digest: Digest | None) -> tuple[int, int]:
        """Of its commit in the history, -1 for none, and its number among the candidates of that commit."""
        commit = self.registry.label(path, digest, REVISION_LABEL)
        names = [
            tag for tag, named in self.registry.store(path).tags.items() if named == digest and CANDIDATE.fullmatch(tag)
        ]
        numbers = [int(name.partition(".")[2] or 1) for name in names]
        return self.bench.git.commits.index(Commit(commit)) if commit else -1, max(numbers, default=0)

    def last_channel_writes(self) -> list[Write]:
        last = {(write.path, write.tag): write for write in self.registry.writes if write.tag in list(Channel)}
        return list(last.values())

    def tags(self) -> dict[tuple[str, str], str]:
        """What the tags that matter stand for: the commit, since no two builds are alike."""
        return {
            (path, tag): self.registry.label(path, digest, REVISION_LABEL)
            for path, store in self.registry.stores.items()
            for tag, digest in store.tags.items()
            if not tag.startswith(("sha256-", "pipeline-"))
        }

    def ledgers(self) -> dict[tuple[str, Channel], int]:
        """How long each channel's history is."""
        return {
            (image.name, channel): len(self.registry.chain(image.home(channel).path, channel))
            for image in self.bench.images
            for channel in Channel
        }


def test_no_sequence_moves_anything_without_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    Releases.tried = {}
    run_state_machine_as_test(
        Releases,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="PIPELINE_PROPERTY_EXAMPLES" not in os.environ,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            print_blob=False,
        ),
    )
    with capsys.disabled():
        print("\n" + ", ".join(f"{number} {what}" for what, number in sorted(Releases.tried.items())))
