"""`builder` of `[gates.testing]`: what makes the disk, and what else it makes."""

import re
from typing import Literal

from pydantic import field_validator, model_validator

from pipeline.config.words import ImageReference, RelativePath, Said, Table
from pipeline.policy import platforms
from pipeline.quantities import Deadline
from pipeline.vm.form import Form

BOOTC_IMAGE_BUILDER = "quay.io/centos-bootc/bootc-image-builder:latest"

OUTPUT = "/output"
"""Where the disk builder leaves the disk."""

QCOW2 = "qcow2"
OUTPUTS = {
    "qcow2": "qcow2/disk.qcow2",
    "raw": "image/disk.raw",
    "iso": "bootiso/install.iso",
    "anaconda-iso": "bootiso/install.iso",
    "vmdk": "vmdk/disk.vmdk",
    "vhd": "vpc/disk.vhd",
    "ami": "image/disk.raw",
    "gce": "gce/image.tar.gz",
}
"""What bootc-image-builder makes, and where it leaves it (its documentation, "Image types")."""

_PLACEHOLDERS = ("{ref}", "{output}", "{arch}", "{type}")
_PLACEHOLDER = re.compile("|".join(map(re.escape, _PLACEHOLDERS)))


class Builder(Table):
    """The disk builder: an image with the command line of bootc-image-builder, of its successor, or of one's own."""

    image: Said = BOOTC_IMAGE_BUILDER
    """The image of the program that makes the disk; by digest it is the same one tomorrow."""
    args: tuple[str, ...] = ("--type", "qcow2")
    """What it is called with, after its image's entrypoint: `{ref}` becomes the image reference, `{output}` the folder
    for the disk, `{arch}` the machine name of the platform (`aarch64`). Without `{ref}` in any of them,
    `--output {output} {ref}` follows, as bootc-image-builder wants it."""
    disk: RelativePath = "qcow2/disk.qcow2"
    """Where below the output folder the disk is afterwards."""
    needs: tuple[ImageReference, ...] = ()
    """Images that the builder takes from the same storage (`--build-container`): they are pulled there before."""
    outputs: tuple[Literal["qcow2", "raw", "iso", "anaconda-iso", "vmdk", "vhd", "ami", "gce"], ...] = ("qcow2",)
    """What is built of the image: the qcow2 that boots and is tested, and what is stored and uploaded beside it. Of
    those an ISO is booted to its installer, and nothing else is run. `{type}` in `args`, or what follows `--type`,
    becomes each of them."""
    form: Form = Form.QCOW2
    """How the disk is stored, tested and uploaded, into which it is converted once if the builder leaves another one:
    `qcow2` (nothing compressed), `qcow2-zstd`, or `as-built`, any qcow2."""
    config: RelativePath | None = None
    """A file of the repository, mounted at /config.toml (or /config.json). It shapes the disk that ships."""
    timeout: Deadline = 3600.0
    """For making one disk."""

    @field_validator("args")
    @classmethod
    def _known_placeholders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = {word for argument in value for word in re.findall(r"\{[a-z_]+\}", argument)} - set(_PLACEHOLDERS)
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))} is no placeholder; allowed are {', '.join(_PLACEHOLDERS)}")
        return value

    @field_validator("config")
    @classmethod
    def _toml_or_json(cls, value: str | None) -> str | None:
        if value and not value.endswith((".toml", ".json")):
            raise ValueError("expected a file that ends with .toml or .json, by which the builder tells them apart")
        return value

    @model_validator(mode="after")
    def _told_what_to_make(self) -> "Builder":
        if self.others and not any("{type}" in word or word == "--type" for word in self.args):
            raise ValueError("outputs beside qcow2 take a {type} in args, by which the builder is told what to make")
        return self

    @property
    def others(self) -> tuple[str, ...]:
        """What is built beside the disk that is tested."""
        return tuple(kind for kind in dict.fromkeys(self.outputs) if kind != QCOW2)

    def arguments(self, platform: str, reference: str, kind: str = QCOW2) -> list[str]:
        """What the builder is called with for `reference` on this platform, as a disk or what else `kind` is."""
        called = any("{ref}" in word for word in self.args)
        words = list(self.args if called else (*self.args, "--output", "{output}", "{ref}"))
        if kind != QCOW2 and "--type" in words[:-1]:
            words[words.index("--type") + 1] = kind
        values = {"{ref}": reference, "{output}": OUTPUT, "{arch}": architecture(platform), "{type}": kind}
        return [_PLACEHOLDER.sub(lambda found: values[found.group()], word) for word in words]


def architecture(platform: str) -> str:
    """The machine name of a platform: `linux/amd64` is `x86_64`."""
    return platforms.machine(platform)
