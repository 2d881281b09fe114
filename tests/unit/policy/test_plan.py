"""The plan: desired minus actual, version tags first, channels last, version tags never moved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import ConflictError
from pipeline.policy.plan import Desired, is_channel, tag_moves
from pipeline.policy.tags import is_version_tag

ONE, TWO = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)
OS, OTHER = Repository.parse("registry.example/os"), Repository.parse("registry.example/other")
VERSION, CHANNEL = Tag("v1.0.0"), Tag("stable")


def release(*repositories, digest=ONE):
    return [Desired(repository, tag, digest) for repository in repositories for tag in (CHANNEL, VERSION)]


def test_every_version_tag_comes_before_every_channel():
    wanted = release(OS, OTHER)
    moves = tag_moves(wanted, {(wish.repository, wish.tag): None for wish in wanted})
    assert [(move.repository, move.tag) for move in moves] == [
        ("registry.example/os", "v1.0.0"),
        ("registry.example/other", "v1.0.0"),
        ("registry.example/os", "stable"),
        ("registry.example/other", "stable"),
    ]


def test_what_is_there_already_is_no_move():
    assert tag_moves(release(OS), {(OS, VERSION): ONE, (OS, CHANNEL): ONE}) == []


def test_after_a_crash_only_the_rest_is_left():
    (move,) = tag_moves(release(OS), {(OS, VERSION): ONE, (OS, CHANNEL): TWO})
    assert (move.tag, move.old, move.new) == ("stable", TWO, ONE)


def test_a_version_tag_that_names_something_else_is_a_conflict():
    with pytest.raises(ConflictError, match="never moved"):
        tag_moves(release(OS), {(OS, VERSION): TWO, (OS, CHANNEL): TWO})


digests = st.sampled_from([ONE, TWO])
tags = st.sampled_from([Tag(name) for name in ("v1.0.0", "v1.0.0-test", "testing", "stable", "next")])
wishes = st.lists(
    st.builds(Desired, st.sampled_from([OS, OTHER]), tags, digests),
    unique_by=lambda wish: (wish.repository, wish.tag),
)


@given(wishes, st.data())
def test_carrying_a_plan_out_gives_what_was_desired_and_moves_no_version_tag(wanted, data):
    actual = {(wish.repository, wish.tag): data.draw(st.none() | digests) for wish in wanted}
    try:
        moves = tag_moves(wanted, actual)
    except ConflictError:
        assert any(
            is_version_tag(wish.tag) and actual[wish.repository, wish.tag] not in (None, wish.digest) for wish in wanted
        )
        return
    after = dict(actual)
    for move in moves:
        assert move.old == actual[Repository.parse(move.repository), move.tag]
        assert move.old is None or not is_version_tag(move.tag)
        after[Repository.parse(move.repository), move.tag] = move.new
    assert all(after[wish.repository, wish.tag] == wish.digest for wish in wanted)
    assert tag_moves(wanted, after) == []
    channels = [is_channel(move.tag) for move in moves]
    assert channels == sorted(channels)
