"""`python -m pipeline.image.candidate IMAGE... --out FOLDER`: images of podman's storage become one OCI layout.

Each platform's image is rechunked by a tool, if one is named, or else written out by podman; then all of them are put
together as what another job built is (`pipeline.image.assembly`). What is pushed is this layout, byte for byte: podman
and skopeo drop the annotations of layers on their way into a registry, and on every change of compression.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from pipeline.errors import GateFailed, InfrastructureError, PreconditionError, UsageError
from pipeline.image.assembly import Assembled, Layout, assemble
from pipeline.image.podman import Finished, podman, run
from pipeline.policy.compression import Compression
from pipeline.policy.template import filled
from pipeline.program import ended
from pipeline.registry.content import Descriptor, Manifest

_ROOT, _CONFIG, _LEFT = "/rechunk/root", "/rechunk/config.json", "/rechunk/out"
"""Where a rechunker finds the files of the image and what podman says of it, and where it leaves its own."""
_STORAGE = "/var/lib/containers"
_NEVER_RAN = 125
"""podman's own failure, as when the image cannot be pulled; what a tool ends with is passed on (podman-run(1))."""
_RIGHTS = ("--cap-add=all", "--security-opt=label=disable", "--security-opt=seccomp=unconfined")
"""All but --privileged, whose devices no rechunker needs; podman inside the engine refuses them on cgroup v1."""


async def candidate(
    images: Sequence[str],
    out: Path,
    *,
    wanted: str = "",
    tool: str | None = None,
    told: Sequence[str] = (),
    within: float,
) -> Assembled:
    """Write the candidate of these images into a new layout `out`.

    Args:
        images: names in podman's storage, one for each platform.
        out: a folder to be made.
        wanted: the compression of its layers; empty for gzip, or for what the tool leaves.
        tool: the image of a rechunker; the candidate's own when empty, none when None.
        told: its arguments, with `{image}` and the like.
        within: seconds for each command.

    Raises GateFailed for a tool that fails, InfrastructureError for one that cannot be run, UsageError for one
    that leaves nothing where it was told to, PreconditionError for what it leaves when that is no image.
    """
    with TemporaryDirectory(dir=out.parent, prefix="work-") as work:
        folders = []
        for number, image in enumerate(images):
            folder = Path(work, str(number))
            if tool is None:
                folders.append(await _written(image, folder, Compression.parse(wanted), within))
                continue
            left = await _rechunked(image, folder, tool, told, within)
            folders.append(await _compressed(left, Compression.parse(wanted), within) if wanted else left)
        return assemble(folders, out)


async def _written(image: str, folder: Path, compression: Compression, within: float) -> Path:
    level = ["--compression-level", compression.level] if compression.level else []
    told = ["--compression-format", compression.algorithm, *level, "--force-compression"]
    _require(await podman("push", "--quiet", *told, image, f"oci:{folder}", deadline=within), "podman push")
    return _seen(folder, compression)


async def _rechunked(image: str, work: Path, tool: str, told: Sequence[str], within: float) -> Path:
    """What the tool leaves: the layout, or the archive unpacked to one."""
    said = await podman("image", "inspect", image, deadline=60)
    _require(said, "podman image inspect")
    left = work / "out"
    left.mkdir(parents=True)
    (work / "config.json").write_text(said.stdout)
    layout, archive = f"{_LEFT}/layout", f"{_LEFT}/archive"
    values = {"image": image, "root": _ROOT, "config": _CONFIG, "layout": layout, "archive": archive}
    done = await podman(
        *("run", "--rm", "--network=none", *_RIGHTS),
        "--pull=newer" if tool else "--pull=never",
        f"--mount=type=image,src={image},dst={_ROOT}",
        f"--volume={work / 'config.json'}:{_CONFIG}:ro",
        f"--volume={left}:{_LEFT}",
        f"--volume={_STORAGE}:{_STORAGE}",
        tool or image,
        *(filled(word, values) for word in told),
        deadline=within,
    )
    if done.code == _NEVER_RAN:
        raise InfrastructureError(f"podman could not run the rechunker {tool or image}: {done.output.strip()}")
    if done.code:
        raise GateFailed(f"The rechunker {tool or 'in the image'} ended with {done.code}.\n{done.output.strip()}")
    if (left / "archive").is_file():
        (left / "layout").mkdir(exist_ok=True)
        unpacked = ["tar", "--extract", "--file", str(left / "archive"), "--directory", str(left / "layout")]
        _require(await run(unpacked, deadline=within), "tar, of the archive that the rechunker left,")
        (left / "archive").unlink()
    if not (left / "layout").is_dir():
        found = ", ".join(sorted(path.name for path in left.iterdir())) or "nothing"
        raise UsageError(
            f"The rechunker {tool or 'in the image'} ended well and left {found}; expected an OCI layout at "
            "{layout}, or an OCI archive at {archive}. Correct rechunk.args."
        )
    return left / "layout"


