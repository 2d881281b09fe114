"""What a waiver may name is what the gates make."""

from pipeline.domain import Channel
from pipeline.image.layout import check_layout
from pipeline.image.lint import NAME as LINT
from pipeline.image.sbom import NAME as SBOM
from pipeline.policy.checks import CHECKS
from pipeline.vm.checks import ALL, UPGRADE
from pipeline.vm.gate import BOOT


def test_the_names_are_those_of_the_checks(tmp_path):
    layout = [check.name for check in check_layout(tmp_path, {})]
    assert set(CHECKS[Channel.NEXT]) == {LINT, SBOM, *layout}
    assert set(CHECKS[Channel.TESTING]) == {BOOT, *(check.name for check in (*ALL, *UPGRADE))}


def test_no_two_gates_have_a_check_of_the_same_name():
    names = [name for gate in CHECKS.values() for name in gate]
    assert len(set(names)) == len(names)
