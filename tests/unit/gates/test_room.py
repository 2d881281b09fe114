"""What a step takes of the engine's disk is said before it begins, and a full disk is an outage with numbers."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config import parse
from pipeline.domain import Digest
from pipeline.errors import InfrastructureError
from pipeline.gates import room
from pipeline.gates.room import needs_of, room_for
from pipeline.policy.room import Need, to_build, to_release, to_test

GIB = 1 << 30


def world(*free: int | None, there: bool = True) -> Any:
    """One whose engine has so much room, question after question."""
    answers = iter(free)

    async def ask() -> int:
        return next(answers) or 0

    async def digest(tag: str) -> Digest | None:
        return Digest(f"sha256:{'1' * 64}") if there else None

    told = parse('[images.os]\nrepository = "r.test/os"\nplatforms = ["linux/amd64", "linux/arm64"]\n')
    registry = SimpleNamespace(digest=digest)
    return SimpleNamespace(free=ask if free else None, config=told, repository=lambda image: registry)


@pytest.mark.parametrize(
    ("need", "free", "refused"),
    [
        (to_build("os", 3 * GIB), 3 * GIB, False),
        (to_build("os", 3 * GIB), 2 * GIB, True),
        (to_test("os", 3 * GIB, 0), 6 * GIB, False),
        (to_test("os", 3 * GIB, 0), 5 * GIB, True),
        (to_test("os", 0, 0), 0, False),
        (to_release("os", 9 * GIB), 0, False),
    ],
)
def test_only_what_cannot_be_enough_is_refused(need: Need, free: int, refused: bool):
    assert bool(need.refusal(free)) is refused
    assert need.about >= need.least


async def test_a_step_says_its_numbers_before_it_begins(capsys: pytest.CaptureFixture[str]):
    async with room_for(world(50 * GIB), to_test("os", 3 * GIB, 4 * GIB)) as said:
        assert capsys.readouterr().out == f"{said['room']}\n"
    assert said["room"] == "The disk of os and its boot takes about 39 GiB of the engine's disk; 50 GiB are free"


async def test_too_little_is_an_outage_before_anything_is_begun():
    with pytest.raises(InfrastructureError, match=r"2\.0 GiB are free, and less than 3\.0 GiB cannot be enough"):
        async with room_for(world(2 * GIB), Need("It", 3 * GIB, 4 * GIB)):
            pytest.fail("it was begun")


@pytest.mark.parametrize("said", ["write: No space left on device", "qemu-img: Disk quota exceeded"])
async def test_a_disk_that_is_full_in_the_middle_says_how_much_there_was(said: str):
    with pytest.raises(InfrastructureError, match=r"takes about 4\.0 GiB .* 9\.0 GiB are free before it, 5 B now"):
        async with room_for(world(9 * GIB, 5), Need("It", 1, 4 * GIB)):
            raise InfrastructureError(said)


async def test_another_outage_stays_what_it_is():
    with pytest.raises(InfrastructureError, match=r"^the registry is away$"):
        async with room_for(world(9 * GIB), Need("It", 1, 2)):
            raise InfrastructureError("the registry is away")


async def test_where_nobody_asks_or_nothing_is_known_nothing_is_said():
    for one, need in (world(), Need("It", 9, 9)), (world(1), None):
        async with room_for(one, need) as said:
            assert said == {}


async def test_what_next_is_at_says_what_the_stages_take(monkeypatch: pytest.MonkeyPatch):
    async def size(registry: Any, digest: Digest, platform: str) -> int:
        return {"linux/amd64": 3 * GIB, "linux/arm64": 2 * GIB}[platform]

    monkeypatch.setattr(room, "image_size", size)
    image = world().config.images["os"]
    building, testing = await needs_of(world(1), image)
    assert (building, testing) == (to_build("os", 5 * GIB), to_test("os", 3 * GIB, 0))
    assert await needs_of(world(1, there=False), image) == []
