"""Which version status shows for a channel."""

import pytest

from pipeline.commands.status import _version
from pipeline.domain import Channel, Digest, Tag

HERE, THERE = Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64)


@pytest.mark.parametrize(
    ("channel", "tags", "shown"),
    [
        (Channel.STABLE, ["v44.20260720.9", "v44.20260720.10", "v44.20260720.10-test"], "v44.20260720.10"),
        (Channel.TESTING, ["v1.9.0-test.9", "v1.9.0-test.10", "v1.9.0"], "v1.9.0-test.10"),
        (Channel.NEXT, ["v1.9.0"], "v1.9.0"),
        (Channel.STABLE, [], ""),
    ],
)
def test_the_highest_as_numbers_and_of_the_channels_own_kind(channel: Channel, tags: list[str], shown: str) -> None:
    versions = {Tag(tag): HERE for tag in tags} | {Tag("v99.0.0"): THERE}
    assert _version(channel, HERE, versions) == shown
