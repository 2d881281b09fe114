import pytest

from pipeline.commands.doctor import SKEW, compared, verdict
from pipeline.domain import Outcome
from pipeline.errors import PreconditionError


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], Outcome.PASSED),
        ([Outcome.INFRA], Outcome.INFRA),
        ([Outcome.PRECONDITION], Outcome.PRECONDITION),
        ([Outcome.INFRA, Outcome.PRECONDITION], Outcome.PRECONDITION),
        ([Outcome.USAGE], Outcome.PRECONDITION),
    ],
)
def test_an_outage_alone_may_pass_by_itself(found, expected):
    assert verdict(found) is expected


@pytest.mark.parametrize(
    ("ahead", "said"), [(SKEW * 2, "2m ahead of https://o"), (-SKEW * 10, "10m behind that of https://o")]
)
def test_clocks_that_differ_are_told_with_their_direction(ahead, said):
    with pytest.raises(PreconditionError) as refused:
        compared(ahead, "https://o")
    assert said.split()[1] in str(refused.value)
    assert said.split()[0] in str(refused.value)


def test_clocks_that_agree():
    assert compared(-0.2, "https://o") == "within 1 s of https://o"
