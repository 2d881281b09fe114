"""Configurations of the shapes that real image repositories have, written here: each goes from a commit to a release.

The shapes are those of twelve public repositories: how they build, for what, under which names they publish. No text of
theirs is here. Builds and gates are stand-ins; tests/e2e/test_submitted.py hands small images over to the real tools.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from memory_registry import HOST, MemoryRegistry
from scaffold import Bench, HandedOver, outcome
from virtual_time import run

from pipeline.commands.matrix import matrix
from pipeline.config import Image, parse
from pipeline.domain import Channel, Digest, Outcome, Refresh, Repository, Tag
from pipeline.errors import UsageError
from pipeline.image.assembly import Assembled
from pipeline.policy.adoption.proposal import STAGE, WORKFLOWS, proposal
from pipeline.policy.adoption.seen import Seen
from pipeline.policy.candidate import BASES_LABEL, CREATED_LABEL, DEMANDED_LABELS, REVISION_LABEL
from pipeline.report.model import Result

ROOT = Path(__file__).parents[3]
OWN = {path: (ROOT / path).read_text() for path in [*(f".github/workflows/{name}.yml" for name in WORKFLOWS), STAGE]}

CONTAINERFILE = f"""\
FROM scratch AS ctx
COPY build_files /
FROM {HOST}/base:10 AS base
RUN --mount=type=bind,from=ctx,target=/ctx --mount=type=cache,target=/var/cache --mount=type=tmpfs,target=/tmp <<EOF
/ctx/build.sh
EOF
FROM base AS desktop
FROM desktop AS nvidia
"""
BUILT = {CREATED_LABEL: "2026-07-20T04:00:00Z"}
BOTH = 'platforms = ["linux/amd64", "linux/arm64"]'
THREE = 'platforms = ["linux/amd64", "linux/amd64/v2", "linux/arm64"]'


class Secret:
    async def plaintext(self) -> str:
        return "secret"


@dataclass(frozen=True)
class Shape:
    """A repository's configuration, and what comes of it."""

    toml: str
    stable: str
    """Tags that name what was released, as `PATH:TAG` with spaces between."""
    version: str = "v44.20260720.0"
    submitted: bool = False
    """Built by something else than a Containerfile, and handed over."""
    groups: Sequence[str] = ()
    """The images in the order in which they are built; those that are built side by side in one text."""
    files: Sequence[str] = ("Containerfile",)
    """What init sees."""
    secrets: dict[str, Any] = field(default_factory=dict)


