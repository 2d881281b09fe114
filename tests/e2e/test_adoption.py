"""Two repositories that know nothing of the pipeline adopt it by `init`, and go through all channels by what it wrote.

One is shaped as the template that newcomers copy (ublue-os/image-template), one as tunaOS: desktops on a base of one
commit, flavors as tags of one repository. act runs the workflows that `init` left, as they are; what the test adds is
what the first lines of its pipeline.toml ask somebody to say, and where the lab is not the world.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from rehearsal import registry
from rehearsal.act import Act
from rehearsal.calls import LAB_SERVICES
from rehearsal.lab import MODULE, OPENQA_AUTH, STORE_AUTH
from rehearsal.repository import Repository

pytestmark = pytest.mark.thorough

PROJECT = "tuna-os/bootc-pipeline@v1.0.0"
SECRETS = {
    "GITHUB_TOKEN": "token",
    "REGISTRY_PASSWORD": "canary-registry-password",
    "OPENQA_AUTH": OPENQA_AUTH,
    "UPLOAD_AUTH": STORE_AUTH,
}
BUILD = """#!/bin/bash
set -euo pipefail
mkdir -p "/usr/share/$1"
echo "built by $0" > "/usr/share/$1/note"
"""
TEMPLATE = """\
FROM scratch AS ctx
COPY build_files /

FROM {base}
RUN --mount=type=bind,from=ctx,source=/,target=/ctx \\
    --mount=type=cache,dst=/var/cache \\
    --mount=type=tmpfs,dst=/tmp \\
    /ctx/build.sh my-os
"""
FLAVORS = """\
ARG BASE_IMAGE=base

FROM scratch AS ctx
COPY build_files /

FROM {base} AS base
RUN --mount=type=bind,from=ctx,source=/,target=/ctx --mount=type=secret,id=rhsm \\
    test -s /run/secrets/rhsm && /ctx/build.sh base

FROM ${{BASE_IMAGE}} AS gnome
RUN --mount=type=bind,from=ctx,source=/,target=/ctx \\
    test -e /usr/share/base/note && /ctx/build.sh gnome
"""
THEIRS = """\
name: build
on:
  schedule: [{{cron: "0 1 * * *"}}]
env:
  IMAGE_REGISTRY: "{host}/{owner}"
jobs:
  build_push:
    runs-on: ubuntu-24.04
    steps:
      - run: podman push {name}
"""
LAB = """\
builder = { image = "registry:5500/lab/bootc-image-builder:latest"%s }
bus = "nvme"
memory = "768MiB"
"""
STABLE = """\
[gates.stable]
openqa = { url = "http://openqa:9526", scenarios = "openqa/scenarios.yaml", distri = "bootclab", poll = "1s" }
upload.url = "s3://os-images/candidates"
upload.endpoint = "http://store:7500"
upload.public_url = "http://store:7500/os-images/candidates"
"""


@dataclass(frozen=True)
class Shape:
    """A repository before, and what its people say after `init`."""

    name: str
    containerfile: str
    released: dict[str, str]
    """The tags that a release moves in the end, by path of the repository."""
    files: dict[str, str] = field(default_factory=dict)
    images: str = ""
    """Instead of the table that `init` made of the one Containerfile."""
    secrets: dict[str, str] = field(default_factory=dict)


SHAPES = {
    "the template that newcomers copy": Shape(
        "my-os", TEMPLATE, {"my-os": "next testing stable v1.0.0 v1.0.0-test"}, {"disk_config/disk.toml": ""}
    ),
    "flavors of one base": Shape(
        "tunaos",
        FLAVORS,
        {"yellowfin": " ".join(f"{one}-testing {one}-stable {one}-v1.0.0 {one}" for one in ("base", "gnome"))},
        images="""\
[defaults]
repository = "{at}/yellowfin"
prefix = "{{name}}-"
build = {{ target = "{{name}}", secrets = ["rhsm"] }}
aliases.stable = ["{{prefix}}"]

[images.base]

