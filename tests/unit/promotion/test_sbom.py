"""Bills of material: attached to each platform's image, signed, found again, and compared."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from jobs import NEXT, Lab, new_lab
from scaffold import outcome

from pipeline.commands.notes import notes
from pipeline.commands.plan import plan, plan_text
from pipeline.config.gates import Gates, NextGate, Sbom
from pipeline.domain import Channel, Digest, Outcome
from pipeline.errors import InfrastructureError
from pipeline.registry import media
from pipeline.registry.client import RepositoryClient
from pipeline.trust import statement as in_toto
from pipeline.trust.bundle import read_bundle


@pytest.fixture(params=[False], ids=[""])
async def lab(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.chdir(tmp_path)
    with new_lab("os", apart=request.param) as lab:
        gates = Gates(next=NextGate(sbom=Sbom(image="docker.io/anchore/syft:v1")))
        lab.config = lab.config.model_copy(
            update={"gates": gates.model_copy(update={"stable": lab.config.gates.stable})}
        )
        yield lab


def bill(*packages: str) -> str:
    told = [dict(zip(("SPDXID", "name", "versionInfo"), (one, *one.split()), strict=True)) for one in packages]
    return json.dumps({"spdxVersion": "SPDX-2.3", "packages": told})


def of(lab: Lab, *packages: str) -> None:
    """What the generator says of the image that is built next."""
    lab.bills = {f"sbom-{machine}.spdx.json": bill(f"{machine} 1", *packages) for machine in ("x86_64", "aarch64")}


async def attached(repo: RepositoryClient, digest: Digest, kind: str) -> list[bytes]:
    found = [await repo.known(one.digest) for one in await repo.referrers(digest, kind)]
    return [await repo.content(one.layers[0]) for one in found if one]


@pytest.mark.parametrize("lab", [True], ids=["releases apart"], indirect=True)
async def test_each_platform_has_its_own_signed_wherever_it_is_released(lab: Lab) -> None:
    of(lab, "kernel 6.1")
    await lab.release("v1.0.0")
    async with lab.world() as world:
        for channel in Channel:
            repo = world.repository(lab.images[0], channel)
            digest = await repo.digest(lab.images[0].tags.channel(channel))
            platforms = await repo.platforms(digest) if digest else {}
            assert len(platforms) == 2
            for platform, part in platforms.items():
                (document,) = await attached(repo, part, media.SPDX)
                machine = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}[platform]
                assert document.decode() == bill(f"{machine} 1", "kernel 6.1")
                (signed,) = [read_bundle(one) for one in await attached(repo, part, media.BUNDLE)]
                said = json.loads(signed.payload)
                assert said["predicateType"] == in_toto.SPDX
                assert said["predicate"] == json.loads(document)
                assert [one["digest"]["sha256"] for one in said["subject"]] == [part.hex]
                assert NEXT.signer.key.signed(signed.message, signed.signatures[0])


async def test_a_rerun_attaches_nothing_twice_and_what_could_not_be_signed_later(lab: Lab) -> None:
    of(lab, "kernel 6.1")
    lab.git.commit()
    for works in range(20):
        left, saved = works, lab.registry.saved()

        async def failing(statement: bytes) -> bytes:
            nonlocal left
            left -= 1
            if left < 0:
                raise InfrastructureError("the KMS is away")
            return await NEXT.sign(statement)

        lab.sign, lab.pen = failing, NEXT.pen
        (told,) = await lab.build_next()
        if told.outcome is Outcome.PASSED:
            break
        assert (told.outcome, "next" in lab.tags) == (Outcome.INFRA, False)
        runs = len(lab.gate_runs)
        lab.sign = NEXT.sign
        assert outcome(await lab.build_next()) == Outcome.PASSED
        assert len(lab.gate_runs) == runs + (works == 0)
        assert await count(lab) == 4
        lab.registry.restore(saved)
    assert works == 5  # the warrant, the evidence, two bills, the entry
    lab.sign = NEXT.sign
    assert outcome(await lab.build_next()) == Outcome.UNCHANGED
    assert await count(lab) == 4


async def count(lab: Lab) -> int:
    """Documents and statements on the platforms of next."""
    async with lab.world() as world:
        repo = world.repository(lab.images[0])
        platforms = await repo.platforms(lab.tags["next"])
        return sum([len(await repo.referrers(part)) for part in platforms.values()])


async def test_plan_and_notes_compare_them_where_both_sides_have_one(lab: Lab) -> None:
    lab.packages = ["kernel 6.1-1", "gzip 1"]
    await lab.release("v1.0.0")
    of(lab, "kernel 6.1")
    lab.packages = ["kernel 6.1-2", "gzip 1"]
    await lab.release("v1.1.0")
    of(lab, "kernel 6.2", "pypi:x 1")
    await lab.prepare("v1.2.0")
    async with lab.world() as world:
        with lab.git.standing_at("v1.2.0-test"):
            (outlook,) = await plan(world, "v1.2.0-test")
        assert outlook.packages == ["~ kernel 6.1 -> 6.2", "+ pypi:x 1"]
        assert "2 packages, by SBOM" in plan_text([outlook])
        (told,) = await notes(world, "v1.1.0")
        assert (told.packages, told.compared) == (["~ kernel 6.1-1 -> 6.1-2"], "package database")


async def test_what_is_no_bill_in_a_foreign_report_is_named(lab: Lab) -> None:
    lab.bills = {"sbom-x86_64.spdx.json": "{}"}
    lab.git.commit()
    lab.sign = NEXT.sign
    (told,) = await lab.build_next()
    assert told.outcome is Outcome.PRECONDITION
    assert "sbom-x86_64.spdx.json of the next gate's report is no SPDX 2.3 document" in told.reason
    assert "next" not in lab.tags