SHAPES = {
    "flavors of one base, built on one another": Shape(
        f"""
[defaults]
repository = "{HOST}/yellowfin"
prefix = "{{name}}-"
{THREE}
compression = "zstd:3"
rechunk = {{ image = "{HOST}/chunkah", args = ["--rootfs={{root}}", "--output={{layout}}"] }}
aliases.stable = ["{{prefix}}", "{{date}}"]
[images.base]
[images.gnome]
needs = ["base"]
build = {{ target = "gnome", args = {{ REF = "{{commit_short}}" }}, secrets = ["rhsm"], cache_from = ["{HOST}/cache"] }}
[images.kde]
needs = ["base"]
build = {{ target = "kde" }}
[images.gnome-nvidia]
needs = ["gnome"]
build = {{ target = "nvidia" }}
""",
        "yellowfin:gnome yellowfin:gnome-stable yellowfin:gnome-20260720 yellowfin:kde-stable yellowfin:gnome-nvidia",
        groups=["base", "gnome kde", "gnome-nvidia"],
        files=["Containerfile", "build_files/build.sh"],
        secrets={"rhsm": Secret()},
    ),
    "the template that newcomers copy": Shape(
        f"""
[images.my-os]
repository = "{HOST}/my-os"
{BOTH}
aliases.stable = ["latest", "latest.{{date}}"]
build = {{ labels = {{ "io.artifacthub.package.logo-url" = "https://os.example.org/logo" }} }}
""",
        "my-os:latest my-os:stable my-os:latest.20260720",
        version="v1.0.0",
        files=["Containerfile", "build_files/build.sh", "disk_config/disk.toml"],
    ),
    "computed arguments, a secret, layers in chunks": Shape(
        f"""
[images.desktop]
repository = "{HOST}/bluefin"
{BOTH}
compression = "zstd:chunked"
rechunk = {{ args = ["rpm-ostree", "compose", "build-chunked-oci", "--from={{image}}", "--output=oci:{{layout}}"] }}
aliases.stable = ["latest", "stable-{{date}}"]
[images.desktop.build]
target = "desktop"
args = {{ VERSION = "{{version}}", SHA = "{{commit}}", DATE = "{{date}}", BASE_DIGEST = "{{base_digest}}" }}
secrets = ["GITHUB_TOKEN"]
cache_from = ["{HOST}/cache"]
cache_to = ["{HOST}/cache"]
[gates.next]
lint = {{ skip = ["nonempty-boot"] }}
[gates.testing]
network = ["flathub.example.org:443"]
""",
        "bluefin:latest bluefin:stable-20260720 bluefin:v44.20260720.0",
        secrets={"GITHUB_TOKEN": Secret()},
    ),
    "many images, each in a repository of its own": Shape(
        "main_branch = ['main', 'testing']\n"
        f'[defaults]\nrepository = "{HOST}/{{name}}"\nbuild = {{ args_file = "args", secrets = ["GITHUB_TOKEN"] }}\n'
        'aliases.stable = ["latest", "stable-{major}"]\n'
        + "".join(f"[images.{name}]\n" for name in ("bazzite", "bazzite-deck", "bazzite-nv")),
        "bazzite:latest bazzite-deck:stable-44 bazzite-nv:stable",
        groups=["bazzite bazzite-deck bazzite-nv"],
        secrets={"GITHUB_TOKEN": Secret()},
    ),
    "a Containerfile that a preprocessor writes": Shape(
        f"""
[images.aurora]
repository = "{HOST}/aurora"
compression = "zstd:3"
aliases.stable = ["latest", "stable-{{date}}"]
""",
        "aurora:latest aurora:stable-20260720",
        submitted=True,
        files=["Containerfile.in", "Justfile"],
    ),
    "variants of a server image in one repository": Shape(
        f"""
[defaults]
repository = "{HOST}/ucore"
{BOTH}
[images.ucore]
build.target = "ucore"
[images.ucore-nvidia]
prefix = "stable-nvidia-"
aliases.stable = ["{{prefix}}"]
build.target = "nvidia"
""",
        "ucore:stable ucore:stable-nvidia ucore:stable-nvidia-stable",
        groups=["ucore ucore-nvidia"],
        files=["ucore/Containerfile", "fedora-coreos/Containerfile.in"],
    ),
    "date versions and three architectures": Shape(
        f"""
[images.atomic]
repository = "{HOST}/almalinux/atomic"
containerfile = "Dockerfile"
{THREE}
aliases.stable = ["latest", "{{major}}", "{{version}}"]
[stale_after]
stable = "3650d"
""",
        "almalinux/atomic:latest almalinux/atomic:10 almalinux/atomic:10.20260720.0",
        version="v10.20260720.0",
        files=["Dockerfile"],
    ),
    "mkosi, without a Containerfile": Shape(
        f"""
[images.zirconium]
repository = "{HOST}/zirconium"
{BOTH}
aliases.stable = ["latest", "latest.{{date}}"]
""",
        "zirconium:latest zirconium:latest.20260720",
        version="v1.0.0",
        submitted=True,
        files=["mkosi.conf", "mkosi.images/base/mkosi.conf"],
    ),
    "a recipe that an action builds": Shape(
        f"""
[images.blue]
repository = "{HOST}/blue"
aliases.stable = ["latest"]
[gates.testing]
access = ["server", "shell"]
""",
        "blue:latest blue:stable",
        version="v1.0.0",
        submitted=True,
        files=["recipes/recipe.yml"],
    ),
    "a hardened fleet of the same": Shape(
        f"""
[defaults]
repository = "{HOST}/{{name}}"
aliases.stable = ["latest"]
[images.silverblue-main-hardened]
[images.silverblue-nvidia-hardened]
[images.kinoite-main-hardened]
[gates.testing]
access = ["shell"]
""",
        "silverblue-main-hardened:latest kinoite-main-hardened:stable",
        version="v4.1.0",
        submitted=True,
        groups=["silverblue-main-hardened silverblue-nvidia-hardened kinoite-main-hardened"],
        files=["recipes/silverblue-main.yml", "recipes/kinoite-main.yml"],
    ),
    "channels that are called otherwise": Shape(
        f"""
[defaults]
repository = "{HOST}/lts"
[images.lts]
names = {{ stable = "lts" }}
aliases.stable = ["latest"]
build = {{ target = "lts", secrets = ["GITHUB_TOKEN"] }}
[images.lts-hwe]
prefix = "lts-hwe-"
aliases.stable = ["{{prefix}}"]
build = {{ target = "hwe" }}
""",
        "lts:lts lts:latest lts:lts-hwe",
        groups=["lts lts-hwe"],
        secrets={"GITHUB_TOKEN": Secret()},
    ),
    "a base and releases in registries of their own": Shape(
        f"""
[images.os]
repository = "{HOST}/team/os"
stable_repository = "{HOST}/releases/os"
build_args = {{ BASE = "{HOST}/base:10" }}
build = {{ secrets = ["subscription"], options = ["--volume=/etc/pki/entitlement:/run/secrets/etc-pki-entitlement"] }}
""",
        "releases/os:stable releases/os:v1.2.0 team/os:testing",
        version="v1.2.0",
        secrets={"subscription": Secret()},
    ),
}


