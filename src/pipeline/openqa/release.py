"""What openQA is told after a promotion: its results, and with them the links of the evidence, are to be kept."""

from collections.abc import Iterable, Mapping

from pipeline.errors import PipelineError
from pipeline.openqa.client import OpenQA
from pipeline.quantities import whole


def tags_of(inputs: Mapping[str, str], version: str) -> set[tuple[int, str]]:
    """For each job group that ran a build: the comment's first line that keeps it.

    Args:
        inputs: of the gate's result (`GateOutcome.inputs`), with or without an architecture before the names.
        version: of the release.

    The form is openQA's: `tag:<VERSION>-<BUILD>:important:<description>` in a comment of the group. VERSION must be
    there: of a BUILD that has a dash, openQA takes what is before the dash for it (OpenQA::Schema::Result::Comments,
    tag; JobGroups, important_builds). Jobs without a group have nowhere to put it.
    """
    found = set[tuple[int, str]]()
    for name, groups in inputs.items():
        prefix, is_groups, _ = name.rpartition("openqa groups")
        if is_groups:
            run = "-".join(inputs.get(f"{prefix}openqa {part}", "") for part in ("version", "build"))
            tag = f"tag:{run}:important:{version}"
            found |= {(number, tag) for group in groups.split() if (number := whole(group)) is not None}
    return found


async def keep_results(client: OpenQA, tags: Iterable[tuple[int, str]], text: str) -> list[str]:
    """Comment each group once, with its tag and what was promoted; return what could not be done.

    The release has happened: nothing here may fail it.
    """
    missing = list[str]()
    for group, tag in sorted(tags):
        try:
            if not any(tag in comment for comment in await client.comments(f"groups/{group}")):
                await client.comment(f"groups/{group}", f"{tag}\n\n{text}")
        except PipelineError as error:
            missing.append(f"openQA's group {group} does not know of the release: {error}")
    return missing
