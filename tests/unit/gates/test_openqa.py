"""Every tested disk goes through openQA, side by side; server, store and registry are stand-ins."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config import parse
from pipeline.domain import Commit, Digest, Outcome
from pipeline.errors import PreconditionError, UsageError
from pipeline.gates import openqa
from pipeline.gates.subject import Subject
from pipeline.openqa.gate import GateOutcome
from pipeline.openqa.submission import Order
from pipeline.policy.candidate import Candidate
from pipeline.policy.tags import ReleaseTag
from pipeline.registry.evidence import DiskRecord
from pipeline.report.model import Check, CheckStatus

CANDIDATE = Digest("sha256:" + "a" * 64)
DISKS = {"linux/amd64": Digest("sha256:" + "b" * 64), "linux/arm64": Digest("sha256:" + "c" * 64)}
CONFIG = """
[images.os]
repository = "ghcr.io/o/os"
platforms = ["linux/amd64", "linux/arm64"]
[gates.stable]
upload = { url = "https://up.example.org/d", public_url = "https://images.example.org/d" }
[gates.stable.openqa]
url = "https://openqa.example.org"
flavor = ["server", "desktop"]
settings = { NOTE = "{image} {version} {arch} {digest} {commit}", MY_DISK = "{disk_name} {disk_url}" }
"""


@pytest.fixture
def uploads() -> list[str]:
    """The keys of what was uploaded."""
    return []


@pytest.fixture
def orders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, uploads: list[str]) -> list[Order]:
    """What was submitted; the desktop fails on arm64."""
    made: list[Order] = []

    async def fetched(*_: object) -> str:
        return "disk"

    async def uploaded(*given: object) -> dict[str, str]:
        uploads.append(str(given[4]))
        return {"uploaded to": "there"}

    async def ran(_world: object, _server: object, order: Order, folder: Path, _name: str) -> GateOutcome:
        made.append(order)
        bad = (order.arch, order.flavor) == ("aarch64", "desktop")
        check = Check(name="openqa", status=CheckStatus.FAILED if bad else CheckStatus.PASSED)
        return GateOutcome(Outcome.GATE_FAILED if bad else Outcome.PASSED, folder.name, [check], {"openqa build": "b"})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(openqa, "fetch_disk", fetched)
    monkeypatch.setattr(openqa, "upload_disk", uploaded)
    monkeypatch.setattr(openqa, "_run", ran)
    return made


async def run(disks: dict[str, Digest], text: str = CONFIG, login: str | None = "KEY:SECRET") -> Any:
    config = parse(text)

    async def tree(path: str) -> str:
        return "" if path == "missing.fd" else "1111222233334444"

    given = SimpleNamespace(openqa_auth=login, upload_auth=None, source=SimpleNamespace(file=str))
    world = SimpleNamespace(config=config, reach=None, free=None, given=given, history=SimpleNamespace(tree=tree))
    records = {
        platform: DiskRecord(sha256=sha256, size=1, manifest=CANDIDATE, builder="b")
        for platform, sha256 in disks.items()
    }
    proof = SimpleNamespace(evidence=SimpleNamespace(disks=records))
    subject = Subject(config.images["os"], Candidate(CANDIDATE, Commit("d" * 40)))
    return await openqa.openqa_gate(world, subject, ReleaseTag.parse("v1.2.3"), proof, "promote-stable")  # type: ignore[arg-type]


async def test_every_disk_and_flavor_is_an_order_of_its_own(orders: list[Order]) -> None:
    await run(DISKS)
    assert sorted((order.arch, order.flavor, order.disk_sha256, order.disk) for order in orders) == [
        (arch, flavor, DISKS[platform], f"os-1.2.3-{arch}-{'a' * 12}-{DISKS[platform].short}.qcow2")
        for platform, arch in (("linux/arm64", "aarch64"), ("linux/amd64", "x86_64"))
        for flavor in ("desktop", "server")
    ]


async def test_one_failure_fails_the_gate_and_every_part_is_reported(orders: list[Order]) -> None:
    result = (await run(DISKS)).result
    assert result.outcome is Outcome.GATE_FAILED
    assert result.reason == "openqa-aarch64-desktop"
    assert [check.name for check in result.checks] == [
        f"{arch}/{flavor}/openqa" for arch in ("x86_64", "aarch64") for flavor in ("server", "desktop")
    ]
    assert result.inputs["aarch64/server/disk sha256"] == DISKS["linux/arm64"].hex
    assert result.inputs["x86_64/desktop/openqa build"] == "b"
    assert [phase.name for phase in result.timeline][:3] == [
        "disks to the store",
        "x86_64/server/openQA",
        "x86_64/server/verdict and proof",
    ]


async def test_templates_are_filled_for_each_order(orders: list[Order]) -> None:
    await run(DISKS)
    for order in orders:
        assert order.settings["NOTE"] == f"os 1.2.3 {order.arch} {CANDIDATE} {'d' * 40}"
        assert order.settings["MY_DISK"] == f"{order.disk} https://images.example.org/d/{order.disk}"


async def test_assets_of_the_repository_go_to_every_job(orders: list[Order], uploads: list[str]) -> None:
    found = await run(DISKS, CONFIG + 'assets = { UEFI_PFLASH_VARS = "openqa/vars.fd", ASSET_1 = "data.tar.gz" }\n')
    assert uploads[:2] == ["vars-111122223333.fd", "data-111122223333.tar.gz"]
    assert found.result.inputs["asset ASSET_1"] == "https://images.example.org/d/data-111122223333.tar.gz"
    for order in orders:
        assert order.settings["UEFI_PFLASH_VARS"] == "vars-111122223333.fd"
        assert order.settings["UEFI_PFLASH_VARS_URL"] == "https://images.example.org/d/vars-111122223333.fd"


async def test_an_asset_that_is_not_in_the_commit_submits_nothing(orders: list[Order], uploads: list[str]) -> None:
    with pytest.raises(UsageError, match=r"missing\.fd"):
        await run(DISKS, CONFIG + 'assets = { UEFI_PFLASH_VARS = "missing.fd" }\n')
    assert not orders
    assert not uploads


@pytest.mark.parametrize(
    ("url", "login", "argument"),
    [
        ("https://up.example.org/d", None, "--openqa-auth=env://OPENQA_AUTH"),
        ("s3://bucket/d", "KEY:SECRET", "--upload-auth=env://UPLOAD_AUTH"),
    ],
)
async def test_a_login_that_is_missing_is_named_before_anything_is_uploaded(
    orders: list[Order], uploads: list[str], url: str, login: str | None, argument: str
) -> None:
    with pytest.raises(UsageError, match=argument):
        await run(DISKS, CONFIG.replace("https://up.example.org/d", url), login)
    assert not orders
    assert not uploads


async def test_a_platform_without_a_tested_disk_submits_nothing(orders: list[Order]) -> None:
    with pytest.raises(PreconditionError, match="linux/arm64"):
        await run({"linux/amd64": DISKS["linux/amd64"]})
    assert not orders
