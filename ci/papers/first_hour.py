"""What goes wrong in the first hour, and the very words with which it is refused."""

import json
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import respx

from pipeline import config, world
from pipeline.commands import init, run_stage
from pipeline.containers.git import History, commit_named
from pipeline.domain import Commit, Digest, Repository, Tag
from pipeline.errors import PipelineError, UsageError
from pipeline.gates import openqa
from pipeline.policy.candidate import StableFacts, TestingFacts, for_stable, for_testing
from pipeline.policy.suite import SuiteFile, overlooked_unit_tests, overlooked_vm_checks
from pipeline.policy.tags import ReleaseTag, TestTag, Version
from pipeline.registry.client import RegistryClient
from pipeline.registry.credentials import Credentials
from pipeline.stages import next as next_

COMMIT, OTHER = Commit("1" * 40), Commit("2" * 40)
DIGEST = Digest("sha256:" + "a" * 64)
OS = '[images.os]\nrepository = "ghcr.io/owner/os"\n'
Refused = Callable[[], Any]


def _config(text: str) -> Refused:
    return lambda: config.parse(text)


def _login(document: object) -> Refused:
    return lambda: Credentials.parse(json.dumps(document)).login(Repository.parse("ghcr.io/owner/os"))


class _Answers:
    """Stands in for what lies outside: every question has its answer, those that nobody thought of an empty one."""

    def __init__(self, **answers: object):
        self._answers = answers

    def __getattr__(self, question: str) -> Callable[..., Awaitable[object]]:
        async def answer(*_: object) -> object:
            return self._answers.get(question, [])

        return answer


def _world(*, there: bool = True, **history: object) -> Any:
    read = config.parse(OS)
    asked = {"head": COMMIT, "on_branch": True, "shallow": False, "branches": ["refs/heads/main"]} | history
    return SimpleNamespace(
        history=_Answers(**asked),
        config=read,
        images=read.selected([]),
        given=SimpleNamespace(source=_Answers(exists=there)),
    )


class _NoCommit(History):
    """What `git init` leaves."""

    def __init__(self) -> None:
        """Nobody is asked."""

    async def _ask(self, *arguments: str) -> str | None:
        return ".git" if "--git-dir" in arguments else None


def _release(**given: object) -> Refused:
    openqa_table = '[gates.stable.openqa]\nurl = "https://openqa.example.org"\n'
    upload_table = (
        '[gates.stable.upload]\nurl = "s3://os-images/candidates"\npublic_url = "https://images.example.org"\n'
    )
    read = config.parse(OS + openqa_table + upload_table)
    return lambda: openqa._configured(
        SimpleNamespace(config=read, given=SimpleNamespace(**({"openqa_auth": None, "upload_auth": None} | given)))
    )


def _must_push(*, there: bool = True, **history: object) -> Refused:
    return lambda: anyio.run(lambda: next_.build_next(_world(there=there, **history), must_push=True))


def _testing(**facts: Any) -> Refused:
    usual = {"tag": TestTag.parse("v1.4.0-test"), "commit": COMMIT, "digest": DIGEST, "revision": COMMIT}
    usual |= {"next_digest": DIGEST, "ahead": 0, "stable": None, "testing": None}
    return lambda: for_testing(TestingFacts(**(usual | facts)))


def _stable(**facts: Any) -> Refused:
    usual = {"tag": ReleaseTag.parse("v1.4.0"), "commit": COMMIT, "test_tag": TestTag.parse("v1.4.0-test")}
    usual |= {"digest": DIGEST, "revision": COMMIT, "test_commit": COMMIT, "stable": None}
    return lambda: for_stable(StableFacts(**(usual | facts)))


def _suite(look: Callable[..., list[str]], *files: SuiteFile) -> Refused:
    def refuse() -> None:
        raise UsageError("; ".join(look(files)))

    return refuse


def _file(name: str, *, executable: bool = False) -> SuiteFile:
    return SuiteFile(PurePosixPath(name), executable)


def _registry(answer: Callable[[], httpx.Response]) -> Refused:
    """One request, to which this is the answer, as often as it is sent."""

    async def ask() -> None:
        with respx.mock() as web:
            web.route().mock(side_effect=lambda _request: answer())
            async with RegistryClient(None, deadline=5) as client:
                await client.repository(Repository.parse("ghcr.io/owner/os")).digest(Tag("next"))

    return lambda: anyio.run(ask)


def _connection(broken: Callable[[], httpx.Response], repository: str = "ghcr.io/owner/os") -> Refused:
    """The same below HTTP, where errors have causes."""

    async def ask() -> None:
        async def attempt() -> None:
            broken()

        async with RegistryClient(None, deadline=5) as client:
            await client.repository(Repository.parse(repository)).persist(f"GET tags of {repository}", attempt)

    return lambda: anyio.run(ask)


def _no_tls() -> httpx.Response:
    cause = ssl.SSLError(1, "wrong version number")
    cause.reason = "WRONG_VERSION_NUMBER"
    raise httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version number") from cause


