"""bootc's own lint, run by the bootc that the image ships."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.image.foreign import FOREIGN, looks_foreign
from pipeline.image.podman import Finished, run_inside
from pipeline.report.model import Check, CheckStatus
from pipeline.vm.verdict import Found, Waivers, judge

NAME = "bootc-lint"
_NONE = 3
"""Said by the shell inside when there is no bootc: podman, its runtime and the shell itself end with other codes."""
_FAILED, _WARNING = "Failed lint:", "Lint warning:"
"""How bootc begins a finding, on stdout."""


@dataclass(frozen=True)
class Lint:
    """What is asked of `bootc container lint`."""

    fatal_warnings: bool = True
    skip: Sequence[str] = ()

    @property
    def command(self) -> list[str]:
        """Its command line."""
        fatal = ["--fatal-warnings"] if self.fatal_warnings else []
        return ["bootc", "container", "lint", *fatal, *(word for name in self.skip for word in ("--skip", name))]


async def bootc_lint(image: str, asked: Lint, waivers: Waivers, *, deadline: float) -> Check:
    """Judge by exit code and show the text: after a lint's runtime error there are no summary lines.

    An image without bootc has nothing to lint with: the check is skipped and says so, and is not required then.
    Raises PreconditionError for an image whose programs do not run here, whether it has bootc or not.
    """
    there = await run_inside(image, ["/bin/sh", "-c", f"command -v bootc || exit {_NONE}"], deadline=deadline)
    if looks_foreign(there.output):
        raise PreconditionError(f"{image} cannot be linted: {there.last_line}. {FOREIGN}")
    if there.code not in (0, _NONE):
        raise InfrastructureError(f"podman cannot run {image}: {there.last_line}")
    if there.code == _NONE:
        return Check(name=NAME, status=CheckStatus.SKIPPED, required=False, reason="the image has no bootc")
    done = await run_inside(image, asked.command, deadline=deadline)
    found = findings(done, fatal_warnings=asked.fatal_warnings) if done.code else []
    expected = f"`{' '.join(asked.command)}` to end with 0, not {done.code}"
    return judge(
        (NAME,), Found(found, expected, output=done.output[-4000:]), waivers, frozenset(), duration=done.duration
    )


def findings(done: Finished, *, fatal_warnings: bool = True) -> list[str]:
    """Why bootc's lint failed, in its own words, each on its own; its error line, which alone names a broken file."""
    lines = [line.strip() for line in done.stdout.splitlines()]
    kinds = (_FAILED, _WARNING) if fatal_warnings else (_FAILED,)
    found = [line.removesuffix(":") for kind in kinds for line in lines if line.startswith(kind)]
    errors = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
    broken = [line for line in errors if "Checks failed" not in line]
    return [*found, *broken] or (errors or [done.last_line])[-1:]
