"""What goes wrong in the first hour is refused with words that say what to do: docs/first-hour.md."""

import base64
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "ci"))

from papers.first_hour import FIRST_HOUR, told

from pipeline.errors import UsageError
from pipeline.registry.credentials import Credentials

WHAT_TO_DO = (
    r"[Ee]xpected|[Ff]etch|add it|look at|allowed|required|Correct|Tag a|[Pp]ush|pass |give |chmod|move|Put "
    r"|did you mean|not TOML|main_branch|differs from|not supported|Was build-next"
)


@pytest.mark.parametrize("mistake", FIRST_HOUR)
def test_every_refusal_says_what_to_do(mistake: str) -> None:
    assert re.search(WHAT_TO_DO, told(mistake))


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        ("a misspelt key", "did you mean containerfile?"),
        ("a key in the wrong table", "did you mean the one of [gates.testing]?"),
        ("a repository without a registry", "found 'os'; expected a repository such as ghcr.io/owner/image"),
        (
            "a branch called master",
            "main_branch in pipeline.toml is main, and there is no such branch; there are master",
        ),
        ("plain HTTP", "in plain_http of pipeline.toml"),
        ("a host that does not exist", "after 3 attempts"),
        ("a registry of one's own machine", "give a registry of your machine by --registry=tcp://localhost:PORT"),
        ("a git repository without a commit", "git commit"),
        ("a release tag on another commit", "Put both tags on one commit."),
    ],
)
def test_what_was_unkind_once_stays_kind(mistake: str, words: str) -> None:
    assert words in told(mistake)


def test_no_password_is_repeated() -> None:
    secret = base64.b64encode(b"CANARY-without-colon").decode()
    with pytest.raises(UsageError) as refused:
        Credentials.parse(f'{{"auths": {{"ghcr.io": {{"auth": "{secret}"}}}}}}')
    assert "CANARY" not in str(refused.value)
    assert secret not in str(refused.value)
