"""The grammar of release names: what is taken, what is refused and why, and the order of versions."""

import pytest

from pipeline.errors import UsageError
from pipeline.policy.tags import ReleaseTag, TestTag, Version, highest_test_tag, is_version_tag, release_tags


@pytest.mark.parametrize(
    ("text", "version", "attempt"),
    [
        ("v1.2.3-test", (1, 2, 3), 0),
        ("v0.0.0-test", (0, 0, 0), 0),
        ("v10.20.30-test.4", (10, 20, 30), 4),
    ],
)
def test_a_test_tag_is_read_and_written_back(text, version, attempt):
    tag = TestTag.parse(text)
    assert (tag.version, tag.attempt, tag.tag) == (Version(*version), attempt, text)


def test_a_release_tag_is_read_and_written_back():
    assert ReleaseTag.parse("v1.20.3").version == Version(1, 20, 3)
    assert ReleaseTag.parse("v1.20.3").tag == "v1.20.3"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("v1.2.3", "belongs to promote-stable"),
        ("1.2.3-test", "starts with v"),
        ("v1.02.3-test", "leading zeros"),
        ("v1.2.3-test.0", "nothing may follow"),
        ("v1.2-test", "X, Y and Z"),
        ("v1.2.3-test\n", "X, Y and Z"),
        ("v1.2.3-testing", "nothing may follow"),
        ("stable", "starts with v"),
        ("", "starts with v"),
    ],
)
def test_what_is_no_test_tag_is_refused_with_the_reason(text, reason):
    with pytest.raises(UsageError, match=reason):
        TestTag.parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("v1.2.3-test", "belongs to promote-testing"),
        ("v1.2.3-test.1", "belongs to promote-testing"),
        ("v1.2.3+build", "nothing may follow"),
        ("v1.2.3.4", "nothing may follow"),
        ("V1.2.3", "starts with v"),
        ("v٣.1.1", "X, Y and Z"),
    ],
)
def test_what_is_no_release_tag_is_refused_with_the_reason(text, reason):
    with pytest.raises(UsageError, match=reason):
        ReleaseTag.parse(text)


def test_versions_are_ordered_as_numbers():
    tags = ["v1.10.0", "v1.9.0", "next", "v1.2.0-test", "v0.9.9"]
    assert [tag.tag for tag in release_tags(tags)] == ["v0.9.9", "v1.9.0", "v1.10.0"]


def test_the_highest_test_tag_is_the_last_attempt_of_its_version():
    tags = ["v1.0.0-test", "v1.0.0-test.2", "v1.0.0-test.10", "v2.0.0-test.11", "v1.0.0"]
    assert highest_test_tag(tags, Version(1, 0, 0)) == TestTag(Version(1, 0, 0), 10)
    assert highest_test_tag(tags, Version(3, 0, 0)) is None


def test_channels_and_commits_are_not_version_tags():
    assert [is_version_tag(tag) for tag in ("v1.2.3", "v1.2.3-test.1", "stable", "0" * 40)] == [
        True,
        True,
        False,
        False,
    ]