class Adopter(Bench):
    registry: MemoryRegistry
    built = 0

    def new_base(self) -> None:
        self.registry.tag("base", "10", self.registry.put_image("base", {}, f"base {self.built}"), by_us=False)

    def handed_over(self, image: Image) -> HandedOver:
        """What the repository's own tool built of the commit."""
        self.built += 1
        said = dict.fromkeys(DEMANDED_LABELS, "told") | BUILT | {REVISION_LABEL: self.git.commits[-1]}
        digest = self.registry.put_image("elsewhere", said, f"{image.name} {self.built}", image.platforms)
        labels = dict.fromkeys(image.platforms, said)
        return HandedOver(
            Repository(HOST, "elsewhere"), Assembled(digest=digest, platforms={}, labels=labels, layers={})
        )

    async def to_next(self, shape: Shape, refresh: Refresh = Refresh.NONE) -> None:
        """Built here, or handed over image by image."""
        if not shape.submitted:
            passed(await self.build_next(refresh))
        for image in self.images if shape.submitted else ():
            self.only = (image.name,)
            passed(await self.submit_next(layouts=[self.handed_over(image)]))
        self.only = ()

    def named(self, text: str) -> list[Digest | None]:
        """What the tags name."""
        pairs = [name.split(":") for name in text.split()]
        return [self.registry.store(path).tags.get(tag) for path, tag in pairs]


def passed(results: Sequence[Result]) -> None:
    assert {result.outcome for result in results} == {Outcome.PASSED}, [result.reason for result in results]


def adopter_of(shape: Shape) -> Adopter:
    """On a registry of its own, with a base."""
    registry = MemoryRegistry()

    async def push(image: Image, tag: Tag, labels: dict[str, str]) -> None:
        adopter.built += 1
        await registry.push(image.repository.path, tag, labels | BUILT, f"{tag} {adopter.built}", image.platforms)

    adopter = Adopter(parse(shape.toml), registry.copy, push, containerfile=CONTAINERFILE, secrets=shape.secrets)
    adopter.registry = registry
    registry.channels = {
        image.tags.channel(channel): (image.prefix, channel) for image in adopter.images for channel in Channel
    }
    adopter.new_base()
    adopter.git.tags |= dict.fromkeys((shape.version, f"{shape.version}-test"), adopter.git.commit())
    return adopter


@pytest.mark.parametrize("name", SHAPES)
def test_a_commit_of_every_shape_is_rebuilt_and_becomes_a_release(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shape = SHAPES[name]
    adopter = adopter_of(shape)

    async def story() -> None:
        await adopter.to_next(shape)
        async with adopter.world() as world:
            cells = matrix(world)["include"]
        groups = [{cell["image"] for cell in cells if cell["group"] == number} for number in range(len(shape.groups))]
        assert groups == [set(group.split()) for group in shape.groups]
        first = [seen.digest for seen in await adopter.plan(f"{shape.version}-test")]
        await adopter.to_next(shape, Refresh.ALWAYS)  # what a nightly workflow does
        second = [seen.digest for seen in await adopter.plan(f"{shape.version}-test")]
        assert not {*first} & {*second}
        passed(await adopter.promote_testing(f"{shape.version}-test"))
        passed(await adopter.promote_stable(shape.version))
        assert set(adopter.named(shape.stable)) <= set(second), shape.stable
        passed(await adopter.verify())

    with adopter.registry.serving():
        run(story())


def test_a_new_base_rebuilds_a_build_of_several_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    adopter = adopter_of(SHAPES["the template that newcomers copy"])

    async def story() -> None:
        passed(await adopter.build_next())
        assert outcome(await adopter.build_next(Refresh.AUTO)) == Outcome.UNCHANGED
        adopter.new_base()
        passed(await adopter.build_next(Refresh.AUTO))
        first, second = (recipe.labels[BASES_LABEL] for recipe in adopter.recipes)
        assert first != second

    with adopter.registry.serving():
        run(story())


def test_names_that_cannot_live_in_one_repository_are_refused_with_what_to_do() -> None:
    """`stable` and `stable-nvidia` as the channels of two images would have their version tags in common."""
    toml = f"""
[defaults]
repository = "{HOST}/ucore"
[images.ucore]
[images.nvidia]
names = {{ next = "next-nvidia", testing = "testing-nvidia", stable = "stable-nvidia" }}
"""
    with pytest.raises(UsageError, match='prefix = "ucore-"'):
        parse(toml)


@pytest.mark.parametrize("name", SHAPES)
def test_what_init_proposes_for_every_shape_can_be_read(name: str) -> None:
    files = list(SHAPES[name].files)
    texts = {path: CONTAINERFILE for path in files if "ontainerfile" in path or "Dockerfile" in path}
    seen = Seen(paths=files, texts=texts, origin="https://github.com/Some-One/Repo.git", branch="main")
    config = parse(proposal(seen, "github.com/o/bootc-pipeline@v1.0.0", OWN).files["pipeline.toml"])
    assert {image.repository.path.split("/")[0] for image in config.images.values()} == {"some-one"}
