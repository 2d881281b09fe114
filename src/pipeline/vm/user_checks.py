"""The repository's own checks: executables that run in the guest, and pytest-testinfra modules that look from outside.

An executable passes with status 0 and is skipped with 77 (the convention of automake's test harness and of kola); its
output is the evidence. A `test_*.py` gives a result for each of its tests.
"""

import os
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from pipeline.errors import UsageError
from pipeline.image.suite import read_suite
from pipeline.policy.suite import overlooked_vm_checks
from pipeline.vm.guest import GuestLost
from pipeline.vm.session import Session
from pipeline.vm.spent import during
from pipeline.vm.verdict import Found, Skipped

GUEST_FOLDER = "/run/gate-checks"
HOST = "ssh://guest"
"""The system under test as testinfra calls it, after which it names each test."""
SKIP = 77
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
            command = [
                sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                f"--hosts={HOST}",
                f"--ssh-config={_ssh_config(folder, session)}",
                f"--junitxml={folder / 'junit.xml'}",
                *map(str, self.modules),
            ]  # fmt: skip
            limit, output = session.scaled(TIMEOUT), b""
            with during(session.stopwatch.user_pytest), anyio.move_on_after(limit) as scope:
                done = await anyio.run_process(
                    command, check=False, cwd=self.folder, stderr=-2, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
                )
                output = done.stdout
            text = output.decode(errors="replace")
            (session.folder / "user-pytest.txt").write_text(text)
            if scope.cancelled_caught:
                return [UserResult("user/pytest", Found([f"no end within {limit:.0f} s"], "an end"), limit)]
            report = folder / "junit.xml"
            results = read_junit(report.read_text()) if report.exists() else []
            if done.returncode and all(not isinstance(r.found, Found) or not r.found.findings for r in results):
                problem = Found([f"pytest exits {done.returncode}"], "tests that run", output=text)
                results.append(UserResult("user/pytest", problem, 0.0))
            return results


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
        test = (case.get("name") or "").replace(f"[{HOST}]", "").replace(f"[{HOST}-", "[")
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
        f"  ControlPath {folder}/mux\n"
        "  ControlPersist 10\n"
    )
    return config
