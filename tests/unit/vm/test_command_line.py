"""`python -m pipeline.vm` leaves a result whatever happens, and its exit code is that of the outcome."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.domain import Digest, Outcome
from pipeline.report.model import Result
from pipeline.vm import __main__ as command
from pipeline.vm.spec import Spec


def result(folder: Path) -> Result:
    return Result.model_validate_json((folder / "result.json").read_text())


def test_a_file_that_is_not_there_is_usage(tmp_path: Path) -> None:
    assert command.main([str(tmp_path / "gone.qcow2"), "--report", str(tmp_path / "out")]) == 2
    assert result(tmp_path / "out").outcome is Outcome.USAGE


def test_a_specification_with_an_unknown_key_is_usage_and_names_it(tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"firmwear": "uefi"}))
    assert command.main(["disk.qcow2", "--spec", str(spec), "--report", str(tmp_path)]) == 2
    assert "firmwear" in result(tmp_path).reason


@pytest.mark.parametrize("name", ["unit", "upgrade", "user/greeting"])
def test_a_check_that_would_not_be_made_is_usage(tmp_path: Path, name: str) -> None:
    assert command.main(["disk.qcow2", "--only", name, "--report", str(tmp_path)]) == 2
    assert f"no check {name!r}" in result(tmp_path).reason


def test_a_specification_survives_being_written_and_read() -> None:
    spec = Spec.model_validate(
        {
            "digest": Digest("sha256:" + "a" * 64),
            "services": ["sshd.service"],
            "waivers": [{"check": "units", "match": "x", "bug": "https://example.org/1", "until": "2027-01-31"}],
        }
    )
    assert Spec.model_validate_json(spec.model_dump_json()) == spec


def test_a_bug_of_the_gate_is_infrastructure_and_not_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(self: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(command.Gate, "run", broken)
    assert command.main(["disk.qcow2", "--report", str(tmp_path)]) == 6
    assert "oops" in result(tmp_path).reason


def test_being_ended_from_outside_leaves_a_result(tmp_path: Path) -> None:
    program = (
        "import anyio, sys\n"
        "from pipeline.vm import __main__ as command\n"
        "async def wait(self):\n"
        "    print('waiting', flush=True)\n"
        "    await anyio.sleep_forever()\n"
        "command.Gate.run = wait\n"
        "sys.exit(command.main(sys.argv[1:]))\n"
    )
    arguments = [sys.executable, "-c", program, "disk.qcow2", "--report", str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "waiting\n"
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(20) == 6
    assert "SIGTERM" in result(tmp_path).reason
