"""A machine's death ends the wait at once, with its reason; shown with a scripted QEMU."""

import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import pytest

from pipeline.errors import InfrastructureError
from pipeline.vm.machine import Dead, Machine, Overdue, running

KERNEL = {"console": "[    0.000000] Linux version 6.1.0\r\n"}
RESET = {"event": "SHUTDOWN", "data": {"guest": True, "reason": "guest-reset"}, "exit": 0}
"""QEMU ends at a reset; what follows is played by the process of the next boot."""
HANG = {"hang": True}

Play = Callable[[list[dict[str, object]]], AbstractAsyncContextManager[Machine]]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    @asynccontextmanager
    async def run(scene: list[dict[str, object]]) -> AsyncIterator[Machine]:
        fake = Path(__file__).with_name("fake_qemu.py")
        socket = tmp_path / "qmp"
        script = tmp_path / "scene.json"
        script.write_text(json.dumps(scene))
        command = [sys.executable, str(fake), str(socket), str(script)]
        async with running(command, socket, tmp_path, lambda _: None) as machine:
            yield machine

    return run


async def dies(play: Play, scene: list[dict[str, object]]) -> Exception:
    """What ends a wait that would last a minute."""
    start = time.monotonic()
    async with play(scene) as machine:
        try:
            with machine.phase(60, lambda: "overdue"):
                await anyio.sleep_forever()
        except (Dead, InfrastructureError) as error:
            assert time.monotonic() - start < 10
            return error
    raise AssertionError("the machine lived")


async def test_a_panic_on_the_console_ends_the_wait(play: Play) -> None:
    panic = {"console": "[    2.6] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n"}
    error = await dies(play, [KERNEL, panic, HANG])
    assert isinstance(error, Dead)
    assert "Unable to mount root fs" in str(error)


async def test_a_panic_event_is_explained_by_the_console_line_that_follows(play: Play) -> None:
    panic = {"console": "[    2.6] Kernel panic - not syncing: Attempted to kill init!\r\n"}
    error = await dies(play, [KERNEL, {"event": "GUEST_PANICKED", "data": {}}, panic, HANG])
    assert "Attempted to kill init" in str(error)


async def test_a_panic_event_without_a_console_line_counts_too(play: Play) -> None:
    assert "pvpanic" in str(await dies(play, [KERNEL, {"event": "GUEST_PANICKED", "data": {}}, HANG]))


async def test_a_reboot_that_nobody_asked_for_is_a_boot_loop(play: Play) -> None:
    error = await dies(play, [KERNEL, RESET, HANG])
    assert isinstance(error, Dead)
    assert str(error).startswith("boot loop")


async def test_a_reboot_that_was_asked_for_begins_another_boot(play: Play) -> None:
    async with play([KERNEL, RESET, KERNEL, HANG]) as machine:
        machine.expect_reset()
        with machine.phase(10, lambda: "no second boot"):
            while len(machine.console.boots) < 2:
                await machine.change()
        assert machine.dead is None


async def test_firmware_may_reset_a_few_times_before_a_kernel_runs(play: Play) -> None:
    async with play([RESET, RESET, KERNEL, HANG]) as machine:
        with machine.phase(10, lambda: "no kernel"):
            while machine.console.boot.kernel is None:
                await machine.change()
        assert machine.dead is None


async def test_firmware_that_resets_for_ever_is_a_boot_loop(play: Play) -> None:
    assert "no kernel ran" in str(await dies(play, [RESET, RESET, RESET, RESET, RESET, HANG]))


async def test_qemu_that_refuses_its_arguments_is_infrastructure_and_says_what_qemu_said(play: Play) -> None:
    scene: list[dict[str, object]] = [{"exit_before_qmp": 1, "stderr": "qemu: -m 1: too little memory"}]
    with pytest.raises(InfrastructureError, match="too little memory"):
        async with play(scene):
            pass


async def test_qemu_that_crashes_is_infrastructure(play: Play) -> None:
    error = await dies(play, [KERNEL, {"stderr": "qemu: fatal: out of memory\n"}, {"exit": 1}])
    assert isinstance(error, InfrastructureError)
    assert "out of memory" in str(error)


async def test_a_guest_that_switches_itself_off_is_the_guests_fault(play: Play) -> None:
    error = await dies(play, [KERNEL, {"exit": 0}])
    assert isinstance(error, Dead)
    assert "switched itself off" in str(error)


async def test_an_overlay_that_cannot_be_written_is_infrastructure(play: Play) -> None:
    event = {"event": "BLOCK_IO_ERROR", "data": {"reason": "No space left on device"}}
    error = await dies(play, [KERNEL, event, HANG])
    assert isinstance(error, InfrastructureError)
    assert "No space left" in str(error)


async def test_a_phase_that_takes_too_long_says_where_it_stood(play: Play) -> None:
    async with play([KERNEL, HANG]) as machine:
        with pytest.raises(Overdue, match="still at the kernel"), machine.phase(0.05, lambda: "still at the kernel"):
            await anyio.sleep_forever()
