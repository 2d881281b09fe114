"""How many items are under way at once, and what one does that only waits."""

import anyio
import anyio.lowlevel
import pytest

from pipeline.each import each, meanwhile, only_waiting
from pipeline.errors import InfrastructureError

pytestmark = pytest.mark.anyio


async def test_no_more_than_allowed_are_under_way() -> None:
    now, most = 0, 0

    async def act(_: int) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await anyio.sleep(0.01)
        now -= 1

    await each(range(8), act, at_once=2)
    assert most == 2


async def test_what_only_waits_keeps_no_other_from_being_begun() -> None:
    began = list[int]()
    all_wait = anyio.Event()

    async def act(number: int) -> None:
        began.append(number)
        with only_waiting():
            if len(began) == 6:
                all_wait.set()
            await all_wait.wait()

    with anyio.fail_after(5):
        await each(range(6), act, at_once=2)


async def test_what_has_waited_goes_on_although_others_are_long_under_way() -> None:
    went_on = anyio.Event()

    async def act(number: int) -> None:
        if number:
            await went_on.wait()
            return
        with only_waiting():
            await anyio.sleep(0.01)
        went_on.set()

    with anyio.fail_after(5):
        await each(range(4), act, at_once=1)


async def test_an_error_while_waiting_leaves_the_bound_as_it_was() -> None:
    async def act(number: int) -> None:
        with only_waiting():
            raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        await each(range(4), act, at_once=1)


async def test_outside_of_each_waiting_is_only_waiting() -> None:
    with only_waiting():
        await anyio.lowlevel.checkpoint()


async def test_what_is_done_meanwhile_has_its_answer_when_it_is_asked_for() -> None:
    async def act() -> int:
        await anyio.sleep(0.01)
        return 5

    async with meanwhile(act) as answer:
        assert await answer() == 5
        assert await answer() == 5


async def test_what_failed_meanwhile_has_no_answer() -> None:
    async def act() -> int:
        raise InfrastructureError("away")

    async with meanwhile(act) as answer:
        assert await answer() is None


async def test_what_nobody_asks_for_is_given_up() -> None:
    with anyio.fail_after(5):
        async with meanwhile(anyio.sleep_forever):
            pass


async def test_an_error_beside_what_is_done_meanwhile_is_raised_as_it_is() -> None:
    with anyio.fail_after(5), pytest.raises(KeyError):
        async with meanwhile(anyio.sleep_forever):
            raise KeyError("mine")
