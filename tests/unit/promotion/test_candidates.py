"""A commit has several candidates: rebuilt on a newer base, or built elsewhere and submitted."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from memory_registry import HOST, Bad, Crash, MemoryRegistry, Weather
from scaffold import Bench, HandedOver, configured, outcome

from pipeline.config import Image
from pipeline.domain import Channel, Digest, Outcome, Refresh, Repository, Tag, usual_platform
from pipeline.image.assembly import Assembled
from pipeline.policy.candidate import BASES_LABEL, REVISION_LABEL
from pipeline.registry import media
from pipeline.registry.content import sha256

LABELS = {f"org.opencontainers.image.{name}": name for name in ("source", "created", "version")}


class Lab(Bench):
    registry: MemoryRegistry
    built = 0

    def new_base(self) -> None:
        self.registry.tag("base", "10", self.registry.put_image("base", {}, f"base {self.built}"), by_us=False)

    def named(self, tag: str) -> Digest | None:
        return self.registry.store("os").tags.get(tag)

    def elsewhere(self, seed: str, **labels: str) -> Digest:
        """What another job built of the commit that is checked out."""
        said = LABELS | {REVISION_LABEL: self.git.commits[-1]} | labels
        return self.registry.put_image("elsewhere/os", said, seed)

    def listing(self, *images: tuple[str, str, str]) -> Digest:
        """An index of another job over images of the commit: what each is, its seed, and what it is listed for."""
        said, store = LABELS | {REVISION_LABEL: self.git.commits[-1]}, self.registry.store("elsewhere/os")
        children = []
        for platform, seed, listed in images:
            index = json.loads(store.manifests[self.registry.put_image("elsewhere/os", said, seed, (platform,))][1])
            named = dict(zip(("os", "architecture", "variant"), listed.split("/"), strict=False))
            children.append(index["manifests"][0] | {"platform": named})
        raw = json.dumps({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": children}).encode()
        store.manifests[sha256(raw)] = (media.OCI_INDEX, raw)
        return sha256(raw)

    def layout(self, seed: str, **labels: str) -> HandedOver:
        said = LABELS | {REVISION_LABEL: self.git.commits[-1]} | labels
        digest = self.registry.put_image("elsewhere/os", said, seed)
        of_all = dict.fromkeys(("linux/amd64", "linux/arm64"), said)
        return HandedOver(
            Repository(HOST, "elsewhere/os"), Assembled(digest=digest, platforms={}, labels=of_all, layers={})
        )


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.chdir(tmp_path)
    registry = MemoryRegistry()

    async def push(image: Image, tag: Tag, labels: dict[str, str]) -> None:
        lab.built += 1
        await registry.push(image.repository.path, tag, labels, f"build {lab.built}")

    lab = Lab(configured("os", host=HOST), registry.copy, push, containerfile=f"FROM {HOST}/base:10")
    lab.registry = registry
    lab.new_base()
    lab.git.commit()
    with registry.serving():
        yield lab


@pytest.fixture
async def sha(lab: Lab) -> str:
    """The commit, which has its first candidate."""
    assert outcome(await lab.build_next()) == Outcome.PASSED
    return lab.git.commits[-1]


@pytest.mark.parametrize("twice", ["linux/amd64", "linux/amd64/v1", "linux/arm64/v8"])
async def test_two_images_of_one_platform_are_no_candidate(lab: Lab, twice: str) -> None:
    """Tools differ in which of them they take, so the gate's word would be about either."""
    given = [(name, seed, name) for name, seed in (("linux/amd64", "1"), ("linux/arm64", "1"), (twice, "other"))]
    submitted = lab.listing(*given)
    (told,) = await lab.submit_next(f"{HOST}/elsewhere/os@{submitted}")
    both = ", ".join(sorted(("linux/amd64", "linux/arm64", usual_platform(twice))))
    assert (told.outcome, lab.steps, lab.named("next")) == (Outcome.PRECONDITION, [], None)
    assert f"is for {both}; expected exactly" in told.reason


async def test_a_login_in_a_reference_is_refused_and_not_told(lab: Lab) -> None:
    digest = lab.elsewhere("theirs")
    (told,) = await lab.submit_next(f"someone:the-password@{HOST}/elsewhere/os@{digest}")
    assert (told.outcome, lab.steps) == (Outcome.USAGE, [])
    assert "the-password" not in told.reason
    (told,) = await lab.submit_next(f"{HOST}/elsewhere/os:latest")
    assert "is no image by digest" in told.reason


