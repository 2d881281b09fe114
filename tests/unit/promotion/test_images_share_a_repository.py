"""Several images in one repository: whatever is done to some of them, nothing of the others is touched."""

import os
import re
from asyncio import Runner
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from memory_registry import HOST, MemoryRegistry
from scaffold import Bench, outcome
from virtual_time import VirtualTime

from pipeline.commands import status
from pipeline.commands.prune import _rules
from pipeline.config import Image, parse
from pipeline.domain import Channel, Digest, Outcome, Repository, Tag
from pipeline.registry.retention import prune
from pipeline.registry.retention.oci import OciDriver

EXAMPLES = int(os.environ.get("PIPELINE_PROPERTY_EXAMPLES", "4"))

PLATFORMS = ["linux/amd64", "linux/arm64"]
CONFIG = f"""
[images.base]
repository = "{HOST}/os"
platforms = {PLATFORMS}
[images.gnome]
repository = "{HOST}/os"
prefix = "gnome-"
platforms = {PLATFORMS}
names = {{ stable = "gts" }}
aliases = {{ stable = ["{{prefix}}", "latest", "{{major}}", "stable-{{date}}"], next = ["nightly"] }}
[images.gnome-hwe]
repository = "{HOST}/os"
prefix = "gnome-hwe-"
platforms = {PLATFORMS}
[retention]
keep_last = 1
older_than = "24h"
rollback_targets = 1
max_percent = 100
"""
COMMON = r"next|testing|stable|v\d+\.\d+\.\d+(-test(\.\d+)?)?|[0-9a-f]{40}(\.\d+)?|pipeline-ledger-.*"
WHOSE = {
    "gnome-hwe": rf"gnome-hwe-({COMMON})",
    "gnome": rf"gnome|gnome-({COMMON.replace('stable', 'gts', 1)}|latest|nightly|\d+|stable-\d{{8}})",
    "base": COMMON,
}
"""Written without the code under test."""
NOBODYS = ("gnome-stable", "gnome-hwe", "gnome-hwe-gts", "kde-next", "whatever", "gnome-v1.0", "gnome-hwe-latest")
LATER = timedelta(days=60)


class Shop:
    """A repository of three images, and whoever works on it."""

    def __init__(self) -> None:
        self.registry = MemoryRegistry()
        for prefix, stable in (("gnome-", "gts"), ("gnome-hwe-", "stable")):
            words = {Channel.NEXT: "next", Channel.TESTING: "testing", Channel.STABLE: stable}
            self.registry.channels |= {prefix + word: (prefix, channel) for channel, word in words.items()}
        self.bench = Bench(parse(CONFIG), self.registry.copy, self.push)
        self.version = 0

    async def push(self, image: Image, tag: Tag, labels: dict[str, str]) -> Digest:
        """No two builds are alike."""
        return await self.registry.push(image.repository.path, tag, labels, f"{tag} {len(self.registry.writes)}")

    @property
    def tags(self) -> dict[str, Digest]:
        return self.registry.store("os").tags

    async def release(self, only: tuple[str, ...] = (), major: int = 1) -> None:
        """From a commit to stable."""
        self.bench.only = only
        self.version += 1
        version = f"v{major}.{self.version}.0"
        self.bench.git.tags |= dict.fromkeys((version, f"{version}-test"), self.bench.git.commit())
        for results in (
            await self.bench.build_next(),
            await self.bench.promote_testing(f"{version}-test"),
            await self.bench.promote_stable(version),
        ):
            assert outcome(results) is Outcome.PASSED, [result.reason for result in results]

    async def prune(self, only: tuple[str, ...]) -> None:
        """As the command does it, in two months."""
        self.bench.only = only
        async with self.bench.world() as world:
            home = Repository(HOST, "os")
            driver = OciDriver(world.registry.repository(home))
            now = datetime.now(UTC) + LATER
            report = await prune(world.registry, home, _rules(world, home), confirm=True, now=now, driver=driver)
            assert not report.outcome.exit_code, report.reason

    async def verified(self) -> None:
        self.bench.only = ()
        found = await self.bench.verify()
        assert outcome(found) is Outcome.PASSED, [result.reason for result in found]

    def of_others(self, only: tuple[str, ...]) -> dict[str, Digest]:
        """Every tag that is not of these images, and not of the repository as a whole."""
        mine = [re.compile(WHOSE[name]) for name in only or WHOSE]
        shared = ("sha256-", "pipeline-evidence-", "pipeline-disk-", "pipeline-prun", "pipeline-probe-")
        return {
            tag: digest
            for tag, digest in self.tags.items()
            if not tag.startswith(shared) and not any(pattern.fullmatch(tag) for pattern in mine)
        }


