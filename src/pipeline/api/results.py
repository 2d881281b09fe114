"""What a command came to, as objects that another module reads field by field."""

from collections.abc import Sequence
from typing import Self

import dagger
from dagger import enum_type, field
from pydantic import TypeAdapter

from pipeline.api.calls import api_object, json_of, lasting, printed
from pipeline.domain import Outcome
from pipeline.gates.evidence import GateRun, new_folder, report_directory
from pipeline.report import model
from pipeline.report.release import merge
from pipeline.report.text import result_text

enum_type(Outcome)
enum_type(model.CheckStatus)
_RESULTS = TypeAdapter(list[model.Result])


@api_object
class GateCheck:
    """One thing that a gate looked at."""

    name: str = field()
    status: model.CheckStatus = field()
    required: bool = field()
    reason: str = field()
    duration: float = field()
    """Seconds"""
    output: str = field()

    @classmethod
    def of(cls, check: model.Check) -> Self:
        """The same in the words of the API."""
        return cls(
            name=check.name,
            status=check.status,
            required=check.required,
            reason=check.reason,
            duration=check.duration,
            output=check.output,
        )


@api_object
class TagMove:
    """One tag that goes from one digest to another."""

    repository: str = field()
    tag: str = field()
    old: str = field()
    """Empty for a tag that is created"""
    new: str = field()

    @classmethod
    def of(cls, move: model.Move) -> Self:
        """The same in the words of the API."""
        return cls(repository=move.repository, tag=move.tag, old=move.old or "", new=move.new)


@api_object
class CommandResult:
    """How a command ended and why; it is an answer also when the command did not pass."""

    command: str = field()
    outcome: Outcome = field()
    exit_code: int = field()
    """0 when nothing is wrong, else that of the outcome"""
    reason: str = field()
    image: str = field()
    digest: str = field()
    """Empty where there is none yet, and for several images: see images"""
    commit: str = field()
    checks: list[GateCheck] = field()
    moves: list[TagMove] = field()
    """Tags that moved, or would have"""
    document: str
    files: dagger.Directory | None = None

    @classmethod
    def of(cls, results: Sequence[model.Result], files: dagger.Directory | None = None) -> Self:
        """One result for one command over one or more images."""
        whole = merge(results)
        return cls(
            command=whole.command,
            outcome=whole.outcome,
            exit_code=whole.exit_code,
            reason=whole.reason,
            image=whole.image,
            digest=whole.digest or "",
            commit=whole.commit or "",
            checks=[GateCheck.of(check) for check in whole.checks],
            moves=[TagMove.of(move) for move in whole.plan],
            document=_RESULTS.dump_json(list(results)).decode(),
            files=files,
        )

    def results(self) -> list[model.Result]:
        """What was put in."""
        return _RESULTS.validate_json(self.document)

    @lasting
    def images(self) -> list["CommandResult"]:
        """The result of each image."""
        return [CommandResult.of([result]) for result in self.results()]

    @lasting
    def text(self) -> str:
        """The summary that the command prints."""
        return result_text(merge(self.results()))

    @lasting
    def json(self) -> str:
        """The results of all images, as result.json has them."""
        return json_of(self.results())

    @lasting
    def report(self) -> dagger.Directory:
        """result.json, summary.md, junit.xml and report.html, with the logs of a gate beside them."""
        return self.files or report_directory([GateRun(result, new_folder()) for result in self.results()])


@api_object
class Answer:
    """What a question was answered with; one that cannot be answered fails the call."""

    text: str = field()
    """For people"""
    json: str = field()
    """The same for machines"""

    @classmethod
    def of(cls, text: str, json: str) -> Self:
        """Both as they are printed."""
        return cls(text=printed(text), json=printed(json))
