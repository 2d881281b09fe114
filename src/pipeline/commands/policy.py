"""What a machine needs to refuse a channel that no release moved: its signature policy, ready to be copied."""

from collections.abc import Sequence

from pipeline.config import Image
from pipeline.domain import Channel, Repository
from pipeline.errors import UsageError
from pipeline.trust import machine
from pipeline.trust.keys import PublicKey
from pipeline.world import World


def policy(world: World, channel: Channel) -> dict[str, str]:
    """The files of a machine that follows a channel of these images, by their path below `/`.

    UsageError when `[trust]` of the main branch names no key for the channel.
    """
    keys = _keys(world, channel)
    homes = dict.fromkeys(image.home(channel) for image in world.images)
    mirrors = {
        place: image.home(channel)
        for image in world.images
        if channel is Channel.STABLE and (place := _followed(image)) not in homes
    }
    return machine.files(dict.fromkeys(homes, keys), mirrors)


def policy_text(found: dict[str, str]) -> str:
    """The files for people, each under the line that says where it goes."""
    return "\n".join(f"# /{path}\n{content}" for path, content in found.items())


def _keys(world: World, channel: Channel) -> Sequence[PublicKey]:
    if keys := world.notary.trust.keys(channel):
        return keys
    asked = world.notary.trust.of(channel)
    found = f"names {' and '.join(map(str, asked))}" if asked else "names nobody"
    raise UsageError(
        f"[trust] of {world.judge.branch or 'the main branch'} {found} for {channel}; expected a key: podman, skopeo "
        f'and bootc know no identity of a workflow. Add {channel} = {{ key = "keys/{channel}.pub" }}, and sign with '
        "that key (docs/trust.md)."
    )


def _followed(image: Image) -> Repository:
    """The repository that installed systems follow."""
    return Repository.parse(image.update_reference.rpartition(":")[0])
