"""Images are signed for each reference that a command moves, and no signature of anybody is lost."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from jobs import OF, PEOPLE, STABLE, STRANGER, TESTING, TRUST, Key, Lab, new_lab
from memory_registry import HOST, Delay, Weather
from scaffold import outcome

from pipeline.commands.policy import policy, policy_text
from pipeline.config import parse
from pipeline.domain import Channel, Digest, Outcome, Repository
from pipeline.errors import UsageError
from pipeline.registry.attached import signature_tag, signed_tags
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.content import Descriptor
from pipeline.registry.signatures import add_signatures, signatures
from pipeline.registry.transfer import copy_attached
from pipeline.trust.image import MEDIA_TYPE, annotated, payload
from pipeline.trust.keyless import Identity, Sigstore
from pipeline.trust.signers import Trust


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.chdir(tmp_path)
    with new_lab("os", aliases=["latest"]) as lab:
        yield lab


@pytest.fixture
async def client(lab: Lab) -> AsyncIterator[RegistryClient]:
    async with RegistryClient(deadline=60) as client:
        yield client


def references(lab: Lab, digest: Digest, key: Key, path: str = "os") -> set[str]:
    """For which references a digest is signed by a key, read as podman does, without the pipeline's code."""
    store = lab.registry.store(path)
    if (tag := f"sha256-{digest.hex}.sig") not in store.tags:
        return set()
    found = set()
    for layer in json.loads(store.manifests[store.tags[tag]][1])["layers"]:
        content = store.blobs[layer["digest"]]
        signature = base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"])
        critical = json.loads(content)["critical"]
        if key.signer.key.signed(content, signature) and critical["image"]["docker-manifest-digest"] == digest:
            found.add(critical["identity"]["docker-reference"].removeprefix(f"{HOST}/{path}:"))
    return found


def platforms(lab: Lab, digest: Digest) -> list[Digest]:
    return [Digest(one["digest"]) for one in json.loads(lab.registry.store("os").manifests[digest][1])["manifests"]]


async def signature(repo: RepositoryClient, digest: Digest, reference: str, key: Key) -> Descriptor:
    content = payload(reference, digest)
    return (await repo.push_blob(content, MEDIA_TYPE)).with_annotations(annotated(key.plain(content)))


async def test_every_tag_that_moves_has_a_signature_by_the_job_that_moved_it(lab: Lab) -> None:
    await lab.release("v1.0.0")
    digest = lab.tags["stable"]
    for part in (digest, *platforms(lab, digest)):
        assert references(lab, part, OF[Channel.NEXT]) == {"next"}
        assert references(lab, part, TESTING) == {"v1.0.0-test", "testing"}
        assert references(lab, part, STABLE) == {"v1.0.0", "stable", "latest"}
    assert outcome(await lab.verify()) == Outcome.PASSED


async def test_the_signatures_are_there_before_the_tag(lab: Lab) -> None:
    await lab.prepare("v1.0.0")
    await lab.to_testing("v1.0.0")
    await lab.to_stable("v1.0.0")
    order = [write.tag for write in lab.registry.writes]
    assert order.index(signature_tag(lab.tags["stable"])) < order.index("next")
    last = max(place for place, tag in enumerate(order) if tag == signature_tag(lab.tags["stable"]))
    assert last < order.index("v1.0.0") < order.index("stable")


async def test_a_rerun_signs_nothing_and_puts_back_what_was_lost(lab: Lab) -> None:
    await lab.release("v1.0.0")
    digest = lab.tags["stable"]
    before = dict(lab.tags)
    assert outcome(await lab.to_stable("v1.0.0")) == Outcome.UNCHANGED
    assert lab.tags == before
    del lab.tags[signature_tag(digest)]
    (told,) = await lab.verify()
    assert told.outcome is Outcome.PRECONDITION
    findings = [check.reason for check in told.checks if check.name == "stable/signed"]
    assert f"{digest} has no signature that lets machines install it as {HOST}/os:stable" in findings[0]
    assert outcome(await lab.to_stable("v1.0.0")) == Outcome.UNCHANGED
    assert references(lab, digest, TESTING)  # of other jobs, too: what was written once is kept
    assert outcome(await lab.verify()) == Outcome.PASSED