async def _compressed(layout: Path, compression: Compression, within: float) -> Path:
    """The layout with this compression: as it is, or by skopeo, with the annotations that it drops put back."""
    before = _image(layout)
    if all(compression.is_that_of(layer.media_type, layer.annotations) for layer in before.layers):
        return layout
    folder = layout.with_name("compressed")
    level = ["--dest-compress-level", compression.level] if compression.level else []
    told = ["--dest-compress-format", compression.algorithm, *level, f"oci:{layout}", f"oci:{folder}"]
    _require(
        await run(["skopeo", "copy", "--quiet", *told], deadline=within), "skopeo, compressing what was rechunked,"
    )
    after = _image(folder)
    if (before.config.digest, len(before.layers)) != (after.config.digest, len(after.layers)):
        raise InfrastructureError(
            f"skopeo made {after.digest} of {before.digest} by compressing it, which is another image: config "
            f"{after.config.digest} and {len(after.layers)} layers. Leave compression out."
        )
    _rewrite(folder, annotated(after, before))
    return _seen(folder, compression)


def annotated(image: Manifest, like: Manifest) -> Manifest:
    """The image with the annotations that another has, on itself and, one by one, on its layers."""
    layers = [
        layer.model_copy(update={"annotations": old.annotations | layer.annotations}).to_json()
        for layer, old in zip(image.layers, like.layers, strict=True)
    ]
    annotations = like.annotations | image.annotations
    return Manifest.of(image.json | {"layers": layers} | ({"annotations": annotations} if annotations else {}))


def _rewrite(folder: Path, manifest: Manifest) -> None:
    (folder / "blobs" / "sha256" / manifest.digest.hex).write_bytes(manifest.raw)
    Layout(folder).write_index(manifest.descriptor)


def _image(folder: Path) -> Manifest:
    layout = Layout(folder)
    (top, *more) = layout.tops()
    manifest = layout.manifest(top)
    if more or manifest.is_index:
        raise PreconditionError("The rechunker left several images; expected one, of one platform.")
    return manifest


def _seen(folder: Path, compression: Compression) -> Path:
    """What the layout says is what was asked for."""
    wrong = [one for one in _image(folder).layers if not compression.is_that_of(one.media_type, one.annotations)]
    if wrong:
        raise InfrastructureError(f"A layer is {_told(wrong[0])} in the layout; expected {compression}.")
    return folder


def _told(layer: Descriptor) -> str:
    return f"{layer.media_type} ({', '.join(layer.annotations) or 'no annotations'})"


def _require(done: Finished, what: str) -> None:
    if done.code:
        raise InfrastructureError(f"{what} failed ({done.code}): {done.output.strip()}")


def main() -> int:
    """Print one line of JSON, the candidate; or what is wrong on stderr and the outcome's exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.image.candidate", description=__doc__)
    parser.add_argument("images", nargs="+", help="in podman's storage, one for each platform")
    parser.add_argument("--out", type=Path, required=True, help="a folder to be made")
    parser.add_argument("--compression", default="", help="of the layers: gzip, zstd:3, zstd:chunked")
    parser.add_argument("--rechunk", metavar="IMAGE", help="a tool that splits each image anew; '' for its own")
    parser.add_argument("--tell", action="append", default=[], metavar="WORD", help="an argument for that tool")
    parser.add_argument("--deadline", type=float, default=3600, help="seconds for each command")
    given = parser.parse_args()
    work = partial(candidate, wanted=given.compression, tool=given.rechunk, told=given.tell, within=given.deadline)
    return ended(lambda: anyio.run(work, given.images, given.out).model_dump_json())


if __name__ == "__main__":
    sys.exit(main())
