"""What the number of images in one configuration costs: requests, time and memory of each command.

All images share one repository, each behind a prefix, as flavors do: every list of tags has the tags of all. Stages are
the real ones on the registry in memory of tests/unit/promotion; builds, gates and skopeo are stand-ins. Requests are
the pipeline's own, not skopeo's; time is that of the processor, which the registry in memory takes as well. Each count
is a process of its own, so that its memory is.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from tempfile import TemporaryDirectory
from typing import Any

import anyio

from pipeline.commands.matrix import matrix
from pipeline.commands.status import channels
from pipeline.config import Config, Image, parse
from pipeline.domain import Digest, Tag
from rehearsal.lab import MODULE

sys.path.append(str(MODULE / "tests" / "unit" / "promotion"))

from memory_registry import HOST, MemoryRegistry, Weather
from scaffold import Bench, outcome

COUNTS = (1, 20, 142)
"""One image, what several real repositories have, and all flavors of the largest."""

_PAGE = 1000
"""Tags that a registry tells at once."""


class Quick(MemoryRegistry):
    """Without the memory of every write that the tests look at."""

    def tag(self, path: str, tag: str, new: Digest, *, by_us: bool = True) -> None:  # noqa: ARG002
        self.store(path).tags[tag] = new

    def remember(self) -> None:
        pass

    def _tags(self, request: Any, path: str, rest: str) -> Any:
        """A page at a time; the client asks for what comes after it."""
        answer = super()._tags(request, path, rest)
        told = answer.json()
        return type(answer)(200, json=told | {"tags": told["tags"][:_PAGE]})


def configured(count: int) -> tuple[Config, float]:
    """So many images, and the seconds of the processor that reading them took."""
    shared = f'[defaults]\nrepository = "{HOST}/os"\nprefix = "{{name}}-"\nplatforms = ["linux/amd64", "linux/arm64"]\n'
    text = shared + "".join(f'[images.flavor{number}]\nbuild.target = "f{number}"\n' for number in range(count))
    started = time.process_time()
    return parse(text), time.process_time() - started


class Fleet:
    """One configuration, and what its commands took."""

    def __init__(self, count: int) -> None:
        config, self.parsing = configured(count)
        self.registry = Quick()
        self.bench = Bench(config, self.registry.copy, self.push, deadline=600)
        self.found: list[dict[str, Any]] = []

    async def push(self, image: Image, tag: Tag, labels: dict[str, str]) -> Digest:
        return await self.registry.push("os", tag, labels, f"{image.name} {tag}")

    async def measured(self) -> list[dict[str, Any]]:
        """The way of one commit, and looks at it afterwards."""
        self.found.append({"command": "reading pipeline.toml", "seconds": self.parsing, "requests": 0})
        bench, versions = self.bench, ("v1.0.0-test", "v1.0.0")
        bench.git.tags |= dict.fromkeys(versions, bench.git.commit())
        with self.registry.serving():
            for name, act in (
                ("build-next", bench.build_next),
                ("build-next again", bench.build_next),
                ("promote-testing", lambda: bench.promote_testing(versions[0])),
                ("promote-stable", lambda: bench.promote_stable(versions[1])),
                ("status", self.status),
                ("verify", bench.verify),
            ):
                await self.timed(name, act)
        return self.found

    async def status(self) -> list[Any]:
        async with self.bench.world() as world:
            assert len(matrix(world)["include"]) == len(world.images)
            for image in world.images:
                await channels(world, image)
        return []

    async def timed(self, name: str, act: Callable[[], Awaitable[list[Any]]]) -> None:
        self.registry.weather = Weather()
        started = time.process_time()
        results = await act()
        seconds = time.process_time() - started
        if results and outcome(results).exit_code:
            raise RuntimeError(f"{name}: {results[0].reason}")
        requests = sum(not one.startswith("tool ") for one in self.registry.weather.asked)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        self.found.append({"command": name, "seconds": seconds, "requests": requests, "MB": peak})


def measured(counts: tuple[int, ...] = COUNTS) -> list[str]:
    """The table, a line each."""
    found = {count: _in_its_own_process(count) for count in counts}
    head = "".join(f"{f'{count} images':>35}" for count in counts)
    lines = [f"{'':<24}{head}", f"{'':<24}" + f"{'requests  an image  seconds    MB':>35}" * len(counts)]
    for number, first in enumerate(found[counts[0]]):
        cells = ""
        for count in counts:
            one = found[count][number]
            peak = one.get("MB", "")
            cells += f"{one['requests']:>10} {one['requests'] / count:>9.1f} {one['seconds']:>8.2f} {peak:>5}"
        lines.append(f"{first['command']:<24}{cells}")
    return lines


def _in_its_own_process(count: int) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "rehearsal.fleet", str(count)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    answer: list[dict[str, Any]] = json.loads(told.stdout)
    return answer


async def _one(count: int) -> list[dict[str, Any]]:
    with TemporaryDirectory(prefix="bootc-bench-") as folder:
        os.chdir(folder)  # reports are made below the working directory
        try:
            return await Fleet(count).measured()
        finally:
            os.chdir(MODULE)


if __name__ == "__main__":
    print(json.dumps(anyio.run(_one, int(sys.argv[1]))))