async def test_a_stranger_can_sign_and_it_counts_for_nothing(lab: Lab, client: RegistryClient) -> None:
    await lab.release("v1.0.0")
    await lab.prepare("v1.1.0")
    candidate, repo = lab.tags["next"], client.repository(Repository(HOST, "os"))
    await add_signatures(repo, {candidate: [await signature(repo, candidate, f"{HOST}/os:testing", STRANGER)]})
    assert references(lab, candidate, STRANGER) == {"testing"}
    assert outcome(await lab.to_testing("v1.1.0")) == Outcome.PASSED
    assert references(lab, candidate, TESTING) == {"testing", "v1.1.0-test"}
    assert references(lab, candidate, STRANGER) == {"testing"}


async def test_those_who_roll_back_need_no_key_of_the_channel(lab: Lab) -> None:
    await lab.release("v1.0.0")
    await lab.release("v1.1.0")
    lab.sign = PEOPLE.sign
    assert outcome(await lab.rollback(Channel.STABLE)) == Outcome.PASSED
    assert references(lab, lab.tags["stable"], STABLE) == {"v1.0.0", "stable", "latest"}
    assert not references(lab, lab.tags["stable"], PEOPLE)


async def test_nothing_goes_back_to_what_no_machine_would_take(lab: Lab) -> None:
    await lab.release("v1.0.0")
    first = lab.tags["stable"]
    await lab.release("v1.1.0")
    for tag in [one for one in lab.tags if one.startswith((signature_tag(first), signed_tags(first)))]:
        del lab.tags[tag]
    before, lab.sign = dict(lab.tags), PEOPLE.sign
    (told,) = await lab.rollback(Channel.STABLE)
    assert told.outcome is Outcome.PRECONDITION
    assert "this command has another key; expected that of stable" in told.reason
    assert lab.tags == before
    lab.sign = STABLE.sign
    assert outcome(await lab.rollback(Channel.STABLE)) == Outcome.PASSED
    assert references(lab, first, STABLE) == {"stable", "latest"}


async def test_without_trust_the_key_that_is_given_signs_and_none_is_asked_for(lab: Lab) -> None:
    lab.trust = Trust()
    await lab.release("v1.0.0")
    assert references(lab, lab.tags["stable"], STABLE) == {"v1.0.0", "stable", "latest"}
    lab.git.tags |= dict.fromkeys(("v1.1.0", "v1.1.0-test"), lab.git.commit())
    lab.sign = None
    for done in (lab.build_next(), lab.promote_testing("v1.1.0-test"), lab.promote_stable("v1.1.0")):
        assert outcome(await done) == Outcome.PASSED
    assert signature_tag(lab.tags["stable"]) not in lab.tags
    assert outcome(await lab.verify()) == Outcome.PASSED


async def test_what_its_own_build_signed_stays_signed(lab: Lab, client: RegistryClient) -> None:
    await lab.prepare("v1.0.0")
    digest, repo = lab.tags["next"], client.repository(Repository(HOST, "os"))
    own = await signature(repo, digest, f"{HOST}/os", STRANGER)
    await add_signatures(repo, {digest: [own]})
    await lab.to_testing("v1.0.0")
    await lab.to_stable("v1.0.0")
    assert own.digest in [one.digest for one in await signatures(repo, digest)]
    assert references(lab, digest, STABLE) == {"v1.0.0", "stable", "latest"}


@pytest.mark.parametrize("late", range(1, 12))
async def test_a_slow_writer_takes_no_signature_away(lab: Lab, late: int) -> None:
    """Two sign at once, and one of the requests of the first one is five seconds under way."""
    await lab.prepare("v1.0.0")
    digest, asked = lab.tags["next"], 0

    def delays(what: str) -> Delay | None:
        nonlocal asked
        asked += ".sig" in what or "tags/list" in what
        return Delay(5) if asked == late else None

    async def sign(name: str, begin: float) -> None:
        async with RegistryClient(deadline=600) as client:
            repo = client.repository(Repository(HOST, "os"))
            await anyio.sleep(begin)
            await add_signatures(repo, {digest: [await signature(repo, digest, f"{HOST}/os:{name}", STRANGER)]})

    lab.registry.weather = Weather(delays=delays)
    async with anyio.create_task_group() as group:
        group.start_soon(sign, "first", 0)
        group.start_soon(sign, "second", 1)
    assert references(lab, digest, STRANGER) == {"first", "second"}
    assert references(lab, digest, OF[Channel.NEXT]) == {"next"}


