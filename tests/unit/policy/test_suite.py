"""A file that looks like a test and would not run is named."""

from pathlib import PurePosixPath

import pytest

from pipeline.policy.suite import SuiteFile, overlooked_unit_tests, overlooked_vm_checks


def files(listed):
    """`a.sh+` has the run bit, `a#` begins with `#!`."""
    return [SuiteFile(PurePosixPath(name.rstrip("+#")), "+" in name, "#" in name) for name in listed.split()]


@pytest.mark.parametrize(
    ("listed", "missed"),
    [
        ("a.sh+ b.sh", "b.sh"),
        ("a+ b#", "b"),
        ("a+ test_b", "test_b"),
        ("deep/a.sh+ deep/b.sh", "deep/b.sh"),
        ("README.md", "it has no executable file"),
        ("", "it has no executable file"),
        ("a.sh#", "it has no executable file"),
    ],
)
def test_a_unit_test_that_would_not_run_is_named(listed, missed):
    (sentence,) = overlooked_unit_tests(files(listed))
    assert sentence.startswith(missed)


@pytest.mark.parametrize("listed", ["a.sh+ README.md data.txt", "a.sh+ lib/common.sh lib/tool#", "deep/a+"])
def test_what_unit_tests_read_is_no_test(listed):
    assert overlooked_unit_tests(files(listed)) == []


@pytest.mark.parametrize(
    ("listed", "missed"),
    [
        ("a.sh+ b.sh", "b.sh"),
        ("a.sh+ os_test.py", "os_test.py"),
        ("a.sh+ deep/b.sh+", "deep/b.sh"),
        ("test_os.py deep/test_more.py", "deep/test_more.py"),
        ("deep/test_os.py", "it has no checks"),
        ("", "it has no checks"),
    ],
)
def test_a_check_that_would_not_run_is_named(listed, missed):
    (sentence,) = overlooked_vm_checks(files(listed))
    assert sentence.startswith(missed)


@pytest.mark.parametrize("listed", ["a.sh+ test_os.py conftest.py data.txt", "a+ lib/common.sh", "test_os.py+ b.sh+"])
def test_what_checks_read_is_no_check(listed):
    assert overlooked_vm_checks(files(listed)) == []