async def test_what_an_index_says_of_an_image_is_what_it_says_of_itself(lab: Lab) -> None:
    """One that was annotated wrongly would be taken by machines on which it does not run."""
    wrong = lab.listing(("linux/amd64", "1", "linux/amd64"), ("linux/amd64", "2", "linux/arm64"))
    (told,) = await lab.submit_next(f"{HOST}/elsewhere/os@{wrong}")
    assert (told.outcome, lab.steps, lab.named("next")) == (Outcome.PRECONDITION, [], None)
    assert "for linux/arm64, and its configuration says linux/amd64" in told.reason


# Rebuilt ------------------------------------------------------------------------------------------------------------


async def test_nothing_is_built_while_the_base_is_the_same(lab: Lab, sha: str) -> None:
    (result,) = await lab.build_next(Refresh.AUTO)
    assert (result.outcome, lab.built) == (Outcome.UNCHANGED, 1)
    assert "nothing that it is built on has changed" in result.reason


async def test_a_new_base_makes_a_further_candidate_and_next_goes_to_it(lab: Lab, sha: str) -> None:
    first = lab.named(sha)
    lab.new_base()
    (result,) = await lab.build_next(Refresh.AUTO)
    assert (result.outcome, "candidate 2" in result.reason) == (Outcome.PASSED, True)
    assert lab.named("next") == lab.named(f"{sha}.2") != first == lab.named(sha)
    assert lab.recipes[0].labels[BASES_LABEL] != lab.recipes[1].labels[BASES_LABEL]
    assert not lab.recipes[1].afresh
    for refresh in (Refresh.AUTO, Refresh.NONE):
        assert outcome(await lab.build_next(refresh)) == Outcome.UNCHANGED
    assert lab.built == 2
    assert outcome(await lab.verify()) == Outcome.PASSED


async def test_always_runs_every_step_again(lab: Lab, sha: str) -> None:
    assert outcome(await lab.build_next(Refresh.ALWAYS)) == Outcome.PASSED
    assert lab.recipes[1].afresh
    assert lab.named("next") == lab.named(f"{sha}.2")


async def test_the_same_layers_are_no_new_candidate(lab: Lab, sha: str) -> None:
    async def layers(image: Image) -> dict[str, list[str]]:
        return {f"linux/{one}": [f"{one} build 1"] for one in ("amd64", "arm64")}

    storage = lab.storage
    lab.storage = lambda *given: _with(storage(*given), layers=layers)  # type: ignore[method-assign]
    (result,) = await lab.build_next(Refresh.ALWAYS)
    assert (result.outcome, lab.built) == (Outcome.UNCHANGED, 1)
    assert "same layers" in result.reason


def _with(local: Any, **replaced: Any) -> Any:
    build = local.build

    async def built(*given: Any) -> Any:
        return _with(await build(*given), **replaced)

    vars(local).update(replaced, build=built)
    return local


async def test_one_that_does_not_pass_leaves_everything_where_it_is(lab: Lab, sha: str) -> None:
    first = lab.named("next")
    lab.new_base()
    lab.verdicts[Channel.NEXT] = Outcome.GATE_FAILED
    assert outcome(await lab.build_next(Refresh.AUTO)) == Outcome.GATE_FAILED
    assert (lab.named("next"), lab.named(f"{sha}.2")) == (first, None)
    lab.verdicts[Channel.NEXT] = Outcome.PASSED
    assert outcome(await lab.build_next(Refresh.AUTO)) == Outcome.PASSED
    assert lab.named("next") == lab.named(f"{sha}.2")


async def test_what_a_crash_left_is_judged_before_anything_is_built(lab: Lab, sha: str) -> None:
    labels = lab.recipes[0].labels
    lab.registry.tag("os", f"{sha}.2", lab.registry.put_image("os", dict(labels), "crashed"), by_us=False)
    lab.new_base()
    assert outcome(await lab.build_next(Refresh.AUTO)) == Outcome.PASSED
    assert (lab.built, lab.named("next")) == (1, lab.named(f"{sha}.2"))
    assert outcome(await lab.build_next(Refresh.AUTO)) == Outcome.PASSED
    assert (lab.built, lab.named("next")) == (2, lab.named(f"{sha}.3"))


async def test_an_index_that_nobody_can_read_is_no_candidate(lab: Lab) -> None:
    async def push(image: Image, tag: Tag, labels: dict[str, str]) -> Digest:
        return await lab.registry.push(image.repository.path, tag, labels, "broken", ["linux"])

    lab.push = push
    (told,) = await lab.build_next()
    assert (told.outcome, "broken descriptor" in told.reason) == (Outcome.PRECONDITION, True)
    assert not lab.registry.store("os").tags


