"""The repository's own checks: what is run, and what its results mean."""

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.vm.user_checks import UserChecks, judge_status, read_junit
from pipeline.vm.verdict import Found, Skipped


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
