"""Two images in one repository of a real registry, with date versions and aliases: each goes its own way."""

from datetime import UTC, datetime
from typing import Any

from lab_image import push
from scaffold import Bench, outcome

from pipeline.config import parse
from pipeline.domain import Channel, Digest, Outcome, Repository
from pipeline.registry.client import RegistryClient

PATH = "two/prefixes"


def configuration(registry: str) -> str:
    return f"""
plain_http = ["{registry}"]
[defaults]
repository = "{registry}/{PATH}"
prefix = "{{name}}-"
platforms = ["linux/amd64", "linux/arm64"]
[images.gnome]
names.stable = "gts"
aliases.stable = ["{{prefix}}", "{{major}}", "stable-{{date}}"]
[images.gnome-hwe]
"""


async def tags_of(registry: str) -> dict[str, Digest | None]:
    async with RegistryClient(plain_http={registry}) as client:
        repo = client.repository(Repository.parse(f"{registry}/{PATH}"))
        return {tag: await repo.digest(tag) for tag in await repo.tags()}


async def released(bench: Bench, version: str) -> None:
    bench.git.tags |= dict.fromkeys((version, f"{version}-test"), bench.git.commit())
    for results in (
        await bench.build_next(),
        await bench.promote_testing(f"{version}-test"),
        await bench.promote_stable(version),
    ):
        assert outcome(results) is Outcome.PASSED, [result.reason for result in results]


async def test_two_images_of_one_repository_go_their_own_ways(registry: str, copy: Any) -> None:
    bench = Bench(parse(configuration(registry)), copy, push)
    await released(bench, "v44.20260720.0")
    first = await tags_of(registry)
    day = f"{datetime.now(UTC):%Y%m%d}"
    assert {first[tag] for tag in ("gnome", "gnome-44", "gnome-gts", f"gnome-stable-{day}")} == {
        first["gnome-v44.20260720.0"]
    }
    assert first["gnome-hwe-stable"] == first["gnome-hwe-v44.20260720.0"] != first["gnome-gts"]

    bench.only = ["gnome"]
    bench.git.commit()
    await bench.build_next()
    await released(bench, "v44.20260721.0")
    second = await tags_of(registry)
    assert second["gnome"] == second["gnome-44"] == second["gnome-gts"] == second["gnome-v44.20260721.0"]
    await bench.rollback(Channel.STABLE)
    third = await tags_of(registry)
    assert third["gnome"] == third["gnome-44"] == third["gnome-gts"] == first["gnome-gts"]

    theirs = {tag for tag in first if tag.startswith("gnome-hwe-")}
    assert {tag: third[tag] for tag in theirs} == {tag: first[tag] for tag in theirs}
    bench.only = ()
    assert outcome(await bench.verify()) is Outcome.PASSED
