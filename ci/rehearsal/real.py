"""A release with the real programs beside one with the lab's stand-ins, and what differs. `ci/test real` runs it.

    ci/test real                                                    the stand-ins alone
    ci/test real -- --base registry:5500/lab/tiny-os:trixie         all of it with the lab's own, one of them newer
    ci/test real -- --builder quay.io/centos-bootc/bootc-image-builder:latest \\
                    --base quay.io/centos-bootc/centos-bootc:stream10

Each goes from a commit through `build-next` and `promote-testing`; then, with that as the current stable, through both
again, so that its disk takes an upgrade and goes back. openQA is left out: `:stable` is written by hand.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from rehearsal import registry
from rehearsal.calls import Pipeline
from rehearsal.lab import MODULE, LabError, lab
from rehearsal.progress import Progress
from rehearsal.repository import Repository

LAB_OS, SUITE = "registry:5500/lab/tiny-os", "bookworm"
LAB_BASE, LAB_BUILDER = f"{LAB_OS}:{SUITE}", "registry:5500/lab/bootc-image-builder:latest"
MUST_PASS = ("boot", "bootc-digest", "bootc-origin", "reboot", "upgrade", "rollback")
"""What a release with the real programs is about; the stand-ins have a scripted bootc for it."""


class RealError(Exception):
    """A call did not pass, or what had to be looked at was not."""


@dataclass(frozen=True)
class Parts:
    """What a release is made with."""

    name: str
    base: str = LAB_BASE
    builder: str = LAB_BUILDER
    arguments: tuple[str, ...] = ()
    """Of the builder; its defaults when there are none."""

    @property
    def suite(self) -> str:
        """Of which the lab's tiny OS is made; empty when the base is none of the lab's."""
        os, _, suite = self.base.rpartition(":")
        return suite if os == LAB_OS else ""

    def install(self, repository: Repository) -> None:
        """Have the repository build with them."""
        if self.suite:
            repository.copy(MODULE / "ci/lab/scripted-bootc", "os")
        else:  # a system of usual size, on the bus that its initramfs knows; what listens there is its own affair
            repository.replace("pipeline.toml", 'bus = "nvme"', 'bus = "virtio"')
            repository.replace("pipeline.toml", 'memory = "768MiB"', 'memory = "2GiB"')
            repository.replace("pipeline.toml", 'listen = ["tcp/22", "udp/68"]', "#")
        repository.replace("pipeline.toml", LAB_BASE, self.base)
        arguments = f", args = {json.dumps(list(self.arguments))}" if self.arguments else ""
        repository.replace("pipeline.toml", f'"{LAB_BUILDER}"', f'"{self.builder}"{arguments}')
        repository.commit(f"Built with {self.name}")


@dataclass(frozen=True)
class Release:
    """One way through: two candidates, of which the second is an upgrade of the first."""

    repository: Repository
    pipeline: Pipeline
    out: Path
    say: Callable[[str], None]

    def checks(self) -> dict[str, str]:
        """Every check of both candidates, by gate and name, with its status or the reason why it was skipped."""
        first = self.candidate("v1.0.0-test")
        self.release_by_hand("v1.0.0-test")
        self.repository.write("os/usr/share/sample-os/note", "the next release\n")
        self.repository.commit("The next release")
        second = self.candidate("v1.1.0-test")
        return {f"1 {name}": said for name, said in first.items()} | {
            f"2 {name}": said for name, said in second.items()
        }

    def candidate(self, tag: str) -> dict[str, str]:
        """A commit becomes `:next`, and by its tag `:testing`."""
        self.passes("build-next", log=f"build-next-{tag}")
        self.repository.tag(tag)
        self.passes("promote-testing", "--tag", tag, log=f"promote-testing-{tag}")
        found: dict[str, str] = {}
        for gate in "next", "testing":
            report = self.out / f"{tag}-{gate}"
            self.passes("evidence", "--ref", tag, "--gate", gate, "export", "--path", str(report), log=f"{tag}-{gate}")
            found |= {f"{gate} {name}": said for name, said in statuses(report / "result.json").items()}
        return found

    def release_by_hand(self, tag: str) -> None:
        """What openQA would have to say is not asked here."""
        manifest = registry.manifest(self.repository.image, tag)
        if manifest is None:
            raise RealError(f"the registry has no {tag}, which was promoted a moment ago")
        registry.put(self.repository.image, "stable", manifest)

    def passes(self, *arguments: str, log: str) -> None:
        answer = self.pipeline.call(*arguments, log=log)
        self.say(f"    {' '.join(arguments[:3])}: {answer.seconds:.0f} s")
        if not answer.passed:
            raise RealError(
                f"{arguments[0]} ended with {answer.exit_code}; log {self.pipeline.log(log)}\n{answer.output}"
            )


def statuses(result: Path) -> dict[str, str]:
    """What a report says of each check: passed, waived, or the first word of why it was skipped."""
    checks = json.loads(result.read_text())["checks"]
    return {
        check["name"]: f"skipped ({check['reason'].partition(':')[0]})"
        if check["status"] == "skipped"
        else check["status"]
        for check in checks
    }


def differences(lab_says: Mapping[str, str], real_says: Mapping[str, str]) -> list[str]:
    """One line for each check that ends otherwise with the real programs, or that only one of them has."""
    names = list(dict.fromkeys([*lab_says, *real_says]))
    lines = [
        f"{name:<44} {lab_says.get(name, 'is not made'):<26} {real_says.get(name, 'is not made')}"
        for name in names
        if lab_says.get(name) != real_says.get(name)
    ]
    return [f"{'check':<44} {'in the lab':<26} with the real programs", *lines] if lines else []


def not_seen(checks: Mapping[str, str]) -> list[str]:
    """What had to pass on the second candidate and did not."""
    return [f"{name}: {checks.get(f'2 testing {name}', 'is not made')}" for name in MUST_PASS
            if checks.get(f"2 testing {name}") != "passed"]  # fmt: skip


def rehearse(
    parts: Parts, out: Path, progress: Progress, lab_of: Callable[[Path], AbstractContextManager[None]]
) -> dict[str, str]:
    """A lab, a repository of its own, and both candidates."""
    logs = out / parts.name / "logs"
    logs.mkdir(parents=True)
    progress.heading(f"{parts.name}: {parts.base}, on a disk by {parts.builder}")
    with tempfile.TemporaryDirectory(prefix="bootc-real-") as folder, lab_of(logs / "lab.log"):
        image = f"registry:5500/real-{time.strftime('%H%M%S')}-{parts.name}/sample-os"
        repository = Repository.create(Path(folder, "sample-os"), image)
        parts.install(repository)
        pipeline = Pipeline(repository.path, logs, full=False, waiting=progress.waiting)
        return Release(repository, pipeline, out / parts.name, progress.say).checks()


def main() -> None:
    """The stand-ins, then the real programs if there are any, then what differs."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the lab ends with us
    given = command_line()
    out = Path(given.out or MODULE / "out" / f"real-{time.strftime('%Y%m%d-%H%M%S')}").resolve()
    progress = Progress()
    progress.say(f"Logs and reports: {out}")

    real_parts = Parts("real", given.base, given.builder, tuple(given.builder_arg))
    suites = {SUITE, real_parts.suite or SUITE}

    def registry_only(log: Path) -> AbstractContextManager[None]:
        return lab("lab", log, full=False, suites=suites, waiting=lambda elapsed: progress.waiting(elapsed, log))

    in_lab = rehearse(Parts("lab"), out, progress, registry_only)
    judge(in_lab)
    if given.base == LAB_BASE and given.builder == LAB_BUILDER:
        progress.heading("Done with the stand-ins; --builder and --base name the real programs.")
        return
    real = rehearse(real_parts, out, progress, registry_only)
    lines = differences(in_lab, real) or ["Every check ends as in the lab."]
    (out / "differences.txt").write_text("\n".join(lines) + "\n")
    progress.heading("What differs from the lab")
    for line in lines:
        progress.say(f"  {line}")
    judge(real)


def judge(checks: Mapping[str, str]) -> None:
    """RealError unless everything was seen that this is about."""
    if missing := not_seen(checks):
        raise RealError(f"expected to pass on the second candidate: {'; '.join(missing)}")


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ci/test real --", description=__doc__.partition("\n")[0])
    parser.add_argument("--builder", default=LAB_BUILDER, help="image of the disk builder (default: the stand-in)")
    parser.add_argument("--base", default=LAB_BASE, help="image that the sample OS is built on (default: the tiny OS)")
    parser.add_argument("--builder-arg", action="append", default=[], metavar="WORD", help="of the builder; repeat")
    parser.add_argument("--out", help="a new folder for logs and reports (default: out/real-TIME in the checkout)")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (RealError, LabError) as error:
        sys.exit(f"\nci/test real: {error}")
    except KeyboardInterrupt:
        sys.exit("\nci/test real: interrupted; the lab is stopped")
