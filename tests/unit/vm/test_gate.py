"""The gate as a whole, with a scripted QEMU: what is tried again, what is not, and what stays behind."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from pipeline.domain import Outcome
from pipeline.errors import InfrastructureError
from pipeline.report.model import CheckStatus
from pipeline.vm import gate as under_test
from pipeline.vm import machine, qemu, starvation
from pipeline.vm.accelerator import Accelerator
from pipeline.vm.disk import Base
from pipeline.vm.gate import Gate
from pipeline.vm.machine import Dead, Overdue
from pipeline.vm.session import Refused, Session
from pipeline.vm.spec import Firmware, Spec
from pipeline.vm.ways import Refusal, Way

PANIC = {"console": "[ 0.000000] Linux version 6\r\nKernel panic - not syncing: no init found\r\n", "hang": True}
BOOTS = {"console": "[ 0.000000] Linux version 6\r\n", "hang": True}
STILL = {"console": "".join(f"[    {n / 1000:.6f}] a driver\r\n" for n in range(200)), "hang": True}
CRASH = {"console": "[ 0.000000] Linux version 6\r\n", "stderr": "qemu: out of memory\n", "exit": 1}


def seen(path: Path) -> Base:
    """The file as `Base.open` finds it, without qemu-img."""
    found = path.stat()
    return Base(path, "raw", found.st_size, (found.st_mtime_ns, found.st_ctime_ns))


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the gate over a file while QEMU plays these scenes, one for each machine."""

    async def choose(spec: Spec) -> Accelerator:
        return Accelerator(accelerator, "for the test", 1)

    async def opened(path: Path) -> Base:
        return seen(path)

    async def nothing(*_: object) -> str:
        return "QEMU emulator version 10"

    async def touch(_: Base, path: Path) -> None:
        await anyio.Path(path).write_bytes(b"an overlay")

    accelerator = "tcg"

    async def run(*scene: dict[str, object], keep: bool = False, on: str = "tcg") -> Gate:
        nonlocal accelerator
        accelerator = on
        script = tmp_path / "scene.json"
        script.write_text(json.dumps(scene))
        fake = Path(__file__).with_name("fake_qemu.py")

        def command(*arguments: Any) -> list[str]:
            return [sys.executable, str(fake), str(arguments[3].qmp), str(script)]

        monkeypatch.setattr(under_test.accelerator, "choose", choose)
        monkeypatch.setattr(under_test.Base, "open", opened)
        monkeypatch.setattr(under_test, "overlay", touch)
        monkeypatch.setattr(qemu, "version", nothing)
        monkeypatch.setattr(qemu, "command", command)
        disk = tmp_path / "disk.raw"
        disk.write_bytes(b"a disk")
        report = tmp_path / "report"
        report.mkdir()
        gate = Gate(disk, Spec(firmware=Firmware.BIOS), report, keep=keep)
        await gate.run()
        return gate

    return run


async def test_a_panic_is_the_images_fault_and_is_not_tried_again(play: Any, tmp_path: Path) -> None:
    result = (await play(PANIC)).result
    assert result.outcome is Outcome.GATE_FAILED
    assert result.reason.startswith("boot: kernel panic: Kernel panic - not syncing: no init found")
    boot, *others, disk = result.checks
    assert "no init found" in boot.output
    assert {check.status for check in others} == {CheckStatus.SKIPPED}
    assert not any(check.lets_through for check in others if check.required)
    assert disk.status is CheckStatus.PASSED
    assert not (tmp_path / "report" / "attempt-1").exists()


async def test_infrastructure_is_tried_a_second_time_and_both_attempts_are_reported(play: Any, tmp_path: Path) -> None:
    result = (await play(CRASH, PANIC)).result
    assert result.outcome is Outcome.GATE_FAILED
    assert "out of memory" in result.inputs["first_attempt"]
    assert result.reason.endswith("a first attempt was discarded: QEMU ended with status 1: qemu: out of memory")
    first = tmp_path / "report" / "attempt-1"
    assert json.loads((first / "result.json").read_text())["outcome"] == "infra"
    assert "Linux version" in (first / "console.log").read_text()
    assert "panic" in (tmp_path / "report" / "console.log").read_text()


