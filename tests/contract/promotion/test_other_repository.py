"""Testing in one repository, releases in another: what is released can be proven there, by itself."""

import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from lab_image import push
from scaffold import Bench, configured, outcome

from pipeline.commands.history import why
from pipeline.commands.prune import prune, why_kept
from pipeline.commands.status import channels, find_report
from pipeline.domain import Channel, Commit, Digest, Outcome, Tag
from pipeline.errors import InfrastructureError
from pipeline.gates.subject import Subject
from pipeline.registry import media
from pipeline.registry.client import RepositoryClient
from pipeline.registry.disk import attach_disk, fetch_disk
from pipeline.registry.evidence import DiskRecord, find_evidence
from pipeline.registry.retention import DriverKind
from pipeline.world import World

PLATFORM = "linux/amd64"


def lab(registry: str, copy: Any, disk: Path, stable_registry: str = "", *, apart: bool = True) -> Bench:
    async def stored(world: World, subject: Subject) -> dict[str, DiskRecord]:
        repo, digest = world.repository(subject.image), subject.candidate.digest
        platforms = subject.image.platforms
        return {one: await attach_disk(repo, digest, disk, one, builder="b@sha256:0") for one in platforms}

    config = configured(f"test/{uuid4().hex}", host=registry, plain=True, apart=apart, stable_host=stable_registry)
    bench = Bench(config, copy, push)
    bench.store_disks = stored
    return bench


async def released(bench: Bench, version: str, disk: Path) -> Digest:
    """A commit that goes all the way; somebody signs it before its release."""
    (image,) = bench.images
    disk.write_bytes(os.urandom(200_000))  # noqa: ASYNC240
    bench.git.tags |= dict.fromkeys((version, f"{version}-test"), bench.git.commit())
    assert outcome(await bench.build_next()) == Outcome.PASSED
    (tested,) = await bench.promote_testing(f"{version}-test")
    assert tested.outcome == Outcome.PASSED, tested.reason
    assert tested.digest
    async with bench.world() as world:
        await sign(world.repository(image), tested.digest)
    (result,) = await bench.promote_stable(version)
    assert result.outcome == Outcome.PASSED, result.reason
    home = str(image.home(Channel.STABLE))
    assert [(move.repository, move.tag) for move in result.plan] == [(home, version), (home, "stable")]
    return tested.digest


async def sign(repo: RepositoryClient, digest: Digest) -> None:
    layer = await repo.push_blob(os.urandom(100), "application/x-signature")
    await repo.push_artifact("application/x-signature", [layer], subject=await repo.describe(digest))


@pytest.fixture(params=["registry", "crane_registry", "registry to crane_registry", "crane_registry to registry"])
def places(request: pytest.FixtureRequest) -> list[str]:
    """One registry, or two of which the second has the releases; one kind has the referrers API, the other has not."""
    return [request.getfixturevalue(name) for name in request.param.split(" to ")]


async def test_a_release_is_proven_where_it_lives(places: list[str], copy: Any, tmp_path: Path) -> None:
    """Evidence of all gates, disk and signature are there, byte for byte, and the other tags are not."""
    bench = lab(places[0], copy, tmp_path / "disk", places[-1])
    digest = await released(bench, "v1.0.0", tmp_path / "disk")
    async with bench.world() as world:
        here, there = (world.repository(bench.images[0], channel) for channel in (Channel.TESTING, Channel.STABLE))
        tags = (
            set(await here.tags()),
            {tag for tag in await there.tags() if not tag.startswith(("sha256-", "pipeline-"))},
        )
        assert not {"stable", "v1.0.0"} & tags[0]
        assert tags[1] == {"stable", "v1.0.0"}
        attached = {one.digest for one in await here.referrers(digest)}
        assert len(attached) == 6, "the evidence of three gates, two disks, a signature"
        assert {one.digest for one in await there.referrers(digest)} == attached
        for one in (digest, *attached):
            mine, theirs = await here.manifest(one), await there.manifest(one)
            assert mine == theirs is not None
        (proof,) = await find_evidence(there, digest, Channel.TESTING)
        await fetch_disk(there, proof.evidence.disks[PLATFORM], tmp_path / "fetched")
        assert (tmp_path / "fetched").read_bytes() == (tmp_path / "disk").read_bytes()
        assert await there.referrers(digest, media.DISK)
    assert outcome(await bench.verify()) == Outcome.PASSED


