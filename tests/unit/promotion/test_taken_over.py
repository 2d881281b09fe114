"""A repository that moves elsewhere with all that belongs to it, and one whose copy left entries of a ledger behind."""

from pathlib import Path

import pytest
from jobs import new_lab
from memory_registry import HOST, MemoryRegistry
from scaffold import Bench, configured, outcome

from pipeline.config import Image
from pipeline.domain import Channel, Digest, Outcome, Repository, Tag
from pipeline.errors import InfrastructureError
from pipeline.registry import ledger
from pipeline.registry.client import RepositoryClient
from pipeline.registry.ledger import Name
from pipeline.world import Copy


@pytest.fixture
async def old(registry: MemoryRegistry) -> Bench:
    """An image with two releases, of which the last was taken back."""
    bench = _bench(registry, "old")
    for version in ("v1.1.0", "v1.2.0"):
        await _release(bench, version)
    assert outcome(await bench.rollback(Channel.STABLE)) == Outcome.PASSED
    return bench


@pytest.fixture
def new(registry: MemoryRegistry, old: Bench) -> Bench:
    """The same git repository, configured for another place."""
    bench = _bench(registry, "new")
    bench.git = old.git
    return bench


def _bench(registry: MemoryRegistry, *names: str, apart: bool = False) -> Bench:
    async def push(image: Image, tag: Tag, labels: dict[str, str]) -> Digest:
        return await registry.push(image.repository.path, tag, labels, f"{tag}")

    return Bench(configured(*names, host=HOST, apart=apart, aliases=["latest", "{major}"]), registry.copy, push)


async def _release(bench: Bench, version: str) -> None:
    bench.git.tags |= dict.fromkeys((version, f"{version}-test"), bench.git.commit())
    for results in (
        await bench.build_next(),
        await bench.promote_testing(f"{version}-test"),
        await bench.promote_stable(version),
    ):
        assert outcome(results) == Outcome.PASSED, results[0].reason


async def test_everything_comes_along_and_a_second_time_nothing(registry: MemoryRegistry, new: Bench) -> None:
    (told,) = await new.import_from(f"{HOST}/old")
    assert told.outcome == Outcome.PASSED, told.reason
    there = dict(registry.store("new").tags)
    assert there == registry.store("old").tags
    (again,) = await new.import_from(f"{HOST}/old")
    assert again.outcome == Outcome.UNCHANGED
    assert registry.store("new").tags == there


async def test_holds_and_withdrawals_stand_in_the_new_place_and_releases_go_on_there(new: Bench) -> None:
    await new.import_from(f"{HOST}/old")
    (refused,) = await new.promote_stable("v1.2.0")
    assert refused.outcome == Outcome.PRECONDITION, refused.reason
    assert outcome(await new.release_hold(Channel.STABLE)) == Outcome.PASSED
    await _release(new, "v1.3.0")
    assert outcome(await new.verify()) == Outcome.PASSED


@pytest.mark.parametrize("copies", [1, 5])
async def test_what_broke_off_is_finished_by_the_same_command(
    registry: MemoryRegistry, new: Bench, copies: int
) -> None:
    new.copy = _only(copies, registry.copy)
    (told,) = await new.import_from(f"{HOST}/old")
    assert told.outcome == Outcome.INFRA, told.reason
    new.copy = registry.copy
    (told,) = await new.import_from(f"{HOST}/old")
    assert told.outcome == Outcome.PASSED, told.reason
    assert registry.store("new").tags == registry.store("old").tags


async def test_of_several_images_none_comes_before_all_can(registry: MemoryRegistry, old: Bench) -> None:
    two = _bench(registry, "new", "other")
    two.git = old.git
    registry.store("other").tags["stable"] = await registry.push("other", "mine", {}, "somebody's")
    told = await two.import_from(f"{HOST}/old")
    assert outcome(told) == Outcome.CONFLICT, told[0].reason
    assert not registry.store("new").tags


async def test_nothing_is_written_over(registry: MemoryRegistry, new: Bench) -> None:
    await _release(new, "v2.0.0")
    before = dict(registry.store("new").tags)
    (told,) = await new.import_from(f"{HOST}/old")
    assert told.outcome == Outcome.CONFLICT, told.reason
    assert registry.store("new").tags == before


async def test_a_channel_that_moves_meanwhile_is_written_nowhere(old: Bench, new: Bench) -> None:
    copy, holds = new.copy, await _holds(old)

    async def copied(source: Repository, digest: Digest, target: Repository, tag: Tag | None) -> None:
        if tag is None and holds:
            await old.release_hold(Channel.STABLE, holds.pop())
            await _release(old, "v1.3.0")
        await copy(source, digest, target, tag)

    new.copy = copied
    (told,) = await new.import_from(f"{HOST}/old")
    assert told.outcome == Outcome.CONFLICT, told.reason
    async with new.world() as world:
        assert await world.repository(new.images[0]).digest(Tag("stable")) is None
    assert outcome(await new.import_from(f"{HOST}/old")) == Outcome.PASSED


