"""A repository that knows nothing of the pipeline gets what it lacks, and loads."""

import os
import subprocess

import pytest
from rehearsal.lab import MODULE
from rehearsal.repository import Repository

ADDRESS = "github.com/tuna-os/bootc-pipeline@v1.0.0"

THEIRS = """\
on: push
env:
  IMAGE_REGISTRY: ghcr.io/someone
jobs:
  build:
    runs-on: ubuntu-24.04
    steps:
      - run: make
"""


@pytest.fixture
def newcomer(tmp_path):
    """Like ublue-os/image-template: a Containerfile, one workflow, disk_config."""
    repository = Repository(tmp_path / "my-os", "")
    repository.write("Containerfile", "FROM quay.io/fedora/fedora-bootc:43\n")
    repository.write("disk_config/disk.toml", "")
    repository.write(".gitignore", "/build")
    repository.write(".github/workflows/build.yml", THEIRS)
    repository.begin()
    return repository


def _init(repository, *, address=ADDRESS):
    command = ["dagger", "--silent", "call", "-m", str(MODULE), "init", f"--address={address}", "export", "--path=."]
    return subprocess.run(command, cwd=repository.path, capture_output=True, text=True, env=os.environ)


def test_init_adds_what_is_missing_and_nothing_a_second_time(newcomer):
    assert _init(newcomer).returncode == 0
    config = newcomer.path / "pipeline.toml"
    assert 'repository = "ghcr.io/someone/os"' in config.read_text()
    assert (newcomer.path / ".gitignore").read_text().splitlines()[::2] == ["/build", "/out/"]
    assert (newcomer.path / "tests/os/os-release").stat().st_mode & 0o111
    linted = subprocess.run(
        ["go", "run", "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"],
        cwd=newcomer.path,
        capture_output=True,
        text=True,
    )
    assert linted.returncode == 0, linted.stdout
    config.write_text(config.read_text() + "# mine\n")
    newcomer.commit("Adopt the pipeline")
    assert _init(newcomer).returncode == 0
    assert newcomer.changes() == ""