async def test_what_is_no_list_of_signatures_is_not_written_over(lab: Lab) -> None:
    await lab.prepare("v1.0.0")
    lab.tags[signature_tag(lab.tags["next"])] = lab.tags["next"]  # the index
    before = dict(lab.tags)
    (told,) = await lab.to_testing("v1.0.0")
    assert told.outcome is Outcome.PRECONDITION
    assert "expected a list of signatures as cosign writes it" in told.reason
    assert {name: lab.tags[name] for name in before} == before
    assert "testing" not in lab.tags


# In another repository ------------------------------------------------------------------------------------------------


async def test_signatures_follow_to_another_repository_and_hold_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with new_lab("os", apart=True) as lab:
        await lab.release("v1.0.0")
        digest = lab.tags["next"]
        for part in (digest, *platforms(lab, digest)):
            assert references(lab, part, STABLE, "os-stable") == {"v1.0.0", "stable"}
            assert references(lab, part, STABLE) == set()
        assert outcome(await lab.verify()) == Outcome.PASSED
        assert outcome(await lab.to_stable("v1.0.0")) == Outcome.UNCHANGED
        async with RegistryClient() as client:
            here, there = (client.repository(Repository(HOST, path)) for path in ("os", "os-stable"))
            await add_signatures(here, {digest: [own := await signature(here, digest, f"{HOST}/os", STRANGER)]})
            await copy_attached(here, there, digest)
            assert own.digest in [one.digest for one in await signatures(there, digest)]
        assert references(lab, digest, STABLE, "os-stable") == {"v1.0.0", "stable"}


# What machines are given ----------------------------------------------------------------------------------------------


async def test_the_policy_asks_for_the_channels_key_and_for_nobody_elses(lab: Lab) -> None:
    async with lab.world() as world:
        found = policy(world, Channel.STABLE)
    told = json.loads(found["etc/containers/policy.json"])
    assert told["default"] == [{"type": "reject"}]  # bootc enforces nothing under one that takes anything
    (asked,) = told["transports"]["docker"][f"{HOST}/os"]
    assert asked["type"] == "sigstoreSigned"
    assert base64.b64decode(asked["keyData"]) == STABLE.signer.key.pem
    assert asked["signedIdentity"] == {"type": "matchRepoDigestOrExact"}
    assert found[f"etc/containers/registries.d/{HOST}-os.yaml"] == (
        f"docker:\n  {HOST}/os:\n    use-sigstore-attachments: true\n"
    )
    assert f"# /etc/containers/registries.d/{HOST}-os.yaml\ndocker:\n" in policy_text(found)


async def test_keys_that_were_replaced_stay_in_the_policy(lab: Lab) -> None:
    older = Key("stable-2025")
    lab.trust = Trust({**TRUST.signers, "stable": [STABLE.signer, older.signer]})
    async with lab.world() as world:
        (asked,) = json.loads(policy(world, Channel.STABLE)["etc/containers/policy.json"])["transports"]["docker"][
            f"{HOST}/os"
        ]
    assert [base64.b64decode(one) for one in asked["keyDatas"]] == [STABLE.signer.key.pem, older.signer.key.pem]


async def test_a_mirror_that_machines_follow_is_known_by_what_it_mirrors(lab: Lab) -> None:
    mirror = "mirror.test/copies/os"
    lab.config = parse(f'[images.os]\nrepository = "{HOST}/os"\nupdate_ref = "{mirror}:stable"\n')
    async with lab.world() as world:
        found = policy(world, Channel.STABLE)
    (asked,) = json.loads(found["etc/containers/policy.json"])["transports"]["docker"][mirror]
    assert asked["signedIdentity"] == {"type": "remapIdentity", "prefix": mirror, "signedPrefix": f"{HOST}/os"}
    assert "etc/containers/registries.d/mirror.test-copies-os.yaml" in found


@pytest.mark.parametrize(
    ("signers", "found"),
    [({}, "names nobody for stable"), ({"stable": [Identity("https://i.test", "x@i.test", Sigstore())]}, "names x@i")],
)
async def test_without_a_key_there_is_no_policy(lab: Lab, signers: dict[str, Any], found: str) -> None:
    lab.trust = Trust(signers)
    async with lab.world() as world:
        with pytest.raises(UsageError, match=found):
            policy(world, Channel.STABLE)
