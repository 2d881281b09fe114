import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import respx
import stamina

from pipeline.domain import Outcome
from pipeline.errors import ConflictError, InfrastructureError, PreconditionError
from pipeline.upload.store import Passing, Upload
from pipeline.upload.transfer import transfer

PUBLIC = "https://images.example.org/os.qcow2"
DISK = b"a bootable disk" * 1000


class Memory:
    """A store whose content is also what the public address shows."""

    def __init__(self, content: bytes | None = None, troubles: int = 0, says: bool | None = None) -> None:
        self.content, self.troubles, self.writes, self.says = content, troubles, 0, says

    async def create(self, upload: Upload) -> bool:
        if self.troubles:
            self.troubles -= 1
            raise Passing("the store stumbled")
        if self.content is not None:
            return False
        self.content, self.writes = upload.path.read_bytes(), self.writes + 1
        return True

    async def size(self, key: str) -> int | None:
        return None if self.content is None else len(self.content)

    async def holds(self, upload: Upload) -> bool | None:
        return self.says


@pytest.fixture(autouse=True)
def _no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    file = tmp_path / "disk.qcow2"
    file.write_bytes(DISK)
    return Upload.of(file, "os.qcow2")


def shows(store: Memory) -> respx.Route:
    return respx.get(PUBLIC).mock(side_effect=lambda _: httpx.Response(200, content=store.content))


def test_a_file_is_measured_once(upload: Upload) -> None:
    assert (upload.size, upload.sha256) == (len(DISK), hashlib.sha256(DISK).hexdigest())


@respx.mock
async def test_an_absent_object_is_created_and_read_back(upload: Upload) -> None:
    store = Memory()
    public = shows(store)
    done = await transfer(store, upload, PUBLIC)
    assert done.outcome is Outcome.PASSED
    assert (done.url, done.size, done.sha256) == (PUBLIC, upload.size, upload.sha256)
    assert public.call_count == 1
    assert "authorization" not in public.calls.last.request.headers


@respx.mock
async def test_the_same_object_again_changes_nothing(upload: Upload) -> None:
    store = Memory(DISK)
    shows(store)
    assert (await transfer(store, upload, PUBLIC)).outcome is Outcome.UNCHANGED
    assert store.writes == 0


@respx.mock
@pytest.mark.parametrize("other", [b"short", b"", bytes(len(DISK))])
async def test_another_object_of_that_name_is_a_conflict_and_stays(upload: Upload, other: bytes) -> None:
    store = Memory(other)
    shows(store)
    with pytest.raises(ConflictError, match="other content"):
        await transfer(store, upload, PUBLIC)
    assert store.content == other


@respx.mock
async def test_an_upload_that_stumbles_goes_on(upload: Upload) -> None:
    store = Memory(troubles=2)
    shows(store)
    assert (await transfer(store, upload, PUBLIC)).outcome is Outcome.PASSED


@respx.mock
async def test_an_answer_that_got_lost_is_found_again(upload: Upload) -> None:
    class Losing(Memory):
        async def create(self, upload: Upload) -> bool:
            await super().create(upload)
            raise Passing("the answer got lost")

    store = Losing()
    shows(store)
    done = await transfer(store, upload, PUBLIC)
    assert done.outcome is Outcome.UNCHANGED
    assert store.writes == 1


@respx.mock
async def test_a_store_that_stays_down_is_an_outage(upload: Upload) -> None:
    with pytest.raises(InfrastructureError, match="stumbled"):
        await transfer(Memory(troubles=99), upload, PUBLIC)


@respx.mock
@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_disk_that_openqa_could_not_download_is_refused(upload: Upload, status: int) -> None:
    respx.get(PUBLIC).respond(status)
    with pytest.raises(PreconditionError, match="public_url"):
        await transfer(Memory(), upload, PUBLIC)


@respx.mock
async def test_a_public_address_of_another_place_is_noticed(upload: Upload) -> None:
    respx.get(PUBLIC).respond(200, content=bytes(len(DISK)))
    with pytest.raises(PreconditionError, match="one place"):
        await transfer(Memory(), upload, PUBLIC)


@respx.mock
async def test_redirects_are_followed_as_openqa_does(upload: Upload) -> None:
    store = Memory()
    respx.get(PUBLIC).respond(302, headers={"location": "https://mirror.example.org/os.qcow2"})
    respx.get("https://mirror.example.org/os.qcow2").mock(side_effect=lambda _: httpx.Response(200, content=DISK))
    assert (await transfer(store, upload, PUBLIC)).outcome is Outcome.PASSED


@respx.mock
@pytest.mark.parametrize("trouble", [httpx.ConnectError("no"), httpx.ReadError("reset"), httpx.Response(503)])
async def test_an_outage_of_the_public_address_is_no_verdict(
    upload: Upload, trouble: httpx.Response | Exception
) -> None:
    respx.get(PUBLIC).mock(side_effect=[trouble] * 9)
    with pytest.raises(InfrastructureError):
        await transfer(Memory(), upload, PUBLIC)


@respx.mock
async def test_the_deadline_holds_and_names_the_trouble(upload: Upload) -> None:
    with stamina.set_testing(False), pytest.raises(InfrastructureError, match=r"did not end.*stumbled"):
        await transfer(Memory(troubles=99), upload, PUBLIC, deadline=0.05)


def gives_parts(content: bytes) -> respx.Route:
    def answer(request: httpx.Request) -> httpx.Response:
        wanted = int(request.headers["range"].removeprefix("bytes=-"))
        end = content[-wanted:]
        told = f"bytes {len(content) - len(end)}-{len(content) - 1}/{len(content)}"
        return httpx.Response(206, content=end, headers={"content-range": told})

    return respx.get(PUBLIC).mock(side_effect=answer)


@respx.mock
async def test_what_the_store_has_verified_is_seen_by_its_end(upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.upload.transfer._END", 100)
    public = gives_parts(DISK)
    done = await transfer(Memory(says=True), upload, PUBLIC)
    assert (done.outcome, done.size, done.sha256) == (Outcome.PASSED, len(DISK), upload.sha256)
    assert public.calls.last.response.num_bytes_downloaded <= 100


@respx.mock
async def test_a_server_that_gives_no_parts_is_read_whole(upload: Upload) -> None:
    shows(Memory(DISK))
    assert (await transfer(Memory(says=True), upload, PUBLIC)).sha256 == upload.sha256


@respx.mock
@pytest.mark.parametrize("shown", [DISK[:-1] + b"X", DISK + DISK[-1:], DISK[-200:], b"short"])
async def test_an_address_of_another_object_is_noticed_by_its_end_or_size(upload: Upload, shown: bytes) -> None:
    gives_parts(shown)
    with pytest.raises(PreconditionError, match="url and public_url are one place"):
        await transfer(Memory(says=True), upload, PUBLIC)


@respx.mock
async def test_another_checksum_by_the_stores_own_word_is_a_conflict(upload: Upload) -> None:
    with pytest.raises(ConflictError, match="another checksum, says the store"):
        await transfer(Memory(bytes(len(DISK)), says=False), upload, PUBLIC)
