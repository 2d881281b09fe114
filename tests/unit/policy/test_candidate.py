"""Which digest: the whole table, one row a test."""

from dataclasses import replace

import pytest

from pipeline.domain import Commit, Digest
from pipeline.errors import ConflictError, PreconditionError, UsageError
from pipeline.policy.candidate import (
    Choice,
    NotBuiltYet,
    Numbered,
    StableFacts,
    TestingFacts,
    choose,
    for_stable,
    for_testing,
)
from pipeline.policy.tags import ReleaseTag, TestTag, Version

COMMIT, OTHER_COMMIT = Commit("a" * 40), Commit("b" * 40)
IMAGE, OTHER_IMAGE = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)

TESTING = TestingFacts(
    tag=TestTag.parse("v1.1.0-test"),
    commit=COMMIT,
    digest=IMAGE,
    revision=COMMIT,
    next_digest=IMAGE,
    ahead=0,
    stable=Version(1, 0, 0),
)
STABLE = StableFacts(
    tag=ReleaseTag.parse("v1.1.0"),
    commit=COMMIT,
    test_tag=TestTag.parse("v1.1.0-test.2"),
    digest=IMAGE,
    revision=COMMIT,
    test_commit=COMMIT,
    stable=Version(1, 0, 0),
)


def test_the_image_of_the_tagged_commit_is_the_candidate():
    assert for_testing(TESTING) == for_testing(replace(TESTING, tagged=IMAGE))
    assert (for_testing(TESTING).digest, for_testing(TESTING).note) == (IMAGE, "")


def test_next_may_have_moved_on_and_it_is_said_by_how_many_commits():
    candidate = for_testing(replace(TESTING, next_digest=OTHER_IMAGE, ahead=3))
    assert (candidate.digest, candidate.note) == (IMAGE, "next has moved on by 3 commits")


def test_without_the_image_of_the_commit_no_other_is_taken():
    with pytest.raises(NotBuiltYet, match="No other image"):
        for_testing(replace(TESTING, digest=None, revision=None, next_digest=OTHER_IMAGE))


@pytest.mark.parametrize("revision", [None, "", OTHER_COMMIT, COMMIT[:12]])
def test_an_image_that_says_it_was_built_from_something_else_is_refused(revision):
    with pytest.raises(PreconditionError, match=r"org\.opencontainers\.image\.revision"):
        for_testing(replace(TESTING, revision=revision))
    with pytest.raises(PreconditionError, match=r"org\.opencontainers\.image\.revision"):
        for_stable(replace(STABLE, revision=revision))


@pytest.mark.parametrize("stable", [Version(1, 1, 0), Version(1, 1, 1), Version(2, 0, 0)])
def test_a_version_that_is_not_above_stable_is_refused_unless_told(stable):
    with pytest.raises(UsageError, match="not above"):
        for_testing(replace(TESTING, stable=stable))
    with pytest.raises(UsageError, match="not above"):
        for_stable(replace(STABLE, stable=stable))
    assert for_testing(replace(TESTING, stable=stable), allow_older=True).digest == IMAGE
    assert for_stable(replace(STABLE, stable=stable), allow_older=True).digest == IMAGE


@pytest.mark.parametrize(
    ("testing", "refused"),
    [
        (None, False),
        ("v1.0.0-test.3", False),
        ("v1.1.0-test", False),
        ("v1.1.0-test.1", True),
        ("v1.2.0-test", True),
        ("v1.10.0-test", True),
    ],
)
def test_testing_is_not_taken_back_unless_told(testing, refused):
    facts = replace(TESTING, testing=TestTag.parse(testing) if testing else None)
    if refused:
        with pytest.raises(UsageError, match="not above the current testing version"):
            for_testing(facts)
    assert for_testing(facts, allow_older=refused).digest == IMAGE
    assert for_testing(replace(facts, tagged=IMAGE)).digest == IMAGE, "a promotion that began is not refused"


def test_a_repeated_promotion_is_not_refused_for_its_own_version():
    assert for_stable(replace(STABLE, stable=Version(1, 1, 0), tagged=IMAGE)).digest == IMAGE
    assert for_testing(replace(TESTING, stable=Version(1, 1, 0), tagged=IMAGE)).digest == IMAGE


def test_the_first_release_needs_no_stable_before_it():
    assert for_testing(replace(TESTING, stable=None)).digest == IMAGE
    assert for_stable(replace(STABLE, stable=None)).digest == IMAGE


def test_a_version_tag_with_another_digest_is_a_conflict():
    with pytest.raises(ConflictError, match="never moved"):
        for_testing(replace(TESTING, tagged=OTHER_IMAGE))
    with pytest.raises(ConflictError, match="never moved"):
        for_stable(replace(STABLE, tagged=OTHER_IMAGE))


def test_stable_takes_what_the_highest_test_tag_names():
    assert for_stable(STABLE).digest == IMAGE


def test_stable_without_a_test_tag_is_refused():
    with pytest.raises(PreconditionError, match=r"v1\.1\.0-test"):
        for_stable(replace(STABLE, test_tag=None, digest=None, revision=None, test_commit=None))


@pytest.mark.parametrize("test_commit", [OTHER_COMMIT, None])
def test_release_and_test_tag_must_be_one_commit(test_commit):
    with pytest.raises(PreconditionError, match="one commit"):
        for_stable(replace(STABLE, test_commit=test_commit))


SECOND = Digest("sha256:" + "3" * 64)
ONE, TWO = Numbered(1, IMAGE), Numbered(2, SECOND)
TAG = TestTag.parse("v1.1.0-test").tag


@pytest.mark.parametrize(
    ("tagged", "asked", "candidates", "passed", "chosen"),
    [
        (None, None, [], [], Choice(None)),
        (None, None, [ONE], [], Choice(IMAGE)),
        (None, None, [ONE], [IMAGE], Choice(IMAGE)),
        (IMAGE, None, [ONE], [], Choice(IMAGE)),
        (None, None, [ONE, TWO], [], Choice(SECOND)),
        (None, None, [ONE, TWO], [IMAGE, SECOND], Choice(SECOND, "candidate 2, the newest of 2")),
        (None, None, [ONE, TWO], [IMAGE], Choice(IMAGE, "candidate 1, the newest of 2")),
        (IMAGE, None, [ONE, TWO], [SECOND], Choice(IMAGE, ":v1.1.0-test names it already")),
        (None, IMAGE, [ONE, TWO], [SECOND], Choice(IMAGE, "named by --digest")),
        (SECOND, IMAGE, [ONE, TWO], [SECOND], Choice(IMAGE, "named by --digest")),
    ],
)
def test_which_candidate_of_a_commit(tagged, asked, candidates, passed, chosen):
    found = choose(TAG, tagged, asked, candidates, passed)
    assert found.digest == chosen.digest
    assert found.why.startswith(chosen.why)
