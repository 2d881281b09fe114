"""The demo: a release that goes through, a new base at night, two releases that the gates stop. `ci/demo` runs it."""

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from rehearsal import registry
from rehearsal.calls import Answer, Pipeline
from rehearsal.lab import MODULE, LabError, lab
from rehearsal.progress import Progress
from rehearsal.repository import Repository

_BASE, _MOVING = "registry:5500/lab/tiny-os", "bookworm"
_SERVICE = "os/usr/lib/systemd/system/sample-os-greeting.service"


class DemoError(Exception):
    """The demo did not show what it is there to show."""


def main() -> None:
    """Read top to bottom: lab, a good release, a new base, a failing service, a regression, the table, the reports."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the lab ends with us
    arguments = command_line()
    run = time.strftime("%Y%m%d-%H%M%S")
    out = Path(arguments.out or MODULE / "out" / f"demo-{run}").resolve()
    logs = out / "logs"
    logs.mkdir(parents=True)
    progress = Progress()
    progress.say(f"Logs and reports: {out}")
    progress.heading("The lab: a registry, an object store, openQA (a first start takes some minutes)")
    lab_log = logs / "lab.log"
    with (
        tempfile.TemporaryDirectory(prefix="bootc-demo-") as folder,
        lab("lab", lab_log, waiting=lambda elapsed: progress.waiting(elapsed, lab_log)),
    ):
        repository = Repository.create(Path(folder, "sample-os"), f"registry:5500/demo-{run}/sample-os")
        base = f"demo-{run}"  # a tag that this demo may move
        registry.put(_BASE, base, registry.manifest(_BASE, _MOVING) or b"")
        repository.replace("pipeline.toml", f"{_BASE}:{_MOVING}", f"{_BASE}:{base}")
        repository.commit("A base whose tag moves")
        show = Show(repository, Pipeline(repository.path, logs, waiting=progress.waiting), progress, out)
        show.a_release_goes_through()
        show.a_new_base_comes_at_night(base)
        show.a_failing_service_stops_at_testing()
        show.a_regression_stops_at_stable()
    progress.heading("Done; the lab is stopped.")
    for page in sorted(out.rglob("*.html")) or sorted(out.rglob("summary.md")):
        progress.say(f"  {page}")


class Show:
    """The acts."""

    def __init__(self, repository: Repository, pipeline: Pipeline, progress: Progress, out: Path):
        self.repository = repository
        self.pipeline = pipeline
        self.progress = progress
        self.out = out

    def a_release_goes_through(self) -> None:
        self.progress.heading("1. A commit on main: build, lint, unit tests, then :next")
        self.passes("build-next")
        self.progress.heading("2. git tag v1.0.0-test: disk, boot in QEMU, then :testing")
        self.repository.tag("v1.0.0-test")
        self.passes("promote-testing", "--tag", "v1.0.0-test")
        self.progress.heading("3. git tag v1.0.0: the same disk through openQA, then :stable")
        self.repository.tag("v1.0.0")
        self.passes("promote-stable", "--tag", "v1.0.0")
        self.table()
        for ref, gate in ("next", "next"), ("v1.0.0-test", "testing"), ("v1.0.0", "stable"):
            self.evidence(ref, gate)

    def a_new_base_comes_at_night(self, base: str) -> None:
        self.progress.heading(
            "4. At night, without a commit: the base's tag has moved, and next is built on the new one"
        )
        before = self.channels()
        registry.derived(_BASE, base, _BASE, "a fix of somebody else's", tag=base)
        self.passes("build-next", "--refresh=auto", log="build-next-refresh")
        after = self.channels()
        if after["next"] in (None, before["next"]) or after["stable"] != before["stable"]:
            raise DemoError("the new base did not bring a new candidate to next, and to next alone")
        second = registry.digest(self.repository.image, f"{self.repository.head()}.2")
        if second != after["next"]:
            raise DemoError("next is not at the second candidate of the commit")
        self.table()

    def a_failing_service_stops_at_testing(self) -> None:
        self.progress.heading("5. A commit whose service fails at boot: its unit tests pass, QEMU stops it")
        self.repository.replace(_SERVICE, "/usr/share/sample-os/greeting", "/usr/share/sample-os/greetings")
        self.repository.commit("Greet in the plural")
        self.passes("build-next", log="build-next-service")
        self.repository.tag("v1.1.0-test")
        self.stopped("promote-testing", "--tag", "v1.1.0-test", log="promote-testing-service")
        self.table()
        self.evidence(self.repository.head(), "testing")

    def a_regression_stops_at_stable(self) -> None:
        self.progress.heading("6. Repaired, but with a regression that only openQA's suite looks for")
        self.repository.revert()
        self.repository.write("os/usr/lib/tmpfiles.d/sample-os.conf", "d /tmp 0755 root root -\n")
        self.repository.commit("Nobody but root needs /tmp")
        self.passes("build-next", log="build-next-regression")
        self.repository.tag("v1.2.0-test")
        self.passes("promote-testing", "--tag", "v1.2.0-test", log="promote-testing-regression")
        self.repository.tag("v1.2.0")
        self.stopped("promote-stable", "--tag", "v1.2.0", log="promote-stable-regression")
        self.table()
        self.evidence("v1.2.0-test", "stable")

    def passes(self, *arguments: str, log: str = "") -> None:
        """A call that has to pass."""
        answer = self.call(*arguments, log=log)
        if not answer.passed:
            raise DemoError(f"{arguments[0]} did not pass; its log is in {self.pipeline.logs}")

    def stopped(self, *arguments: str, log: str = "") -> None:
        """A call that the gate has to stop, and that has to leave the channels where they were."""
        before = self.channels()
        answer = self.call(*arguments, log=log)
        if answer.passed:
            raise DemoError(f"{arguments[0]} passed; its gate should have stopped it")
        if self.channels() != before:
            raise DemoError(f"{arguments[0]} failed and moved a channel all the same")
        self.progress.say("        stopped, as it should be; the channels are where they were")

    def call(self, *arguments: str, log: str = "") -> Answer:
        answer = self.pipeline.call(*arguments, log=log)
        self.progress.say(indented(answer.output))
        self.progress.say(f"        ({' '.join(arguments)}: {answer.seconds:.0f} s)")
        return answer

    def table(self) -> None:
        """The channels as they stand."""
        self.progress.heading("Where the channels are")
        self.progress.say(indented(self.pipeline.call("status").output))

    def channels(self) -> dict[str, str | None]:
        """The digest behind each channel, asked of the registry itself."""
        return {channel: registry.digest(self.repository.image, channel) for channel in ("next", "testing", "stable")}

    def evidence(self, ref: str, gate: str) -> None:
        """A gate's report, put on disk."""
        path = self.out / f"{ref}-{gate}" if ref != gate else self.out / gate
        answer = self.pipeline.call(
            *("evidence", "--ref", ref, "--gate", gate, "export", "--path", str(path)), log=f"evidence-{path.name}"
        )
        if not answer.passed:
            raise DemoError(f"no report of the gate {gate} for {ref}: {answer.output}")


def indented(text: str) -> str:
    """Under its heading."""
    return "\n".join(f"        {line}" for line in text.splitlines())


def command_line() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ci/demo", description=__doc__)
    parser.add_argument("--out", help="a new folder for logs and reports (default: out/demo-TIME in the checkout)")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except (DemoError, LabError) as error:
        sys.exit(f"\nci/demo: {error}")
    except KeyboardInterrupt:
        sys.exit("\nci/demo: interrupted; the lab is stopped")