@contextmanager
def shop(path: Path) -> Iterator[Shop]:
    before = Path.cwd()
    os.chdir(path)
    try:
        made = Shop()
        with made.registry.serving():
            yield made
    finally:
        os.chdir(before)


names = st.lists(st.sampled_from(sorted(WHOSE)), min_size=1, max_size=2, unique=True).map(tuple)
commands = st.sampled_from(["release", "build", "rollback", "prune", "hold", "prune"])


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="PIPELINE_PROPERTY_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(st.lists(st.tuples(commands, names, st.integers(1, 2)), min_size=2, max_size=5))
def test_no_command_touches_a_tag_of_another_image(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, tuple[str, ...], int]]
) -> None:
    async def all_of_it(made: Shop) -> None:
        await made.release()
        for tag in NOBODYS:
            made.registry.tag("os", tag, made.registry.put_image("os", {}, tag), by_us=False)
        for what, only, major in steps:
            others = made.of_others(only)
            assert set(NOBODYS) <= set(others)
            made.bench.only = only
            match what:
                case "release":
                    await made.bench.release_hold(Channel.STABLE)
                    await made.release(only, major)
                case "build":
                    made.bench.git.commit()
                    await made.bench.build_next()
                case "rollback":
                    await made.bench.rollback(Channel.STABLE)
                case "hold":
                    await made.bench.hold(Channel.TESTING)
                    await made.bench.release_hold(Channel.TESTING)
                case "prune":
                    await made.prune(only)
            assert made.of_others(only) == others, f"{what} of {only}"
            await made.verified()

    with shop(tmp_path_factory.mktemp("shop")) as made, Runner(loop_factory=VirtualTime) as runner:
        runner.run(all_of_it(made))


async def test_aliases_follow_their_channel_and_go_back_with_it(tmp_path: Path) -> None:
    with shop(tmp_path) as made:
        await made.release()
        day, first = f"{datetime.now(UTC):%Y%m%d}", made.tags["gnome-gts"]
        aliases = {"gnome", "gnome-latest", "gnome-1", f"gnome-stable-{day}"}
        assert {made.tags[tag] for tag in aliases} == {first}
        assert made.tags["gnome-nightly"] == made.tags["gnome-next"]

        await made.release(major=2)
        second = made.tags["gnome-gts"]
        assert {made.tags[tag] for tag in (aliases - {"gnome-1"}) | {"gnome-2"}} == {second}
        assert made.tags["gnome-1"] == first
        async with made.bench.world() as world:
            lines = await status.channels(world, made.bench.config.images["gnome"])
        assert lines[2].aliases == ["gnome", "gnome-latest", "gnome-2", f"gnome-stable-{day}"]
        assert "stable (gnome-gts)" in status.status_text({"os": lines})

        await made.release(major=2)
        third = made.tags["gnome-gts"]
        await made.bench.rollback(Channel.STABLE)
        assert {made.tags[tag] for tag in ("gnome", "gnome-latest", "gnome-2", "gnome-gts")} == {second}
        await made.bench.rollback(Channel.STABLE, to="v1.1.0")
        assert {made.tags[tag] for tag in ("gnome", "gnome-latest", "gnome-1", "gnome-gts")} == {first}
        assert made.tags["gnome-v2.3.0"] == third
        await made.verified()


async def test_verify_sees_an_alias_that_somebody_moved_or_wrote(tmp_path: Path) -> None:
    with shop(tmp_path) as made:
        await made.release()
        strange = made.registry.put_image("os", {}, "strange")
        made.registry.tag("os", "gnome-latest", strange, by_us=False)
        made.registry.tag("os", "gnome-77", strange, by_us=False)
        found = {result.image: result for result in await made.bench.verify()}
        assert found["gnome"].outcome is Outcome.PRECONDITION
        (check,) = [check for check in found["gnome"].checks if not check.lets_through]
        assert check.name == "stable/aliases"
        assert "gnome-latest is sha256" in check.reason
        assert "gnome-77 is there and no entry" in check.reason
        assert found["base"].outcome is found["gnome-hwe"].outcome is Outcome.PASSED


async def test_evidence_of_one_image_lets_no_other_through(tmp_path: Path) -> None:
    """Even of the same digest: the disk that booted follows the other one's channel for its updates."""
    with shop(tmp_path) as made:
        async with made.bench.world() as world:
            versions = [await world.gate_version(image, Channel.TESTING) for image in world.images]
        assert len(set(versions)) == 3
