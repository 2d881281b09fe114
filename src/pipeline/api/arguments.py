"""The arguments that several functions share, each with its sentence."""

from enum import StrEnum
from typing import Annotated

import dagger
from dagger import Doc, enum_type

from pipeline.domain import Channel, Refresh
from pipeline.registry.retention import DriverKind


@enum_type
class Gate(StrEnum):
    """Whose report or evidence is meant."""

    AUTO = "auto"
    """The gate that the reference is about, else the last one that left evidence"""
    NEXT = "next"
    """Build, lint and unit tests"""
    TESTING = "testing"
    """Boot and upgrade in QEMU"""
    STABLE = "stable"
    """The openQA run"""

    @property
    def channel(self) -> Channel | None:
        """The channel that it guards; None for AUTO."""
        return None if self is Gate.AUTO else Channel(self.value)


enum_type(Channel)
enum_type(DriverKind)
enum_type(Refresh)

Reference = Annotated[str, Doc("A digest, channel, version tag or commit")]
PlatformName = Annotated[dagger.Platform | None, Doc("As in linux/amd64; the image's first by default")]
TagName = Annotated[str, Doc("The pushed git tag")]
Images = Annotated[list[str] | None, Doc("Only these images of pipeline.toml; all of them otherwise")]
AllowOlder = Annotated[bool, Doc("Take a version that is not above what the channel, or stable, is at")]
OverrideHold = Annotated[bool, Doc("Move the channel although it is on hold")]
MustPush = Annotated[bool, Doc("Fail when the tree would not be pushed")]
Another = Annotated[
    Refresh, Doc("Another candidate of a commit that has one: auto, when an image that it is built on changed; always")
]
References = Annotated[list[str] | None, Doc("REPOSITORY@DIGEST: an index, or one image for each platform")]
Archives = Annotated[list[dagger.File] | None, Doc("The same as OCI archives")]
Layouts = Annotated[list[dagger.Directory] | None, Doc("The same as OCI layouts")]
Containers = Annotated[list[dagger.Container] | None, Doc("The same as containers of another module")]
BuiltFrom = Annotated[str, Doc("What it was built from: the commit that is checked out, and no other")]
CandidateDigest = Annotated[str, Doc("Another candidate of the tag's commit than the newest that passed")]
ChannelName = Annotated[Channel, Doc("Which channel")]
Followed = Annotated[Channel, Doc("Which channel the machines follow")]
Anchors = Annotated[
    list[str] | None,
    Doc("What ledgers must still have: a git tag with what `anchor` printed, or the digest of an entry"),
]
Channels = Annotated[list[Channel] | None, Doc("Only these channels; all of them by default")]
WhichGate = Annotated[Gate, Doc("Of which gate; auto is the one that the reference is about")]
Holds = Annotated[list[str] | None, Doc("The holds that end, as status shows them; needed for several")]
OldRepository = Annotated[str, Doc("Where the image was until now: HOST/PATH")]
OldStableRepository = Annotated[str, Doc("Where its releases were, when stable_repository keeps them apart: HOST/PATH")]
Reason = Annotated[str, Doc("Why, for the record")]
Target = Annotated[str, Doc("A version tag or digest; the last one before that passed its gate by default")]
CheckNames = Annotated[list[str], Doc("Names of checks, as the report has them")]
Confirm = Annotated[bool, Doc("Delete what the plan says; without it, only the plan")]
Driver = Annotated[DriverKind, Doc("How to delete; auto goes by the registry's host")]
Token = Annotated[dagger.Secret | None, Doc("Token of GitHub's or Quay's own API")]
PublicKey = Annotated[dagger.File, Doc("Whose SSH key may log in as root, as in ~/.ssh/id_ed25519.pub")]
EachPlatform = Annotated[bool, Doc("A cell for each platform of each image")]
GatedBefore = Annotated[bool, Doc("Run no gate: all images passed theirs before (gate-testing --keep), or none moves")]
Keep = Annotated[bool, Doc("Store report and disks beside the image, for promote-testing --gated")]
AsJson = Annotated[bool, Doc("The same content for machines")]
FailGate = Annotated[bool, Doc("End with the gate's exit code when it did not pass, as a pull request wants it")]
