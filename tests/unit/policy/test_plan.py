"""The plan: desired minus actual, version tags, then channels, then aliases; version tags never moved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import ConflictError
from pipeline.policy.names import Kind
from pipeline.policy.plan import ORDER, Desired, tag_moves
from pipeline.policy.tags import is_version_tag

ONE, TWO = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)
OS, OTHER = Repository.parse("registry.example/os"), Repository.parse("registry.example/other")
VERSION, CHANNEL, ALIAS = Tag("v1.0.0"), Tag("stable"), Tag("latest")


def release(*repositories, digest=ONE):
    wishes = ((ALIAS, Kind.ALIAS), (CHANNEL, Kind.CHANNEL), (VERSION, Kind.VERSION))
    return [Desired("os", repository, tag, kind, digest) for repository in repositories for tag, kind in wishes]


def test_every_version_tag_comes_before_every_channel_and_aliases_come_last():
    wanted = release(OS, OTHER)
    moves = tag_moves(wanted, {(wish.repository, wish.tag): None for wish in wanted})
    assert [(move.repository, move.tag) for move in moves] == [
        ("registry.example/os", "v1.0.0"),
        ("registry.example/other", "v1.0.0"),
        ("registry.example/os", "stable"),
        ("registry.example/other", "stable"),
        ("registry.example/os", "latest"),
        ("registry.example/other", "latest"),
    ]


def test_what_is_there_already_is_no_move():
    assert tag_moves(release(OS), {(OS, VERSION): ONE, (OS, CHANNEL): ONE, (OS, ALIAS): ONE}) == []


def test_after_a_crash_only_the_rest_is_left():
    (move,) = tag_moves(release(OS), {(OS, VERSION): ONE, (OS, CHANNEL): TWO, (OS, ALIAS): ONE})
    assert (move.tag, move.old, move.new) == ("stable", TWO, ONE)


def test_a_version_tag_that_names_something_else_is_a_conflict():
    with pytest.raises(ConflictError, match="never moved"):
        tag_moves(release(OS), {(OS, VERSION): TWO, (OS, CHANNEL): TWO, (OS, ALIAS): TWO})


digests = st.sampled_from([ONE, TWO])
KINDS = {"v1.0.0": Kind.VERSION, "v1.0.0-test": Kind.VERSION, "testing": Kind.CHANNEL, "latest": Kind.ALIAS}
wishes = st.lists(
    st.builds(
        lambda place, name, digest: Desired("os", place, Tag(name), KINDS[name], digest),
        st.sampled_from([OS, OTHER]),
        st.sampled_from(sorted(KINDS)),
        digests,
    ),
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
    kinds = [ORDER.index(KINDS[move.tag]) for move in moves]
    assert kinds == sorted(kinds)
