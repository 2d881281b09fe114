"""The workflows as GitHub would run them, by act in host mode; the actions are small stand-ins."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.lab import MODULE
from rehearsal.repository import Repository

VERSION = "v0.2.89"
_ACTIONS = Path(__file__).parent / "actions"
_WORKFLOWS = MODULE / ".github" / "workflows"


@dataclass(frozen=True)
class Run:
    """How a run ended."""

    exit_code: int
    log: str
    calls: list[list[str]]
    """What `dagger` was called with, once for each call."""
    reports: Path
    """One folder for each artifact."""

    def report(self, stage: str, name: str) -> str:
        """A file of a stage's report."""
        return (self.reports / f"{stage}-report" / name).read_text()


@dataclass(frozen=True)
class Act:
    """act on one repository, with a `dagger` of the test's choice."""

    repository: Repository
    folder: Path
    """For what is installed and left behind."""
    dagger: str
    """A shell script, run for every `dagger …` of a workflow."""
    module: str = ""
    """`OWNER/REPO@VERSION` by which the workflows call this repository's own, when they are another's."""

    def adopt(self, **inputs: str) -> None:
        """Put this repository's workflows into that one, with more inputs for each stage."""
        for source in _WORKFLOWS.glob("*.yml"):
            text = source.read_text().replace("module: .\n", f"module: {MODULE}\n{_lines(inputs)}")
            self.repository.write(f".github/workflows/{source.name}", _for_act(text))

    def run(self, event: str, workflow: str, payload: dict[str, Any], secrets: dict[str, str] | None = None) -> Run:
        """Run one workflow for an event with this payload; secrets are those that GitHub would give the run."""
        run = self.folder / f"{workflow}-{len(list(self.folder.iterdir()))}"
        (run / "bin").mkdir(parents=True)
        (run / "reports").mkdir()
        tool = run / "bin" / "dagger"
        tool.write_text(f"#!/bin/bash\nprintf '%s\\n' \"$*\" >> {run / 'calls'}\n{self.dagger}\n")
        tool.chmod(0o755)
        (run / "event.json").write_text(json.dumps(payload))
        (run / "secrets").write_text("".join(f"{name}={value}\n" for name, value in (secrets or {}).items()))
        command = [act(), event, "-C", self.repository.path, "-W", f".github/workflows/{workflow}.yml"]
        command += ["-e", run / "event.json", "--secret-file", run / "secrets", "--env-file", "/dev/null"]
        command += ["-P", "ubuntu-24.04=-self-hosted", "-P", "dagger=-self-hosted", "--no-skip-checkout"]
        for action, version in _used(_WORKFLOWS / "stage.yml"):
            command += ["--local-repository", f"{action}@{version}={_ACTIONS / action.rpartition('/')[2]}"]
        if self.module:
            own = run / "module"
            (own / ".github" / "workflows").mkdir(parents=True)
            (own / ".github" / "workflows" / "stage.yml").write_text(_for_act((_WORKFLOWS / "stage.yml").read_text()))
            command += ["--local-repository", f"{self.module}={own}"]
        environment = os.environ | {
            "PATH": f"{run / 'bin'}:{os.environ['PATH']}",
            "REHEARSAL_BIN": str(run / "bin"),
            "REHEARSAL_ARTIFACTS": str(run / "reports"),
            "REHEARSAL_ORIGIN": str(self.repository.path),
            "REHEARSAL_COMMIT": self.repository.head(),
            "XDG_CACHE_HOME": str(run / "cache"),
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        calls = (run / "calls").read_text().splitlines() if (run / "calls").exists() else []
        return Run(done.returncode, done.stdout + done.stderr, [call.split() for call in calls], run / "reports")


def act() -> Path:
    """The program, compiled once."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bootc-pipeline" / f"act-{VERSION}"
    if not (home / "act").exists():
        go = shutil.which("go")
        assert go, "act is compiled from the Go module proxy: install Go"
        subprocess.run(
            [go, "install", f"github.com/nektos/act@{VERSION}"], env=os.environ | {"GOBIN": str(home)}, check=True
        )
    return home / "act"


def _for_act(workflow: str) -> str:
    """act 0.2.89 does not know `queue` of concurrency, which GitHub has since May 2026."""
    return re.sub(r" +queue: max\n", "", workflow)


def _used(workflow: Path) -> list[tuple[str, str]]:
    return re.findall(r"uses: ([\w-]+/[\w-]+)@([0-9a-f]{40})", workflow.read_text())


def _lines(inputs: dict[str, str]) -> str:
    return "".join(f"      {name.replace('_', '-')}: {json.dumps(value)}\n" for name, value in inputs.items())
