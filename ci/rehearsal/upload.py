"""What the upload of a disk costs, beside rclone with the same bytes.

To a real S3 server (versitygw) on this machine. Both create an object that is not there; ours has the store compare a
checksum of each part, and reads the object's end by its public address.
"""

import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import dagger

from pipeline.lab.store import versitygw
from rehearsal.lab import STORE_AUTH
from rehearsal.large import store
from rehearsal.scale import Cost, cost, filled
from rehearsal.tests import conftest

servers = conftest("contract")

_BUCKET = "os-images"


async def measured(gigabytes: Sequence[float], logs: Path) -> AsyncIterator[str]:
    """The table, a line each."""
    yield f"{'a disk, uploaded':<44}{'time':>10} {'processor':>10} {'':>12} {'memory':>9} {'stored':>8}"
    with tempfile.TemporaryDirectory(prefix="bootc-bench-", dir=os.environ.get("TMPDIR")) as name, ExitStack() as stack:
        folder, port = Path(name), servers.free_port()
        with (logs / "servers.log").open("w") as log:
            async with dagger.connection(dagger.Config(log_output=log)):
                await versitygw().export(str(folder / "bin/versitygw"))
        held = folder / "held"
        stack.enter_context(store(folder / "bin", held, port))
        for size in gigabytes:
            disk = folder / "disk"
            title, size = f"{size:g} GB", filled(disk, int(size * 1e9))
            for what, used in (("by us", _ours(disk, port, folder)), ("by rclone", _rclone(disk, port))):
                yield used(held).line(f"{title}, {what}", size)
            disk.unlink()
