"""With [trust], whoever may push can break a release and cannot make one: forgeries are refused by name."""

import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jobs import NEXT, OF, PEOPLE, STABLE, STRANGER, TESTING, TRUST, Key, Lab, new_lab
from memory_registry import HOST, Lie, Weather
from scaffold import outcome

from pipeline.commands.history import history, history_text
from pipeline.commands.notes import notes
from pipeline.commands.status import channels
from pipeline.domain import Channel, Digest, Outcome, Repository, Tag
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.registry import ledger, media
from pipeline.registry.artifacts import artifact
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.content import Descriptor, Manifest
from pipeline.registry.evidence import attach_evidence, evidence_tags
from pipeline.report.model import CheckStatus, Move
from pipeline.trust import statement as in_toto
from pipeline.trust.image import Pen
from pipeline.trust.notary import Notary, Sign
from pipeline.trust.signers import Trust
from pipeline.trust.warrant import Warrant


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.chdir(tmp_path)
    with new_lab("os") as lab:
        yield lab


def entry(kind: ledger.Kind, **told: Any) -> ledger.Entry:
    told = {"channel": Channel.STABLE, "by": "release-bot", "at": datetime.now(UTC), "reason": "fine"} | told
    return ledger.Entry.model_validate({"kind": kind, "command": "promote-stable"} | told)


def pieces(lab: Lab, gate: Channel, digest: Digest) -> list[Manifest]:
    """The evidence that lies there."""
    begins, store = evidence_tags(gate, digest), lab.registry.store("os")
    found = [store.manifests[one] for tag, one in store.tags.items() if tag.startswith(begins)]
    return [Manifest.parse(raw, kind) for kind, raw in found]


async def put(repo: RepositoryClient, gate: Channel, digest: Digest, layers: list[Descriptor], **notes: str) -> None:
    """Evidence made of these layers."""
    made = artifact(media.EVIDENCE, layers, subject=await repo.describe(digest), annotations=notes)
    await repo.push_manifest(made, Tag(evidence_tags(gate, digest) + made.digest.hex[:36]))


async def test_a_signed_release_goes_through_and_is_verified(lab: Lab) -> None:
    await lab.release("v1.0.0")
    await lab.release("v1.1.0")
    (told,) = await lab.verify()
    assert told.outcome is Outcome.PASSED, told.reason
    assert "Signatures are asked of next, testing, stable, ledger" in told.reason
    assert not [check for check in told.checks if check.name == "refused"]
    assert outcome(await lab.to_stable("v1.1.0")) == Outcome.UNCHANGED


async def test_without_trust_verify_says_what_that_means(lab: Lab) -> None:
    lab.trust = Trust()
    await lab.release("v1.0.0")
    (told,) = await lab.verify()
    assert told.outcome is Outcome.PASSED
    assert "accidents, not attackers" in told.reason


@pytest.mark.parametrize(
    ("sign", "found"),
    [(None, "unsigned; expected a signature by keys/"), (STRANGER.sign, "signed by a key that is not in \\[trust\\]")],
)
async def test_a_foreign_image_in_every_channel_with_all_that_proves_it(lab: Lab, sign: Sign, found: str) -> None:
    await lab.release("v1.0.0")
    commit = lab.git.tags["v1.0.0"]
    evil = lab.registry.put_image("os", {"org.opencontainers.image.revision": commit}, "rootkit")

    async def forge(repo: RepositoryClient) -> None:
        for gate in Channel:
            stored = await attach_evidence(repo, evil, lab.evidence(gate, evil), b"report")
            move = Move(repository=f"{HOST}/os", tag=Tag(gate), old=lab.tags[gate], new=evil)
            told = {"channel": gate, "moves": [move], "evidence": [stored.digest]}
            await ledger.append(repo, entry(ledger.Kind.PROMOTION, **told))
        for tag in ("next", "testing", "stable", "v1.0.0", "v1.0.0-test"):
            lab.registry.tag("os", tag, evil, by_us=False)

    await lab.by(sign, forge)
    (told,) = await lab.verify()
    assert told.outcome is Outcome.PRECONDITION
    findings = {check.name: check.reason for check in told.checks if check.status is CheckStatus.FAILED}
    for name in ("stable/evidence-stable", "testing/evidence-testing", "next/evidence-next", "refused"):
        assert re.search(found, findings[name]), findings
    assert f"{evil}" in findings["stable/ledger"]
    async with lab.world() as world:
        lines = {line.channel: line for line in await channels(world, lab.images[0])}
        assert lines[Channel.STABLE].evidence == "missing"
        assert re.search(found, lines[Channel.STABLE].note)
        told_history = history_text(
            {"os": await history(world, lab.images[0], Channel.STABLE)}, world.notary.refusals(Channel.STABLE)
        )
        assert "entry 2 (promotion) of the stable ledger" in told_history


