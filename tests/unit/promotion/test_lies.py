"""Plausible wrong answers to any request of any command: the table beside that of the faults.

After each of them no tag is where it must not be, the outcome is an outage or that of a true answer, never a finding
about the image, and the same command again leads where it would have led at once.
"""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from operator import methodcaller
from pathlib import Path

import pytest
from memory_registry import HOST, Bad, Lie, MemoryRegistry, Weather
from scaffold import Bench, configured, outcome
from virtual_time import run

from pipeline.commands.status import channels
from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest, Outcome, Refresh
from pipeline.errors import PipelineError
from pipeline.policy.candidate import REVISION_LABEL
from pipeline.report.model import Result

FEW = 97
"""Each request meets every lie; without `-m thorough`, one in so many of them."""

GOOD = {Outcome.PASSED, Outcome.UNCHANGED, Outcome.SUPERSEDED}
AN_OUTAGE = {Outcome.INFRA, Outcome.PARTIAL}
BUILDS_FIRST = {"build-next on hold"}
"""Who is told late of a hold has pushed the candidate of the commit by then, at its own tag."""
BUILDS_ANEW = {"build-next --refresh"}
"""What is said again there makes another candidate, and moves next to that."""
NUMBERED = re.compile(r"[0-9a-f]{40}\.\d+")
ANOTHER_TRUTH = {Lie.STALE, Lie.EMPTY}
"""Nobody can tell such an answer from one that another writer caused."""

Command = Callable[[Bench], Awaitable[list[Result]]]


@dataclass(frozen=True)
class Story:
    """A command, what happened before it, and how it ends when nobody lies."""

    command: Command
    before: tuple[Command, ...] = ()
    ends: Outcome = Outcome.PASSED


async def status(bench: Bench) -> list[Result]:
    async with bench.world() as world:
        try:
            lines = [line for image in bench.images for line in await channels(world, image)]
        except PipelineError as error:
            return [Result(command="status", outcome=error.outcome, reason=str(error))]
    told = "\n".join(f"{one.channel} {one.digest} {one.version} {one.evidence} {one.note}" for one in lines)
    return [Result(command="status", outcome=Outcome.PASSED, reason=told)]


def elsewhere(registry: MemoryRegistry, bench: Bench) -> Digest:
    """What another job built of the newest commit."""
    labels = {f"org.opencontainers.image.{name}": "told" for name in ("source", "created", "version")}
    labels[REVISION_LABEL] = bench.git.commits[-1]
    return registry.put_image("elsewhere/os", labels, "theirs")


async def submit(bench: Bench) -> list[Result]:
    return await bench.submit_next(f"{HOST}/elsewhere/os@{elsewhere(MemoryRegistry(), bench)}")


build = methodcaller("build_next")
try_it = methodcaller("promote_testing", "v1.1.0-test")
try_again = methodcaller("promote_testing", "v1.1.0-test.1")
release = methodcaller("promote_stable", "v1.1.0")
try_older = methodcaller("promote_testing", "v1.0.1-test")
release_older = methodcaller("promote_stable", "v1.0.1")
hold = methodcaller("hold", Channel.STABLE)
go_on = methodcaller("release_hold", Channel.STABLE)
ALL = (build, try_it, release)

REFUSED = Outcome.PRECONDITION
STORIES = {
    "build-next": Story(build),
    "build-next --refresh": Story(methodcaller("build_next", Refresh.ALWAYS), (build,)),
    "submit-next": Story(submit),
    "promote-testing": Story(try_it, (build,)),
    "gate-testing": Story(methodcaller("gate_testing", "v1.1.0-test"), (build,)),
    "promote-stable": Story(release, (build, try_it)),
    "rollback": Story(methodcaller("rollback", Channel.STABLE), ALL),
    "hold": Story(hold, ALL),
    "release-hold": Story(go_on, (*ALL, hold)),
    "verify": Story(methodcaller("verify"), ALL),
    "status": Story(status, (*ALL, hold)),
    "build-next on hold": Story(build, (methodcaller("hold", Channel.NEXT),), REFUSED),
    "promote-testing on hold": Story(try_it, (build, methodcaller("hold", Channel.TESTING)), REFUSED),
    "promote-stable on hold": Story(release, (build, try_it, hold), REFUSED),
    "promote-stable of what is withdrawn": Story(
        release, (build, try_it, methodcaller("rollback", Channel.TESTING)), REFUSED
    ),
    "promote-stable of an older version": Story(release_older, (build, try_older, try_it, release), Outcome.USAGE),
    "promote-stable of the second attempt": Story(release, (build, try_older, try_it, try_again)),
    "promote-stable of what is not tested": Story(release, (build,), REFUSED),
}


class Theatre:
    """A registry with one release behind it, and a story that is told again and again."""

    def __init__(self, story: Story, *, apart: bool, referrers_api: bool) -> None:
        self.registry, self.story = MemoryRegistry(referrers_api), story

        async def push(image: Image, commit: Commit, labels: dict[str, str]) -> None:
            await self.registry.push(image.repository.path, commit, labels, commit)

        self.bench = Bench(configured("os", host=HOST, apart=apart), self.registry.copy, push)

    async def before(self) -> None:
        bench = self.bench
        bench.git.tags |= dict.fromkeys(("v1.0.0", "v1.0.0-test"), bench.git.commit())
        for step in (bench.build_next(), bench.promote_testing("v1.0.0-test"), bench.promote_stable("v1.0.0")):
            assert outcome(await step) == Outcome.PASSED
        later = ("v1.0.1-test", "v1.0.1", "v1.1.0-test", "v1.1.0-test.1", "v1.1.0")
        bench.git.tags |= dict.fromkeys(later, bench.git.commit())
        elsewhere(self.registry, bench)
        for command in self.story.before:
            assert outcome(await command(bench)) == Outcome.PASSED

    def play(self, weather: Weather | None = None) -> list[Result]:
        self.registry.weather = weather or Weather()
        try:
            return run(self.story.command(self.bench))  # type: ignore[arg-type]
        finally:
            self.registry.weather = Weather()

    def tags(self) -> dict[tuple[str, str], str]:
        """The tags that matter, and the commits of what they name."""
        return {
            (path, tag): self.registry.label(path, digest, REVISION_LABEL) or digest
            for path, store in self.registry.stores.items()
            for tag, digest in store.tags.items()
            if not tag.startswith(("sha256-", "pipeline-")) and not NUMBERED.fullmatch(tag)
        }

    def ledgers(self) -> dict[Channel, int]:
        (image,) = self.bench.images
        return {channel: len(self.registry.chain(image.home(channel).path, channel)) for channel in Channel}


