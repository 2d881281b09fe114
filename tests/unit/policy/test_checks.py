"""What a waiver may name is what the gates make, and what their page tells."""

import re
from pathlib import Path
from typing import get_args

import pytest

from pipeline.config.words import SkipReason
from pipeline.domain import Channel
from pipeline.image.layout import check_layout
from pipeline.image.lint import NAME as LINT
from pipeline.image.sbom import NAME as SBOM
from pipeline.policy.checks import CHECKS
from pipeline.vm.checks import ALL, UPGRADE
from pipeline.vm.gate import BOOT

ROOT = Path(__file__).parents[3]
ROWS = re.findall(r"^\| (`.+?) \|", (ROOT / "docs" / "gates.md").read_text(), re.MULTILINE)
TOLD = {word for row in ROWS for word in re.findall(r"`(\S+)`", row)}


def test_the_names_are_those_of_the_checks(tmp_path):
    layout = [check.name for check in check_layout(tmp_path, {})]
    assert set(CHECKS[Channel.NEXT]) == {LINT, SBOM, *layout}
    assert set(CHECKS[Channel.TESTING]) == {BOOT, *(check.name for check in (*ALL, *UPGRADE))}


def test_no_two_gates_have_a_check_of_the_same_name():
    names = [name for gate in CHECKS.values() for name in gate]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", [name for gate in CHECKS.values() for name in gate])
def test_the_page_of_the_gates_tells_what_a_check_fails_for(name):
    assert name in TOLD


@pytest.mark.parametrize("reason", get_args(SkipReason))
def test_the_page_of_the_gates_tells_when_a_check_is_skipped(reason):
    assert reason in TOLD


def test_every_reason_to_skip_can_be_allowed():
    sources = (ROOT / "src" / "pipeline" / "vm").rglob("*.py")
    given = {reason for file in sources for reason in re.findall(r'Skipped\(\s*"([^"]+)"', file.read_text())}
    assert given
    assert given <= set(get_args(SkipReason))