Attack = Callable[[Lab, Digest], Awaitable[None]]
"""What a stranger does about a candidate that passed next and should not get to testing."""


async def unsigned(lab: Lab, digest: Digest) -> None:
    await lab.by(None, lambda repo: attach_evidence(repo, digest, lab.evidence(Channel.NEXT, digest), b"r"))


async def by_a_stranger(lab: Lab, digest: Digest) -> None:
    forged = lab.evidence(Channel.NEXT, digest)
    await lab.by(STRANGER.sign, lambda repo: attach_evidence(repo, digest, forged, b"r"))


async def by_the_key_of_another_gate(lab: Lab, digest: Digest) -> None:
    forged = lab.evidence(Channel.NEXT, digest)
    await lab.by(TESTING.sign, lambda repo: attach_evidence(repo, digest, forged, b"r"))


async def in_the_older_form(lab: Lab, digest: Digest) -> None:
    async def older(statement: bytes) -> bytes:
        return in_the_form_of_before(await STRANGER.sign(statement))

    forged = lab.evidence(Channel.NEXT, digest)
    await lab.by(older, lambda repo: attach_evidence(repo, digest, forged, b"r"))


def in_the_form_of_before(bundle: bytes) -> bytes:
    """As `cosign attest-blob --bundle` writes it unless told otherwise."""
    envelope = json.dumps(json.loads(bundle)["dsseEnvelope"]).encode()
    return json.dumps({"base64Signature": base64.b64encode(envelope).decode()}).encode()


async def for_another_digest(lab: Lab, digest: Digest) -> None:
    (genuine,) = pieces(lab, Channel.NEXT, lab.tags["v1.0.0"])
    await lab.by(None, lambda repo: put(repo, Channel.NEXT, digest, genuine.layers))


async def with_the_signature_of_another(lab: Lab, digest: Digest) -> None:
    (genuine,) = pieces(lab, Channel.NEXT, lab.tags["v1.0.0"])
    await unsigned(lab, digest)
    (forged,) = (one for one in pieces(lab, Channel.NEXT, digest) if len(one.layers) == 2)
    await lab.by(None, lambda repo: put(repo, Channel.NEXT, digest, [*forged.layers, genuine.layers[2]]))


async def signed_as_something_else(lab: Lab, digest: Digest) -> None:
    await unsigned(lab, digest)
    (forged,) = (one for one in pieces(lab, Channel.NEXT, digest) if len(one.layers) == 2)

    async def act(repo: RepositoryClient) -> None:
        plain = b'{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","messageSignature":{}}'
        await put(repo, Channel.NEXT, digest, [*forged.layers, await repo.push_blob(plain, media.BUNDLE)])

    await lab.by(None, act)


@pytest.mark.parametrize(
    ("attack", "found"),
    [
        (unsigned, "unsigned; expected a signature by keys/next.pub"),
        (by_a_stranger, r"signed by a key that is not in \[trust\] \(it calls itself SHA256:.*\); expected .*next.pub"),
        (by_the_key_of_another_gate, r"signed by keys/testing.pub \(.*\), which counts for testing; expected"),
        (
            in_the_older_form,
            r"signed by a key that is not in \[trust\] \(it calls itself nothing\); expected .*next.pub",
        ),
        (for_another_digest, "a statement about .*, expected sha256:"),
        (with_the_signature_of_another, "signed, but the signature is about another statement"),
        (signed_as_something_else, "in a form that nobody can check: a bundle without a DSSE envelope"),
    ],
)
async def test_what_is_not_signed_by_whom_it_should_be_is_no_evidence(lab: Lab, attack: Attack, found: str) -> None:
    await lab.release("v1.0.0")
    await lab.prepare("v1.1.0")
    digest = lab.tags["next"]

    async def failed(repo: RepositoryClient) -> None:
        """The gate's own newest word."""
        await attach_evidence(repo, digest, lab.evidence(Channel.NEXT, digest, Outcome.GATE_FAILED), b"r")

    await lab.by(NEXT.sign, failed)
    await attack(lab, digest)
    (told,) = await lab.to_testing("v1.1.0")
    assert told.outcome is Outcome.PRECONDITION
    assert re.search(found, told.reason), told.reason
    assert "v1.1.0-test" not in lab.tags


