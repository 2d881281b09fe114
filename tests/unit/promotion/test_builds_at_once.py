"""Builds of one commit, and submissions, in the same moment: no name is taken from a candidate that has it."""

from collections import Counter
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from memory_registry import HOST, Delay, MemoryRegistry, Weather
from scaffold import Bench, LocalImage, configured, outcome
from virtual_time import run

from pipeline.config import Image
from pipeline.domain import Digest, Outcome, Refresh, Tag
from pipeline.policy.candidate import REVISION_LABEL
from pipeline.report.model import Result

SEEDS = 10
MOVED_ON = {Outcome.CONFLICT, Outcome.PARTIAL}
"""How a command ends that found another one at work: the same one again finishes it."""

Command = Callable[[], Coroutine[Any, Any, list[Result]]]

_acting: ContextVar[int] = ContextVar("acting", default=-1)


class Site:
    """A repository with one commit that is to be built, and whoever builds it."""

    def __init__(self) -> None:
        self.registry, self.built = MemoryRegistry(), 0
        self.bench = Bench(configured("os", host=HOST), self.registry.copy, self.push)
        self.sha = self.bench.git.commit()

    async def push(self, image: Image, tag: Tag, labels: dict[str, str]) -> None:
        """No two builds are alike."""
        self.built += 1
        await self.registry.push(image.repository.path, tag, labels, f"build {self.built}")

    async def submit(self) -> list[Result]:
        labels = {f"org.opencontainers.image.{name}": "told" for name in ("source", "created", "version")}
        digest = self.registry.put_image("elsewhere/os", labels | {REVISION_LABEL: self.sha}, "theirs")
        return await self.bench.submit_next(f"{HOST}/elsewhere/os@{digest}")

    @property
    def names(self) -> dict[str, Digest]:
        """The candidates of the commit."""
        return {tag: digest for tag, digest in self.registry.store("os").tags.items() if tag.startswith(self.sha)}

    async def at_once(self, *commands: Command, random: Random | None = None, **weather: Any) -> list[Result]:
        """How each of them ended."""
        found: dict[int, Result] = {}

        async def one(number: int) -> None:
            _acting.set(number)
            await anyio.sleep(random.uniform(0, 0.2) if random else number)
            (found[number],) = await commands[number]()

        self.registry.weather = Weather(slow=random, **weather)
        async with anyio.create_task_group() as group:
            for number in range(len(commands)):
                group.start_soon(one, number)
        self.registry.weather = Weather()
        return [found[number] for number in range(len(commands))]

    async def check(self, ended: list[Result], commands: tuple[Command, ...]) -> None:
        """What was said is so, and the same commands again end well."""
        told = "; ".join(f"{one.outcome}, {one.reason}" for one in ended) + f"; {self.names}"
        for result in ended:
            assert not result.exit_code or result.outcome in MOVED_ON, told
            assert result.exit_code or result.digest in self.names.values(), told
        assert self.registry.store("os").tags["next"] in self.names.values(), told
        before = self.names
        for command in commands:
            assert not outcome(await command()).exit_code, told
        assert before.items() <= self.names.items(), told
        assert outcome(await self.bench.verify()) == Outcome.PASSED, told


@pytest.mark.parametrize(
    "kinds", ["build build", "build submit", "build refresh build"], ids=lambda kinds: kinds.replace(" ", "+")
)
def test_whoever_comes_second_takes_the_next_number_or_what_came_first(
    kinds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ends: Counter[str] = Counter()

    async def story(seed: int) -> None:
        site = Site()
        those: dict[str, Command] = {
            "build": site.bench.build_next,
            "refresh": lambda: site.bench.build_next(Refresh.ALWAYS),
            "submit": site.submit,
        }
        commands = tuple(those[kind] for kind in kinds.split())
        with site.registry.serving():
            ended = await site.at_once(*commands, random=Random(seed))
            ends.update(one.outcome for one in ended)
            ends["quicker"] += sum("quicker" in one.reason for one in ended)
            await site.check(ended, commands)

    for seed in range(SEEDS):
        run(story(seed))
    with capsys.disabled():
        print(f"\n{kinds}: {dict(ends)}")


def test_a_write_that_is_long_under_way_gives_the_name_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It looked before the other build wrote, and takes effect when that one has ended and next is there."""
    monkeypatch.chdir(tmp_path)
    site = Site()
    build = site.bench.build_next

    def delays(what: str) -> Delay | None:
        return Delay(300.0) if what == f"tool tags {site.sha}" and _acting.get() == 0 else None

    async def story() -> None:
        slow, quick = await site.at_once(build, build, delays=delays)
        assert (quick.outcome, slow.outcome) == (Outcome.PASSED, Outcome.UNCHANGED), slow.reason
        assert len([write for write in site.registry.writes if write.tag == site.sha]) == 3
        assert set(site.names.values()) == {quick.digest} == {slow.digest}
        await site.check([slow, quick], (build, build))

    with site.registry.serving():
        run(story())


def test_a_build_that_ends_after_another_takes_that_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    site, real = Site(), LocalImage.build

    async def slowly(*given: Any) -> LocalImage:
        await anyio.sleep(60 if _acting.get() == 0 else 0)
        return await real(*given)

    monkeypatch.setattr(LocalImage, "build", slowly)

    async def story() -> None:
        late, quick = await site.at_once(site.bench.build_next, site.bench.build_next)
        assert (quick.outcome, late.outcome) == (Outcome.PASSED, Outcome.UNCHANGED), late.reason
        assert "another build of this commit was quicker" in late.reason
        assert set(site.names.values()) == {quick.digest} == {late.digest}
        assert site.built == 1, "what nobody needs was pushed"

    with site.registry.serving():
        run(story())
