"""A layout that is still on its way is served as a whole one, byte for byte."""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from argparse import Namespace
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from threading import Thread

import anyio
import pytest

from pipeline.domain import Digest, Tag
from pipeline.errors import InfrastructureError, PreconditionError
from pipeline.image import arriving, oci_layout
from pipeline.image.arriving import Arriving, load
from pipeline.image.podman import Finished
from pipeline.registry.download import unfinished
from pipeline.vm.relay import Layout

BLOB = os.urandom(3_000_000)
DIGEST = Digest(f"sha256:{hashlib.sha256(BLOB).hexdigest()}")


def at_once(path: Path) -> None:
    unfinished(path).write_bytes(BLOB)
    unfinished(path).rename(path)


def in_pieces(path: Path) -> None:
    with unfinished(path).open("wb") as file:
        for start in range(0, len(BLOB), 500_000):
            file.write(BLOB[start : start + 500_000])
            file.flush()
            time.sleep(0.03)
    unfinished(path).rename(path)


def begun_anew(path: Path) -> None:
    with unfinished(path).open("wb") as file:
        file.write(BLOB[:1_000_000])
        file.flush()
        time.sleep(0.1)
        file.seek(0)
        file.truncate()
        time.sleep(0.1)
        for start in range(0, len(BLOB), 700_000):
            file.write(BLOB[start : start + 700_000])
            file.flush()
    unfinished(path).rename(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "blobs/sha256").mkdir(parents=True)
    (tmp_path / "index.json").write_text('{"manifests": []}')
    return tmp_path


@pytest.mark.parametrize("comes", [at_once, in_pieces, begun_anew])
def test_a_blob_is_served_while_it_comes_in(folder: Path, comes: Callable[[Path], None]) -> None:
    with arriving._registry(Arriving(folder, {DIGEST: len(BLOB)})) as host:
        coming = Thread(target=lambda: (time.sleep(0.1), comes(folder / "blobs/sha256" / DIGEST.hex)))
        coming.start()
        with urllib.request.urlopen(f"http://{host}/v2/candidate/blobs/{DIGEST}", timeout=10) as answer:
            assert answer.headers["Content-Length"] == str(len(BLOB))
            assert answer.read() == BLOB
        coming.join()


def test_a_blob_that_is_shorter_than_its_descriptor_says_is_not_waited_for(folder: Path) -> None:
    at_once(folder / "blobs/sha256" / DIGEST.hex)
    with arriving._registry(Arriving(folder, {DIGEST: len(BLOB) + 1})) as host:
        asking = http.client.HTTPConnection(host, timeout=5)  # which would stay open for the next question
        asking.request("GET", f"/v2/candidate/blobs/{DIGEST}")
        with pytest.raises(http.client.IncompleteRead):
            asking.getresponse().read()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("ends", "loads", "passes"), [([True], 1, True), ([False, True], 2, True), ([False, False], 2, False)]
)
async def test_what_could_not_be_loaded_as_it_came_is_loaded_from_the_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch, ends: list[bool], loads: int, passes: bool
) -> None:
    layouts = list[Layout]()

    async def load(layout: Layout, **_: object) -> None:
        layouts.append(layout)
        if not ends[len(layouts) - 1]:
            raise InfrastructureError("Digest did not match")

    async def finish(_: object, begun: oci_layout.Begun) -> oci_layout.Written:
        await anyio.sleep(0.01)
        return oci_layout.Written(digests=[DIGEST], size=0)

    monkeypatch.setattr(oci_layout, "load", load)
    monkeypatch.setattr(oci_layout, "finish_layout", finish)
    given = Namespace(tag=Tag("stable"), load="ghcr.io/o/os:stable", platform="linux/amd64")
    begun = oci_layout.Begun(folder, [DIGEST], [])
    with nullcontext() if passes else pytest.raises(InfrastructureError, match="did not match"):
        assert (await oci_layout._both(None, begun, given)).digests == [DIGEST]  # type: ignore[arg-type]
    assert len(layouts) == loads
    assert [isinstance(one, Arriving) for one in layouts] == [True, False][:loads]


@pytest.mark.anyio
async def test_what_cannot_be_fetched_ends_the_loading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def load(layout: Layout, **_: object) -> None:
        await anyio.sleep_forever()

    async def finish(*_: object) -> oci_layout.Written:
        raise PreconditionError("it is not there")

    monkeypatch.setattr(oci_layout, "load", load)
    monkeypatch.setattr(oci_layout, "finish_layout", finish)
    given = Namespace(tag=Tag("stable"), load="ghcr.io/o/os:stable", platform="linux/amd64")
    with anyio.fail_after(5), pytest.raises(PreconditionError, match="it is not there"):
        await oci_layout._both(None, oci_layout.Begun(folder, [DIGEST], []), given)  # type: ignore[arg-type]


def test_what_does_not_belong_to_the_image_is_not_waited_for(folder: Path) -> None:
    other = f"http://{{}}/v2/candidate/blobs/sha256:{'0' * 64}"
    with (
        arriving._registry(Arriving(folder, {DIGEST: len(BLOB)})) as host,
        pytest.raises(urllib.error.HTTPError, match="404"),
    ):
        urllib.request.urlopen(other.format(host), timeout=10)


@pytest.mark.anyio
async def test_skopeos_own_failure_is_said_in_its_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(command: list[str], *, deadline: float) -> Finished:
        assert command[-1] == "containers-storage:ghcr.io/o/os:stable"
        return Finished(1, "", "FATA writing blob: no space left on device\n", 0.1)

    monkeypatch.setattr(arriving, "run", run)
    layout = Arriving(folder, {})
    with pytest.raises(
        InfrastructureError, match=r"no space left on device .*could not load the candidate as ghcr\.io"
    ):
        await load(layout, Tag("stable"), "ghcr.io/o/os:stable", "linux/amd64", deadline=1)
