"""Whose signatures count is what the main branch says, whatever is checked out."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pipeline import world
from pipeline.config import parse
from pipeline.containers.git import History
from pipeline.domain import Channel
from pipeline.errors import UsageError
from pipeline.trust.keyless import Sigstore
from pipeline.trust.signers import Signer, Trust
from pipeline.world import Judge

from .little_sigstore import LittleSigstore

IMAGE = '[images.os]\nrepository = "ghcr.io/owner/os"\n'
OURS = '[trust]\ntesting = { key = "keys/ours.pub" }\n'
THEIRS = '[trust]\ntesting = { key = "keys/theirs.pub" }\n'


@dataclass(frozen=True)
class Checkout(History):
    """A real repository, asked here instead of in a container."""

    folder: Path = Path()

    async def _ask(self, *arguments: str) -> str | None:
        asked = await anyio.run_process(["git", "-C", str(self.folder), *arguments], check=False)
        return None if asked.returncode else asked.stdout.decode().strip()

    def git(self, *arguments: str) -> None:
        person = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", self.folder, *person, *arguments], check=True, capture_output=True)

    def commit(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "x")

    async def told(self, named: str = "") -> tuple[Trust, Judge]:
        config = parse((self.folder / "pipeline.toml").read_text())
        told, judge = await world._told_whom_to_trust(self, config, named)
        return await world._trust(self, told, judge.branch, Sigstore()), judge

    async def sigstore(self) -> Sigstore:
        config = parse((self.folder / "pipeline.toml").read_text())
        told, judge = await world._told_whom_to_trust(self, config, "")
        return await world._sigstore(self, told, judge.branch)


def pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, kind).decode()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    nowhere: Any = None
    made = Checkout(nowhere, tmp_path)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.commit({"pipeline.toml": IMAGE + OURS, "keys/ours.pub": pem()})
    return made


def names(trust: Trust) -> list[str]:
    return [signer.file for signer in trust.of(Channel.TESTING) if isinstance(signer, Signer)]


async def test_the_main_branch_says_whom_to_trust(checkout: Checkout) -> None:
    trust, judge = await checkout.told()
    assert names(trust) == ["keys/ours.pub"]
    assert judge == Judge("refs/heads/main", differs=False)


@pytest.mark.parametrize(
    "tree",
    [
        {"pipeline.toml": IMAGE + THEIRS, "keys/theirs.pub": pem()},
        {"pipeline.toml": IMAGE},
        {"pipeline.toml": f'main_branch = "evil"\n{IMAGE}{THEIRS}', "keys/theirs.pub": pem()},
    ],
    ids=["widened", "removed", "another main branch"],
)
async def test_a_tree_can_neither_widen_nor_remove_it(checkout: Checkout, tree: dict[str, str]) -> None:
    checkout.git("checkout", "--quiet", "-b", "evil")
    checkout.commit(tree)
    checkout.git("tag", "v1.0.0")
    trust, judge = await checkout.told()
    assert names(trust) == ["keys/ours.pub"]
    assert judge.differs


async def test_a_key_of_the_same_name_in_the_tree_is_another_one(checkout: Checkout) -> None:
    (trust, _) = await checkout.told()
    checkout.git("checkout", "--quiet", "-b", "evil")
    checkout.commit({"keys/ours.pub": pem()})
    (again, _) = await checkout.told()
    assert [str(one) for one in again.of(Channel.TESTING)] == [str(one) for one in trust.of(Channel.TESTING)]


async def test_the_caller_may_name_the_branch_and_no_tree_may(checkout: Checkout) -> None:
    checkout.git("checkout", "--quiet", "-b", "trunk")
    checkout.commit({"pipeline.toml": IMAGE + THEIRS, "keys/theirs.pub": pem()})
    trust, judge = await checkout.told("trunk")
    assert (names(trust), judge.branch) == (["keys/theirs.pub"], "refs/heads/trunk")
    with pytest.raises(UsageError, match="no branch other"):
        await checkout.told("other")


async def test_a_history_without_its_main_branch_is_refused_where_it_may_have_had_trust(checkout: Checkout) -> None:
    checkout.git("branch", "--move", "main", "feature")
    with pytest.raises(UsageError, match="no main branch, so nobody can tell whose signatures count"):
        await checkout.told()
    checkout.commit({"pipeline.toml": IMAGE})
    trust, judge = await checkout.told()
    assert (trust, judge) == (Trust(), Judge())


async def test_a_shallow_history_without_its_main_branch_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    checkout.commit({"pipeline.toml": IMAGE})
    checkout.git("tag", "v1.0.0")
    shallow = Checkout(checkout.container, tmp_path / "shallow")
    shallow.folder.mkdir()
    shallow.git("init", "--quiet", "--initial-branch", "work")
    shallow.git("fetch", "--quiet", "--depth=1", f"file://{checkout.folder}", "refs/tags/v1.0.0:refs/tags/v1.0.0")
    shallow.git("checkout", "--quiet", "v1.0.0")
    with pytest.raises(UsageError, match="fetch-depth: 0"):
        await shallow.told()


@pytest.mark.parametrize(("content", "found"), [(None, "there is no such file"), ("hello", "no public key in PEM")])
async def test_a_key_that_is_none_is_named(checkout: Checkout, content: str | None, found: str) -> None:
    checkout.git("rm", "--quiet", "keys/ours.pub")
    checkout.commit({"keys/ours.pub": content} if content else {})
    with pytest.raises(UsageError, match=f"trust.testing names keys/ours.pub: {found}"):
        await checkout.told()


async def test_a_file_that_the_clone_lacks_is_not_taken_for_one_that_is_not_there(checkout: Checkout) -> None:
    blob = await checkout._ask("rev-parse", "HEAD:pipeline.toml")
    assert blob
    (checkout.folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(UsageError, match="a clone with all its files"):
        await checkout.told()


async def test_the_message_of_a_tag_is_told_and_nothing_else_is_one(checkout: Checkout) -> None:
    line = '{"a": "1 # 2"}'
    checkout.git("tag", "--annotate", "--message", f"{line}\n\nSigned, say.", "anchor")
    assert await checkout.message_of_tag("anchor") == line
    assert await checkout.message_of_tag("anchors") is None
    assert await checkout.message_of_tag("anch") is None


SIGSTORE = """\
trusted_root = "keys/root.json"
fulcio = "https://fulcio.example.org"
rekor = "https://rekor.example.org"
"""
BY_WORKFLOW = f'{IMAGE}[trust]\n{SIGSTORE}testing = {{ issuer = "https://i.example.org", identity = "https://x/*" }}\n'


async def test_a_sigstore_of_ones_own_is_the_main_branchs_too(checkout: Checkout) -> None:
    root = LittleSigstore().root
    checkout.commit({"pipeline.toml": BY_WORKFLOW, "keys/root.json": root})
    checkout.git("checkout", "--quiet", "-b", "evil")
    checkout.commit({"pipeline.toml": BY_WORKFLOW.replace("example", "evil"), "keys/root.json": LittleSigstore().root})
    assert await checkout.sigstore() == Sigstore(root, "https://fulcio.example.org", "https://rekor.example.org")
    checkout.git("checkout", "--quiet", "main")
    checkout.git("rm", "--quiet", "keys/root.json")
    checkout.commit({})
    with pytest.raises(UsageError, match=r"main: trust.trusted_root names keys/root.json: commit it"):
        await checkout.sigstore()