async def replayed(lab: Lab, digest: Digest) -> None:
    (passed, _) = sorted(pieces(lab, Channel.NEXT, digest), key=lambda one: b"gate_failed" in _statement(lab, one))
    await lab.by(None, lambda repo: put(repo, Channel.NEXT, digest, passed.layers, created="2999-01-01"))


async def with_another_report(lab: Lab, digest: Digest) -> None:
    (passed, _) = sorted(pieces(lab, Channel.NEXT, digest), key=lambda one: b"gate_failed" in _statement(lab, one))

    async def act(repo: RepositoryClient) -> None:
        other = await repo.push_blob(b"another report", media.REPORT)
        await put(repo, Channel.NEXT, digest, [passed.layers[0], other, passed.layers[2]])

    await lab.by(None, act)


def _statement(lab: Lab, piece: Manifest) -> bytes:
    return lab.registry.store("os").blobs[piece.layers[0].digest]


@pytest.mark.parametrize("attack", [replayed, with_another_report])
async def test_a_genuine_statement_that_is_attached_again_takes_nothing_back(lab: Lab, attack: Attack) -> None:
    await lab.prepare("v1.0.0")
    digest = lab.tags["next"]
    failed = lab.evidence(Channel.NEXT, digest, Outcome.GATE_FAILED)
    await lab.by(NEXT.sign, lambda repo: attach_evidence(repo, digest, failed, b"r"))
    await attack(lab, digest)
    (told,) = await lab.to_testing("v1.0.0")
    assert told.outcome is Outcome.PRECONDITION
    assert "gate_failed" in told.reason


async def test_the_older_form_of_a_bundle_by_the_right_key_counts(lab: Lab) -> None:
    async def older(statement: bytes) -> bytes:
        return in_the_form_of_before(await NEXT.sign(statement))

    lab.git.tags |= dict.fromkeys(("v1.0.0-test",), lab.git.commit())
    lab.sign, lab.pen = older, NEXT.pen
    assert outcome(await lab.build_next()) == Outcome.PASSED
    assert outcome(await lab.to_testing("v1.0.0")) == Outcome.PASSED


async def test_a_rotated_key_counts_while_it_is_listed(lab: Lab) -> None:
    await lab.prepare("v1.0.0")
    fresh = Key("next-2027")
    lab.trust = Trust({**TRUST.signers, "next": [fresh.signer]})
    (told,) = await lab.to_testing("v1.0.0")
    assert told.outcome is Outcome.PRECONDITION
    assert "expected a signature by keys/next-2027.pub" in told.reason
    lab.trust = Trust({**TRUST.signers, "next": [fresh.signer, NEXT.signer]})
    assert outcome(await lab.to_testing("v1.0.0")) == Outcome.PASSED


# The ledger -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sign", "found"),
    [
        (None, "unsigned"),
        (STRANGER.sign, r"signed by a key that is not in \[trust\] \(it calls itself SHA256:.*\)"),
        (TESTING.sign, r"signed by keys/testing.pub \(.*\), which counts for testing"),
    ],
)
async def test_a_hold_ends_by_the_right_hand_only(lab: Lab, sign: Sign | None, found: str) -> None:
    await lab.release("v1.0.0")
    await lab.prepare("v1.1.0")
    assert outcome(await lab.to_testing("v1.1.0")) == Outcome.PASSED
    lab.sign = PEOPLE.sign
    (held,) = await lab.hold(Channel.STABLE)
    assert held.outcome is Outcome.PASSED, held.reason

    async def let_go(repo: RepositoryClient) -> None:
        there = (await ledger.standing(repo, Channel.STABLE)).holds
        await ledger.append(repo, entry(ledger.Kind.RELEASE, releases=[one.digest for one in there]))

    await lab.by(sign, let_go)
    (told,) = await lab.to_stable("v1.1.0")
    assert told.outcome is Outcome.PRECONDITION
    assert "on hold" in told.reason
    (refused,) = (check.reason for check in (await lab.verify())[0].checks if check.name == "refused")
    assert re.search(f"{found}; expected a signature by keys/stable.pub .* or keys/people.pub", refused), refused
    lab.sign = PEOPLE.sign
    assert outcome(await lab.release_hold(Channel.STABLE)) == Outcome.PASSED
    assert outcome(await lab.to_stable("v1.1.0")) == Outcome.PASSED


