"""What a release engineer asks of it after the first weeks: a hotfix, and channels that grow old."""

import pytest
from scaffold import outcome
from test_what_was_found import Lab, lab  # noqa: F401 - fixtures

from pipeline.config import StaleAfter
from pipeline.domain import Outcome


async def test_a_hotfix_from_a_release_branch_goes_past_main(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    await lab.release("v1.4.0")
    await lab.release("v1.5.0")
    hotfix = lab.git.commit()
    lab.git.tags |= dict.fromkeys(("v1.4.1", "v1.4.1-test"), hotfix)

    async def beside(older: str, newer: str) -> bool:
        return older == newer

    with monkeypatch.context() as branch:
        branch.setattr(lab.git, "is_ancestor", beside)
        assert outcome(await lab.build_next()) == Outcome.SUPERSEDED
        assert lab.registry.store("os").tags["next"] == lab.released("v1.5.0")
        assert outcome(await lab.promote_testing("v1.4.1-test")) == Outcome.USAGE
        assert outcome(await lab.promote_testing("v1.4.1-test", allow_older=True)) == Outcome.PASSED
        assert outcome(await lab.promote_stable("v1.4.1", allow_older=True)) == Outcome.PASSED
    assert lab.stable() == lab.released("v1.4.1")
    assert outcome(await lab.verify()) == Outcome.PASSED
    await lab.release("v1.6.0")


@pytest.mark.parametrize(("limit", "ends"), [(3600.0, Outcome.PASSED), (0.001, Outcome.PRECONDITION)])
async def test_a_channel_that_is_too_old_is_not_verified(lab: Lab, limit: float, ends: Outcome) -> None:  # noqa: F811
    await lab.release("v1.0.0")
    lab.config = lab.config.model_copy(update={"stale_after": StaleAfter.model_construct(stable=limit)})
    found = await lab.verify()
    assert outcome(found) == ends
    (age,) = [check for check in found[0].checks if check.name == "stable/age"]
    assert ("stale_after allows" in age.reason) == (ends is not Outcome.PASSED)
