"""The repository's own checks: executables that run in the guest, and pytest-testinfra modules that look from outside.

An executable passes with status 0 and is skipped with 77 (the convention of automake's test harness and of kola); its
output is the evidence. A `test_*.py` gives a result for each of its tests.
"""

import contextlib
import os
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, STDOUT
from tempfile import TemporaryDirectory

import anyio
from anyio.abc import Process

from pipeline.errors import UsageError
from pipeline.image.suite import read_suite
from pipeline.policy.suite import overlooked_vm_checks
from pipeline.vm.guest import OUTPUT_LIMIT, GuestLost
from pipeline.vm.knock import REFUSED
from pipeline.vm.served import served
from pipeline.vm.session import Session
from pipeline.vm.spent import during
from pipeline.vm.verdict import Found, Skipped
from pipeline.vm.ways import Way

GUEST_FOLDER = "/run/gate-checks"
HOST = "ssh://guest"
"""The system under test as testinfra calls it, after which it names each test."""
BACKEND, SERVED = "pipeline.vm.testinfra_backend", "gate://guest"
"""The pytest plugin by which testinfra reaches a guest without SSH, and what it calls the guest."""
SOURCES = Path(__file__).parents[2]
SKIP = 77
LOGIN = 60.0
"""Seconds with KVM that a second login may take: OpenSSH refuses for 15 s at least whom it has a reason to refuse."""
MUX = "mux"
"""The socket over which all of the user's connections go."""
TIMEOUT = 300.0
"""Seconds with KVM that one executable, or all pytest modules together, may take."""


@dataclass(frozen=True)
class UserResult:
    """What came out of one of the repository's checks."""

    name: str
    found: Found | Skipped
    duration: float


@dataclass(frozen=True)
class UserChecks:
    """The content of the configured directory."""

    folder: Path
    executables: tuple[Path, ...]
    modules: tuple[Path, ...]

    @classmethod
    def find(cls, folder: Path) -> "UserChecks":
        """Look into the directory, not below it; other files are data for the executables.

        Raises UsageError when there is nothing to run, or a file that looks like a check would not be run.
        """
        files = sorted(file for file in folder.glob("*") if file.is_file()) if folder.is_dir() else []
        modules = tuple(file for file in files if file.match("test_*.py"))
        executables = tuple(file for file in files if file not in modules and os.access(file, os.X_OK))
        if not modules and not executables:
            raise UsageError(f"{folder} has no checks; expected executable files or test_*.py in it")
        if missed := overlooked_vm_checks(read_suite(folder)):
            raise UsageError(f"gates.testing.checks: {'; '.join(missed)}")
        return cls(folder, executables, modules)

    async def run(self, session: Session) -> AsyncIterator[UserResult]:
        """Run them all, executables first, and give each result as it comes."""
        if self.executables:
            await self._copy(session)
        for file in self.executables:
            yield await self._execute(file, session)
        if self.modules:
            for result in await self._pytest(session):
                yield result

    async def _copy(self, session: Session) -> None:
        await session.guest.run("mkdir", "-p", GUEST_FOLDER)
        for file in sorted(self.folder.rglob("*")):
            if file.is_file():
                target = f"{GUEST_FOLDER}/{file.relative_to(self.folder)}"
                mode = "755" if os.access(file, os.X_OK) else "644"
                script = 'mkdir -p "${1%/*}" && cat > "$1" && chmod "$2" "$1"'
                await session.guest.run("sh", "-c", script, "copy", target, mode, stdin=file.read_bytes())

    async def _execute(self, file: Path, session: Session) -> UserResult:
        start = time.monotonic()
        name, limit = f"user/{file.name}", session.scaled(TIMEOUT)
        try:
            answer = await session.guest.run(
                "sh", "-c", f'cd {GUEST_FOLDER} && exec ./"$1" 2>&1', "check", file.name, within=limit
            )
        except GuestLost as error:
            return UserResult(name, Found([str(error)], "an end"), time.monotonic() - start)
        return UserResult(name, judge_status(answer.status, answer.out), time.monotonic() - start)

    async def _pytest(self, session: Session) -> list[UserResult]:
        with TemporaryDirectory(prefix="gate-pytest-") as temporary:
            folder = Path(temporary)
            report = folder / "junit.xml"
            if session.way is Way.SHELL:
                socket = folder / "guest"
                async with served(session.guest, socket, session.scaled(TIMEOUT)):
                    return await self._modules(session, ["-p", BACKEND, f"--hosts={SERVED}?context={socket}"], report)
            config = _ssh_config(folder, session)
            async with _shared_login(config, folder, session.scaled(LOGIN)) as refusal:
                if refusal:
                    return [UserResult("user/pytest", Found([refusal], "a second login as root"), 0.0)]
                return await self._modules(session, [f"--hosts={HOST}", f"--ssh-config={config}"], report)

    async def _modules(self, session: Session, hosts: list[str], report: Path) -> list[UserResult]:
        command = [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
            *hosts,
            f"--junitxml={report}",
            *map(str, self.modules),
        ]  # fmt: skip
        limit, log = session.scaled(TIMEOUT), session.folder / "user-pytest.txt"
        paths = os.pathsep.join(filter(None, [str(SOURCES), os.environ.get("PYTHONPATH", "")]))
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": paths}
        with during(session.stopwatch.user_pytest), anyio.move_on_after(limit) as scope:
            status = await _bounded(command, self.folder, environment, log)
        if scope.cancelled_caught:
            return [UserResult("user/pytest", Found([f"no end within {limit:.0f} s"], "an end"), limit)]
        return _results(status, report, log)


