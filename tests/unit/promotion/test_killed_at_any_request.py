"""The process is killed after any of its requests: the same command leads where it would have led at once."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from memory_registry import HOST, Bad, Crash, MemoryRegistry, Weather
from scaffold import Bench, configured, outcome
from virtual_time import run

from pipeline.config import Image
from pipeline.domain import Channel, Commit, Outcome
from pipeline.policy.candidate import REVISION_LABEL
from pipeline.report.model import Result

ALIASES = ["latest", "{major}", "stable-{date}"]
EARLY, LATE = 10, 40
"""Every tenth of the first requests, which look and store evidence; all of the last, around which tags are written."""

COMMANDS: dict[str, Callable[[Bench], Awaitable[list[Result]]]] = {
    "build-next": lambda bench: bench.build_next(),
    "promote-testing": lambda bench: bench.promote_testing("v1.1.0-test"),
    "promote-stable": lambda bench: bench.promote_stable("v1.1.0"),
    "rollback": lambda bench: bench.rollback(Channel.STABLE),
}


@pytest.mark.parametrize(("name", "apart"), [*((name, False) for name in COMMANDS), ("promote-stable", True)])
def test_the_same_command_finishes_it(
    name: str, apart: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    registry = MemoryRegistry(referrers_api=False)

    async def push(image: Image, commit: Commit, labels: dict[str, str]) -> None:
        await registry.push(image.repository.path, commit, labels, commit)

    config = configured("os", "desktop", host=HOST, apart=apart, aliases=[] if apart else ALIASES)
    bench = Bench(config, registry.copy, push)

    async def before() -> None:
        """One release, and a second one up to the command."""
        for version in ("v1.0.0", "v1.1.0"):
            bench.git.tags |= dict.fromkeys((version, f"{version}-test"), bench.git.commit())
            steps = [bench.build_next(), bench.promote_testing(f"{version}-test"), bench.promote_stable(version)]
            wanted = len(steps) if version == "v1.0.0" else list(COMMANDS).index(name)
            for step in steps[:wanted]:
                assert outcome(await step) == Outcome.PASSED
            for step in steps[wanted:]:
                step.close()

    def state() -> Any:
        tags = {
            (path, tag): registry.label(path, digest, REVISION_LABEL)
            for path, store in registry.stores.items()
            for tag, digest in store.tags.items()
            if not tag.startswith(("sha256-", "pipeline-"))
        }
        homes = [(image.home(channel).path, channel) for image in bench.images for channel in Channel]
        return tags, {home: len(registry.chain(*home)) for home in homes}

    async def killed(at: int) -> None:
        registry.weather = Weather(Bad.CRASH_AFTER, at)
        with pytest.raises(Crash):
            await COMMANDS[name](bench)
        registry.weather = Weather()
        assert outcome(await COMMANDS[name](bench)).exit_code == 0, f"killed after request {at}"
        assert state() == expected, f"killed after request {at}"
        assert outcome(await bench.verify()) == Outcome.PASSED, f"killed after request {at}"

    with registry.serving():
        run(before())
        start, registry.weather = registry.saved(), Weather()
        assert outcome(run(COMMANDS[name](bench))) == Outcome.PASSED
        requests, expected = registry.weather.count, state()
        places = sorted({*range(1, requests, EARLY), *range(max(1, requests - LATE), requests + 1)})
        for at in places:
            registry.restore(start)
            run(killed(at))
    with capsys.disabled():
        print(f"\n{name}{', apart' if apart else ''}: killed after {len(places)} of {requests} requests")