def _unknown_host() -> httpx.Response:
    cause = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    raise httpx.ConnectError("[Errno -2] Name or service not known", request=_asking("ghcr.io")) from cause


def _own_machine() -> httpx.Response:
    raise httpx.ConnectError("All connection attempts failed", request=_asking("localhost:5000"))


def _asking(host: str) -> httpx.Request:
    return httpx.Request("GET", f"https://{host}/v2/owner/os/tags/list")


def _denied() -> httpx.Response:
    return httpx.Response(403, json={"errors": [{"code": "DENIED", "message": "denied"}]})


def _says(text: str) -> Refused:
    def refuse() -> None:
        raise UsageError(text)

    return refuse


def _awaited(made: Callable[[], Awaitable[object]]) -> Refused:
    return lambda: anyio.run(made)


FIRST_HOUR: dict[str, Refused] = {
    "no pipeline.toml": _says(world._no_configuration([])),
    "a pipeline.toml in a sub-folder": _says(world._no_configuration(["os/pipeline.toml"])),
    "a git repository without a commit": _awaited(_NoCommit().head),
    "a git repository whose objects have sha256 names": lambda: commit_named("1" * 64),
    "not TOML": _config("[images.os\n"),
    "a misspelt key": _config(OS + 'contianerfile = "x"\n'),
    "a key in the wrong table": _config(OS + 'firmware = "bios"\n'),
    "a repository without a registry": _config('[images.os]\nrepository = "os"\n'),
    "a repository with a tag": _config('[images.os]\nrepository = "ghcr.io/owner/os:stable"\n'),
    "a duration without unit": _config(OS + '[gates.testing]\nboot_budget = "90"\n'),
    "a path outside": _config(OS.rstrip() + '\ncontainerfile = "/etc/Containerfile"\n'),
    "a waiver without an end": _config(OS + '[[waivers]]\ncheck = "units"\nmatch = "x"\nbug = "b"\n'),
    "an image that is not in the file": lambda: config.parse(OS).selected(["yellow"]),
    "a Containerfile that is not there": _must_push(there=False),
    "files that git left as pointers": _must_push(pointers=["os/big.bin"]),
    "a branch called master": _must_push(on_branch=False, branches=["refs/heads/master"]),
    "a commit that is not on main": _must_push(on_branch=False),
    "a history that was cut off": _must_push(shallow=True),
    "a build from a changed tree": _must_push(uncommitted=[" M Containerfile"]),
    "a login that is none": lambda: Credentials.parse("user:password"),
    "a login that a helper has": _login({"auths": {"ghcr.io": {}}, "credsStore": "desktop"}),
    "a login that is not base64 of user:password": _login({"auths": {"ghcr.io": {"auth": "x"}}}),
    "no login": _registry(_denied),
    "plain HTTP": _connection(_no_tls),
    "a host that does not exist": _connection(_unknown_host),
    "a registry of one's own machine": _connection(_own_machine, "localhost:5000/owner/os"),
    "a test without run bit": _suite(overlooked_unit_tests, _file("one", executable=True), _file("test_two.sh")),
    "no test that can be run": _suite(overlooked_unit_tests, _file("README")),
    "a check in a sub-folder": _suite(overlooked_vm_checks, _file("test_a.py"), _file("more/test_b.py")),
    "a tag of another form": lambda: TestTag.parse("1.4.0-test"),
    "a release tag for testing": lambda: TestTag.parse("v1.4.0"),
    "a tag before its image": _testing(digest=None, revision=None),
    "a version that is not above stable": _testing(stable=Version(1, 5, 0)),
    "a release that was not tested": _stable(test_tag=None, digest=None),
    "a release tag on another commit": _stable(commit=OTHER),
    "no openQA server": lambda: openqa._configured(SimpleNamespace(config=config.parse(OS))),
    "no login at openQA": _release(),
    "no login at the object store": _release(openqa_auth="KEY:SECRET"),
    "a stage that there is not": _awaited(lambda: run_stage.run_stage(_world(), "build", "")),
    "init without a version": _awaited(lambda: init.init(None, "github.com/owner/pipeline")),
}


def told(mistake: str) -> str:
    """What the user reads."""
    try:
        FIRST_HOUR[mistake]()
    except PipelineError as error:
        return re.sub(r"in \d+\.\d s", "in 0.2 s", str(error))
    raise AssertionError(f"{mistake} is not refused")


def page() -> str:
    """The table for people: each mistake with its words."""
    blocks = [_HEAD]
    for mistake in FIRST_HOUR:
        quoted = "\n".join(f"> {_plain(line)}".rstrip() for line in told(mistake).splitlines())
        blocks.append(f"\n## {mistake[:1].upper()}{mistake[1:]}\n\n{quoted}\n")
    return "".join(blocks)


def _plain(line: str) -> str:
    return line.replace("<", "\\<")


_HEAD = """\
# The first hour: what is refused, and with which words

<!-- Written by ci/reference from the messages themselves. -->

Nothing has moved after any of these. Look for the words that you see; what to do stands in them.
"""
