"""The disk of the current stable is found, upgraded and judged; registry and machine are stand-ins."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.config import parse
from pipeline.containers.disk_store import Candidate
from pipeline.domain import Channel, Digest, Outcome
from pipeline.errors import InfrastructureError
from pipeline.gates import upgrade
from pipeline.policy.gate import verdict
from pipeline.registry.evidence import DiskRecord, Evidence
from pipeline.report.model import Check, CheckStatus, Phase, Result
from pipeline.vm.spec import Spec

STABLE, CANDIDATE, CHILD, DISK, MANIFEST = (Digest("sha256:" + letter * 64) for letter in "abcde")
CONFIG = '[images.os]\nrepository = "ghcr.io/o/next"\nstable_repository = "ghcr.io/o/os"\n'
AMD64 = "linux/amd64"
OFFERED = Candidate("the layout", (CANDIDATE, CHILD))  # type: ignore[arg-type]
HASHES = {"disk_sha256": DISK.hex}

HAD = Check(name="bootc-digest", status=CheckStatus.PASSED, reason=STABLE)


def found(outcome: Outcome = Outcome.PASSED, **told: Any) -> Result:
    told = {"checks": [Check(name="boot", status=CheckStatus.PASSED)]} | told
    return Result(command="vm", outcome=outcome, reason="it says so", **told)


@dataclass
class Bench:
    """A world of one image, whose stable release has its disk in the registry unless said otherwise."""

    toml: str = CONFIG
    stable: Digest | None = STABLE
    there: set[Digest] = field(default_factory=lambda: {MANIFEST})
    evidence: list[Result] = field(default_factory=lambda: [found()])
    machine: Result = field(
        default_factory=lambda: found(
            inputs=HASHES,
            checks=[Check(name=name, status=CheckStatus.PASSED) for name in ("boot", "upgrade", "rollback", "disk")],
            timeline=[Phase(name="kernel", start=1, end=2)],
        )
    )
    outage: bool = False
    booted: list[Spec] = field(default_factory=list)

    async def digest(self, ref: str) -> Digest | None:
        if ref == "stable":
            return self.stable
        return Digest(ref) if ref in self.there else None

    async def find_evidence(self, registry: Any, digest: Digest, gate: Channel) -> list[Any]:
        assert (registry, digest, gate) == (self, self.stable, Channel.TESTING)
        record = DiskRecord(sha256=DISK, size=1, manifest=MANIFEST, builder="b")
        disks = {AMD64: record}
        return [
            SimpleNamespace(evidence=Evidence(gate=gate, gate_version="1", result=one, disks=disks))
            for one in self.evidence
        ]

    async def fetch_disk(self, reach: Any, repository: Any, record: DiskRecord) -> str:
        if self.outage:
            raise InfrastructureError("the registry is away")
        assert str(repository) == "ghcr.io/o/os"
        return "the disk"

    async def boot(self, reach: Any, disk: Any, spec: Spec, checks: Any, *, candidate: Any) -> tuple[Result, Any]:
        assert (disk, checks, candidate) == ("the disk", None, "the layout")
        self.booted.append(spec)
        return self.machine, "the report"

    async def run(self, monkeypatch: pytest.MonkeyPatch, **told: Any) -> upgrade.Upgraded:
        for name in ("find_evidence", "fetch_disk"):
            monkeypatch.setattr(upgrade, name, getattr(self, name))
        monkeypatch.setattr(upgrade.qemu, "boot", self.boot)
        config = parse(self.toml)
        world: Any = SimpleNamespace(config=config, reach=None, repository=self._repository)
        machine = Spec(memory_mib=512, checks=Path("/checks"))
        return await upgrade.upgrade_from_stable(world, config.images["os"], OFFERED, AMD64, machine, **told)

    def _repository(self, image: Any, channel: Channel) -> "Bench":
        assert channel is Channel.STABLE
        return self


async def test_stables_disk_is_upgraded_to_the_candidate_under_the_users_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    done = await bench.run(monkeypatch)
    (spec,) = bench.booted
    assert spec.upgrade
    assert (spec.upgrade.reference, spec.upgrade.digests) == ("ghcr.io/o/os:stable", (CANDIDATE, CHILD))
    assert (spec.memory_mib, spec.checks, spec.digest) == (512, None, STABLE)
    assert [check.name for check in done.checks] == ["stable/boot", "upgrade", "rollback", "stable/disk"]
    assert [phase.name for phase in done.timeline] == ["stable/kernel"]
    assert done.inputs == {"stable digest": STABLE, "stable disk sha256": DISK.hex}
    assert done.stopped is None


@pytest.mark.parametrize(
    ("bench", "told", "reason", "outcome"),
    [
        (Bench(stable=None), {}, "first-release", Outcome.PASSED),
        (Bench(stable=CANDIDATE), {}, "same-as-stable", Outcome.PASSED),
        (Bench(), {"candidate_has_bootc": False}, "no-bootc", Outcome.PASSED),
        (Bench(evidence=[found(checks=[HAD])]), {"candidate_has_bootc": False}, "bootc-lost", Outcome.GATE_FAILED),
        (Bench(CONFIG + "[gates.testing]\nupgrade = false\n"), {}, "not-configured", Outcome.PASSED),
        (Bench(there=set()), {}, "no-stable-disk", Outcome.GATE_FAILED),
        (Bench(evidence=[]), {}, "no-stable-disk", Outcome.GATE_FAILED),
        (Bench(evidence=[found(Outcome.GATE_FAILED)]), {}, "no-stable-disk", Outcome.GATE_FAILED),
        (
            Bench(CONFIG + '[gates.testing]\nallowed_skips = ["no-stable-disk"]\n', evidence=[]),
            {},
            "no-stable-disk",
            Outcome.PASSED,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_tried_is_skipped_and_only_let_through_if_allowed(
    monkeypatch: pytest.MonkeyPatch, bench: Bench, told: dict[str, Any], reason: str, outcome: Outcome
) -> None:
    done = await bench.run(monkeypatch, **told)
    assert [(check.name, check.status) for check in done.checks] == [
        ("upgrade", CheckStatus.SKIPPED),
        ("rollback", CheckStatus.SKIPPED),
    ]
    assert all(check.reason.startswith(f"{reason}: ") for check in done.checks)
    assert verdict([Check(name="boot", status=CheckStatus.PASSED), *done.checks])[0] is outcome
    assert not bench.booted


async def test_a_candidate_that_did_not_pass_is_not_tried_and_that_never_counts() -> None:
    world: Any = SimpleNamespace(config=parse(CONFIG))
    checks = upgrade.not_tried(world).checks
    assert all(check.required and check.reason.startswith("not-run: ") for check in checks)


async def test_an_outage_keeps_what_the_candidates_own_boot_found(monkeypatch: pytest.MonkeyPatch) -> None:
    done = await Bench(outage=True).run(monkeypatch)
    assert {check.status for check in done.checks} == {CheckStatus.INFRA}
    assert done.stopped == (Outcome.INFRA, "the registry is away")


async def test_an_upgrade_that_fails_fails_the_gate_and_says_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = found(Outcome.GATE_FAILED, inputs=HASHES, checks=[Check(name="upgrade", status=CheckStatus.FAILED)])
    done = await Bench(machine=failed).run(monkeypatch)
    assert done.stopped == (Outcome.GATE_FAILED, f"Upgrade of the current stable {STABLE.short}: it says so")
    assert done.report == "the report"


async def test_another_disk_than_the_one_that_passed_is_a_precondition(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = found(inputs=HASHES | {"disk_sha256": "f" * 64})
    done = await Bench(machine=changed).run(monkeypatch)
    assert done.stopped
    assert done.stopped[0] is Outcome.PRECONDITION
