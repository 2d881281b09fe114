"""What two kinds of repositories get, and that what is theirs stays theirs."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.config import parse
from pipeline.policy.adoption.proposal import STAGE, WORKFLOWS, proposal, unknown
from pipeline.policy.adoption.seen import Seen, registry

ROOT = Path(__file__).parents[3]
OWN = {path: (ROOT / path).read_text() for path in [*(f".github/workflows/{name}.yml" for name in WORKFLOWS), STAGE]}
ADDRESS = "github.com/tuna-os/bootc-pipeline@v1.0.0"

TEMPLATE = Seen(
    paths=[
        "Containerfile",
        "build_files/build.sh",
        ".github/workflows/build.yml",
        "disk_config/disk.toml",
        "disk_config/iso.toml",
    ],
    texts={
        "Containerfile": "FROM scratch AS ctx\nCOPY build_files /\nFROM ghcr.io/ublue-os/bazzite:stable\n",
        ".github/workflows/build.yml": (
            'env:\n  IMAGE_NAME: "${{ github.event.repository.name }}"\n'
            '  IMAGE_REGISTRY: "ghcr.io/${{ github.repository_owner }}"\n'
            "jobs:\n  build_push:\n    steps:\n      - run: podman push x\n"
        ),
    },
    origin="https://github.com/Someone/My-OS.git",
    branch="main",
)
MANY = Seen(
    paths=["images/base/Containerfile", "images/gnome/Containerfile.nvidia", ".github/workflows/build.yaml"],
    texts={
        "images/base/Containerfile": (
            "ARG BASE\nARG KIND=gnome\nFROM $BASE\nARG BASE\nARG KIND\nARG TARGETARCH\nARG KERNEL\n"
            "RUN --mount=type=secret,id=RHSM true\n"
        ),
        "images/gnome/Containerfile.nvidia": "FROM x\n",
        ".github/workflows/build.yaml": (
            "env:\n  REGISTRY: quay.io/tuna\njobs:\n  x:\n    runs-on: ubuntu-24.04-arm\n    steps:\n"
            "      - run: bootc-image-builder --rootfs btrfs\n"
        ),
    },
    origin="git@github.com:tuna-os/tunaOS.git",
    branch="master",
    tags=["v0.9.0", "v0.10.0", "stable-20260720"],
)


def _files(seen: Seen, address: str = ADDRESS) -> dict[str, str]:
    return proposal(seen, address, OWN).files


def test_a_repository_like_the_image_template():
    files = _files(TEMPLATE)
    config = parse(files["pipeline.toml"])
    assert str(config.images["my-os"].repository) == "ghcr.io/someone/my-os"
    assert config.gates.testing.builder.config == "disk_config/disk.toml"
    assert files["pipeline.toml"].startswith(
        "#:schema https://raw.githubusercontent.com/tuna-os/bootc-pipeline/v1.0.0/"
    )
    assert not any("iso.toml" in one for one in unknown(TEMPLATE))
    assert any(".github/workflows/build.yml pushes images, too" in one for one in unknown(TEMPLATE))


def test_a_repository_with_many_images_for_another_registry():
    files = _files(MANY)
    config = parse(files["pipeline.toml"])
    assert {str(image.repository) for image in config.images.values()} == {
        "quay.io/tuna/base",
        "quay.io/tuna/gnome-nvidia",
    }
    assert config.main_branch == ("master",)
    assert config.images["base"].platforms == ("linux/amd64", "linux/arm64")
    assert config.gates.testing.builder.args == ("--type", "qcow2", "--rootfs", "btrfs")
    told = "\n".join(unknown(MANY))
    assert "images/base/Containerfile has ARG lines without a value" in told
    assert "images/base/Containerfile mounts RHSM" in told
    assert "Whether images lie below quay.io/tuna" in told
    assert '# build_args = { BASE = "", KERNEL = "" }\n# build = { secrets = ["RHSM"] }\n' in files["pipeline.toml"]
    assert "releases up to v0.10.0" in told
    for name in WORKFLOWS:
        text = files[f".github/workflows/{name}.yml"]
        assert ("registry: quay.io" in text) == (name != "pull-request")
        assert text.count("REGISTRY_PASSWORD: ") == (name != "pull-request")
        assert text.count("BUILD_SECRETS: ") == (name in ("build-next", "refresh-next"))


def test_the_workflows_call_those_of_the_module_at_its_version():
    for name in WORKFLOWS:
        text = _files(TEMPLATE)[f".github/workflows/{name}.yml"]
        assert "uses: tuna-os/bootc-pipeline/.github/workflows/stage.yml@v1.0.0\n" in text
        assert f"module: {ADDRESS}\n" in text
        assert len(text.splitlines()) <= 25
    assert STAGE not in _files(TEMPLATE)


def test_a_module_that_is_not_at_github_brings_its_workflow_along():
    files = _files(TEMPLATE, "https://git.example.org/pipeline@v1.0.0")
    assert files[STAGE] == OWN[STAGE]
    assert "uses: ./.github/workflows/stage.yml\n" in files[".github/workflows/build-next.yml"]
    assert "#:schema" not in files["pipeline.toml"]


@pytest.mark.parametrize(("address", "told"), [("../pipeline", True), ("/srv/pipeline", True), (ADDRESS, False)])
def test_a_module_on_this_machine_is_one_of_the_things_to_look_at(address: str, *, told: bool):
    assert ("on this machine only" in _files(TEMPLATE, address)["pipeline.toml"]) is told


@pytest.mark.parametrize(
    ("said", "host"), [("registry:5500/os", "registry:5500"), ("ghcr.io/os", "ghcr.io"), ("registry/os", "ghcr.io")]
)
def test_a_registry_has_a_dot_or_a_port_in_its_name(said: str, host: str):
    workflow = {".github/workflows/build.yml": f"env:\n  IMAGE_REGISTRY: {said}\n"}
    assert registry(Seen(list(workflow), workflow, TEMPLATE.origin))[0] == host


def test_what_is_there_stays_as_it_is():
    first = _files(TEMPLATE)
    adopted = replace(TEMPLATE, paths=[*TEMPLATE.paths, *first], ignored=first[".gitignore"])
    assert _files(adopted) == {}
    del first["pipeline.toml"]
    assert set(_files(replace(adopted, paths=[*TEMPLATE.paths, *first]))) == {"pipeline.toml"}


@pytest.mark.parametrize(
    "ignored", ["", "/build\n!keep", "*/out\n", "output/\n", "/out-of-tree\r\n", "# out is theirs\n"]
)
def test_what_commands_export_is_ignored_below_the_lines_that_are_there(ignored: str):
    seen = replace(TEMPLATE, ignored=ignored)
    told = _files(seen)[".gitignore"]
    assert told.startswith(ignored)
    assert [*ignored.splitlines(), "/out/"] == [line for line in told.splitlines() if "Exports of" not in line]
    assert any(".gitignore has a new last line, /out/" in one for one in unknown(seen)) is bool(ignored)
    assert ".gitignore" not in _files(replace(TEMPLATE, ignored=told))


@pytest.mark.parametrize("line", ["out", "out/", "/out", "/out/", "/out/*", "out/**", "**/out/", "!/out/", " /out/ \r"])
def test_a_gitignore_that_says_of_exports_stays_as_it_is(line: str):
    assert ".gitignore" not in _files(replace(TEMPLATE, ignored=f"/build\n{line}\n"))


def test_a_folder_of_tests_is_not_added_to():
    assert "tests/os/os-release" not in _files(Seen(["tests/os/mine"]))
    assert "tests/vm/test_system.py" in _files(Seen(["tests/os/mine"]))


@pytest.mark.parametrize("paths", [[], ["Containerfile.in"], ["recipes/recipe.yml"], ["tests/Containerfile"]])
def test_a_repository_without_a_containerfile_is_told_so(paths: list[str]):
    assert parse(_files(Seen(paths))["pipeline.toml"]).images
    assert any("No Containerfile was found" in one for one in unknown(Seen(paths)))


def test_the_first_unit_test_can_be_run():
    assert proposal(TEMPLATE, ADDRESS, OWN).executable == {"tests/os/os-release"}
