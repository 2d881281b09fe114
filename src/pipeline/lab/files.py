"""`ci/lab` of this module: what the lab's images hold."""

import dagger
from dagger import dag


def lab_files() -> dagger.Directory:
    """Start scripts, configurations and the sources of the lab's own images."""
    return dag.current_module().source().directory("ci/lab")
