import io
import os
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.each import in_turn
from pipeline.errors import UsageError
from pipeline.registry.chunks import BLOCK, _compressed, _unpacked, average, cut, push_chunks
from pipeline.registry.content import sha256

GIB = 1 << 30
SMALL = 16 * BLOCK


def cut_up(content: bytes) -> list[bytes]:
    return list(cut(io.BytesIO(content), SMALL))


@given(st.lists(st.integers(0, 40).map(lambda number: Random(number).randbytes(BLOCK)), max_size=200), st.binary())
def test_chunks_are_the_whole_file_and_within_their_sizes(blocks: list[bytes], rest: bytes) -> None:
    content = b"".join(blocks) + rest
    chunks = cut_up(content)
    assert b"".join(chunks) == content
    assert all(SMALL // 4 <= len(chunk) <= SMALL * 2 for chunk in chunks[:-1])


def test_what_did_not_change_is_cut_alike_wherever_it_lies() -> None:
    content = Random(1).randbytes(1000 * BLOCK)
    moved = content[: 100 * BLOCK] + os.urandom(3 * BLOCK) + content[100 * BLOCK : 700 * BLOCK] + content[705 * BLOCK :]
    new = set(cut_up(moved)) - set(cut_up(content))
    assert len(new) <= 8
    assert sum(map(len, new)) < len(content) / 8


def test_chunks_are_those_of_the_releases_that_are_stored() -> None:
    random = Random(1)
    content = random.randbytes(9 << 20) + bytes(6 << 20) + random.randbytes(1 << 20).hex().encode() + b"end"
    chunks = [(len(chunk), sha256(_compressed(chunk))[7:23]) for chunk in cut(io.BytesIO(content))]
    assert chunks == [
        (1273856, "fc59df753e7047e6"),
        (643072, "7041c543f03ec3bb"),
        (4194304, "6624644520805df2"),
        (1359872, "787ee25ac1e7d127"),
        (4194304, "c36a5e3849b7519a"),
        (4194304, "4bef54d317510c55"),
        (905216, "3d7253778009f7c2"),
        (1060867, "71b0cb05c6296120"),
    ]


def test_a_manifest_has_room_for_the_chunks_of_a_file_of_any_size() -> None:
    assert average(0) == average(1) == average(32 * GIB) == 2 << 20
    for size in (33, 64, 200, 256):
        assert size * GIB / average(size * GIB) <= 1 << 14


async def test_a_file_whose_chunks_nobody_could_fetch_is_refused_before_one_is_sent(tmp_path: Path) -> None:
    assert 2 * average(256 * GIB) < 64 << 20
    disk = tmp_path / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(256 * GIB + 1)
    nobody: Any = None
    with pytest.raises(UsageError, match="256 GiB"):
        await push_chunks(nobody, disk, "any")


def test_a_chunk_comes_back_and_one_that_would_fill_the_memory_does_not() -> None:
    assert _unpacked(_compressed(b"chunk")) == b"chunk"
    with pytest.raises(ValueError, match="expected at most"):
        _unpacked(_compressed(bytes(65 << 20)))


async def numbers(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


async def test_answers_are_taken_in_turn_and_few_are_held() -> None:
    held, most, taken = set[int](), 0, list[int]()

    async def act(number: int) -> int:
        nonlocal most
        held.add(number)
        most = max(most, len(held))
        for _ in range((number * 7) % 5):
            await anyio.lowlevel.checkpoint()
        return number

    async def then(number: int) -> None:
        held.remove(number)
        taken.append(number)

    await in_turn(numbers(50), act, then, at_once=3)
    assert taken == list(range(50))
    assert most == 3


@pytest.mark.parametrize("where", ["items", "act", "then"])
async def test_the_first_error_ends_it(where: str) -> None:
    async def items() -> AsyncIterator[int]:
        async for number in numbers(5):
            yield number
        if where == "items":
            raise OSError("broken")
        await anyio.sleep_forever()

    async def step(name: str, number: int) -> int:
        if number == 3 and where == name:
            raise OSError("broken")
        return number

    with pytest.raises(OSError, match="broken"):
        await in_turn(items(), partial(step, "act"), partial(step, "then"), at_once=2)