async def test_a_hold_of_a_stranger_holds_nothing(lab: Lab) -> None:
    await lab.prepare("v1.0.0")
    await lab.by(STRANGER.sign, lambda repo: ledger.append(repo, entry(ledger.Kind.HOLD, channel=Channel.TESTING)))
    assert outcome(await lab.to_testing("v1.0.0")) == Outcome.PASSED
    (told,) = await lab.verify()
    refused = next(check for check in told.checks if check.name == "refused")
    assert "entry 1 (hold) of the testing ledger" in refused.reason
    assert not refused.required


async def test_a_ledger_that_was_cut_is_refused(lab: Lab) -> None:
    await lab.release("v1.0.0")
    lab.sign = PEOPLE.sign
    await lab.hold(Channel.STABLE)
    (cut,) = (tag for tag in lab.tags if "ledger-stable-2-hold" in tag)
    await lab.release_hold(Channel.STABLE)
    del lab.tags[cut]
    (told,) = await lab.verify()
    assert told.outcome is Outcome.PRECONDITION
    assert "entry 2 is missing" in told.reason


async def test_a_key_that_is_listed_no_more_takes_its_entries_along_and_is_named(lab: Lab) -> None:
    await lab.release("v1.0.0")
    lab.sign = PEOPLE.sign
    await lab.hold(Channel.STABLE)
    lab.trust = Trust({**TRUST.signers, "stable": [Key("stable-2027").signer]})
    (told,) = await lab.verify()
    assert told.outcome is Outcome.PRECONDITION
    assert "entry 1 is missing" in told.reason
    assert "entry 1 (promotion) of the stable ledger" in told.reason
    assert "expected a signature by keys/stable-2027.pub" in told.reason


async def test_an_anchor_finds_what_was_cut_from_the_end(lab: Lab) -> None:
    await lab.release("v1.0.0")
    lab.sign = PEOPLE.sign
    await lab.hold(Channel.STABLE)
    (before,) = await lab.verify()
    (anchor,) = (check.reason for check in before.checks if check.name == "stable/anchor")
    assert outcome(await lab.verify(anchor)) == Outcome.PASSED
    (cut,) = (tag for tag in lab.tags if "ledger-stable-2-hold" in tag)
    assert cut.endswith(anchor.removeprefix("sha256:"))
    del lab.tags[cut]
    assert outcome(await lab.verify()) == Outcome.PASSED
    (told,) = await lab.verify(anchor)
    assert told.outcome is Outcome.PRECONDITION
    assert f"entry {anchor} was in a ledger and is in none that counts now" in told.reason
    assert outcome(await lab.verify("stable")) == Outcome.USAGE


async def test_an_anchor_in_a_tag_tells_a_replaced_ledger_from_a_true_one(lab: Lab) -> None:
    """By whoever holds a key of the ledger and writes all of it anew, every entry signed."""
    await lab.release("v1.0.0")
    lab.sign = PEOPLE.sign
    await lab.anchor()
    lab.sign = STRANGER.sign  # who only reads needs no key of ours
    (told,) = await lab.verify("anchor")
    assert told.outcome is Outcome.PASSED, told.reason
    assert [check.reason for check in told.checks if check.name == "anchor"] == ["anchor: its entries are there (3)"]
    (true,) = (tag for tag in lab.tags if "ledger-stable-1-" in tag)
    written = ledger.Name.parse(true)
    assert written
    del lab.tags[true]
    move = Move(repository=f"{HOST}/os", tag=Tag("stable"), old=None, new=lab.tags["stable"])
    version = Move(repository=f"{HOST}/os", tag=Tag("v1.0.0"), old=None, new=lab.tags["stable"])
    replaced = entry(ledger.Kind.PROMOTION, moves=[version, move], reason="as if nothing had been")
    await lab.by(PEOPLE.sign, lambda repo: ledger.append(repo, replaced))
    assert outcome(await lab.verify()) == Outcome.PASSED
    (told,) = await lab.verify("anchor")
    assert told.outcome is Outcome.PRECONDITION
    found = f"entry {written.digest} was in the ledger of {HOST}/os:stable and is in none that counts now"
    assert found in told.reason


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("v1.0.0", "not an in-toto statement"),
        ("of nothing", "it names no entry of os"),
        ("unsigned", "it is unsigned; expected a signature by keys/stable.pub"),
        ("of a stranger", r"signed by a key that is not in \[trust\]"),
        ("of another gate", r"signed by keys/testing.pub \(.*\), which counts for testing; expected .*stable.pub"),
        ("of another repository", "it names registry.test/other:stable, which is no channel of pipeline.toml"),
    ],
)
async def test_an_anchor_counts_when_it_is_signed_as_the_ledger_is(lab: Lab, message: str, found: str) -> None:
    await lab.release("v1.0.0")
    line = await lab.anchor(Channel.STABLE)
    payload = base64.b64decode(json.loads(line)["dsseEnvelope"]["payload"])
    assert outcome(await lab.verify("anchor")) == Outcome.PASSED
    nothing = in_toto.written([], in_toto.ANCHOR, {}, {})
    lab.git.messages["anchor"] = {
        "v1.0.0": "v1.0.0",
        "of nothing": nothing.decode(),
        "unsigned": payload.decode(),
        "of a stranger": (await STRANGER.sign(payload)).decode(),
        "of another gate": (await TESTING.sign(payload)).decode(),
        "of another repository": (await STABLE.sign(payload.replace(b"/os:", b"/other:"))).decode(),
    }[message]
    (told,) = await lab.verify("anchor")
    assert told.outcome is Outcome.PRECONDITION
    assert re.search(f"anchor is no anchor that counts: .*{found}", told.reason), told.reason


