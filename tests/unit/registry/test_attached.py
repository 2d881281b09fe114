"""What is attached to a digest by the name of a tag."""

import pytest

from pipeline.domain import Digest, Tag
from pipeline.registry.attached import attached_tags, cosign_tags, referrers_tag, subject_of_tag

IMAGE = Digest("sha256:" + "ab" * 32)


def test_the_list_of_referrers_and_cosigns_tags_are_attached() -> None:
    name = "sha256-" + "ab" * 32
    assert attached_tags(IMAGE) == (name, f"{name}.sig", f"{name}.att", f"{name}.sbom")
    assert attached_tags(IMAGE) == (referrers_tag(IMAGE), *cosign_tags(IMAGE))


@pytest.mark.parametrize("tag", attached_tags(IMAGE))
def test_each_of_these_tags_names_its_subject(tag: Tag) -> None:
    assert subject_of_tag(tag) == IMAGE


def test_a_suffix_that_is_not_known_is_attached_all_the_same() -> None:
    assert subject_of_tag(Tag("sha256-" + "ab" * 32 + ".vex")) == IMAGE


@pytest.mark.parametrize("tag", ["stable", "v1.0.0", "sha256-abab", "sha256-" + "ab" * 32 + "-sig", "a" * 40])
def test_any_other_tag_is_attached_to_nothing(tag: str) -> None:
    assert subject_of_tag(Tag(tag)) is None
