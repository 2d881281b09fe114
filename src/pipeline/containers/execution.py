"""Running a command in a container, and what came of it."""

from dataclasses import dataclass

import dagger
from dagger import ReturnType

from pipeline.errors import InfrastructureError


@dataclass(frozen=True)
class Ran:
    """A command that ended, with the container as it left it."""

    container: dagger.Container
    code: int
    stdout: str
    stderr: str

    def end(self, lines: int = 20) -> str:
        """The last lines it printed, for an error message."""
        said = self.stderr.strip() or self.stdout.strip() or f"no output, exit code {self.code}"
        return "\n".join(said.splitlines()[-lines:])


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
    container: dagger.Container, command: list[str], *, privileged: bool = False, entrypoint: bool = False
) -> Ran:
    """Run a command; any exit code is an answer.

    Raises Killed for a signal, InfrastructureError when the container itself could not be made (an image that
    cannot be pulled, a package that cannot be installed): neither says anything about what was to be tested.
    """
    executed = container.with_exec(
        command, use_entrypoint=entrypoint, expect=ReturnType.ANY, insecure_root_capabilities=privileged
    )
    try:
        code = await executed.exit_code()
        return Ran(executed, code, await executed.stdout(), await executed.stderr())
    except dagger.ExecError as error:
        if error.command[-len(command) :] == command:
            raise Killed(error) from error
        said = (error.stderr or error.stdout)[-2000:]
        raise InfrastructureError(f"No tool container: `{' '.join(error.command)}` failed: {said}") from error
    except dagger.QueryError as error:
        raise InfrastructureError(f"The engine could not run `{' '.join(command)}`: {error}") from error
