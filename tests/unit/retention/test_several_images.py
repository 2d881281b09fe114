"""Retention where several images share a repository: by image, and nothing of the others goes."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.commands import prune as command
from pipeline.config import parse
from pipeline.domain import Channel, Digest, Repository, Tag
from pipeline.errors import UsageError
from pipeline.policy.attached import evidence_tag
from pipeline.policy.names import Names, ledger_tag
from pipeline.policy.retention import Graph, Kind, Manifest, Rules, plan
from pipeline.policy.retention.rules import Role
from pipeline.registry.retention import RestoreList
from pipeline.registry.retention.report import Deleted

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
GNOME = Names("gnome-", {Channel.STABLE: "gts"}, {Channel.STABLE: ("latest", "{prefix}", "{major}", "stable-{date}")})
HWE, PLAIN = Names("gnome-hwe-"), Names()
RULES = Rules(
    keep_last=1, older_than="30d", max_percent=100, keep_tags=("golden*",), prune_tags=("pr-*",), forget_tags=("v9.*",)
)


def d(number: int) -> Digest:
    return Digest(f"sha256:{number:064x}")


def image(number: int, days: float = 100) -> Manifest:
    created = NOW - timedelta(days=days)
    return Manifest(d(number), "application/vnd.oci.image.manifest.v1+json", Kind.IMAGE, created=created)


def graph(tags: dict[str, int], **more: Any) -> Graph:
    manifests = {d(number): image(number, 100 - number) for number in tags.values()}
    return Graph(manifests, {Tag(tag): d(number) for tag, number in tags.items()}, **more)


@pytest.mark.parametrize(
    ("tag", "role"),
    [
        ("gnome-next", Role.CHANNEL),
        ("gnome-gts", Role.CHANNEL),
        ("gnome-stable", Role.FOREIGN),
        ("gnome", Role.ALIAS),
        ("gnome-44", Role.ALIAS),
        ("gnome-stable-20260720", Role.DATED),
        ("gnome-v1.2.3-test", Role.VERSION),
        ("gnome-v1.2.3-rc1", Role.VERSION),
        (f"gnome-{'f' * 40}.2", Role.CANDIDATE),
        ("gnome-pr-7", Role.CANDIDATE),
        ("gnome-golden-1", Role.PATTERN),
        ("golden-1", Role.PATTERN),
        ("pr-7", Role.FOREIGN),
        ("gnome-hwe-pr-7", Role.FOREIGN),
        (f"gnome-hwe-{'f' * 40}", Role.ANOTHERS),
        ("gnome-hwe-stable", Role.ANOTHERS),
        ("stable", Role.ANOTHERS),
        ("f" * 40, Role.ANOTHERS),
        (ledger_tag("gnome-hwe-", Channel.NEXT, 1, "hold", d(1)), Role.RECORD),
        (ledger_tag("never-heard-of-", Channel.NEXT, 1, "hold", d(1)), Role.RECORD),
        ("pipeline-pruning", Role.RECORD),
        (evidence_tag(Channel.NEXT, d(1), d(2)), Role.ATTACHED),
        ("kde-next", Role.FOREIGN),
    ],
)
def test_what_a_tag_means_to_one_of_several_images(tag: str, role: Role) -> None:
    assert RULES.for_images([GNOME], [HWE, PLAIN]).role(Tag(tag)) is role


def test_what_others_released_must_be_there_too() -> None:
    rules = RULES.for_images([GNOME], [HWE])
    tags = ["gnome-gts", "gnome-v1.0.0", "gnome-hwe-stable", "gnome-hwe-v1.0.0", "gnome-v9.0.0", "gnome-stable"]
    assert [rules.must_be_there(Tag(tag)) for tag in tags] == [True, True, True, True, False, False]


def test_each_image_keeps_its_own_newest_candidates() -> None:
    tags = {f"gnome-{n:040x}": n for n in (1, 2, 3)} | {f"gnome-hwe-{n:040x}": n for n in (4, 5)}
    both = plan(graph(tags), RULES.for_images([GNOME, HWE]), NOW)
    assert {one.digest for one in both.deletions} == {d(1), d(2), d(4)}
    one = plan(graph(tags), RULES.for_images([GNOME], [HWE]), NOW)
    assert {one.digest for one in one.deletions} == {d(1), d(2)}


def test_a_candidate_of_two_images_goes_only_when_both_let_it_go() -> None:
    tags = {f"gnome-{1:040x}": 1, f"gnome-{2:040x}": 2, f"gnome-hwe-{1:040x}": 1}
    assert not plan(graph(tags), RULES.for_images([GNOME, HWE]), NOW).deletions


def test_evidence_that_anothers_digest_needs_stays() -> None:
    shared, evidence = d(1), d(2)
    tags = {f"gnome-{1:040x}": 1, "gnome-hwe-next": 1, evidence_tag(Channel.NEXT, shared, evidence): 2}
    tags |= {f"gnome-{number:040x}": number for number in (3, 4)}
    made = plan(graph(tags), RULES.for_images([GNOME], [HWE]), NOW)
    assert {one.digest for one in made.deletions} == {d(3)}
    assert evidence in made.kept


def test_the_last_stable_digests_of_every_image_stay() -> None:
    tags = {f"gnome-{number:040x}": number for number in range(1, 9)}
    histories = ((d(1), d(2), d(3), d(4)), (d(5),))
    rules = RULES.for_images([GNOME]).model_copy(update={"rollback_targets": 2})
    made = plan(graph(tags, stable_histories=histories), rules, NOW)
    assert {one.digest for one in made.deletions} == {d(3), d(4), d(6), d(7)}


def test_a_dated_alias_goes_when_its_release_stays_under_its_version() -> None:
    tags = {}
    for number in (1, 2, 3):
        tags |= {f"gnome-v44.{number}.0": number, f"gnome-stable-2026010{number}": number}
    tags |= {"gnome-44": 3, "gnome-gts": 3, "gnome": 3, "gnome-43": 2, "gnome-stable-20251231": 4}
    made = plan(graph(tags), RULES.for_images([GNOME]), NOW, can_untag=True)
    assert [one.tag for one in made.untags] == ["gnome-stable-20260101"]
    assert not made.deletions


async def test_a_restore_list_with_tags_of_other_images_is_refused() -> None:
    text = "".join(
        f'[images.{name}]\nrepository = "registry.test/os"\nprefix = "{name}-"\n' for name in ("gnome", "kde")
    )
    config = parse(text)
    world: Any = SimpleNamespace(config=config, images=config.selected(["gnome"]))
    one = Deleted(digest=d(1), media_type="m", tags=(Tag(f"kde-{1:040x}"),), manifest="{}")
    noted = RestoreList(repository="registry.test/os", at=NOW, manifests=(one,))
    with pytest.raises(UsageError, match="has tags of kde"):
        command._refuse_tags_of_others(world, Repository("registry.test", "os"), noted)
    world.images = config.selected([])
    command._refuse_tags_of_others(world, Repository("registry.test", "os"), noted)
