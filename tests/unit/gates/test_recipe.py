"""Whether what a candidate is built on has changed since."""

import pytest

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import UsageError
from pipeline.gates.recipe import Bases, moved
from pipeline.policy.candidate import BASE_DIGEST_LABEL, BASES_LABEL
from pipeline.policy.containerfile import Reference

OLD, NEW = (Digest(f"sha256:{digit * 64}") for digit in "12")
BASE, TOOLS = "quay.io/a/base:1", "quay.io/a/tools:1"


def bases(base: Digest, tools: Digest | None = None) -> Bases:
    found = {BASE: Reference(Repository.parse("quay.io/a/base"), Tag("1"), base)}
    if tools:
        found[TOOLS] = Reference(Repository.parse("quay.io/a/tools"), Tag("1"), tools)
    return Bases(BASE, found)


@pytest.mark.parametrize(
    ("now", "labels", "changed"),
    [
        (bases(OLD), bases(OLD).labels, ""),
        (bases(NEW), bases(OLD).labels, f"quay.io/a/base@{NEW}"),
        (bases(OLD, NEW), bases(OLD, OLD).labels, f"quay.io/a/tools@{NEW}"),
        (bases(OLD), bases(OLD, OLD).labels, ""),
        (bases(OLD, OLD), {BASE_DIGEST_LABEL: OLD}, ""),
        (bases(NEW, OLD), {BASE_DIGEST_LABEL: OLD}, f"quay.io/a/base@{NEW}"),
        (bases(OLD), {}, f"quay.io/a/base@{OLD}"),
        (bases(OLD), {BASES_LABEL: ""}, f"quay.io/a/base@{OLD}"),
        (Bases("", {}), {}, ""),
    ],
)
def test_what_has_changed(now: Bases, labels: dict[str, str], changed: str) -> None:
    assert moved(now, labels) == changed


def test_what_nobody_can_be_asked_for_is_no_answer() -> None:
    with pytest.raises(UsageError, match="fedora:43"):
        moved(Bases("fedora:43", {}, unknown=("fedora:43",)), {})