async def test_a_panic_of_the_emulation_is_infrastructure(play: Any) -> None:
    line = "Kernel panic - not syncing: IO-APIC + timer doesn't work!  Boot with apic=debug and send a report.\r\n"
    result = (await play({"console": line, "hang": True}, PANIC)).result
    assert "IO-APIC" in result.inputs["first_attempt"]
    assert result.reason.startswith("boot: kernel panic: Kernel panic - not syncing: no init found")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A standstill is noticed at once, and the wait for the guest is short."""
    monkeypatch.setattr(under_test, "STANDSTILL", 0.1)
    monkeypatch.setattr(machine, "ACCOUNTED", 0.05)
    monkeypatch.setattr(starvation, "HUNGRY", 2.0)  # the scripted QEMU starts up for as long as it lives
    monkeypatch.setattr(Session, "scaled", lambda *_: 3.0)


@pytest.mark.usefixtures("impatient")
async def test_an_emulated_kernel_that_stands_still_is_booted_once_more(play: Any, tmp_path: Path) -> None:
    result = (await play(STILL, PANIC)).result
    assert "lose a timer" in result.inputs["first_attempt"]
    assert "last on the console: '[    0.199000] a driver'" in result.inputs["first_attempt"]
    assert result.reason.startswith("boot: kernel panic: Kernel panic - not syncing: no init found")
    assert "0.199000" in (tmp_path / "report" / "attempt-1" / "console.log").read_text()


@pytest.mark.usefixtures("impatient")
async def test_an_emulated_kernel_that_stands_still_twice_is_the_images_fault(play: Any) -> None:
    result = (await play(STILL, STILL)).result
    assert result.outcome is Outcome.GATE_FAILED
    assert result.reason.startswith("boot: the kernel started no init within 3 s")
    assert "a first attempt was discarded" in result.reason


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("scene", "on"), [(STILL, "kvm"), (BOOTS, "tcg")], ids=["on the processor itself", "quiet"])
async def test_a_kernel_that_may_well_be_silent_is_waited_for(play: Any, scene: dict[str, object], on: str) -> None:
    result = (await play(scene, on=on)).result
    assert result.outcome is Outcome.GATE_FAILED
    assert "first_attempt" not in result.inputs


async def test_infrastructure_that_fails_twice_is_no_verdict(play: Any) -> None:
    result = (await play(CRASH, CRASH)).result
    assert result.outcome is Outcome.INFRA
    assert result.exit_code == 6
    assert "out of memory" in result.reason


async def test_a_disk_that_changes_under_the_gate_fails_it(play: Any, tmp_path: Path) -> None:
    gate = await play(PANIC)
    disk = tmp_path / "disk.raw"
    base = seen(disk)
    await gate._compare(base)
    assert gate.result.checks[-1].status is CheckStatus.PASSED
    disk.write_bytes(disk.read_bytes())
    os.utime(disk, ns=(base.stamp[0], base.stamp[0]))  # hides that it was written to, but not from ctime
    await gate._compare(base)
    assert gate.result.checks[-1].status is CheckStatus.FAILED


async def test_a_deadline_missed_on_a_machine_that_gave_no_time_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy:
        class machine:
            excuse = staticmethod(lambda: "the guest was kept waiting")

    with pytest.raises(InfrastructureError, match="no SSH within 600 s; but the guest was kept waiting"):
        under_test.blame(Overdue("no SSH within 600 s"), Busy(), "")  # type: ignore[arg-type]


async def has_begun(session: Session) -> None:
    """Until the scene of this machine is on."""
    while session.machine.console.boot.kernel is None:
        await session.machine.change()


async def test_a_system_that_lets_nobody_in_is_booted_again_for_another_way(
    play: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {Way.KEY: ("port 22 closed", Refusal.CLOSED), Way.SERVER: ("nothing there", Refusal.CLOSED)}

    async def connect(session: Session, deadline: float) -> None:
        await has_begun(session)
        if session.way in said:
            raise Refused(*said[session.way])
        raise Dead("the guest's kernel panicked")

    monkeypatch.setattr(Session, "connect", connect)
    result = (await play(BOOTS, BOOTS, BOOTS)).result
    assert result.reason.startswith("boot: the guest's kernel panicked")
    shell = "a shell on a virtio console, without SSH"
    assert result.inputs["way_in"] == f"{shell} (port 22 closed; then nothing there)"
    assert (tmp_path / "report" / "way-key" / "console.log").exists()
    assert (tmp_path / "report" / "way-server" / "console.log").exists()
    assert "first_attempt" not in result.inputs


async def test_a_system_that_lets_nobody_in_by_any_way_fails(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(session: Session, deadline: float) -> None:
        await has_begun(session)
        raise Refused(f"{session.way} is shut", Refusal.CLOSED)

    monkeypatch.setattr(Session, "connect", connect)
    result = (await play(BOOTS, BOOTS, BOOTS)).result
    assert result.outcome is Outcome.GATE_FAILED
    assert result.reason.startswith("boot: shell is shut; before: key is shut; then server is shut; expected")


async def test_what_the_machine_wrote_is_kept_when_asked_for_and_the_report_says_where(
    play: Any, tmp_path: Path
) -> None:
    gate = await play(CRASH, PANIC, keep=True)
    overlay = tmp_path / "report" / "kept" / "overlay.qcow2"
    assert overlay.read_bytes() == b"an overlay"
    assert gate.result.inputs["kept_overlay"] == f"{overlay}, over {tmp_path / 'disk.raw'}"
    assert (tmp_path / "report" / "attempt-1" / "kept" / "overlay.qcow2").exists()


async def test_nothing_is_kept_otherwise(play: Any, tmp_path: Path) -> None:
    gate = await play(PANIC)
    assert not (tmp_path / "report" / "kept").exists()
    assert "kept_overlay" not in gate.result.inputs


async def test_the_time_of_a_run_adds_up(play: Any) -> None:
    spent = (await play(PANIC)).stopwatch.spent()
    assert spent.gate == pytest.approx(spent.guest + spent.second_boot + spent.user_pytest + spent.harness)
    assert spent.guest > 0
    assert spent.before + spent.after <= spent.harness
