"""What the upload of a disk costs, beside rclone with the same bytes.

To a real S3 server (versitygw) on this machine. Both create an object that is not there; ours has the store compare a
checksum, and reads the object by its public address as far as the store's answer makes needful.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import dagger

from pipeline.lab.store import versitygw
from rehearsal.lab import STORE_AUTH
from rehearsal.large import store
from rehearsal.scale import cost, filled
from rehearsal.tests import conftest

servers = conftest("contract")

_PLACE = "os-images/candidates"


def measured(gigabytes: Sequence[float], logs: Path) -> Iterator[str]:
    """The table, a line each."""
    rclone, port = servers.debian("rclone"), servers.free_port()
    url, (key, _, secret) = f"http://localhost:{port}", STORE_AUTH.partition(":")
    login = {"RCLONE_S3_ACCESS_KEY_ID": key, "RCLONE_S3_SECRET_ACCESS_KEY": secret}
    login["AWS_CA_BUNDLE"] = ""  # rclone 1.60 ends where one is set
    remote = f":s3,provider=Other,force_path_style,no_check_bucket,endpoint='{url}':{_PLACE}"
    with TemporaryDirectory(prefix="bootc-bench-", dir=os.environ.get("TMPDIR")) as name:
        folder, held = Path(name), Path(name, "held")
        held.mkdir()
        anyio.run(_brought, folder / "bin/versitygw", logs)
        disk, auth = folder / "disk", folder / "auth"
        auth.write_text(STORE_AUTH)
        ours = [sys.executable, "-m", "pipeline.upload", "--url", f"s3://{_PLACE}", "--endpoint", url]
        ours += ["--public-url", f"{url}/{_PLACE}", "--auth-file", str(auth), "--path", str(disk)]
        yield f"{'a disk, uploaded':<44}{'time':>10} {'processor':>10} {'':>12} {'memory':>9} {'stored':>8}"
        with store(folder / "bin", held, port):
            for size in gigabytes:
                title, written = f"{size:g} GB", filled(disk, int(size * 1e9))
                yield cost([*ours, "--key", f"by-us-{size:g}"], held).line(title, written)
                # this server lets each part wait for the second that rclone gives to an answer before it sends
                words = ["copyto", "--quiet", "--expect-continue-timeout", "0"]
                by_rclone = [rclone, *words, str(disk), f"{remote}/by-rclone-{size:g}"]
                yield cost(by_rclone, held, **login).line(f"{title}, by rclone", written)
                disk.unlink()


async def _brought(program: Path, logs: Path) -> None:
    with (logs / "servers.log").open("w") as log:
        async with dagger.connection(dagger.Config(log_output=log)):
            await versitygw().export(str(program))
