"""Which branch a reference is, and which commits can be spoken of."""

import pytest

from pipeline.config import parse
from pipeline.containers.git import commit_named, commit_range, is_branch, main_branches, places
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


def test_the_first_of_what_differs_is_named_and_the_rest_counted() -> None:
    assert places([" M pipeline.toml"]) == "1 place (M pipeline.toml)"
    assert places(["?? out", " M pipeline.toml"]) == "2 places (?? out, …)"


def test_a_commit_named_by_sha256_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="sha256"):
        commit_named("a" * 64)


@pytest.mark.parametrize("label", ["", "main", "--output=/etc/passwd", "a" * 39, "a" * 40 + "\n"])
def test_a_label_that_is_no_commit_is_no_range(label: str) -> None:
    assert commit_range(label, "b" * 40) is commit_range("b" * 40, label) is None
    assert commit_range("a" * 40, "b" * 40) == f"{'a' * 40}..{'b' * 40}"


MAIN, MASTER = ["refs/remotes/origin/main", "refs/heads/main"], ["refs/remotes/origin/master", "refs/heads/master"]


@pytest.mark.parametrize(
    ("default", "named", "branches", "there", "judge"),
    [
        ("", "", ["main"], MAIN, "refs/remotes/origin/main"),
        ("", "", ["main"], MAIN[1:], "refs/heads/main"),
        ("", "", ["evil"], ["refs/remotes/origin/evil", *MAIN], "refs/remotes/origin/main"),
        ("", "", ["evil"], ["refs/remotes/origin/evil", *MASTER], "refs/remotes/origin/master"),
        ("refs/remotes/origin/trunk", "", ["evil"], ["refs/remotes/origin/trunk", *MAIN], "refs/remotes/origin/trunk"),
        ("", "", ["trunk"], ["refs/heads/trunk"], "refs/heads/trunk"),
        ("", "trunk", ["evil"], ["refs/heads/trunk", *MAIN], "refs/heads/trunk"),
        ("", "trunk", ["evil"], MAIN, None),
        ("", "", ["release/*"], ["refs/heads/release/1"], None),
    ],
)
def test_a_tree_does_not_choose_the_branch_that_says_whom_to_trust(
    default: str, named: str, branches: list[str], there: list[str], judge: str | None
) -> None:
    assert next((one for one in main_branches(default, named, branches) if one in there), None) == judge
