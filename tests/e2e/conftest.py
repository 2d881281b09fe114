"""One lab for all, one repository for each module; the pipeline is called as users call it."""

import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "ci"))

from rehearsal.calls import Answer, Pipeline
from rehearsal.lab import lab
from rehearsal.repository import Repository

from pipeline.domain import Outcome


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where everything that Dagger says ends up."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def surroundings(request: pytest.FixtureRequest, logs: Path) -> Iterator[None]:
    """Registry, object store and openQA; the newer tiny OS takes half a minute and is for thorough tests alone."""
    thorough = any(item.get_closest_marker("thorough") for item in request.session.items)
    with lab("e2e", logs / "lab.log", suites=("bookworm", "trixie") if thorough else ("bookworm",)):
        yield


@pytest.fixture(scope="module")
def repository(surroundings: None, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The sample OS as a user's repository; its images are nobody else's."""
    return Repository.create(
        tmp_path_factory.mktemp("user") / "sample-os", f"registry:5500/{uuid4().hex[:12]}/sample-os"
    )


@pytest.fixture(scope="module")
def pipeline(repository: Repository, logs: Path) -> Pipeline:
    """`dagger call` on that repository."""
    folder = logs / repository.image.split("/")[1]
    folder.mkdir()
    return Pipeline(repository.path, folder)


class Caller:
    """Calls that know how they have to end; what differs is said with the reason and the log."""

    def __init__(self, pipeline: Pipeline):
        self.pipeline = pipeline

    def passes(self, *arguments: str, log: str = "") -> Answer:
        """`log`: name of the log, for one that a later call is not to write over."""
        answer = self.pipeline.call(*arguments, log=log)
        assert answer.exit_code == 0, self._told(arguments, answer, log)
        return answer

    def fails(self, outcome: str, *arguments: str, log: str = "") -> Answer:
        """`outcome` as the first word of the summary says it."""
        answer = self.pipeline.call(*arguments, log=log)
        assert answer.exit_code == Outcome(outcome.replace(" ", "_")).exit_code, self._told(arguments, answer, log)
        assert answer.output.startswith(f"{outcome} · "), self._told(arguments, answer, log)
        assert "Traceback" not in answer.output
        return answer

    def _told(self, arguments: tuple[str, ...], answer: Answer, log: str = "") -> str:
        path = self.pipeline.log(log or arguments[0])
        return f"{' '.join(arguments)}: exit {answer.exit_code}, log {path}\n{answer.output}"


@pytest.fixture(scope="module")
def caller(pipeline: Pipeline) -> Caller:
    return Caller(pipeline)
