"""What the state machine, or thinking about it, found: each mistake has its test here."""

import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from memory_registry import HOST, MemoryRegistry, Weather, sha256
from scaffold import Bench, configured, outcome

from pipeline.commands.plan import plan_text
from pipeline.config import Image
from pipeline.domain import Channel, Commit, Digest, Outcome, Refresh, Tag
from pipeline.errors import InfrastructureError
from pipeline.policy.candidate import REVISION_LABEL
from pipeline.registry import ledger
from pipeline.registry.attached import referrers_tag
from pipeline.registry.evidence import Evidence, StoredEvidence, attach_evidence
from pipeline.report.model import Result


class Lab(Bench):
    """Releases in good weather, for the one thing that a test is about."""

    registry: MemoryRegistry

    def stable(self, name: str = "os") -> Digest | None:
        return self.registry.store(name).tags.get("stable")

    def released(self, version: str, name: str = "os") -> Digest:
        return self.registry.store(name).tags[version]

    async def prepare(self, version: str) -> None:
        """Everything up to testing."""
        self.git.tags |= dict.fromkeys((version, f"{version}-test"), self.git.commit())
        assert outcome(await self.build_next()) == Outcome.PASSED
        assert outcome(await self.promote_testing(f"{version}-test")) == Outcome.PASSED

    async def release(self, version: str) -> None:
        await self.prepare(version)
        assert outcome(await self.promote_stable(version)) == Outcome.PASSED


def lab_of(*names: str, apart: bool = False) -> Lab:
    registry = MemoryRegistry(referrers_api=not apart)

    async def push(image: Image, commit: Commit, labels: dict[str, str]) -> None:
        await registry.push(image.repository.path, commit, labels, f"{image.name} {commit}")

    lab = Lab(configured(*names, host=HOST, apart=apart), registry.copy, push)
    lab.registry = registry
    return lab


@pytest.fixture(params=[("os",)], ids=str)
async def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.chdir(tmp_path)
    lab = lab_of(*request.param)
    with lab.registry.serving():
        yield lab


two_images = pytest.mark.parametrize("lab", [("os", "desktop")], indirect=True)


def breaking(lab: Lab, *tags: str) -> None:
    """Let every copy to these tags fail from now on, as an outage does."""
    copy = lab.registry.copy

    async def broken(source: Any, digest: Digest, target: Any, tag: Tag) -> None:
        if f"{target.path}:{tag}" in tags:
            raise InfrastructureError("skopeo: 503")
        await copy(source, digest, target, tag)

    lab.copy = broken


def mending(lab: Lab) -> None:
    lab.copy = lab.registry.copy


async def test_a_rollback_said_twice_does_not_go_forward_again(lab: Lab) -> None:
    await lab.release("v1.0.0")
    await lab.release("v1.1.0")
    assert outcome(await lab.rollback(Channel.STABLE)) == Outcome.PASSED
    assert outcome(await lab.rollback(Channel.STABLE)) == Outcome.UNCHANGED
    assert lab.stable() == lab.released("v1.0.0")


async def test_a_second_rollback_after_the_hold_goes_further_back(lab: Lab) -> None:
    for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
        await lab.release(version)
    for expected in ("v1.1.0", "v1.0.0"):
        assert outcome(await lab.rollback(Channel.STABLE)) == Outcome.PASSED
        assert lab.stable() == lab.released(expected)
        await lab.release_hold(Channel.STABLE)
    assert outcome(await lab.rollback(Channel.STABLE)) == Outcome.PRECONDITION


async def test_a_rollback_after_one_goes_to_what_was_good_not_to_what_was_taken_back(lab: Lab) -> None:
    await lab.release("v1.0.0")
    await lab.release("v1.1.0")
    await lab.rollback(Channel.STABLE)
    await lab.release_hold(Channel.STABLE)
    await lab.release("v1.2.0")
    await lab.rollback(Channel.STABLE)
    assert lab.stable() == lab.released("v1.0.0")


async def test_a_rollback_from_a_strangers_image_goes_to_the_last_release(lab: Lab) -> None:
    await lab.release("v1.0.0")
    await lab.release("v1.1.0")
    lab.registry.tag("os", "stable", lab.registry.put_image("os", {}, "stranger"), by_us=False)
    assert outcome(await lab.rollback(Channel.STABLE)) == Outcome.PASSED
    assert lab.stable() == lab.released("v1.1.0")


