"""A build with all that real repositories ask of one, by the real podman in the engine."""

import json
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from dagger import dag

from pipeline.config import Image
from pipeline.containers.base import Reach, debian
from pipeline.containers.execution import attempt
from pipeline.containers.podman import STORAGE, BuiltImage, Recipe, toolbox
from pipeline.lab.registry import PORT, registry

ROOT = Path(__file__).parents[3]
HOST = f"registry:{PORT}"
CANARY = f"canary-build-secret-{uuid4().hex}"

CONTAINERFILE = f"""\
ARG BASE={HOST}/base
FROM scratch AS ctx
COPY scripts /
FROM ${{BASE}}:moving AS base
FROM base AS gnome
ARG FLAVOR COMMIT
RUN --mount=type=bind,from=ctx,source=/,target=/ctx --mount=type=bind,from=more,source=/,target=/more \\
    --mount=type=cache,target=/var/cache --mount=type=tmpfs,target=/tmp \\
    --mount=type=secret,id=TOKEN,target=/run/token \\
    sh /ctx/install && cp /more/extra /extra && grep -q canary /run/token
RUN <<EOF
echo "$FLAVOR $COMMIT" >/flavor
EOF
COPY --from={HOST}/base:moving /which /copied
FROM base AS kde
RUN false
"""


@dataclass(frozen=True)
class Lab:
    reach: Reach
    first: str
    volume: str

    def storage(self, name: str = "localhost/os:1") -> BuiltImage:
        container = self.reach.registries(toolbox()).with_mounted_cache(STORAGE, dag.cache_volume(self.volume))
        return BuiltImage(container, name)

    async def shell(self, script: str) -> str:
        ran = await attempt(self.storage().container, ["sh", "-ec", script], privileged=True)
        assert ran.code == 0, ran.said
        return ran.stdout


@pytest.fixture(scope="module")
async def lab(engine: None) -> Lab:
    """A registry with a base whose tag has moved on since it was looked at."""
    service = registry(dag.host().directory(str(ROOT / "ci" / "lab")), f"contract-{uuid4().hex}")
    reach = Reach({"registry": service}, plain_http=(HOST,))
    lab = Lab(reach, "", f"contract-{uuid4().hex}")
    busybox = debian("busybox-static").file("/usr/bin/busybox")
    containerfile = (
        'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "--install", "/bin"]\n'
        "ARG WHICH\nRUN echo $WHICH >/which\n"
    )
    script = f"""
        for which in first second; do
            podman build --quiet --network host --build-arg WHICH=$which --tag localhost/base:$which /in >&2
            source=containers-storage:localhost/base:$which
            skopeo copy --quiet --digestfile /digest-$which $source docker://{HOST}/base:moving
        done
        podman rmi --force localhost/base:first localhost/base:second >&2
        cat /digest-first
    """
    ran = await attempt(
        lab.storage().container.with_file("/in/busybox", busybox).with_new_file("/in/Containerfile", containerfile),
        ["sh", "-ec", script],
        privileged=True,
    )
    assert ran.code == 0, ran.said
    return Lab(reach, ran.stdout.strip(), lab.volume)


async def test_a_build_like_theirs(lab: Lab) -> None:
    image = Image.model_validate(
        {
            "name": "os",
            "repository": f"{HOST}/os",
            "build_args": {"FLAVOR": "plain"},
            "build": {
                "target": "gnome",
                "args_file": "args",
                "args": {"COMMIT": "{commit}"},
                "secrets": ["TOKEN"],
                "contexts": {"more": "more"},
                "options": ["--ulimit=nofile=512"],
            },
        }
    )
    source = (
        dag.directory()
        .with_new_file("Containerfile", CONTAINERFILE)
        .with_new_file("args", "FLAVOR=from-the-file\nUNUSED=1\n")
        .with_new_file("more/extra", "extra\n")
        .with_new_file("scripts/install", "ulimit -n >/limit; echo installed >/installed\n")
    )
    recipe = Recipe(
        labels={"a": "b c"},
        args={"COMMIT": "c0ffee"},
        annotations={"note": "well"},
        secrets={"TOKEN": dag.set_secret("token", CANARY)},
        pinned=dict.fromkeys((f"{HOST}/base:moving", "${BASE}:moving"), f"{HOST}/base@{lab.first}"),
    )
    await lab.storage().build(image, source, recipe)
    name = "localhost/os:1-x86_64"
    seen = await lab.shell(f"podman run --rm --network none {name} cat /which /copied /flavor /extra /limit /installed")
    assert seen.split() == ["first", "first", "plain", "c0ffee", "extra", "512", "installed"]
    config = json.loads(await lab.shell(f"podman image inspect {name}"))[0]
    assert config["Labels"]["a"] == "b c"
    assert config["Annotations"]["note"] == "well"
    assert await lab.shell(f"grep -rl {CANARY} {STORAGE} || true") == "", "in a layer, or left in the volume"


async def test_what_was_built_is_removed_and_its_steps_are_taken_up_again(lab: Lab) -> None:
    image = Image.model_validate({"name": "plain", "repository": f"{HOST}/plain"})
    source = dag.directory().with_new_file("Containerfile", f"FROM {HOST}/base@{lab.first}\nRUN date +%N >/when\n")

    async def built(number: int) -> str:
        local = await lab.storage(f"localhost/plain:{number}").build(image, source, Recipe(labels={"a": "b"}))
        found = await lab.shell(f"podman image inspect --format '{{{{.Id}}}}' localhost/plain:{number}-x86_64")
        await local.remove(image)
        return found

    first = await built(1)
    left = (await lab.shell("podman images --format '{{.Repository}}:{{.Tag}}'")).split()
    assert [name for name in left if name.startswith("localhost/plain")] == ["localhost/plain:cache-x86_64"]
    assert await built(2) == first