async def test_an_old_answer_is_no_ledger_that_was_cut(lab: Lab) -> None:
    await lab.release("v1.0.0")
    await lab.hold(Channel.STABLE)
    await lab.anchor(Channel.STABLE)
    undisturbed = lab.registry.weather = Weather()
    await lab.verify("anchor")
    for at, what in enumerate(undisturbed.asked, start=1):
        if what.endswith("/tags/list"):
            lab.registry.weather = Weather(Lie.STALE, at)
            (told,) = await lab.verify("anchor")
            assert told.outcome in (Outcome.PASSED, Outcome.INFRA), told.reason


async def test_who_cannot_sign_for_a_ledger_makes_no_anchor_of_it(lab: Lab) -> None:
    with pytest.raises(PreconditionError, match="has an entry yet"):
        await lab.anchor()
    await lab.release("v1.0.0")
    lab.sign = TESTING.sign
    with pytest.raises(PreconditionError, match=r"expected a signature by keys/next\.pub"):
        await lab.anchor()
    assert await lab.anchor(Channel.TESTING)


async def test_entries_from_before_signatures_were_asked_for_do_not_count_and_break_nothing(lab: Lab) -> None:
    lab.trust = Trust()
    await lab.release("v1.0.0")
    lab.sign = None
    await lab.hold(Channel.TESTING)
    lab.trust = TRUST
    await lab.prepare("v1.1.0")
    assert outcome(await lab.to_testing("v1.1.0")) == Outcome.PASSED
    async with lab.world() as world:
        assert len(await history(world, lab.images[0], Channel.TESTING)) >= 1


# Signing that fails ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sign", "found"),
    [
        (None, "would be unsigned; expected a signature by keys/testing.pub"),
        (NEXT.sign, "which counts for next; expected a signature by keys/testing.pub"),
    ],
)
async def test_who_cannot_sign_is_told_before_the_gate_runs(lab: Lab, sign: Sign | None, found: str) -> None:
    await lab.prepare("v1.0.0")
    lab.sign, runs = sign, len(lab.gate_runs)
    (told,) = await lab.promote_testing("v1.0.0-test")
    assert told.outcome is Outcome.PRECONDITION
    assert found in told.reason
    assert len(lab.gate_runs) == runs