@two_images
async def test_a_rollback_that_stopped_between_two_images_is_partial_and_finished_by_the_same_command(lab: Lab) -> None:
    await lab.release("v1.0.0")
    await lab.release("v1.1.0")
    breaking(lab, "desktop:stable")
    assert outcome(await lab.rollback(Channel.STABLE)) == Outcome.PARTIAL
    mending(lab)
    assert [result.outcome for result in await lab.rollback(Channel.STABLE)] == [Outcome.UNCHANGED, Outcome.PASSED]
    assert [lab.stable(name) for name in ("os", "desktop")] == [
        lab.released("v1.0.0", name) for name in ("os", "desktop")
    ]


async def test_a_release_that_was_taken_back_returns_only_when_told(lab: Lab) -> None:
    await lab.release("v1.0.0")
    await lab.release("v1.1.0")
    await lab.rollback(Channel.STABLE)
    assert outcome(await lab.promote_stable("v1.1.0")) == Outcome.PRECONDITION
    await lab.release_hold(Channel.STABLE)
    assert outcome(await lab.promote_stable("v1.1.0")) == Outcome.PRECONDITION, "it is withdrawn"
    assert outcome(await lab.promote_stable("v1.1.0", override_hold=True)) == Outcome.PASSED
    assert lab.stable() == lab.released("v1.1.0")


@pytest.mark.parametrize("channel", [Channel.TESTING, Channel.STABLE])
async def test_what_keeps_a_version_away_is_said_before_the_wrong_checkout_is(channel: Channel, lab: Lab) -> None:
    await lab.release("v1.0.0")
    await lab.release("v1.1.0")
    promote = {
        Channel.TESTING: lambda: lab.promote_testing("v1.1.0-test"),
        Channel.STABLE: lambda: lab.promote_stable("v1.1.0"),
    }[channel]
    lab.git.checked_out = -2

    async def said() -> str:
        (told,) = await promote()
        assert told.outcome is Outcome.PRECONDITION
        return told.reason

    assert "Check that commit out" in await said()
    await lab.rollback(channel)
    assert "is on hold" in await said()
    await lab.release_hold(channel)
    assert "is withdrawn" in await said()
    lab.git.tags.clear()
    assert "is withdrawn" in await said()


async def test_a_hold_and_its_release_do_not_make_a_crashed_promotion_look_overtaken(lab: Lab) -> None:
    await lab.prepare("v1.0.0")
    breaking(lab, "os:stable")
    assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.PARTIAL
    mending(lab)
    await lab.hold(Channel.STABLE)
    await lab.release_hold(Channel.STABLE)
    assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.PASSED
    assert lab.stable() == lab.released("v1.0.0")


async def test_a_crashed_promotion_that_was_allowed_to_be_older_is_finished_by_the_same_command(lab: Lab) -> None:
    await lab.release("v1.1.0")
    lab.git.tags |= dict.fromkeys(("v1.0.1", "v1.0.1-test"), lab.git.commit())
    await lab.build_next()
    await lab.promote_testing("v1.0.1-test", allow_older=True)
    breaking(lab, "os:stable")
    assert outcome(await lab.promote_stable("v1.0.1", allow_older=True)) == Outcome.PARTIAL
    mending(lab)
    assert outcome(await lab.promote_stable("v1.0.1", allow_older=True)) == Outcome.PASSED
    assert lab.stable() == lab.released("v1.0.1")


async def test_testing_goes_to_a_lower_version_only_when_told(lab: Lab) -> None:
    for version in ("v1.2.0-test", "v1.1.0-test"):
        lab.git.tags[version] = lab.git.commit()
        await lab.build_next()
    assert outcome(await lab.promote_testing("v1.2.0-test")) == Outcome.PASSED
    assert outcome(await lab.promote_testing("v1.1.0-test")) == Outcome.USAGE
    assert lab.registry.store("os").tags["testing"] == lab.released("v1.2.0-test")
    assert outcome(await lab.promote_testing("v1.1.0-test", allow_older=True)) == Outcome.PASSED
    assert lab.registry.store("os").tags["testing"] == lab.released("v1.1.0-test")


