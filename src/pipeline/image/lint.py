"""bootc's own lint, run by the bootc that the image ships."""

from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.image.foreign import FOREIGN, looks_foreign
from pipeline.image.podman import run_inside
from pipeline.report.model import Check, CheckStatus

NAME = "bootc-lint"
COMMAND = ["bootc", "container", "lint", "--fatal-warnings"]
_NONE = 3
"""Said by the shell inside when there is no bootc: podman, its runtime and the shell itself end with other codes."""


async def bootc_lint(image: str, *, deadline: float) -> Check:
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
    done = await run_inside(image, COMMAND, deadline=deadline)
    return Check(
        name=NAME,
        status=CheckStatus.FAILED if done.code else CheckStatus.PASSED,
        reason=f"`{' '.join(COMMAND)}` ended with {done.code}; expected 0" if done.code else "",
        duration=done.duration,
        output=done.output[-4000:],
    )
