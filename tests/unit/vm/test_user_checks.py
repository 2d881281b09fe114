"""The repository's own checks: what is run, and what its results mean."""

import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncssh
import pytest

from pipeline.errors import UsageError
from pipeline.vm import user_checks as under_test
from pipeline.vm.guest import Key
from pipeline.vm.spent import Stopwatch
from pipeline.vm.user_checks import UserChecks, judge_status, read_junit
from pipeline.vm.verdict import Found, Skipped
from pipeline.vm.ways import Way


def test_executables_and_pytest_modules_are_found_and_the_rest_is_data(tmp_path: Path) -> None:
    for name, mode in (("b.sh", 0o755), ("a.sh", 0o755), ("test_os.py", 0o755), ("data.txt", 0o644)):
        (tmp_path / name).touch(mode=mode)
    checks = UserChecks.find(tmp_path)
    assert [file.name for file in checks.executables] == ["a.sh", "b.sh"]
    assert [file.name for file in checks.modules] == ["test_os.py"]


def test_a_directory_without_checks_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected executable files or test_"):
        UserChecks.find(tmp_path)


def test_the_status_of_an_executable_is_its_verdict() -> None:
    assert judge_status(0, "fine\n") == Found(note="fine", output="fine\n")
    assert judge_status(77, "no GPU\n") == Skipped("user-skipped", "no GPU")
    failed = judge_status(3, "looking\nnothing there\n")
    assert isinstance(failed, Found)
    assert failed.findings == ["exit status 3: nothing there"]


JUNIT = """<?xml version="1.0"?><testsuites><testsuite name="pytest">
<testcase classname="test_os" name="test_shell[ssh://guest]" time="0.5" />
<testcase classname="test_os" name="test_gpu[ssh://guest]" time="0">
<skipped message="no GPU">x</skipped></testcase>
<testcase classname="test_os" name="test_user[ssh://guest-core]" time="1">
<failure message="assert False&#10; + where">trace</failure></testcase>
</testsuite></testsuites>"""


def test_each_pytest_test_has_its_own_result() -> None:
    shell, gpu, user = read_junit(JUNIT)
    assert (shell.name, shell.found, shell.duration) == ("user/test_os.py::test_shell", Found(), 0.5)
    assert gpu.found == Skipped("user-skipped", "no GPU")
    assert (user.name, user.found) == (
        "user/test_os.py::test_user[core]",
        Found(["assert False"], "a test that passes", output="trace"),
    )


MODULE = """
def test_one(host):
    assert host.run("uname -r").stdout == "uname -r\\n"


def test_two(host):
    assert host.run("hostname").rc == 0
"""

SSH = """#!{python}
# The first of these is refused, as by a server that penalises us; the second stands in for ssh's own master.
import os, pathlib, sys, time
count = pathlib.Path(sys.argv[0]).with_name("count")
count.open("a").write("x")
if len(count.read_text()) < 2:
    sys.exit("kex_exchange_identification: read: Connection reset by peer")
config = pathlib.Path(sys.argv[2]).read_text()
pathlib.Path(config.split("ControlPath ")[1].split()[0]).touch()
time.sleep(60)
"""


@pytest.fixture
def session(tmp_path: Path) -> Any:
    def scaled(seconds: float) -> float:
        return seconds / 10

    report = tmp_path / "report"
    report.mkdir()
    return SimpleNamespace(way=Way.KEY, port=1, key=Key.generate(), folder=report, scaled=scaled, stopwatch=Stopwatch())


async def test_all_connections_of_the_users_tests_share_one_login(tmp_path: Path, session: Any) -> None:
    logins = 0

    class Counting(asyncssh.SSHServer):
        def auth_completed(self) -> None:
            nonlocal logins
            logins += 1

    def answer(process: asyncssh.SSHServerProcess[str]) -> None:
        process.stdout.write(f"{process.command}\n")
        process.exit(0)

    server: Any = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=Counting,
        server_host_keys=[Key.generate().private],
        authorized_client_keys=asyncssh.import_authorized_keys(session.key.public),
        process_factory=answer,
    )
    session.port = server.get_port()
    (tmp_path / "test_os.py").write_text(MODULE)
    results = await UserChecks.find(tmp_path)._pytest(session)
    server.close()
    assert [(result.name, result.found) for result in results] == [
        ("user/test_os.py::test_one", Found()),
        ("user/test_os.py::test_two", Found()),
    ]
    assert logins == 1


async def test_a_server_that_refuses_for_a_while_is_asked_again(
    tmp_path: Path, session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ssh"
    program.write_text(SSH.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(under_test, "REFUSED", 0.1)
    config = under_test._ssh_config(tmp_path, session)
    async with under_test._shared_login(config, tmp_path, 30) as refusal:
        assert not refusal
    (tmp_path / "count").unlink()
    (tmp_path / "mux").unlink()
    async with under_test._shared_login(config, tmp_path, 0.05) as refusal:
        assert refusal.startswith("no second SSH connection within 0 s: ")