async def test_a_crashed_promotion_does_not_take_testing_back_later(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """The crash came between its version tag and its record: the ledger does not know it."""
    for version in ("v1.1.0-test", "v1.2.0-test"):
        lab.git.tags[version] = lab.git.commit()
        await lab.build_next()

    async def failing(*_: Any, **__: Any) -> Digest:
        raise InfrastructureError("503")

    with monkeypatch.context() as broken:
        broken.setattr(ledger, "append", failing)
        assert outcome(await lab.promote_testing("v1.1.0-test")) == Outcome.PARTIAL
    assert outcome(await lab.promote_testing("v1.2.0-test")) == Outcome.PASSED
    assert outcome(await lab.promote_testing("v1.1.0-test")) == Outcome.SUPERSEDED
    assert lab.registry.store("os").tags["testing"] == lab.released("v1.2.0-test")


@two_images
async def test_a_late_rerun_takes_neither_image_back(lab: Lab) -> None:
    """The first image's ledger knows the old promotion, the second's does not: a crash came between."""
    await lab.prepare("v1.0.0")
    breaking(lab, "os:testing", "desktop:testing")
    lab.git.tags["v1.1.0-test"] = lab.git.commit()
    await lab.build_next()
    assert outcome(await lab.promote_testing("v1.1.0-test")) == Outcome.PARTIAL
    mending(lab)
    lab.git.tags["v1.2.0-test"] = lab.git.commit()
    await lab.build_next()
    await lab.promote_testing("v1.2.0-test")
    assert outcome(await lab.promote_testing("v1.1.0-test")) == Outcome.SUPERSEDED
    for name in ("os", "desktop"):
        assert lab.registry.store(name).tags["testing"] == lab.released("v1.2.0-test", name)


@two_images
async def test_an_image_that_came_later_does_not_take_the_others_back(lab: Lab) -> None:
    """Promoting an old version again, with an image that has it not yet."""
    both = lab.config
    lab.config = configured("os", host=HOST)
    await lab.release("v1.0.0")
    await lab.release("v1.1.0")
    lab.config = both
    lab.git.checked_out = -2
    await lab.build_next()
    await lab.promote_testing("v1.0.0-test")
    assert lab.registry.store("os").tags["testing"] == lab.released("v1.1.0-test")


async def test_a_hold_that_comes_while_the_gate_runs_stops_before_the_first_tag(lab: Lab) -> None:
    await lab.prepare("v1.0.0")

    async def hold() -> None:
        await lab.hold(Channel.STABLE)

    lab.during_gate = hold
    assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.PRECONDITION
    assert "v1.0.0" not in lab.registry.store("os").tags


async def test_a_release_that_comes_while_the_gate_runs_is_not_taken_back(lab: Lab) -> None:
    await lab.prepare("v1.0.0")
    await lab.prepare("v1.1.0")

    async def other() -> None:
        assert outcome(await lab.promote_stable("v1.1.0")) == Outcome.PASSED

    lab.during_gate = other
    assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.CONFLICT
    assert lab.stable() == lab.released("v1.1.0")


async def test_a_channel_that_moves_while_the_gate_runs_is_a_conflict(lab: Lab) -> None:
    lab.git.tags["v1.0.0-test"] = lab.git.commit()
    await lab.build_next()
    lab.git.tags["v1.1.0-test"] = lab.git.commit()
    await lab.build_next()

    async def other() -> None:
        assert outcome(await lab.promote_testing("v1.1.0-test")) == Outcome.PASSED

    lab.during_gate = other
    assert outcome(await lab.promote_testing("v1.0.0-test")) == Outcome.CONFLICT
    assert "v1.0.0-test" not in lab.registry.store("os").tags
    assert lab.registry.store("os").tags["testing"] == lab.released("v1.1.0-test")


async def test_evidence_that_is_gone_when_the_gate_has_ended_stops_before_the_first_tag(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lab.prepare("v1.0.0")
    monkeypatch.setattr("pipeline.gates.evidence.attach_evidence", forgetful)
    assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.PRECONDITION
    assert "v1.0.0" not in lab.registry.store("os").tags


async def forgetful(_repo: object, _digest: object, evidence: Evidence, _report: bytes) -> StoredEvidence:
    """A registry that says yes and keeps nothing."""
    nowhere = Digest("sha256:" + "0" * 64)
    return StoredEvidence(evidence, nowhere, nowhere, None)


async def test_one_outage_of_skopeo_is_not_the_end(lab: Lab) -> None:
    await lab.prepare("v1.0.0")
    tries: list[str] = []
    copy: Callable[..., Awaitable[None]] = lab.registry.copy

    async def unsteady(source: Any, digest: Digest, target: Any, tag: Tag) -> None:
        tries.append(tag)
        if tries.count(tag) == 1:
            raise InfrastructureError("skopeo: 503")
        await copy(source, digest, target, tag)

    lab.copy = unsteady
    assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.PASSED
    assert tries == ["v1.0.0", "v1.0.0", "stable", "stable"]


async def test_the_same_promotion_twice_at_once_is_no_conflict(lab: Lab) -> None:
    await lab.prepare("v1.0.0")

    async def other() -> None:
        assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.PASSED

    lab.during_gate = other
    assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.UNCHANGED


async def test_a_stranger_at_any_request_is_respected(lab: Lab) -> None:
    """Only between the last look and the write, where no registry lets anybody do better, is he overwritten."""
    await lab.release("v1.0.0")
    await lab.prepare("v1.1.0")

    def stranger() -> None:
        lab.registry.tag("os", "stable", lab.registry.put_image("os", {}, "stranger"), by_us=False)

    start, at, ends = lab.registry.saved(), 0, set[Outcome]()
    while lab.registry.weather.count >= at:
        at += 1
        lab.registry.restore(start)
        lab.registry.weather = Weather(at=at, stranger=stranger)
        ends.add(outcome(await lab.promote_stable("v1.1.0")))
        assert not any(write.knowingly_over_another for write in lab.registry.writes if write.tag == "stable")
    assert at > 40
    assert ends == {Outcome.PASSED, Outcome.CONFLICT}


async def test_a_later_no_of_a_gate_takes_an_earlier_yes_back(lab: Lab) -> None:
    await lab.prepare("v1.0.0")
    await say_no(lab, Channel.TESTING)
    assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.PRECONDITION
    assert outcome(await lab.verify()) == Outcome.PRECONDITION


async def test_a_no_of_the_gate_before_that_comes_while_openqa_runs_stops_before_the_first_tag(lab: Lab) -> None:
    await lab.prepare("v1.0.0")
    lab.during_gate = lambda: say_no(lab, Channel.TESTING)
    (told,) = await lab.promote_stable("v1.0.0")
    assert (told.outcome, lab.stable()) == (Outcome.PRECONDITION, None)
    assert "the testing gate's evidence" in told.reason
    assert "v1.0.0" not in lab.registry.store("os").tags


async def say_no(lab: Lab, gate: Channel) -> None:
    """Somebody's run of a gate on what testing is at, beside ours."""
    (image,) = lab.images
    found = Result(command=f"gate-{gate}", outcome=Outcome.GATE_FAILED, reason="it does not boot any more")
    async with lab.world() as world:
        said = Evidence(gate=gate, gate_version=await world.gate_version(image, gate), result=found)
        await attach_evidence(world.repository(image), lab.released("v1.0.0-test"), said, b"report")


async def test_somebody_who_writes_right_after_us_is_a_conflict(lab: Lab) -> None:
    await lab.prepare("v1.0.0")
    copy = lab.registry.copy

    async def overwritten(source: Any, digest: Digest, target: Any, tag: Tag) -> None:
        await copy(source, digest, target, tag)
        if tag == "stable":
            lab.registry.tag("os", tag, lab.registry.put_image("os", {}, "stranger"), by_us=False)

    lab.copy = overwritten
    assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.CONFLICT


async def test_a_strangers_move_never_becomes_the_ledgers(lab: Lab) -> None:
    """A version tag is written when its channel turns out to be a stranger's: recording it must not vouch for that."""
    await lab.release("v1.0.0")
    first = lab.stable()
    await lab.release("v1.1.0")
    await lab.prepare("v1.2.0")
    copy = lab.registry.copy

    async def meddled(source: Any, digest: Digest, target: Any, tag: Tag) -> None:
        await copy(source, digest, target, tag)
        if tag == "v1.2.0" and first:
            lab.registry.tag("os", "stable", first, by_us=False)

    lab.copy = meddled
    assert outcome(await lab.promote_stable("v1.2.0")) == Outcome.CONFLICT
    mending(lab)
    newest = lab.registry.chain("os", Channel.STABLE)[0]
    assert lab.registry._entry("os", newest)["moves"][-1]["new"] == lab.released("v1.1.0")
    (found,) = await lab.verify()
    assert found.outcome is Outcome.PRECONDITION
    assert "stable/ledger" in [check.name for check in found.checks if check.status == "failed"]


def test_an_entry_of_a_version_whose_channel_went_elsewhere_takes_it_nowhere() -> None:
    tagged, other = (sha256(name) for name in (b"tagged", b"other"))
    version = {"repository": "r.test/os", "tag": "v1.2.0", "old": None, "new": tagged}
    told = {
        "channel": "stable",
        "kind": "promotion",
        "by": "",
        "at": "2026-01-01T00:00:00Z",
        "reason": "",
        "command": "",
    }
    for channel, leaves in ((tagged, False), (other, True)):
        stays = {"repository": "r.test/os", "tag": "stable", "old": channel, "new": channel}
        assert ledger.Entry.model_validate(told | {"moves": [version, stays]}).leaves_channel is leaves


async def test_a_hold_on_a_channel_that_never_moved_is_nothing_wrong(lab: Lab) -> None:
    await lab.hold(Channel.STABLE)
    found: list[Result] = await lab.verify()
    assert outcome(found) == Outcome.PASSED


async def test_a_rollback_of_next_onto_a_recorded_move_is_recorded_as_one(lab: Lab) -> None:
    """The same move as a promotion that crashed, but another reason: it holds."""
    lab.git.commit()
    await lab.build_next()
    lab.git.commit()
    breaking(lab, "os:next")
    assert outcome(await lab.build_next()) == Outcome.INFRA
    mending(lab)
    built = lab.registry.store("os").tags[lab.git.commits[-1]]
    assert outcome(await lab.rollback(Channel.NEXT, built)) == Outcome.PASSED
    assert outcome(await lab.build_next()) == Outcome.PRECONDITION


def forget(lab: Lab, version: str, *also: str) -> None:
    """What other tools do that clean up: the commit's tag goes, and the evidence of every gate."""
    store = lab.registry.store("os")
    proof = f"pipeline-evidence-{{}}-{store.tags[f'{version}-test'].hex}"
    gone = [lab.git.tags[version], *(proof.format(gate) for gate in Channel), *also]
    for tag in [tag for tag in store.tags if tag.startswith(tuple(gone))]:
        del store.tags[tag]


async def test_an_old_release_is_not_gated_again_whatever_became_of_its_proof(lab: Lab) -> None:
    await lab.release("v1.0.0")
    await lab.release("v1.1.0")
    forget(lab, "v1.0.0")
    lab.gate_runs.clear()
    for act, tag in ((lab.promote_testing, "v1.0.0-test"), (lab.promote_stable, "v1.0.0")):
        (result,) = await act(tag)
        assert result.outcome is Outcome.SUPERSEDED, result.reason
        assert "has moved on since" in result.reason
    assert not lab.gate_runs
    assert lab.stable() == lab.released("v1.1.0")


async def test_the_newest_release_is_found_by_its_version_tag_when_that_of_its_commit_is_gone(lab: Lab) -> None:
    await lab.release("v1.0.0")
    del lab.registry.store("os").tags[lab.git.tags["v1.0.0"]]
    lab.gate_runs.clear()
    assert outcome(await lab.promote_testing("v1.0.0-test")) == Outcome.UNCHANGED
    assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.UNCHANGED
    assert not lab.gate_runs


async def test_a_release_of_which_nothing_is_left_is_refused_and_not_built(lab: Lab) -> None:
    await lab.release("v1.0.0")
    await lab.release("v1.1.0")
    forget(lab, "v1.0.0", "v1.0.0")
    lab.gate_runs.clear()
    for act, tag in ((lab.promote_testing, "v1.0.0-test"), (lab.promote_stable, "v1.0.0")):
        (result,) = await act(tag)
        assert result.outcome in (Outcome.USAGE, Outcome.PRECONDITION), result.reason
    assert not lab.gate_runs


async def test_a_next_of_a_foreign_history_is_refused_before_anything_is_built(lab: Lab) -> None:
    foreign = lab.registry.put_image("os", {REVISION_LABEL: "f" * 40}, "somebody else's")
    lab.registry.tag("os", "next", foreign, by_us=False)
    commit = lab.git.commit()
    (result,) = await lab.build_next()
    assert result.outcome is Outcome.PRECONDITION
    assert "which is not in this history" in result.reason
    assert not lab.gate_runs
    assert commit not in lab.registry.store("os").tags


async def test_a_further_version_of_what_a_channel_names_is_recorded(lab: Lab) -> None:
    await lab.release("v1.0.0")
    lab.git.tags |= dict.fromkeys(("v1.0.1-test", "v1.0.1"), lab.git.tags["v1.0.0"])
    assert outcome(await lab.promote_testing("v1.0.1-test")) == Outcome.PASSED
    assert outcome(await lab.promote_stable("v1.0.1")) == Outcome.PASSED
    assert lab.stable() == lab.released("v1.0.1") == lab.released("v1.0.0")
    (found,) = await lab.verify()
    assert found.outcome is Outcome.PASSED, found.reason
    for act, tag in ((lab.promote_testing, "v1.0.1-test"), (lab.promote_stable, "v1.0.1")):
        assert outcome(await act(tag)) == Outcome.UNCHANGED


async def test_a_list_of_referrers_that_names_what_it_hangs_on_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lab = lab_of("os", apart=True)
    with lab.registry.serving():
        await lab.prepare("v1.0.0")
        store = lab.registry.store("os")
        image = store.tags["testing"]
        kind, listed = store.manifests[store.tags[referrers_tag(image)]]
        index = json.loads(listed)
        index["manifests"].append({"mediaType": index["mediaType"], "digest": image, "size": 1})
        odd = json.dumps(index).encode()
        store.manifests[sha256(odd)], store.tags[referrers_tag(image)] = (kind, odd), sha256(odd)
        assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.PASSED


async def test_a_number_beyond_all_others_is_a_broken_ledger_and_takes_no_room(lab: Lab) -> None:
    await lab.release("v1.0.0")
    tags = lab.registry.store("os").tags
    (entry,) = (tag for tag in tags if tag.startswith("pipeline-ledger-stable-1-"))
    tags[entry.replace("-1-", "-3000000-")] = tags[entry]
    tracemalloc.start()
    (told,) = await lab.hold(Channel.STABLE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (told.outcome, peak < 10 << 20) == (Outcome.PRECONDITION, True)
    assert "entry 2 is missing" in told.reason


async def test_an_entry_of_a_time_in_no_calendar_is_a_broken_ledger(lab: Lab) -> None:
    await lab.release("v1.0.0")
    store = lab.registry.store("os")
    (tag,) = (tag for tag in store.tags if tag.startswith("pipeline-ledger-stable-1-"))
    manifest = json.loads(store.manifests[store.tags.pop(tag)][1])
    layer = manifest["layers"][0]
    said = json.loads(store.blobs[layer["digest"]])
    said["predicate"]["bootc-pipeline"]["at"] = "0001-01-01T00:00:00+14:00"
    blob = json.dumps(said).encode()
    store.blobs[sha256(blob)] = blob
    manifest["layers"] = [{"mediaType": layer["mediaType"], "digest": sha256(blob), "size": len(blob)}]
    raw = json.dumps(manifest).encode()
    store.manifests[sha256(raw)] = (manifest["mediaType"], raw)
    store.tags[tag[:-64] + sha256(raw).hex] = sha256(raw)
    (told,) = await lab.verify()
    assert told.outcome is Outcome.PRECONDITION
    assert "the stable ledger of registry.test/os is broken" in told.reason


@pytest.mark.parametrize("text", ["\ud800", "\udfff of half a character"])
async def test_a_label_that_no_file_can_hold_is_told_all_the_same(lab: Lab, text: str) -> None:
    """JSON can spell halves of characters."""

    async def push(image: Image, commit: Commit, labels: dict[str, str]) -> None:
        await lab.registry.push("os", commit, labels | {REVISION_LABEL: text}, commit)

    lab.push = push
    lab.git.commit()
    (told,) = await lab.build_next()
    assert told.outcome is Outcome.PRECONDITION
    assert "was built from ?" in told.model_dump_json()


def hiding(lab: Lab, tag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of tags that has lost a line from now on, as lists in pages do."""
    listed = lab.registry._tags

    def without(request: httpx.Request, path: str, rest: str) -> httpx.Response:
        answer = listed(request, path, rest).json()
        return httpx.Response(200, json=answer | {"tags": [one for one in answer["tags"] if one != tag]})

    monkeypatch.setattr(lab.registry, "_tags", without)


@pytest.mark.parametrize("since", ["nothing", "an alias that was added", "a rollback"])
async def test_a_released_version_that_a_list_lacks_lets_no_older_one_through(
    since: str, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = ("v0.9.0", "v0.9.0-test")
    lab.git.tags |= dict.fromkeys(older, lab.git.commit())
    assert outcome(await lab.build_next()) == Outcome.PASSED
    assert outcome(await lab.promote_testing("v0.9.0-test")) == Outcome.PASSED
    await lab.release("v1.0.0")
    if since == "an alias that was added":
        lab.config = configured("os", host=HOST, aliases=["latest"])
        assert outcome(await lab.promote_stable("v1.0.0")) == Outcome.PASSED
    if since == "a rollback":
        await lab.release("v1.1.0")
        assert outcome(await lab.rollback(Channel.STABLE)) == Outcome.PASSED
        assert outcome(await lab.release_hold(Channel.STABLE)) == Outcome.PASSED
    hiding(lab, "v1.0.0", monkeypatch)
    (told,) = await lab.promote_stable("v0.9.0")
    assert (told.outcome, lab.stable()) == (Outcome.USAGE, lab.released("v1.0.0"))
    assert "v0.9.0 is not above the current stable version 1.0.0" in told.reason


async def test_another_digest_than_that_of_a_version_tag_is_told_as_such(lab: Lab) -> None:
    await lab.prepare("v1.0.0")
    (told,) = await lab.build_next(Refresh.ALWAYS)
    assert told.digest
    (told,) = await lab.promote_testing("v1.0.0-test", digest=told.digest)
    assert told.outcome is Outcome.CONFLICT
    assert f"expected {lab.registry.store('os').tags['next']}, of commit" in told.reason


async def test_what_is_advised_about_next_is_what_build_next_takes(lab: Lab) -> None:
    """It has no --override-hold."""
    await lab.prepare("v1.0.0")
    await lab.prepare("v1.1.0")
    assert outcome(await lab.rollback(Channel.TESTING)) == Outcome.PASSED
    (withdrawn,) = await lab.build_next()
    assert "--refresh=always), or promote it with --override-hold" in withdrawn.reason
    assert outcome(await lab.hold(Channel.NEXT)) == Outcome.PASSED
    (held,) = await lab.build_next()
    assert held.reason.endswith("Run release-hold --channel=next when it may move again.")


@pytest.mark.parametrize(
    ("tag", "before", "said"),
    [
        ("v1.0.0", None, "v1.0.0 was promoted before, and stable has moved on since"),
        ("v1.0.0-test", None, "v1.0.0-test was promoted before, and testing has moved on since"),
        ("v1.2.0", lambda lab: lab.hold(Channel.STABLE), "os:stable is on hold"),
        ("v1.2.0", lambda lab: lab.rollback(Channel.TESTING), "is withdrawn: testing was taken back from it"),
        ("v1.2.0", None, ""),
    ],
    ids=["overtaken", "overtaken test", "hold", "withdrawn", "nothing"],
)
async def test_a_plan_tells_what_would_stop_the_promotion(
    tag: str, before: Callable[[Lab], Awaitable[list[Result]]] | None, said: str, lab: Lab
) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        await lab.release(version)
    await lab.prepare("v1.2.0")
    if before:
        assert outcome(await before(lab)) == Outcome.PASSED
    (seen,) = await lab.plan(tag)
    assert (said in seen.stopped, bool(seen.stopped)) == (True, bool(said))
    assert [move.tag for move in seen.moves] == (["v1.2.0", "stable"] if tag == "v1.2.0" else [])
    assert (f"ends before its gate. {seen.stopped}" in plan_text([seen])) is bool(said)
