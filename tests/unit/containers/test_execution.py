"""What a tool run is taken for: bounded, under a deadline, and blamed on whose fault it is."""

import anyio
import dagger
import pytest
from dagger._exceptions import QueryErrorValue
from gql import GraphQLRequest

from pipeline.containers import execution
from pipeline.containers.execution import Ran, attempt, shortened
from pipeline.errors import GateFailed, InfrastructureError, PreconditionError
from pipeline.policy.blame import Work


class Executed:
    """The engine's side of one exec."""

    def __init__(self, code=0, stdout="", stderr="", seconds=0.0):
        self.answers = code, stdout, stderr
        self.seconds = seconds

    def with_exec(self, command, **options):
        return self

    async def exit_code(self):
        await anyio.sleep(self.seconds)
        return self.answers[0]

    async def stdout(self):
        return self.answers[1]

    async def stderr(self):
        return self.answers[2]

    async def combined_output(self):
        return self.answers[1] + self.answers[2]


async def test_a_tool_that_does_not_end_is_an_outage_and_says_how_long_it_had():
    with pytest.raises(InfrastructureError, match=r"`skopeo copy` did not end within 0 s"):
        await attempt(Executed(seconds=60), ["skopeo", "copy"], within=0.05)


async def test_an_answer_that_is_too_long_is_none(monkeypatch):
    monkeypatch.setattr(execution, "OUTPUT_LIMIT", 10)
    with pytest.raises(InfrastructureError, match="printed 11 characters"):
        await attempt(Executed(stdout="x" * 11), ["git", "log"])


def test_a_long_log_keeps_its_beginning_and_its_end():
    kept = shortened("begin" + "x" * 1000 + "end", limit=100)
    assert (kept.startswith("begin"), kept.endswith("end"), "908 characters left out" in kept) == (True, True, True)
    assert shortened("short") == "short"


async def test_the_last_lines_are_those_of_both_streams():
    ran = await attempt(Executed(1, "bootupd is required\n", "error: exit status 1\n"), ["builder"])
    assert ran.end() == "bootupd is required\nerror: exit status 1"


@pytest.mark.parametrize(
    ("work", "stdout", "error", "start"),
    [
        (Work.DISK, "bootupd is required", GateFailed, "bootupd is required (the builder on sha256:00)"),
        (Work.DISK, "write: No space left on device", InfrastructureError, "write: No space left on device ("),
        (Work.COPY, "denied: quota exceeded", PreconditionError, "denied: quota exceeded ("),
    ],
)
def test_the_cause_comes_first_in_the_message(work, stdout, error, start):
    ran = Ran(None, 1, stdout, "error: exit status 1", f"{stdout}\nerror: exit status 1\n")
    blamed = ran.blamed(work, "the builder on sha256:00")
    assert type(blamed) is error
    assert str(blamed).startswith(start)


@pytest.mark.parametrize(("code", "answers"), [(0, True), (6, True), (137, False)])
async def test_only_a_success_is_remembered_and_a_failure_is_an_answer_all_the_same(code, answers):
    asked = []

    class Engine(Executed):
        def with_exec(self, command, **options):
            asked.append(options["expect"])
            return self

        async def exit_code(self):
            if code:
                told = {"cmd": ["fetch"], "exitCode": code, "stdout": "", "stderr": "registry away"}
                value = QueryErrorValue("failed", extensions={"_type": "EXEC_ERROR"} | told)
                raise dagger.ExecError([value], GraphQLRequest("{ __typename }"))
            return code

    if not answers:
        with pytest.raises(execution.Killed):
            await attempt(Engine(), ["fetch"], remembered=True)
        return
    ran = await attempt(Engine(), ["fetch"], remembered=True)
    assert asked == [dagger.ReturnType.SUCCESS]
    assert (ran.code, bool(code and "registry away" in ran.end())) == (code, bool(code))