async def test_a_base_that_nobody_can_be_asked_for_is_said(lab: Lab) -> None:
    lab.containerfile = "FROM fedora:43"
    await lab.build_next()
    (result,) = await lab.build_next(Refresh.AUTO)
    assert (result.outcome, "fedora:43" in result.reason) == (Outcome.USAGE, True)
    assert outcome(await lab.build_next(Refresh.ALWAYS)) == Outcome.PASSED


async def test_a_candidate_that_says_nothing_of_its_base_is_rebuilt(lab: Lab) -> None:
    lab.containerfile = "FROM scratch"
    await lab.build_next()
    lab.containerfile = f"FROM {HOST}/base:10"
    assert outcome(await lab.build_next(Refresh.AUTO)) == Outcome.PASSED
    assert lab.built == 2


async def test_next_does_not_go_back_to_an_earlier_candidate(lab: Lab, sha: str) -> None:
    """The newest candidate of a commit is gone from the list, as on a registry that cuts it; next still names it."""
    lab.new_base()
    await lab.build_next(Refresh.AUTO)
    second = lab.named("next")
    first = lab.named(sha)
    assert first
    (result,) = await lab.submit_next(f"{HOST}/os@{first}")
    assert (result.outcome, lab.named("next")) == (Outcome.SUPERSEDED, second)


# Which candidate a tag takes ----------------------------------------------------------------------------------------


async def refreshed(lab: Lab) -> None:
    lab.new_base()
    assert outcome(await lab.build_next(Refresh.AUTO)) == Outcome.PASSED


async def test_a_tag_takes_the_newest_that_passed_and_keeps_it(lab: Lab, sha: str) -> None:
    await refreshed(lab)
    lab.git.tags["v1.0.0-test"] = lab.git.commits[-1]
    (seen,) = await lab.plan("v1.0.0-test")
    assert (seen.digest, "candidate 2, the newest of 2" in seen.note) == (lab.named(f"{sha}.2"), True)
    assert outcome(await lab.promote_testing("v1.0.0-test")) == Outcome.PASSED
    await refreshed(lab)
    (seen,) = await lab.plan("v1.0.0-test")
    assert (seen.digest, seen.moves) == (lab.named(f"{sha}.2"), [])
    assert ":v1.0.0-test names it already" in seen.note
    assert outcome(await lab.promote_testing("v1.0.0-test")) == Outcome.UNCHANGED
    assert lab.named("testing") == lab.named("v1.0.0-test") == lab.named(f"{sha}.2")
    lab.git.tags |= dict.fromkeys(("v1.0.0-test.1", "v1.0.0"), lab.git.commits[-1])
    assert outcome(await lab.promote_testing("v1.0.0-test.1")) == Outcome.PASSED
    assert lab.named("testing") == lab.named(f"{sha}.3")
    assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.PASSED
    assert lab.named("stable") == lab.named(f"{sha}.3")
    assert outcome(await lab.verify()) == Outcome.PASSED


async def test_a_candidate_that_was_never_judged_is_passed_over(lab: Lab, sha: str) -> None:
    labels = lab.recipes[0].labels
    lab.registry.tag("os", f"{sha}.2", lab.registry.put_image("os", dict(labels), "crashed"), by_us=False)
    lab.git.tags["v1.0.0-test"] = lab.git.commits[-1]
    (seen,) = await lab.plan("v1.0.0-test")
    assert (seen.digest, "candidate 2 did not" in seen.note) == (lab.named(sha), True)
    assert outcome(await lab.promote_testing("v1.0.0-test")) == Outcome.PASSED
    assert lab.named("testing") == lab.named(sha)


async def test_another_candidate_is_taken_when_it_is_named(lab: Lab, sha: str) -> None:
    await refreshed(lab)
    lab.git.tags["v1.0.0-test"] = lab.git.commits[-1]
    first = lab.named(sha)
    (seen,) = await lab.plan("v1.0.0-test", digest=first)
    assert seen.digest == first
    assert outcome(await lab.promote_testing("v1.0.0-test", digest=first)) == Outcome.PASSED
    assert lab.named("testing") == first
    second = lab.named(f"{sha}.2")
    assert outcome(await lab.promote_testing("v1.0.0-test", digest=second)) == Outcome.CONFLICT


