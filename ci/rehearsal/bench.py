"""Figures, printed and not judged: what the pipeline costs beside the tools that it drives. `ci/bench` runs it."""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import anyio

from pipeline.vm.spent import Spent
from rehearsal import by_hand, fleet, large, openqa, promotion, retention, scale, steps, upload
from rehearsal.calls import Answer, Pipeline
from rehearsal.lab import MODULE, LabError, lab
from rehearsal.progress import Progress
from rehearsal.repository import Repository

PARTS = ("promotion", "fleet", "scale", "upload", "large", "retention", "openqa", "stages")
"""Moving tags, on a registry, and of many images, in memory; disks of any size, on a registry, and releases of images
of any size; plans of retention, on one in memory; the openQA gate, on an openQA; whole stages, in the lab."""

_POLL = 1.0
"""Seconds between two looks at openQA: fewer than a release has, so that the bench does not wait for them."""


class BenchError(Exception):
    """A call that should have passed did not."""


def main() -> None:
    """Everything once to warm up, then `--rounds` times."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the lab ends with us
    arguments = command_line()
    run = time.strftime("%Y%m%d-%H%M%S")
    logs = MODULE / "out" / f"bench-{run}"
    logs.mkdir(parents=True)
    progress = Progress()
    if "promotion" in arguments.parts:
        progress.heading("Promotions beside skopeo")
        for line in anyio.run(promotion.measured, arguments.rounds, arguments.images):
            progress.say(line)
    if "fleet" in arguments.parts:
        progress.heading("Many images of one configuration")
        for line in fleet.measured():
            progress.say(line)
    if "scale" in arguments.parts:
        progress.heading("Disks beside skopeo")
        for line in scale.measured(arguments.sizes):
            progress.say(line)
    if "upload" in arguments.parts:
        progress.heading("Uploads beside rclone")
        for line in upload.measured(arguments.sizes, logs):
            progress.say(line)
    if "large" in arguments.parts:
        progress.heading("Releases of large images")
        anyio.run(large.measured, arguments.sizes, logs, progress.say, arguments.keep)
    if "retention" in arguments.parts:
        progress.heading("Plans of retention")
        anyio.run(retention.measured, arguments.tags, progress.say)
    if "openqa" in arguments.parts:
        progress.heading("The openQA gate beside its job")
        for line in anyio.run(openqa.measured, arguments.rounds, _POLL):
            progress.say(line)
    if "stages" in arguments.parts:
        stages(arguments, run, logs, progress)


def stages(arguments: argparse.Namespace, run: str, logs: Path, progress: Progress) -> None:
    """Whole stages in the lab."""
    progress.heading(f"The lab; logs in {logs}")
    lab_log = logs / "lab.log"
    started = time.monotonic()
    figures: list[tuple[str, str]] = []
    with (
        tempfile.TemporaryDirectory(prefix="bootc-bench-") as folder,
        lab("lab", lab_log, waiting=lambda elapsed: progress.waiting(elapsed, lab_log)),
    ):
        figures.append(("lab, from nothing running to all of it answering", text(time.monotonic() - started)))
        repository = Repository.create(Path(folder, "sample-os"), f"registry:5500/bench-{run}/sample-os")
        bench = Bench(repository, Pipeline(repository.path, logs, waiting=progress.waiting), progress)
        table = bench.testing_stage(arguments.rounds)
        figures += bench.calls(arguments.rounds)
    for name in ("demo", "test") if arguments.all else ():
        progress.heading(f"ci/{name}, warm")
        figures.append((f"ci/{name}, warm", text(timed([MODULE / "ci" / name], logs / f"{name}.log"))))
    progress.heading(f"Medians of {arguments.rounds} rounds")
    for line in [*table, "", *(f"{name:<52} {value:>8}" for name, value in figures)]:
        progress.say(line)


class Bench:
    """The measurements."""

    def __init__(self, repository: Repository, pipeline: Pipeline, progress: Progress):
        self.repository = repository
        self.pipeline = pipeline
        self.progress = progress

    def testing_stage(self, rounds: int) -> list[str]:
        """Each step of promote-testing through the module and by hand; the first round only warms up."""
        module: dict[str, list[float]] = {}
        hand: dict[str, list[float]] = {}
        gates: list[Spent] = []
        for number in range(rounds + 1):
            self.progress.heading(f"promote-testing, round {number} of {rounds}")
            tag = f"v1.0.{number}-test"
            self.repository.write("os/usr/share/sample-os/round", f"{number}\n")
            self.repository.commit(f"Round {number}")
            self.call("build-next")
            self.repository.tag(tag)
            whole = self.call("promote-testing", "--tag", tag)
            spent = steps.times(self.pipeline.log("promote-testing").read_text(errors="replace"), steps.TESTING)
            self.progress.heading(f"the same by hand, round {number} of {rounds}")
            bare = anyio.run(by_hand.testing, self.repository, self.pipeline.log("by-hand"))
            if number:
                for name in steps.TESTING:
                    module.setdefault(name, []).append(spent.get(name, float("nan")))
                    hand.setdefault(name, []).append(bare.steps[name])
                module.setdefault("whole command", []).append(whole)
                hand.setdefault("whole command", []).append(sum(bare.steps.values()))
                gates.append(bare.gate)
        lines = [f"{'promote-testing':<24} {'module':>8} {'by hand':>8}"]
        lines += [f"{name:<24} {text(median(module[name])):>8} {text(median(hand[name])):>8}" for name in module]
        return [*lines, "", *where(gates)]

    def calls(self, rounds: int) -> list[tuple[str, str]]:
        """What a call costs that has nothing to do."""
        self.progress.heading("Calls that have nothing to do")
        version = f"v1.0.{rounds}"
        self.repository.tag(version)
        released = self.answer("promote-stable", "--tag", version, "--as-json")
        again = [("build-next",), ("promote-testing", "--tag", f"{version}-test"), ("promote-stable", "--tag", version)]
        empty = ["dagger", "--silent", "call", "-m", str(MODULE)]
        figures = [("promote-stable, one run", text(released.seconds)), *stable(json.loads(released.output)[0])]
        figures.append(("dagger call without a function", text(median(timed(empty) for _ in range(rounds)))))
        return figures + [(f"{call[0]} again", text(median(self.call(*call) for _ in range(rounds)))) for call in again]

    def call(self, *arguments: str) -> float:
        """Seconds of a call that has to pass."""
        return self.answer(*arguments).seconds

    def answer(self, *arguments: str) -> Answer:
        """A call that has to pass."""
        answer = self.pipeline.call(*arguments)
        self.progress.say(f"        {' '.join(arguments)}: {answer.seconds:.1f} s")
        if not answer.passed:
            raise BenchError(f"{' '.join(arguments)} did not pass:\n{answer.output}")
        return answer


def stable(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Where the time of the stable gate went: openQA's jobs, and what the gate adds (target: 3 s and one poll)."""
    took = {phase["name"]: phase["end"] - phase["start"] for phase in result["timeline"]}
    jobs = sum(check["duration"] for check in result["checks"] if check["name"].startswith("openqa: "))
    return [
        ("  the disk to the store", text(took["disks to the store"])),
        ("  openQA, from submission to the look that saw the end", text(took["openQA"])),
        ("    of that the job itself", text(jobs)),
        ("  verdict and proof (target: 3 s)", text(took["verdict and proof"])),
    ]


