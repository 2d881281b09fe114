import pytest

from pipeline.domain import Outcome, worst
from pipeline.report.release import merge


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([Outcome.PASSED, Outcome.UNCHANGED], Outcome.PASSED),
        ([Outcome.UNCHANGED, Outcome.UNCHANGED], Outcome.UNCHANGED),
        ([Outcome.PASSED, Outcome.INFRA], Outcome.INFRA),
        ([Outcome.INFRA, Outcome.GATE_FAILED], Outcome.GATE_FAILED),
        ([Outcome.GATE_FAILED, Outcome.PARTIAL], Outcome.PARTIAL),
    ],
)
def test_a_release_ends_like_its_worst_image(outcomes: list[Outcome], expected: Outcome) -> None:
    assert worst(outcomes) is expected


@pytest.mark.parametrize("outcome", Outcome)
def test_no_failure_hides_behind_a_success(outcome: Outcome) -> None:
    assert worst([Outcome.PASSED, outcome, Outcome.SUPERSEDED, Outcome.UNCHANGED]).exit_code == outcome.exit_code


def test_one_image_is_its_own_release(make) -> None:
    result = make()
    assert merge([result]) is result


def test_two_images_become_one_result_whose_parts_carry_their_names(make, failed) -> None:
    merged = merge([make(), make(Outcome.GATE_FAILED, failed, image="albacore", reason="units failed.", duration=90)])
    assert (merged.outcome, merged.exit_code) == (Outcome.GATE_FAILED, 1)
    assert merged.reason == "albacore: units failed."
    assert merged.image == "yellowfin, albacore"
    assert [check.name for check in merged.checks] == ["albacore: units"]
    assert len(merged.plan) == 4
    assert merged.timeline[0].name == "yellowfin: kernel"
    assert set(merged.inputs) == {f"{i}: {n}" for i in ("yellowfin", "albacore") for n in ("digest", "disk sha256")}
    assert merged.duration == 90


def test_reasons_of_several_images_do_not_run_into_each_other(make) -> None:
    merged = merge([make(reason=":next is commit 1"), make(image="albacore", reason="Done.")])
    assert merged.reason == "yellowfin: :next is commit 1; albacore: Done."
