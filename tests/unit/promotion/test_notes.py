"""Release notes of what really went through: what is told is what git, registry, evidence and ledger agree on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from memory_registry import HOST, MemoryRegistry
from scaffold import Bench, configured, outcome

from pipeline.api.calls import json_of
from pipeline.commands.notes import _identity_options, notes
from pipeline.config import Config, Image, parse
from pipeline.domain import Channel, Digest, Outcome, Tag
from pipeline.errors import PreconditionError, UsageError
from pipeline.report.notes import Notes, notes_text
from pipeline.trust.keyless import Called, Identity, Sigstore

PREFIXED = parse(
    "".join(
        f'[images.{name}]\nrepository = "{HOST}/os"\nprefix = "{name}-"\nplatforms = ["linux/amd64", "linux/arm64"]\n'
        for name in ("gnome", "kde")
    )
)


class Lab(Bench):
    """Releases in good weather."""

    registry: MemoryRegistry

    async def prepare(self, version: str, *packages: str) -> None:
        """Everything up to testing."""
        self.packages = packages
        self.git.tags |= dict.fromkeys((version, f"{version}-test"), self.git.commit())
        assert outcome(await self.build_next()) == Outcome.PASSED
        assert outcome(await self.promote_testing(f"{version}-test")) == Outcome.PASSED

    async def release(self, version: str, *packages: str, **told: bool) -> None:
        await self.prepare(version, *packages)
        assert outcome(await self.promote_stable(version, **told)) == Outcome.PASSED

    async def notes(self, tag: str) -> list[Notes]:
        async with self.world() as world:
            return await notes(world, tag)


@pytest.fixture(params=[configured("os", host=HOST)], ids=[""])
async def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.chdir(tmp_path)
    config: Config = request.param
    registry = MemoryRegistry()
    registry.channels |= {
        one.tags.channel(channel): (one.prefix, channel) for one in config.images.values() for channel in Channel
    }

    async def push(image: Image, tag: Tag, labels: dict[str, str]) -> Digest:
        return await registry.push(image.repository.path, tag, labels, f"{image.name} {tag}")

    lab = Lab(config, registry.copy, push)
    lab.registry = registry
    with registry.serving():
        yield lab


everywhere = pytest.mark.parametrize(
    "lab",
    [configured("os", host=HOST), configured("os", host=HOST, apart=True), PREFIXED],
    ids=["one", "releases apart", "prefixes"],
    indirect=True,
)


@everywhere
async def test_what_a_release_brings_since_the_one_before(lab: Lab) -> None:
    await lab.release("v1.0.0", "kernel 6.1", "gzip 1.0")
    lab.git.commit()
    await lab.release("v1.1.0", "kernel 6.2", "zstd 1.5")
    found = await lab.notes("v1.1.0")
    assert [one.image for one in found] == list(lab.config.images)
    for one in found:
        home = lab.config.images[one.image]
        assert one.repository == str(home.home(Channel.STABLE))
        assert one.names == [f"{home.prefix}v1.1.0", f"{home.prefix}stable"]
        assert one.digest == lab.registry.store(home.home(Channel.STABLE).path).tags[one.names[0]]
        assert (one.before, one.count, len(one.commits)) == ("v1.0.0", 2, 2)
        assert one.packages == ["- gzip 1.0", "~ kernel 6.1 -> 6.2", "+ zstd 1.5"]
        assert [built.platform for built in one.platforms] == ["linux/amd64", "linux/arm64"]
        assert all(built.size and built.before for built in one.platforms)
        assert [(gate.gate, gate.outcome) for gate in one.gates] == [(gate, Outcome.PASSED) for gate in Channel]
        assert not one.options
    text = notes_text(found)
    assert "## 2 commits since v1.0.0" in text
    assert '"packages": [' in json_of(found)


async def test_the_first_release_has_nothing_before_it(lab: Lab) -> None:
    await lab.release("v1.0.0", "kernel 6.1")
    (first,) = await lab.notes("v1.0.0")
    assert (first.before, first.count, first.packages) == (None, None, None)
    assert "## The first release" in notes_text([first])


async def test_a_fix_of_an_older_version_follows_that_version(lab: Lab) -> None:
    for version in ("v1.0.0", "v2.0.0"):
        await lab.release(version)
    lab.git.tags |= dict.fromkeys(("v1.0.1", "v1.0.1-test"), lab.git.commit())
    assert outcome(await lab.build_next()) == Outcome.PASSED
    assert outcome(await lab.promote_testing("v1.0.1-test", allow_older=True)) == Outcome.PASSED
    assert outcome(await lab.promote_stable("v1.0.1", allow_older=True)) == Outcome.PASSED
    assert [one.before for one in await lab.notes("v1.0.1")] == ["v1.0.0"]
    assert [one.before for one in await lab.notes("v2.0.0")] == ["v1.0.0"]


async def test_a_release_that_was_taken_back_says_so(lab: Lab) -> None:
    for version in ("v1.0.0", "v1.1.0"):
        await lab.release(version)
    await lab.rollback(Channel.STABLE)
    (taken_back,) = await lab.notes("v1.1.0")
    assert "it is broken" in taken_back.withdrawn
    (other,) = await lab.notes("v1.0.0")
    assert not other.withdrawn
    assert outcome(await lab.release_hold(Channel.STABLE)) == Outcome.PASSED
    await lab.release("v1.2.0")
    assert [one.before for one in await lab.notes("v1.2.0")] == ["v1.0.0"]


@pytest.mark.parametrize("tag", ["v1.0", "latest", "v1.0.0-test"])
async def test_another_kind_of_tag_is_usage(lab: Lab, tag: str) -> None:
    with pytest.raises(UsageError, match=r"expected vX\.Y\.Z"):
        await lab.notes(tag)


async def test_a_tag_that_git_does_not_know(lab: Lab) -> None:
    with pytest.raises(PreconditionError, match=r"no git tag v9\.9\.9 in the source: push it, and fetch tags"):
        await lab.notes("v9.9.9")


async def test_what_was_only_tested_is_not_released(lab: Lab) -> None:
    await lab.prepare("v1.0.0")
    with pytest.raises(PreconditionError, match=r"v1\.0\.0 of os was not released.*promote-stable makes it"):
        await lab.notes("v1.0.0")


async def test_nothing_vouches_for_what_somebody_else_put_there(lab: Lab) -> None:
    await lab.release("v1.0.0")
    commit = lab.git.tags["v1.0.0"]
    lab.git.tags["v1.1.0"] = commit
    evil = lab.registry.put_image("os", {"org.opencontainers.image.revision": commit}, "rootkit")
    lab.registry.tag("os", "v1.1.0", evil, by_us=False)
    with pytest.raises(PreconditionError, match="is in no ledger entry of stable"):
        await lab.notes("v1.1.0")
    lab.registry.tag("os", "v1.0.0", evil, by_us=False)
    with pytest.raises(PreconditionError, match=r"is sha256:[0-9a-f]{64} in the ledger of stable"):
        await lab.notes("v1.0.0")


async def test_a_git_tag_that_was_moved_is_seen(lab: Lab) -> None:
    await lab.release("v1.0.0")
    lab.git.tags["v1.0.0"] = lab.git.commit()
    with pytest.raises(PreconditionError, match="expected one commit"):
        await lab.notes("v1.0.0")


@pytest.mark.parametrize(
    ("identity", "root", "options"),
    [
        ("ann@example.org", "", ("--certificate-identity", "ann@example.org")),
        (
            "https://g.test/o/r/w.yml@refs/tags/v*",
            "{}",
            (
                *("--certificate-identity-regexp", r"^https://g\.test/o/r/w\.yml@refs/tags/v.*$"),
                *("--trusted-root", "trusted_root.json"),
            ),
        ),
    ],
)
def test_an_identity_is_checked_by_its_issuer(identity: str, root: str, options: tuple[str, ...]) -> None:
    told = _identity_options(Identity("https://issuer.test", identity, Sigstore(root)))
    assert told == ("--certificate-oidc-issuer", "https://issuer.test", *options)


def test_a_workflow_that_was_called_is_checked_with_who_called_it() -> None:
    stage = "https://github.com/pipeline/module/.github/workflows/stage.yml@refs/tags/v1"
    identity = Identity(
        "https://issuer.test", "https://github.com/o/r/.github/workflows/x.yml@refs/tags/v*", Sigstore()
    )
    assert _identity_options(identity, Called(stage, "o/r", "refs/tags/v1.0.0")) == (
        *("--certificate-oidc-issuer", "https://issuer.test", "--certificate-identity", stage),
        *("--certificate-github-workflow-repository", "o/r", "--certificate-github-workflow-ref", "refs/tags/v1.0.0"),
    )