def where(gates: Sequence[Spent]) -> list[str]:
    """Where the time of the VM gate went, as pipeline.vm.spent defines it; the target is a harness below 2 s."""
    names = {
        "gate": "VM gate by hand, from the start of its process",
        "guest": "  the guest: first boot and commands",
        "second_boot": "  the guest: second boot",
        "user_pytest": "  the repository's pytest modules",
        "harness": "  the harness itself (target: 2 s)",
        "before": "    of that before power on",
        "after": "    of that after power off",
    }
    return [f"{words:<52} {text(median(getattr(gate, name) for gate in gates)):>8}" for name, words in names.items()]


def timed(command: Sequence[str | Path], log: Path | None = None) -> float:
    """Seconds of a command that has to succeed."""
    started = time.monotonic()
    with (log or Path("/dev/null")).open("wb") as file:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=True)
    return time.monotonic() - started


def text(seconds: float) -> str:
    return f"{seconds:.1f} s"


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ci/bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=PARTS, default=PARTS, help="(default: all of them)")
    parser.add_argument("--images", type=int, default=20, help="how many are promoted at once (default: 20)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everything is measured (default: 3)")
    parser.add_argument("--tags", type=int, nargs="+", default=[500], help="of repositories (default: 500)")
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.3], help="in GB (default: 0.3)")
    parser.add_argument(
        "--keep", default="", help="of large: to how much the engine's disk is emptied between commands"
    )
    parser.add_argument("--all", action="store_true", help="ci/demo and ci/test as well, once each")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (BenchError, LabError, large.ScaleError, subprocess.CalledProcessError) as error:
        sys.exit(f"\nci/bench: {error}")
