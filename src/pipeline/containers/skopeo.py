"""Promotion: the one place that writes a channel or version tag."""

from pipeline.containers.base import Reach, anew, debian
from pipeline.containers.execution import attempt
from pipeline.domain import Digest, Repository, Tag
from pipeline.policy.blame import Work

_LIMIT, _DEADLINE = "1h", 3900.0
"""skopeo waits for an answer as long as it takes, unless told."""


async def copy_by_digest(reach: Reach, source: Repository, digest: Digest, target: Repository, tag: Tag | None) -> None:
    """Let `target:tag` name exactly the manifest `source@digest`; nothing is re-serialised.

    Without `tag` it is only brought there.

    Raises what skopeo's words mean (`pipeline.policy.blame`): PreconditionError for a final refusal of the registry,
    else InfrastructureError. The caller reads the tag back: an error may come after the registry took the manifest.
    """
    destination = target.tagged(tag) if tag else target.at(digest)
    copied = await attempt(
        anew(reach.registries(debian("skopeo", "ca-certificates"))),
        [
            *("skopeo", "--command-timeout", _LIMIT, "copy"),
            "--all",
            "--preserve-digests",
            f"docker://{source.at(digest)}",
            f"docker://{destination}",
        ],
        within=_DEADLINE,
    )
    if copied.code:
        raise copied.blamed(Work.COPY, f"skopeo could not copy {source.at(digest)} to {destination}")