@pytest.mark.parametrize("wrong", ["sha256:1", "sha256:" + "9" * 64, "stranger"])
async def test_a_digest_that_is_none_of_the_commit_is_refused(lab: Lab, sha: str, wrong: str) -> None:
    lab.git.tags["v1.0.0-test"] = lab.git.commits[-1]
    if wrong == "stranger":
        wrong = lab.registry.put_image("os", LABELS | {REVISION_LABEL: "0" * 40}, "stranger")
    end = outcome(await lab.promote_testing("v1.0.0-test", digest=wrong))
    assert end in (Outcome.USAGE, Outcome.PRECONDITION)
    assert lab.named("testing") is None


# Built elsewhere ----------------------------------------------------------------------------------------------------


async def test_a_digest_goes_through_the_gate_and_stays_as_it_is(lab: Lab) -> None:
    digest = lab.elsewhere("theirs")
    (result,) = await lab.submit_next(f"{HOST}/elsewhere/os@{digest}")
    assert (result.outcome, result.digest) == (Outcome.PASSED, digest)
    assert lab.named("next") == lab.named(lab.git.commits[-1]) == digest
    assert lab.gate_runs == [(Channel.NEXT, Outcome.PASSED)]
    assert outcome(await lab.submit_next(f"docker://{HOST}/elsewhere/os:any@{digest}")) == Outcome.UNCHANGED
    assert len(lab.gate_runs) == 1
    assert outcome(await lab.verify()) == Outcome.PASSED


async def test_a_layout_is_a_candidate_as_well_and_the_next_one_is_numbered(lab: Lab) -> None:
    first, second = lab.layout("one"), lab.layout("two")
    for handed_over in (first, second):
        assert outcome(await lab.submit_next(layouts=[handed_over])) == Outcome.PASSED
    sha = lab.git.commits[-1]
    assert (lab.named(sha), lab.named(f"{sha}.2")) == (first.assembled.digest, second.assembled.digest)
    assert lab.named("next") == second.assembled.digest


async def test_a_crash_between_push_and_evidence_is_finished_by_the_same_command(lab: Lab) -> None:
    reference = f"{HOST}/elsewhere/os@{lab.elsewhere('theirs')}"
    start, at = lab.registry.saved(), 0
    while True:
        at += 3
        lab.registry.restore(start)
        lab.registry.weather = Weather(Bad.CRASH_AFTER, at)
        try:
            await lab.submit_next(reference)
            break
        except Crash:
            pass
        lab.registry.weather = Weather()
        assert outcome(await lab.submit_next(reference)) in (Outcome.PASSED, Outcome.UNCHANGED)
        assert lab.named("next") == lab.named(lab.git.commits[-1])
    assert at > 20


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({REVISION_LABEL: "0" * 40}, "expected"),
        ({"org.opencontainers.image.created": ""}, "podman build --label"),
    ],
)
async def test_an_image_that_is_none_of_this_commit_is_refused(lab: Lab, labels: dict[str, str], said: str) -> None:
    for end in (
        await lab.submit_next(f"{HOST}/elsewhere/os@{lab.elsewhere('theirs', **labels)}"),
        await lab.submit_next(layouts=[lab.layout("theirs", **labels)]),
    ):
        assert outcome(end) == Outcome.PRECONDITION
        assert said in end[0].reason
    assert lab.gate_runs == []
    assert not lab.registry.store("os").tags


@pytest.mark.parametrize("reference", [f"{HOST}/os:latest", "os", "", f"{HOST}/os@sha256:1"])
async def test_a_reference_without_digest_is_refused(lab: Lab, reference: str) -> None:
    assert outcome(await lab.submit_next(reference)) == Outcome.USAGE


async def test_one_that_fails_the_gate_is_not_pushed(lab: Lab) -> None:
    lab.verdicts[Channel.NEXT] = Outcome.GATE_FAILED
    assert outcome(await lab.submit_next(f"{HOST}/elsewhere/os@{lab.elsewhere('theirs')}")) == Outcome.GATE_FAILED
    assert not lab.registry.store("os").tags


async def test_nothing_another_commit_or_several_images_is_refused(lab: Lab) -> None:
    reference = f"{HOST}/elsewhere/os@{lab.elsewhere('theirs')}"
    assert outcome(await lab.submit_next()) == Outcome.USAGE
    assert outcome(await lab.submit_next(reference, commit="main")) == Outcome.USAGE
    assert outcome(await lab.submit_next(reference, commit="0" * 40)) == Outcome.PRECONDITION
    lab.config = configured("os", "desktop", host=HOST)
    assert outcome(await lab.submit_next(reference)) == Outcome.USAGE
