"""The arguments that several functions share, each with its sentence."""

from enum import StrEnum
from typing import Annotated

import dagger
from dagger import Doc, enum_type

from pipeline.domain import Channel
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

Reference = Annotated[str, Doc("A digest, channel, version tag or commit")]
PlatformName = Annotated[dagger.Platform | None, Doc("As in linux/amd64; the image's first by default")]
TagName = Annotated[str, Doc("The pushed git tag")]
Images = Annotated[list[str] | None, Doc("Only these images of pipeline.toml; all of them otherwise")]
AllowOlder = Annotated[bool, Doc("Take a version that is not above what the channel, or stable, is at")]
OverrideHold = Annotated[bool, Doc("Move the channel although it is on hold")]
MustPush = Annotated[bool, Doc("Fail when the tree would not be pushed")]
ChannelName = Annotated[Channel, Doc("Which channel")]
Channels = Annotated[list[Channel] | None, Doc("Only these channels; all of them by default")]
WhichGate = Annotated[Gate, Doc("Of which gate; auto is the one that the reference is about")]
Holds = Annotated[list[str] | None, Doc("The holds that end, as status shows them; needed for several")]
Reason = Annotated[str, Doc("Why, for the record")]
Target = Annotated[str, Doc("A version tag or digest; the last one before that passed its gate by default")]
CheckNames = Annotated[list[str], Doc("Names of checks, as the report has them")]
Confirm = Annotated[bool, Doc("Delete what the plan says; without it, only the plan")]
Driver = Annotated[DriverKind, Doc("How to delete; auto goes by the registry's host")]
Token = Annotated[dagger.Secret | None, Doc("Token of GitHub's or Quay's own API")]
PublicKey = Annotated[dagger.File, Doc("Whose SSH key may log in as root, as in ~/.ssh/id_ed25519.pub")]
AsJson = Annotated[bool, Doc("The same content for machines")]
FailGate = Annotated[bool, Doc("End with the gate's exit code when it did not pass, as a pull request wants it")]