@pytest.mark.parametrize("place", ["old", f"{HOST}/old:stable", f"{HOST}/new", f"{HOST}/nobody"])
async def test_what_is_no_place_to_come_from_is_told(new: Bench, place: str) -> None:
    (told,) = await new.import_from(place)
    assert told.outcome in (Outcome.USAGE, Outcome.PRECONDITION), told.reason


async def test_a_misspelt_place_is_told_also_when_all_is_there_already(new: Bench) -> None:
    assert outcome(await new.import_from(f"{HOST}/old")) == Outcome.PASSED
    (told,) = await new.import_from(f"{HOST}/odl")
    assert told.outcome == Outcome.PRECONDITION, told.reason


async def test_releases_that_are_apart_move_to_a_place_of_their_own(registry: MemoryRegistry) -> None:
    old, new = _bench(registry, "old", apart=True), _bench(registry, "new", apart=True)
    new.git = old.git
    await _release(old, "v1.1.0")
    await _release(old, "v1.2.0")
    (told,) = await new.import_from(f"{HOST}/old", f"{HOST}/old-stable")
    assert told.outcome == Outcome.PASSED, told.reason
    for place in ("", "-stable"):
        assert registry.store(f"new{place}").tags == registry.store(f"old{place}").tags
    assert outcome(await new.import_from(f"{HOST}/old", f"{HOST}/old-stable")) == Outcome.UNCHANGED
    await _release(new, "v1.3.0")
    assert outcome(await new.verify()) == Outcome.PASSED


@pytest.mark.parametrize(("apart", "places"), [(True, ["old"]), (False, ["old", "old-stable"])])
async def test_as_many_places_come_as_there_are(
    registry: MemoryRegistry, old: Bench, apart: bool, places: list[str]
) -> None:
    new = _bench(registry, "new", apart=apart)
    (told,) = await new.import_from(*(f"{HOST}/{place}" for place in places))
    assert told.outcome == Outcome.USAGE
    assert "--stable-repository" in told.reason
    assert not registry.store("new").tags


async def test_with_trust_it_is_told_how_releases_go_on_and_they_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with new_lab("old") as lab:
        await lab.release("v1.0.0")
        lab.config = configured("new", host=HOST)
        (told,) = await lab.import_from(f"{HOST}/old")
        assert told.outcome == Outcome.PRECONDITION
        assert "build-next on the main branch, then the tags of the next version" in told.reason
        assert not lab.registry.store("new").tags
        await lab.release("v1.1.0")
        assert outcome(await lab.verify()) == Outcome.PASSED
        assert "v1.0.0" in lab.registry.store("old").tags


@pytest.mark.parametrize("gone", [[1], [2], [1, 2]])
async def test_lost_entries_are_recorded_by_a_person_and_hold_the_channel(
    registry: MemoryRegistry, old: Bench, gone: list[int]
) -> None:
    tags = registry.store("old").tags
    for tag in list(tags):
        if (name := Name.parse(tag)) and name.channel is Channel.STABLE and name.number in gone:
            del tags[tag]
    assert outcome(await old.verify()) == Outcome.PRECONDITION
    (told,) = await old.record_loss(Channel.STABLE)
    assert told.outcome == Outcome.PASSED, told.reason
    assert outcome(await old.record_loss(Channel.STABLE)) == Outcome.UNCHANGED
    assert outcome(await old.record_loss(Channel.TESTING)) == Outcome.UNCHANGED
    (held,) = await old.promote_stable("v1.1.0")
    assert "on hold" in held.reason
    holds = await _holds(old)
    assert len(holds) == len(gone) + 1  # the rollback's
    assert outcome(await old.release_hold(Channel.STABLE, *holds)) == Outcome.PASSED
    await _release(old, "v1.3.0")


async def test_a_tag_that_claims_any_number_has_no_entries_written_up_to_it(
    registry: MemoryRegistry, old: Bench
) -> None:
    tags = registry.store("old").tags
    tags[f"pipeline-ledger-stable-999999999-hold-{'a' * 64}"] = tags["stable"]
    before = dict(tags)
    (told,) = await old.record_loss(Channel.STABLE)
    assert told.outcome == Outcome.PRECONDITION
    assert "delete its tag" in told.reason
    assert registry.store("old").tags == before


async def test_a_line_that_a_list_lacks_once_is_no_loss(old: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, cut = RepositoryClient.tags, iter([True])

    async def tags(self: RepositoryClient) -> list[Tag]:
        found = await whole(self)
        return [tag for tag in found if not ((name := Name.parse(tag)) and name.number == 1)] if next(cut, 0) else found

    monkeypatch.setattr(RepositoryClient, "tags", tags)
    assert outcome(await old.record_loss(Channel.STABLE)) == Outcome.UNCHANGED


async def _holds(bench: Bench) -> list[str]:
    async with bench.world() as world:
        standing = await ledger.standing(world.repository(bench.images[0], Channel.STABLE), Channel.STABLE)
        return [one.digest.hex for one in standing.holds]


def _only(times: int, copy: Copy) -> Copy:
    """The network is away after so many copies."""
    left = iter(range(times))

    async def copied(source: Repository, digest: Digest, target: Repository, tag: Tag | None) -> None:
        if next(left, None) is None:
            raise InfrastructureError("the network is away")
        await copy(source, digest, target, tag)

    return copied
