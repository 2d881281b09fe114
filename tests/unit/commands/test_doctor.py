import re
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from pipeline.commands import doctor
from pipeline.commands.doctor import SKEW, _upload_auth, compared, root_filesystem_of, verdict
from pipeline.config import parse
from pipeline.domain import Digest, Outcome, Repository, Tag
from pipeline.errors import PreconditionError
from pipeline.gates.recipe import Bases
from pipeline.policy.containerfile import Reference


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], Outcome.PASSED),
        ([Outcome.INFRA], Outcome.INFRA),
        ([Outcome.PRECONDITION], Outcome.PRECONDITION),
        ([Outcome.INFRA, Outcome.PRECONDITION], Outcome.PRECONDITION),
        ([Outcome.USAGE], Outcome.PRECONDITION),
    ],
)
def test_an_outage_alone_may_pass_by_itself(found, expected):
    assert verdict(found) is expected


@pytest.mark.parametrize(
    ("ahead", "said"), [(SKEW * 2, "2m ahead of https://o"), (-SKEW * 10, "10m behind that of https://o")]
)
def test_clocks_that_differ_are_told_with_their_direction(ahead, said):
    with pytest.raises(PreconditionError) as refused:
        compared(ahead, "https://o")
    assert said.split()[1] in str(refused.value)
    assert said.split()[0] in str(refused.value)


async def test_a_release_without_the_stores_login_is_seen_coming():
    with pytest.raises(PreconditionError, match="--upload-auth"):
        await _upload_auth(None)


def test_clocks_that_agree():
    assert compared(-0.2, "https://o") == "within 1 s of https://o"


@pytest.mark.parametrize(
    ("inputs", "arguments", "said"),
    [
        ({"root file system": "xfs"}, ["--type", "qcow2"], "the image declares xfs"),
        ({"root file system": "none declared"}, ["--rootfs", "ext4"], "the disk builder is told by --rootfs"),
        ({"root file system": "none declared"}, ["--rootfs=ext4"], "the disk builder is told by --rootfs=ext4"),
        ({"x86_64/root file system": "ext4", "aarch64/root file system": "xfs"}, [], "the image declares ext4, xfs"),
        ({}, [], "no candidate was looked at yet"),
    ],
)
def test_what_the_root_file_system_will_be_is_known_before_a_builder_asks(inputs, arguments, said):
    assert root_filesystem_of(inputs, arguments) == said


def test_an_image_that_declares_no_root_file_system_is_seen_coming():
    with pytest.raises(PreconditionError, match="declares no root file system"):
        root_filesystem_of({"aarch64/root file system": "none declared"}, ["--type", "qcow2"])


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("named", "there", "said"),
    [
        ("quay.io/a/base:1", True, "1 found: quay.io/a/base@sha256:"),
        ("quay.io/a/base:1", False, r"builds on quay\.io/a/base:1, which no registry has"),
        ("fedora:43", False, "none in a registry"),
        ("scratch", False, "none in a registry"),
    ],
)
async def test_what_the_image_builds_on_is_asked_for(monkeypatch, named, there, said):
    digest = Digest("sha256:" + "b" * 64)
    known = {named: Reference(Repository("quay.io", "a/base"), Tag("1"), digest)} if there else {}

    async def bases_of(*_):
        return Bases(
            "" if named == "scratch" else named, known, unknown=() if there or named == "scratch" else (named,)
        )

    monkeypatch.setattr(doctor, "bases_of", bases_of)
    image = parse('[images.os]\nrepository = "quay.io/a/os"\n').images["os"]
    with nullcontext() if there or "none" in said else pytest.raises(PreconditionError, match=said):
        assert re.match(said, await doctor._bases(SimpleNamespace(), image))
