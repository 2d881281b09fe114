"""A disk is built as the product does it, and each way in which that fails has its own outcome: in the engine.

The builder is the lab's stand-in, which wants and says what the real one does.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import dagger
import pytest
from dagger import dag

from pipeline.config import Builder
from pipeline.containers.base import Reach, debian
from pipeline.containers.disk_builder import NotBuilt, build_disk, formed
from pipeline.containers.disk_store import Candidate, Disk, fetch_disk, store_disk
from pipeline.containers.execution import attempt
from pipeline.containers.machine import aside, spares
from pipeline.containers.podman import STORAGE, toolbox
from pipeline.domain import Digest, Repository
from pipeline.errors import InfrastructureError, PipelineError, PreconditionError, UsageError
from pipeline.lab.images import disk_builder, tiny_os
from pipeline.lab.registry import PORT, registry
from pipeline.vm.spec import Arch

ROOT = Path(__file__).parents[3]
HOST = f"registry:{PORT}"
REF = "ghcr.io/owner/os:stable"
FAILING = ["no-space", "killed", "no-loop", "no-privilege", "setup", "no-disk"]


@dataclass(frozen=True)
class Lab:
    """A registry with the tiny OS, an image of its kind that lacks what a builder wants, and builders that fail."""

    reach: Reach
    images: dict[str, Digest]

    async def build(
        self,
        builder: Builder,
        image: str = "tiny",
        config: dagger.File | None = None,
        kind: str = "qcow2",
        candidate: Candidate | None = None,
    ) -> Disk:
        repository, digest = Repository(HOST, f"test/{image}"), self.images[image]
        return await build_disk(
            self.reach, builder, repository, digest, "linux/amd64", REF, config, kind, candidate=candidate
        )


@pytest.fixture(scope="module")
def inside(engine: None) -> Iterator[None]:
    """As in a function of the module, whose sources the tool containers get."""
    sources = dag.host().directory(str(ROOT), include=["pyproject.toml", "src"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(dag), "current_module", lambda self: SimpleNamespace(source=lambda: sources))
        yield


@pytest.fixture(scope="module")
async def lab(inside: None) -> Lab:
    files = dag.host().directory(str(ROOT / "ci" / "lab"))
    service = registry(files, f"contract-{uuid4().hex}")
    for fails in ["", *FAILING]:
        container = disk_builder(files).with_env_variable("LAB_FAILS", fails)
        await container.publish(f"localhost:{PORT}/builder:{fails or 'works'}", registry_service=service)
    reach = Reach({"registry": service}, plain_http=(HOST,))
    script = """
        skopeo copy --quiet oci-archive:/tiny.oci containers-storage:localhost/tiny
        printf 'FROM localhost/tiny\\nLABEL lab.small=0\\n' | podman build --quiet --network host --tag localhost/bare -
        install=/usr/lib/bootc/install/00-tiny.toml
        change() {
            printf 'FROM localhost/tiny\\nRUN %s\\n' "$2" | podman build --quiet --network host --tag localhost/$1 -
        }
        change xfs "sed -i s/ext4/xfs/ $install"
        change undeclared "rm $install"
        podman tag localhost/tiny localhost/docker
        for image in tiny bare xfs undeclared docker; do
            case $image in docker) format=v2s2 ;; *) format=oci ;; esac
            skopeo copy --quiet --format $format --digestfile /digest containers-storage:localhost/$image \
                docker://$HOST/test/$image
            echo "$image=$(cat /digest)"
        done
    """
    filled = await attempt(
        reach.registries(toolbox())
        .with_mounted_file("/tiny.oci", tiny_os(files))
        .with_mounted_cache(STORAGE, dag.cache_volume(f"contract-{uuid4().hex}"))
        .with_env_variable("HOST", HOST),
        ["sh", "-ec", script],
        privileged=True,
    )
    assert filled.code == 0, filled.said
    found = dict(line.split("=", 1) for line in filled.stdout.splitlines() if "=sha256:" in line)
    return Lab(reach, {name: Digest(digest) for name, digest in found.items()})


def builder(tag: str = "works", **more: object) -> Builder:
    return Builder.model_validate({"image": f"{HOST}/builder:{tag}"} | more)


async def test_the_disk_is_built_under_the_update_reference_and_nothing_is_left_behind(lab: Lab) -> None:
    text = '[[customizations.user]]\nname = "core"\nkey = "ssh-ed25519 AAAA nobody"\n'
    config = dag.directory().with_new_file("disk.toml", text).file("disk.toml")
    disk = await lab.build(builder(config="disk_config/disk.toml", needs=[f"{HOST}/test/bare:latest"]), config=config)
    kept, form = await formed(disk, builder(), Arch.X86_64)
    assert kept is disk
    assert form.inputs() == {
        "disk form": "qcow2",
        "disk size": str(await disk.file.size()),
        "qemu-img check": "No errors were found on the image.",
    }
    assert "boot loaders" in disk.log
    assert "@sha256:" in disk.builder
    storage = dag.cache_volume(f"bootc-pipeline-disk-{lab.images['tiny'].short}-amd64")
    looked = await attempt(
        toolbox().with_mounted_cache("/left", storage).with_env_variable("RUN", uuid4().hex), ["ls", "/left"]
    )
    assert looked.stdout == ""


async def test_the_root_file_system_is_the_one_that_the_image_declares(lab: Lab) -> None:
    assert "root file system: xfs, declared by the image" in (await lab.build(builder(), image="xfs")).log
    with pytest.raises(NotBuilt, match="no default root filesystem type specified"):
        await lab.build(builder(), image="undeclared")


async def test_the_successor_is_called_as_it_wants(lab: Lab) -> None:
    called = builder(args=["--type", "raw", "--output", "{output}/here", "{ref}"], disk="here/image/disk.raw")
    raw = await lab.build(called)
    assert await raw.file.size() > 1024**2
    for form in "qcow2", "qcow2-zstd":
        disk, made = await formed(raw, builder(form=form), Arch.X86_64)
        assert (made.built, made.form, made.size) == ("raw", form, await disk.file.size())
    with pytest.raises(UsageError, match=r"format raw, and gates\.testing\.builder\.form is as-built"):
        await formed(raw, builder(form="as-built"), Arch.X86_64)


async def test_an_image_of_dockers_types_is_fetched_once_too(lab: Lab) -> None:
    digest = lab.images["docker"]
    disk = await lab.build(builder(), image="docker")
    assert disk.candidate.digest == digest
    manifest = await disk.candidate.layout.file(f"blobs/sha256/{digest.hex}").contents()
    assert "vnd.docker.distribution.manifest.v2+json" in manifest
    await lab.build(builder(), image="docker", candidate=disk.candidate)


async def test_what_else_is_built_is_where_the_builder_leaves_it(lab: Lab) -> None:
    both = builder(outputs=["qcow2", "iso"])
    disk = await lab.build(both)
    medium = await lab.build(both, kind="iso", candidate=disk.candidate)
    assert medium.candidate is disk.candidate
    assert await medium.file.size() > 1024**2
    assert "iso written" in medium.log


@pytest.mark.parametrize(
    ("failing", "error", "said"),
    [
        (builder("no-space"), InfrastructureError, "No space left on device"),
        (builder("killed"), InfrastructureError, "killed"),
        (builder("no-loop"), InfrastructureError, "unused loop device"),
        (builder("no-privilege"), InfrastructureError, "Operation not permitted"),
        (builder("setup"), InfrastructureError, "cannot ensure the environment"),
        (builder("no-disk"), UsageError, "/output holds manifest-qcow2.json"),
        (builder(args=["--in-vm"]), UsageError, "unknown flag: --in-vm"),
        (builder(args=["--type", "qcow3"]), UsageError, "invalid choice: 'qcow3'"),
        (builder(config="disk.toml"), UsageError, "unknown keys found"),
        (builder(needs=[f"{HOST}/nothing:1"]), PipelineError, f"{HOST}/nothing:1"),
    ],
    ids=lambda value: getattr(value, "image", "") and f"{value.image.rpartition(':')[2]} {' '.join(value.args)}",
)
async def test_what_is_not_the_images_fault_is_no_verdict(lab, failing, error, said) -> None:
    wrong = dag.directory().with_new_file("disk.toml", "[customizations.nothing]\n").file("disk.toml")
    with pytest.raises(error) as caught:
        await lab.build(failing, config=wrong if failing.config else None)
    assert said in str(caught.value)
    assert not isinstance(caught.value, NotBuilt)


async def test_what_the_image_lacks_is_the_reason_and_the_whole_log_is_kept(lab: Lab) -> None:
    with pytest.raises(NotBuilt) as caught:
        await lab.build(builder(), image="bare")
    assert str(caught.value).startswith("FileNotFoundError")
    assert "file_contexts" in str(caught.value).splitlines()[0]
    assert "mounted" in caught.value.log


async def test_a_disk_that_the_engine_has_fetched_once_is_not_fetched_again(lab: Lab) -> None:
    repository, digest = Repository(HOST, "test/tiny"), lab.images["tiny"]
    content = f"a disk of {uuid4().hex}"
    disk = Disk(
        dag.directory().with_new_file("disk", content).file("disk"),
        "a builder",
        "",
        Candidate(dag.directory(), (digest,)),
    )
    sha256 = hashlib.sha256(content.encode()).hexdigest()
    record = await store_disk(lab.reach, repository, digest, "linux/amd64", disk, sha256)
    written = set()
    for reach in lab.reach, replace(lab.reach, run=uuid4().hex):
        fetched = await fetch_disk(reach, repository, record)
        assert await fetched.contents() == content
        looked = toolbox().with_mounted_file("/disk", fetched).with_env_variable("RUN", reach.run)
        written.add((await attempt(looked, ["stat", "--format=%y", "/disk"])).stdout)
    assert len(written) == 1
    other = record.model_copy(update={"manifest": digest})
    for _ in range(2):
        with pytest.raises(PreconditionError, match="is no disk"):
            await fetch_disk(lab.reach, repository, other)


@pytest.mark.usefixtures("inside")
async def test_what_goes_on_beside_a_machine_has_the_least_share_of_the_processors() -> None:
    reach, files = Reach(), ("/sys/fs/cgroup/cpu/cpu.shares", "/sys/fs/cgroup/cpu.weight")
    asked = debian().with_env_variable("RUN", reach.run)
    said = await attempt(asked, aside(["sh", "-c", f"cat {' '.join(files)}; true"]), privileged=True)
    lowered = said.stdout.split() in (["32"], ["3"])
    processors = int((await attempt(asked, ["nproc"])).stdout)
    assert await spares(reach, 1) is (lowered or processors >= 2)
    assert await spares(Reach(), processors) is lowered