[images.gnome]
needs = ["base"]
""",
        secrets={"BUILD_SECRETS": '"rhsm=canary-of-the-build"'},
    ),
}


@pytest.fixture(scope="module", params=SHAPES.values(), ids=SHAPES.keys())
def shape(request) -> Shape:
    return request.param


@pytest.fixture(scope="module")
def adopted(surroundings: None, shape: Shape, tmp_path_factory) -> Repository:
    """The repository after `init` and its people's half an hour."""
    at = f"registry:5500/{uuid4().hex[:12]}"
    repository = _before(shape, tmp_path_factory.mktemp("user") / shape.name, at)
    command = ["dagger", "--silent", "call", "-m", MODULE, "init", f"--address=github.com/{PROJECT}"]
    subprocess.run([*command, "export", "--path=."], cwd=repository.path, check=True, env=os.environ)
    _answer(shape, repository, at)
    repository.commit("Adopt the pipeline")
    return repository


def _before(shape: Shape, path: Path, at: str) -> Repository:
    base = f"registry:5500/lab/tiny-os@{registry.digest('registry:5500/lab/tiny-os', 'bookworm')}"
    repository = Repository(path, at)
    repository.write("Containerfile", shape.containerfile.format(base=base))
    repository.write("build_files/build.sh", BUILD, executable=True)
    host, _, owner = at.partition("/")
    repository.write(".github/workflows/build.yml", THEIRS.format(host=host, owner=owner, name=shape.name))
    for name, text in shape.files.items():
        repository.write(name, text)
    repository.begin()
    repository.comes_from(f"https://github.com/someone/{shape.name}")
    return repository


def _answer(shape: Shape, repository: Repository, at: str) -> None:
    """What `init` could not know."""
    path = repository.path / "pipeline.toml"
    text = path.read_text()
    assert f'[images.{shape.name}]\nrepository = "{at}/{shape.name}"' in text
    if shape.images:
        assert 'build = { secrets = ["rhsm"] }' in text
        text = re.sub(r"\[images\..*?(?=\[gates)", shape.images.format(at=at) + "\n", text, flags=re.DOTALL)
    config = ', config = "disk_config/disk.toml"' if shape.files else ""
    text = re.sub(r"builder = .*\n", "", text).replace("[gates.testing]\n", f"[gates.testing]\n{LAB % config}")
    before, _, _ = text.partition("# There is no release without")
    head, separator, tables = f"{before}{STABLE}".partition("\n[")
    path.write_text(f'{head}\nplain_http = ["registry:5500"]\n{separator}{tables}')
    suite = (MODULE / "ci/lab/openqa/scenarios.yaml").read_text()
    repository.write("openqa/scenarios.yaml", re.sub(r" +SAMPLE_OS:.*\n", "", suite))


def test_it_adopts_by_init_and_goes_through_all_channels_by_its_workflows(shape: Shape, adopted: Repository, tmp_path):
    lab = " ".join(LAB_SERVICES)
    dagger = (
        f'for word; do [ "$word" != github.com/{PROJECT} ] || word={MODULE}\n'
        f'words+=("$word"); [ "$word" != call ] || words+=({lab}); done\n'
        f'exec {shutil.which("dagger")} "${{words[@]}}"'
    )
    act = Act(adopted, tmp_path, dagger, PROJECT)
    secrets = SECRETS | shape.secrets
    for event, workflow, ref in (
        ("push", "build-next", "refs/heads/main"),
        ("push", "test-qemu", "v1.0.0-test"),
        ("push", "release-stable", "v1.0.0"),
        ("schedule", "channels", ""),
        ("schedule", "prune", ""),
    ):
        if ref.startswith("v"):
            adopted.tag(ref)
        payload = {"ref": ref if ref.startswith("refs/") else f"refs/tags/{ref}"} if ref else {}
        run = act.run(event, workflow, payload, secrets)
        assert run.exit_code == 0, run.log
        assert not [one for one in secrets.values() if len(one) > 5 and one.strip('"') in run.log]
    for path, tags in shape.released.items():
        image = f"{adopted.image}/{path}"
        assert set(tags.split()) <= registry.tags(image)
        for tag in tags.split():
            prefix = tag.partition("-")[0] + "-" if shape.images else ""
            assert registry.digest(image, tag) == registry.digest(image, f"{prefix}{adopted.head()}"), tag
