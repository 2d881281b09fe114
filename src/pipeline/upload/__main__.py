"""`python -m pipeline.upload`: one file to one key, from inside a tool container.

Prints one line of JSON and exits 0 when the object is there and right; else the reason goes to stderr and the exit code
is that of the outcome (DESIGN, outcomes).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import stamina

from pipeline.domain import Outcome
from pipeline.errors import UsageError
from pipeline.program import ended
from pipeline.upload.s3 import S3
from pipeline.upload.store import Upload
from pipeline.upload.transfer import transfer
from pipeline.upload.web import Web


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.upload", description=__doc__)
    parser.add_argument("--url", required=True, help="s3://BUCKET/PREFIX, or an http(s) folder that takes PUT")
    parser.add_argument("--endpoint", help="the S3 server, when it is not Amazon's")
    parser.add_argument("--region", default="us-east-1")
    parser.add_argument("--public-url", required=True, help="the same folder as openQA reads it")
    parser.add_argument("--key", required=True, help="the object's name in that folder")
    parser.add_argument("--path", required=True, type=Path, help="the file")
    parser.add_argument("--sha256", help="of the file, when that is known: it is not read once more for it")
    parser.add_argument("--auth-file", type=Path, help="holds KEY:SECRET, or USER:PASSWORD")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds for everything")
    given = parser.parse_args(arguments)
    stamina.instrumentation.set_on_retry_hooks([])  # stderr is for the reason

    def uploaded() -> str:
        store = open_store(given.url, given.endpoint, given.region, read_auth(given.auth_file))
        upload = Upload.of(given.path, given.key, given.sha256)
        public_url = f"{given.public_url.rstrip('/')}/{given.key}"
        done = anyio.run(partial(transfer, store, upload, public_url, deadline=given.timeout))
        line = {
            "upload": "unchanged" if done.outcome is Outcome.UNCHANGED else "created",
            "upload url": done.url,
            "upload size": done.size,
            "upload sha256": done.sha256,
        }
        return json.dumps(line)

    return ended(uploaded)


def open_store(url: str, endpoint: str | None, region: str, auth: tuple[str, str] | None) -> S3 | Web:
    """Choose the driver by the address; UsageError for a scheme that has none, and for S3 without a login."""
    parts = urlsplit(url)
    if parts.scheme == "s3":
        if auth is None:
            raise UsageError(f"{url} wants a login, and none was given: expected --upload-auth with KEY:SECRET")
        return S3(parts.netloc, parts.path.strip("/"), endpoint, region, auth)
    if parts.scheme in ("http", "https"):
        return Web(url, auth)
    raise UsageError(f"uploads go to s3://BUCKET/PREFIX or to http(s)://…, not to {url!r}")


def read_auth(file: Path | None) -> tuple[str, str] | None:
    """The key and secret in a file, if there is one."""
    if file is None:
        return None
    key, colon, secret = file.read_text().strip().partition(":")
    if not colon:
        raise UsageError("the upload's secret has no colon: KEY:SECRET is expected (or USER:PASSWORD)")
    return key, secret


if __name__ == "__main__":
    sys.exit(main())
