"""Running a command in a container, and what came of it."""

from dataclasses import dataclass

import anyio
import dagger
from dagger import ReturnType

from pipeline.errors import InfrastructureError, PipelineError
from pipeline.policy.blame import Work, blamed

DEADLINE = 3600.0
"""Seconds that a tool run may take when nothing else is said; no wait is without an end."""
OUTPUT_LIMIT = 16 * 1024**2
"""Characters of standard output that are taken for an answer."""
LOG_LIMIT = 1024**2
"""Characters that are kept of what was printed, for people: the first tenth and the end."""


@dataclass(frozen=True)
class Ran:
    """A command that ended, with the container as it left it."""

    container: dagger.Container
    code: int
    stdout: str
    stderr: str
    log: str = ""
    """Both of them, in the order in which they came; the middle of a very long one is left out."""

    @property
    def said(self) -> str:
        """All that it printed, for people."""
        return self.log or self.stdout + self.stderr

    def end(self, lines: int = 20) -> str:
        """The last lines it printed, for an error message."""
        said = self.said.strip() or f"no output, exit code {self.code}"
        return "\n".join(said.splitlines()[-lines:])

    def blamed(self, work: Work, what: str) -> PipelineError:
        """The error for a run that failed: what it said last of the cause, what was tried, and what to do."""
        return blamed(work, self.said, what, self.end())


class Killed(InfrastructureError):
    """A command that ended with a code from 128 to 191, which the engine takes for a signal.

    git ends with 128 for ordinary errors, too; 137 is what the kernel does when memory runs out.
    """

    def __init__(self, error: dagger.ExecError) -> None:
        super().__init__(
            f"`{' '.join(error.command)}` was killed (exit code {error.exit_code}): {error.stderr[-2000:]}"
        )
        self.code = error.exit_code


async def attempt(
    container: dagger.Container,
    command: list[str],
    *,
    privileged: bool = False,
    entrypoint: bool = False,
    stdin: str = "",
    within: float = DEADLINE,
    remembered: bool = False,
) -> Ran:
    """Run a command; any exit code is an answer. `stdin` is a file of the container, `within` is in seconds.

    `remembered`: a success may be one that the engine still has of an earlier run of this very command, a failure never
    is. Anything else the engine keeps as an answer, whatever the exit code: what touches the outside needs a
    `Reach.run` of its own.

    Raises Killed for a signal, InfrastructureError when the container itself could not be made (an image that
    cannot be pulled, a package that cannot be installed) or the command does not end in time: none of them says
    anything about what was to be tested.
    """
    executed = container.with_exec(
        command,
        use_entrypoint=entrypoint,
        redirect_stdin=stdin,
        expect=ReturnType.SUCCESS if remembered else ReturnType.ANY,
        insecure_root_capabilities=privileged,
    )
    try:
        with anyio.fail_after(within):
            code = await executed.exit_code()
            stdout, stderr = await executed.stdout(), await executed.stderr()
            log = shortened(await executed.combined_output())
    except TimeoutError:
        raise InfrastructureError(
            f"`{' '.join(command)}` did not end within {within:.0f} s. This says nothing about the image; "
            "run the command again, or give it longer."
        ) from None
    except dagger.ExecError as error:
        if error.command[-len(command) :] == command:
            if remembered and not 128 <= error.exit_code < 192:
                return Ran(container, error.exit_code, error.stdout, shortened(error.stderr))
            raise Killed(error) from error
        said = (error.stderr or error.stdout)[-2000:]
        raise InfrastructureError(f"No tool container: `{' '.join(error.command)}` failed: {said}") from error
    except dagger.QueryError as error:
        raise InfrastructureError(f"The engine could not run `{' '.join(command)}`: {error}") from error
    return Ran(executed, code, _answer(stdout, command), shortened(stderr), log)


def outcome_of(ran: Ran) -> PipelineError:
    """The error of one of our own programs that failed: its exit code is the outcome's, its last words the reason."""
    kinds = {kind.outcome.exit_code: kind for kind in PipelineError.__subclasses__()}
    return kinds.get(ran.code, InfrastructureError)(ran.end())


def _answer(stdout: str, command: list[str]) -> str:
    """An answer that was cut would be read as another one."""
    if len(stdout) > OUTPUT_LIMIT:
        raise InfrastructureError(f"`{' '.join(command)}` printed {len(stdout)} characters; expected {OUTPUT_LIMIT}")
    return stdout


def shortened(log: str, limit: int = LOG_LIMIT) -> str:
    """At most `limit` characters and one line that says how many are not there: the beginning and the end."""
    if len(log) <= limit:
        return log
    first = limit // 10
    return f"{log[:first]}\n… {len(log) - limit} characters left out …\n{log[first - limit :]}"
