"""Reasons are the tools' own words: of bootc's lint, of a unit test, of a builder's configuration."""

from datetime import date

import pytest

from pipeline.errors import UsageError
from pipeline.image.disk_config import shipped_by
from pipeline.image.lint import Lint, bootc_lint, findings
from pipeline.image.podman import Finished
from pipeline.image.suite import read_suite
from pipeline.image.unit import unit_tests
from pipeline.policy.waivers import Waiver
from pipeline.report.model import CheckStatus
from pipeline.vm.verdict import Waivers


def known(check, *matches):
    today = date(2026, 11, 1)
    return Waivers(
        [Waiver(check=check, match=match, bug="https://example.org/1", until=today) for match in matches], today
    )


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
    assert "; ".join(findings(finished(stdout, stderr))) == reason


def test_what_is_only_a_warning_is_no_reason_where_warnings_pass():
    said = "Failed lint: etc-usretc: Found /usr/etc\nLint warning: var-log: Found non-empty logfiles:\n"
    assert findings(finished(said), fatal_warnings=False) == ["Failed lint: etc-usretc: Found /usr/etc"]


async def test_each_finding_of_the_lint_needs_its_own_waiver(monkeypatch):
    said = "Lint warning: nonempty-boot: Found non-empty /boot:\nLint warning: var-log: Found non-empty logfiles:\n"
    ends = [finished(code=0), finished(said), finished(code=0), finished(said)]

    async def run_inside(*_, **__):
        return ends.pop(0)

    monkeypatch.setattr("pipeline.image.lint.run_inside", run_inside)
    one = await bootc_lint("os", Lint(), known("bootc-lint", "nonempty-boot"), deadline=1)
    assert (one.status, one.reason.partition(";")[0]) == (
        CheckStatus.FAILED,
        "Lint warning: var-log: Found non-empty logfiles",
    )
    both = await bootc_lint("os", Lint(), known("bootc-lint", "nonempty-boot", "var-log"), deadline=1)
    assert both.status is CheckStatus.WAIVED


async def test_a_test_of_the_image_can_be_waived_by_its_name(tmp_path, monkeypatch):
    for name in ("10-greets", "20-starts"):
        (tmp_path / name).touch(mode=0o755)

    async def run_inside(*_, **__):
        return finished("no greeting\n")

    monkeypatch.setattr("pipeline.image.unit.run_inside", run_inside)
    found = await unit_tests("os", tmp_path, known("unit/10-greets", "no greeting"), deadline=1)
    assert [(check.name, check.status) for check in found] == [
        ("unit/10-greets", CheckStatus.WAIVED),
        ("unit/20-starts", CheckStatus.FAILED),
    ]


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
