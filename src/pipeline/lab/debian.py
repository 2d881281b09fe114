"""What every image of the lab stands on."""

import dagger
from dagger import dag

BASE = "python:3.13-slim"


def files() -> dagger.Directory:
    """`ci/lab` of this module: what the lab's images hold."""
    return dag.current_module().source().directory("ci/lab")


def debian(files: dagger.Directory, *packages: str) -> dagger.Container:
    """A Debian with Python and with `packages` installed; none of their daemons runs."""
    base = dag.container().from_(BASE)
    if not packages:
        return base
    return base.with_mounted_file("/install", files.file("install")).with_exec(["/install", *packages])
