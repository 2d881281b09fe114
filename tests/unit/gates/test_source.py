"""Everything that would stop a command later is refused before anything is built, pushed or uploaded."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import parse
from pipeline.containers import git
from pipeline.containers.execution import Killed, Ran
from pipeline.containers.git import History
from pipeline.domain import Channel
from pipeline.errors import PipelineError, PreconditionError, UsageError
from pipeline.gates import source
from pipeline.gates.evidence import refuse_other_checkout
from pipeline.gates.source import require_source
from pipeline.stages.next import build_next
from pipeline.world import Given, World

IMAGE = '[images.os]\nrepository = "ghcr.io/owner/os"\n'
SERVER = '{ url = "https://openqa.example.org", scenarios = "openqa/scenarios.yaml" }'
WAIVER = '[[waivers]]\ncheck = "unit/10-greets"\nmatch = "x"\nbug = "https://example.org/1"\nuntil = 2027-01-31\n'
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 7\n".format("1" * 64)


class Files:
    """A source directory of the engine, on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    async def exists(self, path: str) -> bool:
        return (self.root / path).exists()


class Registry:
    """Nothing is asked of it, and nothing pushed to it."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the registry was asked for its {name}")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    told = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1"}
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    words = ["git", *identity, *command[1:]] if command[0] == "git" else list(command)
    return subprocess.run(words, cwd=folder, env=told, capture_output=True, text=True)


@pytest.fixture(autouse=True)
def git_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    async def attempt(container: Any, command: list[str]) -> Ran:
        ran = run(container, *command)
        if 128 <= ran.returncode < 192:
            failed: Any = type("Failed", (), {"command": command, "exit_code": ran.returncode, "stderr": ran.stderr})()
            raise Killed(failed)
        return Ran(container, ran.returncode, ran.stdout, ran.stderr)

    monkeypatch.setattr(git, "attempt", attempt)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with one commit on main."""
    run(tmp_path, "git", "init", "--quiet", "--initial-branch=main")
    for name in ("Containerfile", "tests/os/10-greets", "tests/vm/10-runs", "openqa/scenarios.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n")
    commit(tmp_path)
    return tmp_path


def commit(root: Path) -> None:
    run(root, "git", "add", "--all")
    made = run(root, "git", "commit", "--quiet", "--allow-empty", "--message", "x")
    assert not made.returncode, made.stderr


def world(root: Path, text: str = IMAGE) -> World:
    config = parse(text)
    files, history, other = Files(root), History(root), Registry()  # type: ignore[arg-type]
    given = Given(source=files)  # type: ignore[arg-type]
    return World(given, config, list(config.images.values()), history, other, other, other)  # type: ignore[arg-type]


@pytest.fixture
def suites(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, bool]]:
    """Which folders are looked at for tests that would not run, and as what."""
    seen = list[tuple[str, str, bool]]()

    async def require_suite(_: Any, key: str, path: str, *, vm: bool) -> None:
        seen.append((key, path, vm))

    monkeypatch.setattr(source, "require_suite", require_suite)
    return seen


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (IMAGE + 'containerfile = "Dockerfile"\n', "images.os.containerfile names Dockerfile"),
        (IMAGE + 'context = "image"\n', "images.os.context names image"),
        (IMAGE + 'build = { args_file = "args" }\n', "images.os.build.args_file names args"),
        (IMAGE + 'build = { contexts = { more = "gone" } }\n', "images.os.build.contexts.more names gone"),
        (IMAGE + '[gates.next]\ntests = "tests/gone"\n', "gates.next.tests names tests/gone"),
        (IMAGE + '[gates.testing]\nchecks = "tests/gone"\n', "gates.testing.checks names tests/gone"),
        (IMAGE + '[gates.testing]\nbuilder = { config = "disk.toml" }\n', "builder.config names disk.toml"),
        (
            IMAGE + f"[gates.stable]\nopenqa = {SERVER.replace('scenarios.yaml', 'gone')}\n",
            "scenarios names openqa/gone",
        ),
        (IMAGE + '[gates.next]\ntests = "tests/vm"\n' + WAIVER, "waivers.0.check names tests/vm/10-greets"),
        (IMAGE + WAIVER, "waivers.0.check: unit/10-greets is a test of gates.next.tests, which is not set"),
    ],
)
async def test_what_the_file_names_and_is_not_there_is_refused_first(root: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace(".", r"\.")):
        await build_next(world(root, text))


async def test_every_suite_is_looked_at_before_anything_is_built(root: Path, suites: list[Any]) -> None:
    text = f'{IMAGE}[gates.next]\ntests = "tests/os"\n[gates.testing]\nchecks = "tests/vm"\n'
    text += f"[gates.stable]\nopenqa = {SERVER}\n"
    await require_source(world(root, text + WAIVER), *Channel)
    assert suites == [("gates.next.tests", "tests/os", False), ("gates.testing.checks", "tests/vm", True)]
    await require_source(world(root, text), Channel.STABLE)
    assert len(suites) == 2


def shallow(root: Path) -> Path:
    commit(root)
    run(root, "git", "clone", "--quiet", "--depth=1", f"file://{root}", "cut")
    return root / "cut"


def of_another_branch(root: Path) -> Path:
    run(root, "git", "branch", "--move", "main", "trunk")
    return root


def of_lfs(root: Path) -> Path:
    (root / ".gitattributes").write_text("*.bin filter=lfs -text\n")
    (root / "firmware.bin").write_text(POINTER)
    (root / "about-lfs.md").write_text(POINTER)
    commit(root)
    return root


def of_sha256(root: Path) -> Path:
    folder = root / "long"
    run(root, "git", "init", "--quiet", "--object-format=sha256", "long")
    (folder / "Containerfile").touch()
    commit(folder)
    return folder


def without_history(root: Path) -> Path:
    run(root, "rm", "-r", ".git")
    return root


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (shallow, "The history is cut off.* fetch-depth: 0"),
        (of_another_branch, "main_branch in pipeline.toml is main, and there is no such branch; there are trunk"),
        (of_lfs, r"has 1 pointers of Git LFS \(firmware.bin, ...\).*git lfs pull"),
        (of_sha256, "sha256.* are not supported, because image tags carry the commit"),
        (without_history, "not a git repository"),
    ],
)
async def test_a_history_that_cannot_go_through_is_refused_first(
    root: Path, made: Callable[[Path], Path], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        await build_next(world(made(root)))


async def test_content_that_lfs_has_fetched_is_no_pointer(root: Path) -> None:
    of_lfs(root)
    (root / "firmware.bin").write_text("content")
    await require_source(world(root), Channel.NEXT)


async def test_a_promotion_from_a_dirty_tree_is_refused(root: Path) -> None:
    (root / "Containerfile").write_text("FROM scratch\n")
    here = world(root)
    with pytest.raises(PreconditionError, match=r"differs from its commit in 1 place \(M Containerfile\)"):
        await refuse_other_checkout(here, await here.history.head())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[images."My OS"]\nrepository = "ghcr.io/owner/os"\n',
            "images.My OS: found 'My OS'; expected a name of small",
        ),
        (IMAGE + 'platforms = ["linux/amd46"]\n', "'linux/amd46'; expected .*; did you mean linux/amd64?"),
        (IMAGE + 'platforms = ["x86_64"]\n', "images.os.platforms.0: found 'x86_64'"),
    ],
)
def test_a_wrong_image_name_or_platform_is_refused_when_the_file_is_read(text: str, said: str) -> None:
    with pytest.raises(PipelineError, match=said) as refused:
        parse(text)
    assert isinstance(refused.value, UsageError)
