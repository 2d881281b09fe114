"""`python -m pipeline.upload` against real servers, as a tool container runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from pipeline.upload import s3 as driver
from pipeline.upload.s3 import SINGLE_PUT_LIMIT
from pipeline.upload.store import Passing, Upload

Place = Any  # of conftest.py, which tests cannot import
CONTENT = bytes(range(256)) * 4096 * 24  # 24 MiB: more than any buffer on the way


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    file = tmp_path / "disk.qcow2"
    file.write_bytes(CONTENT)
    return file


def upload(place: Place, disk: Path, key: str, auth: str | None = None, *more: str) -> subprocess.CompletedProcess[str]:
    auth_file = disk.parent / "auth"
    auth_file.write_text(auth or f"{place.user}:{place.secret}")
    command = [sys.executable, "-m", "pipeline.upload", *place.arguments, "--key", key, "--path", str(disk)]
    return subprocess.run(
        [*command, "--auth-file", str(auth_file), *more], capture_output=True, text=True, env=os.environ, timeout=120
    )


def test_created_once_then_unchanged_and_never_replaced(place: Place, disk: Path) -> None:
    first = upload(place, disk, "os-1.qcow2")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["upload"] == "created"
    assert httpx.get(f"{place.public_url}/os-1.qcow2").content == CONTENT

    second = upload(place, disk, "os-1.qcow2")
    assert (second.returncode, json.loads(second.stdout)["upload"]) == (0, "unchanged")

    for other in (b"short", bytes(len(CONTENT))):
        disk.write_bytes(other)
        third = upload(place, disk, "os-1.qcow2")
        assert third.returncode == 4, third.stderr
        assert "other content" in third.stderr
    assert httpx.get(f"{place.public_url}/os-1.qcow2").content == CONTENT


def test_the_answer_says_where_and_what(place: Place, disk: Path) -> None:
    answer = json.loads(upload(place, disk, "os-2.qcow2").stdout)
    assert answer["upload url"] == f"{place.public_url}/os-2.qcow2"
    assert answer["upload size"] == len(CONTENT)
    assert len(answer["upload sha256"]) == 64


def test_a_wrong_secret_is_a_precondition_and_is_not_shown(place: Place, disk: Path) -> None:
    refused = upload(place, disk, "os-3.qcow2", "releaser:canary-wrong-secret", "--timeout", "15")
    assert refused.returncode == 3, refused.stderr
    assert "canary" not in refused.stdout + refused.stderr
    assert httpx.get(f"{place.public_url}/os-3.qcow2").status_code == 404


def test_a_race_has_one_winner(s3: Place, disk: Path) -> None:
    """Two machines upload different disks under one name at the same time."""
    from concurrent.futures import ThreadPoolExecutor

    others = []
    for number in range(4):
        folder = disk.parent / str(number)
        folder.mkdir()
        (folder / "disk.qcow2").write_bytes(CONTENT[:-1] + bytes([number]))
        others.append(folder / "disk.qcow2")
    with ThreadPoolExecutor() as pool:
        codes = sorted(pool.map(lambda file: upload(s3, file, "os-4.qcow2").returncode, others))
    assert codes == [0, 4, 4, 4]


def test_a_bucket_that_is_not_there_is_named(s3: Place, disk: Path) -> None:
    arguments = [argument.replace("s3://os-images", "s3://no-such-bucket") for argument in s3.arguments]
    missing = upload(type(s3)(tuple(arguments), s3.public_url), disk, "os.qcow2")
    assert missing.returncode == 3
    assert "no such bucket" in missing.stderr


def test_a_public_address_of_another_folder_is_noticed(s3: Place, disk: Path) -> None:
    elsewhere = f"{s3.public_url}/elsewhere"
    arguments = [elsewhere if argument == s3.public_url else argument for argument in s3.arguments]
    lost = upload(type(s3)(tuple(arguments), elsewhere), disk, "os-5.qcow2")
    assert lost.returncode == 3
    assert "public_url" in lost.stderr


def test_a_server_that_is_not_there_is_an_outage(s3: Place, disk: Path) -> None:
    arguments = ("--url", "http://127.0.0.1:9/os", "--public-url", "http://127.0.0.1:9/os", "--timeout", "2")
    down = upload(type(s3)(arguments, "http://127.0.0.1:9/os"), disk, "os.qcow2")
    assert down.returncode == 6
    assert "run again" in down.stderr


@pytest.mark.parametrize("limit", [SINGLE_PUT_LIMIT, 1], ids=["whole", "in parts"])
async def test_the_store_says_by_its_own_checksum_what_it_holds(
    s3: Place, disk: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(driver, "SINGLE_PUT_LIMIT", limit)
    monkeypatch.setattr(driver, "PART", 5 << 20)
    store = driver.S3("os-images", "candidates", s3.arguments[3], "us-east-1", (s3.user, s3.secret))
    this = Upload.of(disk, f"checksum-{limit}.qcow2")
    assert await store.create(this)
    assert await store.holds(this)
    await anyio.Path(disk).write_bytes(CONTENT[:-1] + b"X")
    assert await store.holds(Upload.of(disk, this.key)) is False


async def test_a_body_that_is_not_what_was_announced_is_not_taken(s3: Place, disk: Path) -> None:
    store = driver.S3("os-images", "candidates", s3.arguments[3], "us-east-1", (s3.user, s3.secret))
    with pytest.raises(Passing):
        await store.create(Upload(disk, "changed.qcow2", len(CONTENT), "0" * 64))
    assert await store.size("changed.qcow2") is None
