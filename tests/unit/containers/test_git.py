"""Which branch a reference is, and which commits can be spoken of."""

import pytest

from pipeline.config import parse
from pipeline.containers.git import commit_named, is_branch
from pipeline.errors import UsageError

IMAGE = '[images.os]\nrepository = "ghcr.io/owner/os"\n'


@pytest.mark.parametrize(
    ("reference", "branches", "is_one"),
    [
        ("refs/heads/main", ["main"], True),
        ("refs/remotes/origin/main", ["main"], True),
        ("refs/heads/master", ["main"], False),
        ("refs/heads/release/1.4", ["main", "release/*"], True),
        ("refs/heads/release", ["release/*"], False),
        ("refs/heads/main/evil", ["main"], False),
        ("refs/heads/origin/main", ["main"], False),
        ("refs/remotes/fork/main", ["main"], False),
        ("refs/tags/main", ["main"], False),
    ],
)
def test_a_reference_is_one_of_the_branches(reference: str, branches: list[str], is_one: bool) -> None:
    assert is_branch(reference, branches) is is_one


def test_main_branch_is_one_name_or_several() -> None:
    assert parse(IMAGE).main_branch == ("main",)
    assert parse('main_branch = "master"\n' + IMAGE).main_branch == ("master",)
    assert parse('main_branch = ["main", "release/*"]\n' + IMAGE).main_branch == ("main", "release/*")


@pytest.mark.parametrize("wrong", ["[]", '""', "7"])
def test_no_branch_at_all_is_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match="main_branch"):
        parse(f"main_branch = {wrong}\n{IMAGE}")


def test_a_commit_named_by_sha256_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="sha256"):
        commit_named("a" * 64)
