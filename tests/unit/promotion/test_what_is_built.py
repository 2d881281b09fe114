"""What podman is told: from the configuration, the commit, and what lies behind FROM."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from memory_registry import HOST, MemoryRegistry
from scaffold import Bench, outcome

from pipeline.config import Image, parse
from pipeline.containers.podman import build_options
from pipeline.domain import Channel, Commit, Digest, Outcome
from pipeline.policy.candidate import BASE_DIGEST_LABEL, BASE_NAME_LABEL, BASES_LABEL, REVISION_LABEL

CONFIG = f"""\
[images.os]
repository = "{HOST}/os"
platforms = ["linux/amd64", "linux/arm64"]
build_args = {{ BASE = "{HOST}/base", PLAIN = "1" }}
[images.os.build]
target = "os"
args = {{ REF = "{{commit_short}}-{{date}}", FROM_DIGEST = "{{base_digest}}" }}
args_file = "args"
secrets = ["TOKEN"]
labels = {{ "org.opencontainers.image.version" = "44.{{version}}" }}
annotations = {{ made = "{{commit}}" }}
contexts = {{ more = "more" }}
cache_from = ["{HOST}/cache"]
options = ["--ulimit=nofile=512"]
"""
CONTAINERFILE = f"""\
ARG BASE
FROM {HOST}/tools:1 AS tools
FROM $BASE:10 AS os
COPY --from=tools / /
FROM {HOST}/other:1 AS other
"""


class Secret:
    """A secret that the caller gave."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def plaintext(self) -> str:
        return self.text


class Lab(Bench):
    registry: MemoryRegistry

    def base(self, path: str, tag: str, seed: str) -> Digest:
        digest = self.registry.put_image(path, {}, seed)
        self.registry.tag(path, tag, digest, by_us=False)
        return digest


@pytest.fixture
async def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.chdir(tmp_path)
    registry = MemoryRegistry()

    async def push(image: Image, commit: Commit, labels: dict[str, str]) -> None:
        await registry.push(image.repository.path, commit, labels, commit)

    lab = Lab(parse(CONFIG), registry.copy, push, containerfile=CONTAINERFILE, secrets={"TOKEN": Secret("canary")})
    lab.registry = registry
    with registry.serving():
        yield lab


async def test_podman_is_told_all_of_it(lab: Lab) -> None:
    base, tools = lab.base("base", "10", "one"), lab.base("tools", "1", "two")
    commit = lab.git.commit()
    assert outcome(await lab.build_next()) == Outcome.PASSED
    (recipe,) = lab.recipes
    assert recipe.args["FROM_DIGEST"] == base
    assert recipe.args["REF"].startswith(f"{commit[:12]}-20")
    assert recipe.annotations == {"made": commit}
    assert recipe.labels[REVISION_LABEL] == commit
    assert recipe.labels["org.opencontainers.image.version"] == f"44.{commit[:12]}"
    assert recipe.labels[BASE_NAME_LABEL] == f"{HOST}/base:10"
    assert recipe.labels[BASE_DIGEST_LABEL] == base
    assert recipe.labels[BASES_LABEL] == f"{HOST}/base@{base} {HOST}/tools@{tools}"
    options = build_options(lab.images[0], recipe)
    for name in (f"{HOST}/base:10", "$BASE:10"):
        assert f"--build-context={name}=docker-image://{HOST}/base@{base}" in options
    assert {"--target=os", "--build-arg-file=args", "--build-arg=PLAIN=1", "--build-context=more=more"} <= set(options)
    assert {f"--cache-from={HOST}/cache", "--secret=id=TOKEN,src=/run/secrets/build/TOKEN"} <= set(options)
    assert options[-1] == "--ulimit=nofile=512"
    assert not [option for option in options if "canary" in option or option == "--no-cache"]


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        ({}, "with-build-secret --name=TOKEN --value=env://TOKEN"),
        ({"OTHER": Secret("x")}, "with-build-secret --name=TOKEN"),
        ({"TOKEN": Secret("")}, "is empty"),
    ],
)
async def test_without_its_secrets_nothing_is_built(lab: Lab, secrets: dict[str, Any], said: str) -> None:
    lab.secrets = secrets
    lab.git.commit()
    (result,) = await lab.build_next()
    assert (result.outcome, lab.recipes) == (Outcome.USAGE, [])
    assert said in result.reason


async def test_a_secret_goes_only_to_the_image_that_asks_for_it(lab: Lab) -> None:
    lab.secrets["OTHER"] = Secret("x")
    lab.git.commit()
    await lab.build_next()
    assert list(lab.recipes[0].secrets) == ["TOKEN"]


@pytest.mark.parametrize("verdict", [Outcome.PASSED, Outcome.GATE_FAILED, Outcome.INFRA])
async def test_however_it_ends_nothing_stays_in_container_storage(lab: Lab, verdict: Outcome) -> None:
    lab.verdicts[Channel.NEXT] = verdict
    commit = lab.git.commit()
    assert outcome(await lab.build_next()) == verdict
    (name,) = lab.removed
    assert name.startswith(f"localhost/os:{commit}-")


async def test_a_base_that_cannot_be_asked_for_is_left_to_podman(lab: Lab) -> None:
    lab.containerfile = "FROM fedora:43 AS os"
    lab.git.commit()
    assert outcome(await lab.build_next()) == Outcome.PASSED
    (recipe,) = lab.recipes
    assert (recipe.labels[BASE_NAME_LABEL], recipe.labels[BASES_LABEL], recipe.pinned) == ("", "", {})
