"""Was a promotion overtaken, and where was a channel before: read from its ledger alone."""

import pytest

from pipeline.domain import Digest, Tag
from pipeline.policy.past import Step, earlier, explained, overtaken

A, B, C, X = (Digest("sha256:" + letter * 64) for letter in "abcf")
V1, V2, V3 = Tag("v1.0.0"), Tag("v1.1.0"), Tag("v1.2.0")

FIRST = Step(None, A, V1)
SECOND = Step(A, B, V2)
THIRD = Step(B, C, V3)
BACK = Step(B, A, back=True)


@pytest.mark.parametrize(
    ("steps", "tag", "digest", "now", "expected"),
    [
        pytest.param([FIRST], V2, B, A, False, id="never promoted before"),
        pytest.param([SECOND, FIRST], V2, B, A, False, id="recorded last, crashed before the move"),
        pytest.param([SECOND, FIRST], V1, A, B, True, id="carried out, then the next one"),
        pytest.param([SECOND, FIRST], V1, A, A, False, id="the next one is recorded and was not carried out"),
        pytest.param([Step(A, C, V3), SECOND, FIRST], V2, B, C, True, id="crashed; then a higher one was carried out"),
        pytest.param([SECOND, Step(A, C, V3), FIRST], V3, C, B, False, id="lost the race to a lower one"),
        pytest.param([Step(A, C, V3), SECOND, FIRST], V2, B, C, True, id="lost the race to a higher one"),
        pytest.param([Step(B, C, Tag("v1.0.1")), SECOND, FIRST], V2, B, C, True, id="then a lower one, as allowed"),
        pytest.param([BACK, SECOND, FIRST], V2, B, A, True, id="taken back"),
        pytest.param([BACK, SECOND, FIRST], V2, B, B, False, id="to be taken back, which was not carried out"),
        pytest.param([SECOND, FIRST], V1, A, X, False, id="a stranger moved it, nothing later was carried out"),
        pytest.param([Step(X, C, V3), SECOND, FIRST], V2, B, C, True, id="a stranger, then a higher one"),
    ],
)
def test_overtaken(steps: list[Step], tag: Tag, digest: Digest, now: Digest, expected: bool) -> None:
    assert overtaken(steps, tag, digest, now) is expected


def test_who_overrides_a_rollback_may_promote_again_what_was_taken_back() -> None:
    assert not overtaken([BACK, SECOND, FIRST], V2, B, A, over_rollback=True)
    again = Step(A, B, V2)
    assert overtaken([THIRD, again, BACK, SECOND, FIRST], V2, B, C, over_rollback=True)


@pytest.mark.parametrize(
    ("steps", "now", "expected"),
    [
        pytest.param([SECOND, FIRST], B, True, id="carried out"),
        pytest.param([SECOND, FIRST], A, False, id="recorded, not carried out; or moved back by a stranger"),
        pytest.param([SECOND, Step(A, C, V3), FIRST], C, True, id="another one lost the race after its record"),
        pytest.param([THIRD, SECOND, FIRST], A, False, id="moved back by a stranger"),
        pytest.param([BACK, SECOND, FIRST], A, True, id="taken back"),
        pytest.param([SECOND, FIRST], X, False, id="a stranger's"),
        pytest.param([], A, False, id="no history"),
    ],
)
def test_explained(steps: list[Step], now: Digest, expected: bool) -> None:
    assert explained(steps, now) is expected


@pytest.mark.parametrize(
    ("steps", "now", "expected"),
    [
        pytest.param([], None, [], id="no history"),
        pytest.param([FIRST], A, [], id="the first"),
        pytest.param([THIRD, SECOND, FIRST], C, [B, A], id="the last first"),
        pytest.param([BACK, SECOND, FIRST], A, [], id="not to what was taken back"),
        pytest.param([Step(A, C, V3), BACK, SECOND, FIRST], C, [A], id="after a rollback and a new release"),
        pytest.param([SECOND, FIRST], X, [B, A], id="from a stranger's image"),
        pytest.param([SECOND, FIRST], A, [], id="the next one is recorded and was not carried out"),
        pytest.param([Step(X, C, V3), SECOND, FIRST], C, [X, B, A], id="a stranger in between"),
    ],
)
def test_earlier(steps: list[Step], now: Digest | None, expected: list[Digest]) -> None:
    assert list(earlier(steps, now)) == expected
