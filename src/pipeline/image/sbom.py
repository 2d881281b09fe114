"""A bill of material of each image, by a generator that the repository names: syft, trivy or another."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio

from pipeline.errors import InfrastructureError
from pipeline.image.podman import Finished, podman
from pipeline.policy.sbom import packages_listed
from pipeline.policy.template import filled
from pipeline.report.model import Check, CheckStatus
from pipeline.vm.verdict import Found, Waivers, judge

NAME = "sbom"
_ROOT = "/image"
"""Where the generator finds the files of the image."""
_NEVER_RAN, _KILLED = 125, 128
"""podman's own failure, as when the image cannot be pulled, and the first exit code of a signal (podman-run(1))."""
_SETTINGS = ("NO_COLOR=1", "SYFT_CHECK_FOR_APP_UPDATE=false", "SYFT_FILE_METADATA_SELECTION=none")
"""Plain words; and of syft, no network and no list of every file, which is ten times as long (its configuration)."""


@dataclass(frozen=True)
class Generator:
    """The image that holds it, and what it is called with."""

    image: str
    words: Sequence[str]
    """With `{root}`, the folder of the image's files."""


NONE = Check(
    name=NAME,
    status=CheckStatus.SKIPPED,
    required=False,
    reason="no SBOM was made: gates.next.sbom of pipeline.toml names no generator",
)


async def bill(image: str, generator: Generator, file: Path, waivers: Waivers, *, deadline: float) -> Check:
    """Write the SPDX document of an image in podman's storage into a file.

    InfrastructureError when the generator could not be run to its end: that says nothing about the image. One that
    fails, or writes no SPDX document, fails the check: what was asked for beside the image would not be there.
    """
    done = await podman(
        *("run", "--rm", "--network=none", "--pull=newer"),
        *(f"--env={setting}" for setting in _SETTINGS),
        f"--mount=type=image,src={image},dst={_ROOT}",
        generator.image,
        *(filled(word, {"root": _ROOT}) for word in generator.words),
        deadline=deadline,
    )
    if done.code == _NEVER_RAN or done.code >= _KILLED:
        raise InfrastructureError(
            f"podman could not run the SBOM generator {generator.image} to its end ({done.code}): "
            f"{done.stderr.strip()[-2000:]}. This says nothing about the image; run again, or correct gates.next.sbom."
        )
    findings, note = list[str](), ""
    try:
        note = _told(done, generator)
        await anyio.Path(file).write_text(done.stdout)
    except ValueError as error:
        findings = [str(error)]
    found = Found(findings, note=note, output=done.stderr[-4000:])
    return judge((NAME,), found, waivers, frozenset(), duration=done.duration)


def _told(done: Finished, generator: Generator) -> str:
    if done.code:
        raise ValueError(f"{generator.image} ended with {done.code}: {replace(done, stdout='').last_line}")
    try:
        return f"{len(packages_listed(done.stdout.encode()))} packages"
    except ValueError as error:
        raise ValueError(
            f"{generator.image} printed {error}; expected an SPDX document on standard output (gates.next.sbom.args)"
        ) from error
