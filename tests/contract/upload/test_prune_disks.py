"""`python -m pipeline.upload.prune` against real servers."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.domain import Digest
from pipeline.upload.key import object_key

Place = Any  # of conftest.py, which tests cannot import
KEPT, GONE = Digest("sha256:" + "a" * 64), Digest("sha256:" + "b" * 64)


def run(module: str, place: Place, directory: Path, *more: str) -> subprocess.CompletedProcess[str]:
    (directory / "auth").write_text(f"{place.user}:{place.secret}")
    command = [sys.executable, "-m", module, *place.arguments, "--auth-file", str(directory / "auth"), *more]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=120)


def prune(place: Place, directory: Path, *more: str, days: float = 60) -> subprocess.CompletedProcess[str]:
    now = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    order = {"image": "prune", "kept": [KEPT], "gone": [GONE], "rules": {"max_percent": 100}, "now": now}
    (directory / "order.json").write_text(json.dumps(order))
    listed = place.arguments[: place.arguments.index("--public-url")]
    place = type(place)(listed, place.public_url, place.user, place.secret)
    return run("pipeline.upload.prune", place, directory, "--order", str(directory / "order.json"), *more)


@pytest.fixture
def keys(place: Place, tmp_path: Path) -> list[str]:
    """A disk that stays, one that goes, one of another image."""
    (tmp_path / "disk").write_bytes(b"disk" * 1000)
    pairs = [("prune", KEPT), ("prune", GONE), ("prune-lts", GONE)]
    made = [object_key(image, "1.0.0", "x86_64", digest, digest) for image, digest in pairs]
    for key in made:
        done = run("pipeline.upload", place, tmp_path, "--key", key, "--path", str(tmp_path / "disk"))
        assert done.returncode == 0, done.stderr
    return made


def test_old_disks_of_gone_images_go_and_no_others(place: Place, keys: list[str], tmp_path: Path) -> None:
    if "PROPFIND" in prune(place, tmp_path).stderr:
        refused = prune(place, tmp_path, "--confirm")
        assert refused.returncode == 3, "a server whose files cannot be listed is a precondition"
        return
    young = prune(place, tmp_path, "--confirm", days=0)
    assert (young.returncode, json.loads(young.stdout)["outcome"]) == (0, "unchanged"), young.stderr
    planned = json.loads(prune(place, tmp_path).stdout)
    assert (planned["goes"], planned["deleted"], planned["freed"]) == ([keys[1]], [], 4000)
    assert httpx.get(f"{place.public_url}/{keys[1]}").status_code == 200
    done = prune(place, tmp_path, "--confirm")
    assert (done.returncode, json.loads(done.stdout)["deleted"]) == (0, [keys[1]]), done.stderr
    assert [httpx.get(f"{place.public_url}/{key}").status_code for key in keys] == [200, 404, 200]
    again = json.loads(prune(place, tmp_path, "--confirm").stdout)
    assert (again["outcome"], again["deleted"]) == ("unchanged", [])