async def test_looking_and_taking_back_follow(registry: str, copy: Any, tmp_path: Path) -> None:
    bench = lab(registry, copy, tmp_path / "disk")
    first = await released(bench, "v1.0.0", tmp_path / "disk")
    second = await released(bench, "v1.1.0", tmp_path / "disk")
    (image,) = bench.images
    home = image.home(Channel.STABLE)
    assert image.update_reference == home.tagged(Tag("stable"))
    async with bench.world() as world:
        lines = {line.channel: line for line in await channels(world, image)}
        assert (lines[Channel.STABLE].version, lines[Channel.STABLE].evidence) == ("v1.1.0", "passed")
        assert (lines[Channel.TESTING].version, lines[Channel.TESTING].digest) == ("v1.1.0-test", second)
        explained = await why(world, image, "v1.1.0")
        assert {"stable", "v1.1.0", "testing", "v1.1.0-test", "next"} <= set(explained.tags)
        assert len(explained.evidence) == 3
        assert await find_report(world, image, "v1.1.0")

    (back,) = await bench.rollback(Channel.STABLE)
    assert (back.outcome, back.repository, back.digest) == (Outcome.PASSED, str(home), first)
    (refused,) = await bench.promote_stable("v1.1.0")
    assert refused.outcome == Outcome.PRECONDITION
    assert f"{home}:stable is on hold" in refused.reason
    assert outcome(await bench.verify()) == Outcome.PASSED


async def test_stable_stays_where_it_is_while_what_proves_the_release_cannot_follow(
    registry: str, crane_registry: str, copy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version tag may be there; the channel moves after the evidence is, and a rerun brings both."""
    disk = tmp_path / "disk"
    bench = lab(registry, copy, disk, crane_registry)
    first = await released(bench, "v1.0.0", disk)
    disk.write_bytes(os.urandom(200_000))
    bench.git.tags |= dict.fromkeys(("v1.1.0", "v1.1.0-test"), bench.git.commit())
    assert outcome(await bench.build_next()) == Outcome.PASSED
    assert outcome(await bench.promote_testing("v1.1.0-test")) == Outcome.PASSED

    async def away(*_: Any, **__: Any) -> None:
        raise InfrastructureError("503")

    with monkeypatch.context() as broken:
        broken.setattr("pipeline.registry.transfer.copy_blob", away)
        assert outcome(await bench.promote_stable("v1.1.0")) == Outcome.PARTIAL
    async with bench.world() as world:
        there = world.repository(bench.images[0], Channel.STABLE)
        assert await there.digest(Tag(Channel.STABLE)) == first
    assert outcome(await bench.promote_stable("v1.1.0")) == Outcome.PASSED
    assert outcome(await bench.verify()) == Outcome.PASSED


async def test_prune_looks_at_both_repositories(any_registry: str, copy: Any, tmp_path: Path) -> None:
    """Each has roots of its own; the second may still be empty."""
    bench = lab(any_registry, copy, tmp_path / "disk")
    (image,) = bench.images
    bench.git.commit()
    assert outcome(await bench.build_next()) == Outcome.PASSED
    both = [str(image.home(channel)) for channel in (Channel.NEXT, Channel.STABLE)]
    async with bench.world() as world:
        (found,) = await prune(world, confirm=False, driver=DriverKind.OCI, token=None)
    assert [report.repository for report in found.repositories] == both
    assert not found.exit_code
    digest = await released(bench, "v1.0.0", tmp_path / "disk")
    async with bench.world() as world:
        (found,) = await prune(world, confirm=False, driver=DriverKind.OCI, token=None)
        assert [digest in report.kept for report in found.repositories] == [True, True]
        explained = await why_kept(world, digest, driver=DriverKind.OCI, token=None)
    assert all(f"{home}\n" in explained for home in both)


async def test_prune_deletes_in_both_repositories(any_registry: str, copy: Any, tmp_path: Path) -> None:
    """What nobody needs goes from each; what was released can be proven afterwards as before."""
    bench = lab(any_registry, copy, tmp_path / "disk")
    (image,) = bench.images
    digest = await released(bench, "v1.0.0", tmp_path / "disk")
    homes = [image.home(channel) for channel in (Channel.NEXT, Channel.STABLE)]
    long_ago = {"org.opencontainers.image.created": "2020-02-02T20:20:20+00:00"}
    old = Commit("0" * 40)
    for home in homes:
        pushed = await push(image.model_copy(update={"repository": home}), old, long_ago)
        await copy(home, pushed, home, Tag(old))
    retention = bench.config.retention.model_copy(update={"keep_last": 0})
    bench.config = bench.config.model_copy(update={"retention": retention})
    async with bench.world() as world:
        (done,) = await prune(world, confirm=True, driver=DriverKind.OCI, token=None)
        assert not done.exit_code, done.text()
        assert [len(report.deleted) for report in done.repositories] == [3, 3], done.text()
        (again,) = await prune(world, confirm=True, driver=DriverKind.OCI, token=None)
        assert [report.outcome for report in again.repositories] == [Outcome.UNCHANGED, Outcome.UNCHANGED]
        for home in homes:
            repo = world.registry.repository(home)
            assert await repo.digest(Tag(old)) is None
            assert len(await repo.referrers(digest)) == 6, "the evidence of three gates, two disks, a signature"
    assert outcome(await bench.verify()) == Outcome.PASSED