def weathers(asked: Sequence[str], every: int) -> Iterator[Weather]:
    """Every lie at every request: once, to its address from then on, to every HEAD, twice, and after a lost answer.

    One in `every` of them.
    """
    chosen = count()
    for at, what in enumerate(asked, start=1):
        for lie in Lie:
            found = [Weather(lie, at), Weather(lie, at, then=lie), Weather(Bad.RESET_AFTER, at, then=lie)]
            if what in asked[at:]:
                found.append(Weather(lie, at, address=True))
            if at == 1:
                found.append(Weather(lie, at, method="HEAD"))
            yield from (one for one in found if next(chosen) % every == 0)


def is_right(name: str, weather: Weather, found: Outcome) -> bool:
    """Whether a command may end so when it met this."""
    if found in AN_OUTAGE or found == STORIES[name].ends:
        return True
    if weather.lie is Lie.STALE and name == "verify":  # what it is told always is what it finds
        return weather.address and found == REFUSED
    if weather.lie is Lie.STALE and name == "release-hold":  # it releases what it is told of; the hold stays
        return found == Outcome.UNCHANGED
    if weather.lie is Lie.STALE and name == "submit-next":  # of a moment when the image was not there yet
        return found in (REFUSED, Outcome.CONFLICT)
    return weather.lie in ANOTHER_TRUTH and found == Outcome.CONFLICT


def play_all(name: str, every: int, *, apart: bool = False, referrers_api: bool = False) -> Counter[Outcome]:
    """How often which outcome came; AssertionError where one was wrong, or what it left behind."""
    theatre = Theatre(STORIES[name], apart=apart, referrers_api=referrers_api)
    ends: Counter[Outcome] = Counter()
    with theatre.registry.serving():
        run(theatre.before())
        start, begun = theatre.registry.saved(), theatre.tags()
        undisturbed = Weather()
        truth = theatre.play(undisturbed)[0]
        assert truth.outcome == STORIES[name].ends, truth.reason
        expected = theatre.tags(), theatre.ledgers()
        for weather in weathers(undisturbed.asked, every):
            theatre.registry.restore(start)
            found = theatre.play(weather)[0]
            ends[found.outcome] += 1
            here = f"{name}: {weather.told}: {found.outcome}, {found.reason}"
            assert is_right(name, weather, found.outcome), here
            strange = theatre.tags().items() - begun.items() - expected[0].items()
            candidates = {one for one in strange if one[0][1] == one[1]} if name in BUILDS_FIRST else set()
            assert strange == candidates, f"{here}: {strange}"
            if found.outcome not in GOOD or found.outcome != truth.outcome:
                found = theatre.play()[0]
                here = f"{here}; again: {found.outcome}, {found.reason}"
                assert found.outcome in ({truth.outcome} | (GOOD if truth.outcome in GOOD else set())), here
            assert strange or theatre.tags() == expected[0], here
            assert strange or name in BUILDS_ANEW or theatre.ledgers() == expected[1], here
            assert name != "status" or weather.lie is Lie.STALE or found.reason == truth.reason, here
    return ends


@pytest.mark.parametrize("name", STORIES)
def test_no_lie_moves_or_loses_anything(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    tell(capsys, name, play_all(name, FEW))


def test_an_old_answer_does_not_lead_a_rollback_too_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is what it says of the channel taken for a rollback that was made before."""
    monkeypatch.chdir(tmp_path)
    theatre = Theatre(STORIES["rollback"], apart=False, referrers_api=False)
    with theatre.registry.serving():
        run(theatre.before())
        start, undisturbed = theatre.registry.saved(), Weather()
        theatre.play(undisturbed)
        expected = theatre.tags(), theatre.ledgers()
        for at, what in enumerate(undisturbed.asked, start=1):
            if what.endswith("/manifests/stable"):
                theatre.registry.restore(start)
                (found,) = theatre.play(Weather(Lie.STALE, at))
                assert found.outcome in (Outcome.PASSED, Outcome.CONFLICT), found.reason
                theatre.play()
                assert (theatre.tags(), theatre.ledgers()) == expected


@pytest.mark.thorough
@pytest.mark.parametrize("name", STORIES)
@pytest.mark.parametrize(("apart", "referrers_api"), [(False, False), (True, False), (False, True)])
def test_no_lie_at_any_request_moves_or_loses_anything(
    name: str,
    apart: bool,
    referrers_api: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    tell(capsys, name, play_all(name, 1, apart=apart, referrers_api=referrers_api))


def tell(capsys: pytest.CaptureFixture[str], name: str, ends: Counter[Outcome]) -> None:
    with capsys.disabled():
        print(f"\n{name}: {ends.total()} lies, " + ", ".join(f"{number} {end}" for end, number in ends.items()))
