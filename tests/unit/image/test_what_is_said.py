"""Reasons are the tools' own words: of bootc's lint, of a unit test, of a builder's configuration."""

import pytest

from pipeline.errors import UsageError
from pipeline.image.disk_config import shipped_by
from pipeline.image.lint import Lint, finding
from pipeline.image.podman import Finished
from pipeline.image.suite import read_suite
from pipeline.image.unit import unit_tests
from pipeline.report.model import CheckStatus


def finished(stdout="", stderr="", code=1):
    return Finished(code, stdout, stderr, 0.0)


@pytest.mark.parametrize(
    ("stdout", "stderr", "reason"),
    [
        (
            "Failed lint: baseimage-root: Missing ostree -> sysroot/ostree link\n",
            "error: Linting: Unexpected runtime error running lint bootc-kargs: Parsing 99.toml\n",
            "Failed lint: baseimage-root: Missing ostree -> sysroot/ostree link; "
            "Linting: Unexpected runtime error running lint bootc-kargs: Parsing 99.toml",
        ),
        (
            "Lint warning: nonempty-boot: Found non-empty /boot:\n  junk\n\nChecks passed: 8\nWarnings: 1\n",
            "error: Linting: Checks failed: 1\n",
            "Lint warning: nonempty-boot: Found non-empty /boot",
        ),
        ("", "error: Linting: Checks failed: 5\n", "Linting: Checks failed: 5"),
        ("", "", "no output"),
    ],
)
def test_the_reason_of_a_failed_lint_is_what_bootc_says(stdout, stderr, reason):
    assert finding(finished(stdout, stderr)) == reason


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        (Lint(), "--fatal-warnings"),
        (Lint(fatal_warnings=False), ""),
        (Lint(skip=["nonempty-boot", "var-log"]), "--fatal-warnings --skip nonempty-boot --skip var-log"),
    ],
)
def test_bootc_is_asked_as_configured(asked, options):
    assert asked.command == ["bootc", "container", "lint", *options.split()]


def test_a_tests_own_last_line_is_not_lost_behind_a_warning_of_podman():
    warned = 'time="2026-01-01T00:00:00Z" level=warning msg="Using cgroups-v1 which is deprecated"\n'
    assert finished("no greeting\n", warned).last_line == "no greeting"
    assert finished("", warned).last_line == warned.strip()


def test_run_bit_and_first_line_are_read_from_the_files(tmp_path):
    for name, mode, text in (("a", 0o755, ""), ("lib/b", 0o644, "#!/bin/sh\n"), ("__pycache__/c.pyc", 0o644, "")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    assert [(str(one.path), one.executable, one.script) for one in read_suite(tmp_path)] == [
        ("a", True, False),
        ("lib/b", False, True),
    ]


async def test_a_folder_whose_tests_would_not_run_is_refused_before_any_runs(tmp_path):
    (tmp_path / "a.sh").touch(mode=0o755)
    (tmp_path / "b.sh").touch(mode=0o644)
    with pytest.raises(UsageError, match=r"gates\.next\.tests: b\.sh looks like a test"):
        await unit_tests("localhost/nothing", tmp_path, deadline=1)


@pytest.mark.parametrize(
    ("file", "text", "ways"),
    [
        (
            "d.toml",
            '[[customizations.user]]\nname = "core"\nkey = "k"\npassword = "p"\n',
            "user core with a password",
        ),
        ("d.json", '{"blueprint": {"customizations": {"sshkey": [{"user": "root"}]}}}', "user root with an SSH key"),
        ("d.toml", '[[customizations.user]]\nname = "core"\n', "user core with no way in"),
        ("d.toml", '[customizations.kernel]\nappend = "quiet"\n', ""),
        ("d.toml", 'customizations = "odd"\n', ""),
    ],
)
def test_who_can_enter_every_disk_is_said(file, text, ways):
    (check,) = shipped_by(file, text).checks
    assert (check.status, check.required) == (CheckStatus.FAILED if ways else CheckStatus.PASSED, False)
    assert ways in check.reason
    assert "'p'" not in check.reason


@pytest.mark.parametrize(("file", "text"), [("d.toml", "x"), ("d.json", "["), ("d.json", "[" * 100_000)])
def test_a_configuration_that_cannot_be_read_is_usage(file, text):
    with pytest.raises(UsageError, match=r"gates\.testing\.builder\.config"):
        shipped_by(file, text)