def _results(status: int, report: Path, log: Path) -> list[UserResult]:
    """What pytest reported, and that it failed without saying so."""
    output = log.read_text(errors="replace")
    try:
        results = read_junit(report.read_text(errors="replace")) if report.exists() else []
    except (ET.ParseError, ValueError) as error:
        return [UserResult("user/pytest", Found([f"its report is not JUnit: {error}"], "JUnit", output=output), 0.0)]
    if status and all(not isinstance(r.found, Found) or not r.found.findings for r in results):
        problem = Found([f"pytest exits {status}"], "tests that run", output=output)
        results.append(UserResult("user/pytest", problem, 0.0))
    return results


async def _bounded(command: list[str], folder: Path, environment: dict[str, str], log: Path) -> int:
    """Run a program with the beginning of its output in a file, and return its status."""
    kept = 0
    async with await anyio.open_process(command, cwd=folder, stderr=STDOUT, env=environment) as process:
        with log.open("wb") as file:
            while chunk := await _next(process):
                file.write(chunk[: OUTPUT_LIMIT - kept])
                file.flush()
                kept = min(OUTPUT_LIMIT, kept + len(chunk))
        return await process.wait()


async def _next(process: Process) -> bytes:
    try:
        return await process.stdout.receive() if process.stdout else b""
    except anyio.EndOfStream:
        return b""


@asynccontextmanager
async def _shared_login(config: Path, folder: Path, limit: float) -> AsyncIterator[str]:
    """One login that all of the user's connections share, for as long as this lasts; yields why there is none.

    A server that has just seen refused logins may refuse more of them for a while (sshd_config(5), PerSourcePenalties).
    """
    said, login = folder / "ssh.log", None
    with anyio.move_on_after(limit):
        while login is None:
            login = await _logged_in(config, folder, said)
            await anyio.sleep(0 if login else REFUSED)
    if login is None:
        last = (said.read_text(errors="replace").strip().splitlines() or ["ssh says nothing"])[-1]
        yield f"no second SSH connection within {limit:.0f} s: {last}"
        return
    try:
        yield ""
    finally:
        await _end(login)


async def _logged_in(config: Path, folder: Path, said: Path) -> Process | None:
    """The ssh that has logged in, or None when it was refused."""
    with said.open("wb") as log:
        command = ["ssh", "-F", str(config), "-o", "ControlMaster=yes", "-N", "guest"]
        process = await anyio.open_process(command, stdin=DEVNULL, stdout=log, stderr=log)
    try:
        while process.returncode is None:
            if (folder / MUX).exists():
                return process
            await anyio.sleep(0.05)
    except BaseException:
        await _end(process)
        raise
    return None


async def _end(process: Process) -> None:
    with anyio.CancelScope(shield=True), contextlib.suppress(ProcessLookupError):
        process.kill()
        await process.wait()


def judge_status(status: int, output: str) -> Found | Skipped:
    """The verdict on an executable."""
    last = (output.strip().splitlines() or ["it says nothing"])[-1]
    if status == SKIP:
        return Skipped("user-skipped", last)
    if status:
        return Found([f"exit status {status}: {last}"], "exit status 0", output=output)
    return Found(note=last if output.strip() else "", output=output)


def read_junit(text: str) -> list[UserResult]:
    """The results of a pytest run, one for each test."""
    results = []
    for case in ET.fromstring(text).iter("testcase"):  # noqa: S314  our own pytest wrote it a moment ago
        module = case.get("classname", "").rpartition(".")[2]
        test = case.get("name") or ""
        for host in HOST, SERVED:
            test = test.replace(f"[{host}]", "").replace(f"[{host}-", "[")
        name = f"user/{module}.py::{test}"
        trouble = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        found: Found | Skipped = Found()
        if trouble is not None:
            message = (trouble.get("message") or trouble.tag).partition("\n")[0]
            if trouble.tag == "skipped":
                found = Skipped("user-skipped", message)
            else:
                found = Found([message], "a test that passes", output=trouble.text or "")
        results.append(UserResult(name, found, float(case.get("time", 0))))
    return results


def _ssh_config(folder: Path, session: Session) -> Path:
    """For the ssh program: the same machine, user and key that the gate uses, over one shared connection."""
    key = folder / "key"
    key.touch(mode=0o600)
    key.write_bytes(session.key.private.export_private_key())
    config = folder / "ssh_config"
    config.write_text(
        "Host guest\n"
        "  HostName 127.0.0.1\n"
        f"  Port {session.port}\n"
        "  User root\n"
        f"  IdentityFile {key}\n"
        "  IdentitiesOnly yes\n"
        "  BatchMode yes\n"
        "  StrictHostKeyChecking no\n"
        "  UserKnownHostsFile /dev/null\n"
        "  LogLevel ERROR\n"
        "  ControlMaster auto\n"
        f"  ControlPath {folder / MUX}\n"
    )
    return config
