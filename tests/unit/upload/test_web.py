from pathlib import Path

import httpx
import pytest
import respx

from pipeline.errors import PreconditionError
from pipeline.upload.put import put_new
from pipeline.upload.store import Passing, Upload
from pipeline.upload.web import Web

FOLDER = "https://files.example.org/os/candidates"
OBJECT = f"{FOLDER}/os.qcow2"


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    file = tmp_path / "disk.qcow2"
    file.write_bytes(b"disk")
    return Upload.of(file, "os.qcow2")


@respx.mock
async def test_put_is_conditional_streamed_and_authenticated(upload: Upload) -> None:
    respx.options(FOLDER).respond(200)
    put = respx.put(OBJECT).respond(201)
    assert await Web(FOLDER, ("user", "password")).create(upload)
    request = put.calls.last.request
    assert request.headers["if-none-match"] == "*"
    assert request.headers["content-length"] == "4"
    assert "transfer-encoding" not in request.headers
    assert request.headers["authorization"].startswith("Basic ")
    assert request.content == b"disk"


@respx.mock
@pytest.mark.parametrize(("status", "created"), [(200, True), (201, True), (204, True), (412, False), (409, False)])
async def test_what_a_server_says_to_the_put(upload: Upload, status: int, created: bool) -> None:
    respx.put(OBJECT).respond(status)
    async with httpx.AsyncClient() as http:
        assert await put_new(http, OBJECT, upload, "the store") is created


@respx.mock
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 507])
async def test_a_refusal_is_not_tried_again(upload: Upload, status: int) -> None:
    respx.put(OBJECT).respond(status, text="<Error><Code>X</Code><Message>no\nroom</Message></Error>")
    async with httpx.AsyncClient() as http:
        with pytest.raises(PreconditionError, match=f"{status}: no room"):
            await put_new(http, OBJECT, upload, "the store")


@respx.mock
@pytest.mark.parametrize("answer", [httpx.Response(503), httpx.Response(429), httpx.WriteError("broken pipe")])
async def test_an_outage_may_be_tried_again(upload: Upload, answer: httpx.Response | Exception) -> None:
    respx.put(OBJECT).mock(side_effect=[answer])
    async with httpx.AsyncClient() as http:
        with pytest.raises(Passing):
            await put_new(http, OBJECT, upload, "the store")


@respx.mock
async def test_the_signature_in_an_address_is_never_printed(upload: Upload) -> None:
    respx.put(url__startswith=OBJECT).respond(403, text="AccessDenied")
    async with httpx.AsyncClient() as http:
        with pytest.raises(PreconditionError) as error:
            await put_new(http, f"{OBJECT}?X-Amz-Signature=canary", upload, "s3://bucket")
    assert "canary" not in str(error.value)


@respx.mock
async def test_missing_collections_are_made_from_the_top(upload: Upload) -> None:
    made: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "OPTIONS":
            return httpx.Response(200, headers={"DAV": "1, 2"})
        if request.method == "PROPFIND":
            return httpx.Response(404)
        if request.method == "MKCOL":
            made.append(request.url.path)
        return httpx.Response(201)

    respx.route(host="files.example.org").mock(side_effect=answer)
    assert await Web(FOLDER, None).create(upload)
    assert made == ["/os/", "/os/candidates/"]


@respx.mock
@pytest.mark.parametrize(("status", "size"), [(200, 4), (404, None), (410, None)])
async def test_the_size_of_an_object(status: int, size: int | None) -> None:
    respx.head(OBJECT).respond(status, headers={"content-length": "4"})
    assert await Web(FOLDER, None).size("os.qcow2") == size


@respx.mock
async def test_a_wrong_password_is_named() -> None:
    respx.head(OBJECT).respond(401)
    with pytest.raises(PreconditionError, match="password"):
        await Web(FOLDER, ("user", "wrong")).size("os.qcow2")
