"""What is built beside the tested disk is stored with what is known of it, and never said to be more tested."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import config
from pipeline.containers.disk_builder import NotBuilt
from pipeline.containers.disk_store import Candidate
from pipeline.domain import Digest, Outcome
from pipeline.errors import InfrastructureError
from pipeline.gates import outputs as under_test
from pipeline.gates.outputs import other_outputs, platform_and_kind
from pipeline.registry.evidence import DiskRecord
from pipeline.report.model import Check, CheckStatus, Result
from pipeline.vm.spec import Spec

DIGEST = Digest(f"sha256:{'1' * 64}")
CANDIDATE = Candidate("the layout", (DIGEST,))  # type: ignore[arg-type]
CONFIG = """
[images.os]
repository = "r.test/os"
[gates.testing.builder]
outputs = ["qcow2", "iso", "raw"]
"""


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A world whose builder, machine and registry are told what to say."""
    read = config.parse(CONFIG)
    made = SimpleNamespace(refuses="", boots=Outcome.PASSED, built=[], stored=[])

    async def build(*arguments: Any) -> Any:
        kind, made.candidate = arguments[-2:]
        made.built.append(kind)
        if kind == made.refuses:
            raise NotBuilt("the image has no anaconda", "the log")
        return SimpleNamespace(file=kind, log=f"{kind} was built", builder="b@sha256:0")

    async def facts(kind: str, file: Any) -> dict[str, str]:
        return {f"{kind} sha256": "2" * 64, f"{kind} size": "5"}

    async def store(*arguments: Any) -> DiskRecord:
        made.stored.append(arguments[-1])
        return DiskRecord(sha256=DIGEST, size=5, manifest=DIGEST, format=arguments[-1], builder="b")

    async def boot(reach: Any, medium: Any, spec: Spec) -> Any:
        status = CheckStatus.PASSED if made.boots is Outcome.PASSED else CheckStatus.FAILED
        checks = [] if made.boots is Outcome.INFRA else [Check(name="installer", status=status, reason="a screen")]
        return Result(command="installer", outcome=made.boots, reason="r", checks=checks), made.folder

    from dagger import dag

    made.folder = dag.directory()
    monkeypatch.setattr(under_test, "build_disk", build)
    monkeypatch.setattr(under_test, "facts", facts)
    monkeypatch.setattr(under_test, "store_disk", store)
    monkeypatch.setattr(under_test.qemu, "boot_installer", boot)
    world = SimpleNamespace(config=read, reach=None, given=SimpleNamespace(source=None))

    async def run(*, keep: bool = True) -> Any:
        return await other_outputs(world, read.images["os"], DIGEST, "linux/amd64", Spec(), CANDIDATE, keep=keep)  # type: ignore[arg-type]

    made.run = run
    return made


async def test_an_iso_is_booted_and_a_raw_disk_is_not_and_both_say_so(bench: Any) -> None:
    made = await bench.run()
    iso, raw = made.checks
    assert (iso.name, iso.status) == ("output/iso", CheckStatus.PASSED)
    assert iso.reason == "a screen. Nothing was installed from it"
    assert (raw.name, raw.status, raw.required) == ("output/raw", CheckStatus.SKIPPED, False)
    assert raw.reason.startswith("not-booted: ")
    assert bench.stored == ["iso", "raw"]
    assert bench.candidate is CANDIDATE
    assert set(made.records) == {"iso", "raw"}
    assert made.inputs["iso sha256"] == "2" * 64
    assert made.inputs["raw artifact"] == DIGEST


async def test_an_iso_that_comes_to_no_installer_fails_and_is_not_stored(bench: Any) -> None:
    bench.boots = Outcome.GATE_FAILED
    iso, _ = (await bench.run()).checks
    assert iso.status is CheckStatus.FAILED
    assert bench.stored == ["raw"]


async def test_what_the_builder_refuses_is_a_finding(bench: Any) -> None:
    bench.refuses = "iso"
    iso, raw = (await bench.run()).checks
    assert (iso.status, iso.reason) == (CheckStatus.FAILED, "the image has no anaconda")
    assert raw.status is CheckStatus.SKIPPED


async def test_a_machine_that_breaks_off_is_no_verdict(bench: Any) -> None:
    bench.boots = Outcome.INFRA
    with pytest.raises(InfrastructureError, match="The iso could not be booted"):
        await bench.run()


async def test_nothing_is_stored_when_nothing_is_kept(bench: Any) -> None:
    made = await bench.run(keep=False)
    assert (bench.stored, made.records) == ([], {})


@pytest.mark.parametrize(("key", "parts"), [("linux/amd64", ("linux/amd64", "qcow2")), ("a/b iso", ("a/b", "iso"))])
def test_evidence_names_what_else_there_is_by_platform_and_kind(key: str, parts: tuple[str, str]) -> None:
    assert platform_and_kind(key) == parts