@pytest.mark.parametrize(
    ("gate", "moved", "signatures"),
    [
        (Channel.NEXT, {"next"}, 6),  # the rehearsal, the evidence, the entry, an index of two platforms
        (Channel.TESTING, {"testing", "v1.0.0-test"}, 9),  # the same for two tags
        (Channel.STABLE, {"stable", "v1.0.0"}, 9),
    ],
)
async def test_wherever_signing_fails_nothing_moves_and_what_was_proven_is_not_tested_again(
    lab: Lab, gate: Channel, moved: set[str], signatures: int
) -> None:
    key = OF[gate]
    lab.git.tags |= dict.fromkeys(("v1.0.0", "v1.0.0-test"), lab.git.commit())
    commands = {
        Channel.NEXT: lab.build_next,
        Channel.TESTING: lambda: lab.promote_testing("v1.0.0-test"),
        Channel.STABLE: lambda: lab.promote_stable("v1.0.0"),
    }
    for before in Channel:
        if before is gate:
            break
        lab.sign = OF[before].sign
        assert outcome(await commands[before]()) == Outcome.PASSED
    for works in range(20):
        left = works

        async def failing(statement: bytes) -> bytes:
            nonlocal left
            if left == 0:
                raise InfrastructureError("the KMS is away")
            left -= 1
            return await key.sign(statement)

        async def failing_images(contents: Sequence[bytes]) -> list[bytes]:
            return [await failing(content) and key.plain(content) for content in contents]

        saved = lab.registry.saved()
        lab.sign, lab.pen = failing, Pen(key.pen.key, failing_images)
        (told,) = await commands[gate]()
        if told.outcome is Outcome.PASSED:
            break
        assert told.outcome is Outcome.INFRA
        assert not moved & lab.tags.keys()
        runs = len(lab.gate_runs)
        lab.sign = key.sign
        assert outcome(await commands[gate]()) == Outcome.PASSED
        assert len(lab.gate_runs) == runs + (works == 0)  # before the gate
        lab.registry.restore(saved)
    assert works == signatures


@pytest.mark.parametrize(
    ("gate", "by", "counts"),
    [(Channel.TESTING, TESTING, True), (Channel.STABLE, TESTING, False), (Channel.TESTING, STRANGER, False)],
)
async def test_a_warrant_counts_for_its_gate_and_by_the_gates_signer(
    lab: Lab, gate: Channel, by: Key, counts: bool
) -> None:
    """Somebody has a key of the moment, for a gate, with a warrant by some key."""
    await lab.prepare("v1.0.0")
    warrant = Warrant.new(gate)
    notary = Notary(sign=away, warrants={Channel.TESTING: (warrant, await by.sign(warrant.statement))})
    async with RegistryClient(deadline=5, notary=notary) as client:
        repo, digest = client.repository(Repository(HOST, "os")), lab.tags["next"]
        await attach_evidence(repo, digest, lab.evidence(Channel.TESTING, digest), b"report")
    runs = len(lab.gate_runs)
    assert outcome(await lab.to_testing("v1.0.0")) == Outcome.PASSED
    assert len(lab.gate_runs) == runs + (not counts)
    refused = [check.reason for check in (await lab.verify())[0].checks if check.name == "refused"]
    assert bool(refused) != counts
    assert counts or "signed by a key that is not in [trust]" in refused[0]


async def test_a_warrant_lets_nobody_change_what_was_found(lab: Lab) -> None:
    await lab.prepare("v1.0.0")
    warrant = Warrant.new(Channel.TESTING)
    paper, found = await TESTING.sign(warrant.statement), warrant.sign(b'{"result": "FAILED"}')
    assert not TRUST.evidence_refusal(Channel.TESTING, b'{"result": "FAILED"}', found, paper)
    assert TRUST.evidence_refusal(Channel.TESTING, b'{"result": "PASSED"}', found, paper)
    assert TRUST.evidence_refusal(Channel.TESTING, b'{"result": "FAILED"}', found, b"{}")
    assert TRUST.evidence_refusal(Channel.TESTING, b'{"result": "FAILED"}', paper, paper)


async def away(statement: bytes) -> bytes:
    raise InfrastructureError("the KMS is away")


# Notes ----------------------------------------------------------------------------------------------------------------


async def test_notes_tell_the_key_that_really_signed_the_release(lab: Lab) -> None:
    await lab.release("v1.0.0")
    fresh = Key("stable-2027")
    lab.trust = Trust({**TRUST.signers, "stable": [fresh.signer, STABLE.signer]})
    async with lab.world() as world:
        (one,) = await notes(world, "v1.0.0")
    assert one.signer == "keys/stable.pub of the source repository"
    assert one.options == ("--insecure-ignore-tlog=true", "--key", "keys/stable.pub")


async def test_notes_do_not_vouch_for_a_release_that_a_stranger_signed(lab: Lab) -> None:
    await lab.release("v1.0.0")
    lab.trust = Trust({**TRUST.signers, "stable": [Key("another").signer]})
    async with lab.world() as world:
        with pytest.raises(PreconditionError, match=r"in no ledger entry of stable(.|\n)*does not count: signed by"):
            await notes(world, "v1.0.0")
