"""What the client makes of answers that the registries of the contract tests do not give."""

import gzip
import json
import math
import tracemalloc
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import httpx
import pytest
import respx
import zstandard
from anyio.streams.buffered import BufferedByteReceiveStream

from pipeline.domain import Digest, Repository, Tag
from pipeline.errors import InfrastructureError, PreconditionError, UsageError
from pipeline.registry import media
from pipeline.registry.artifacts import artifact, index_of
from pipeline.registry.attached import referrers_tag
from pipeline.registry.client import RegistryClient, RepositoryClient
from pipeline.registry.content import Manifest, sha256
from pipeline.registry.credentials import Credentials

HOST = "https://r.example.org"
BASE = f"{HOST}/v2/o/i"
AUTH = json.dumps({"auths": {"r.example.org": {"auth": "bWU6cHc="}}})
IMAGE = artifact("application/x.image", [])
CHALLENGE = f'Bearer realm="{HOST}/token",service="r",scope="repository:o/i:pull"'


@pytest.fixture
def web() -> Iterator[respx.Router]:
    with respx.mock(assert_all_called=False) as router:
        yield router


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.registry.transport._FIRST_PAUSE", 0.001)
    monkeypatch.setattr("pipeline.registry.client._SETTLE", 0.001)


@pytest.fixture
async def repo() -> AsyncIterator[RepositoryClient]:
    async with RegistryClient(Credentials.parse(AUTH), deadline=20) as client:
        yield client.repository(Repository("r.example.org", "o/i"))


@pytest.fixture
async def impatient(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RepositoryClient]:
    """For outages that do not end: the next attempt would come after the deadline, however busy the machine is."""
    monkeypatch.setattr("pipeline.registry.transport._pause", lambda failures: math.inf)
    async with RegistryClient(Credentials.parse(AUTH), deadline=20) as client:
        yield client.repository(Repository("r.example.org", "o/i"))


def answer(status: int = 200, **headers: str) -> httpx.Response:
    """The image's manifest."""
    given = {"content-type": IMAGE.media_type, "docker-content-digest": IMAGE.digest, **headers}
    return httpx.Response(status, content=IMAGE.raw, headers=given)


def listing(index: Manifest) -> httpx.Response:
    """An index."""
    given = {"content-type": media.OCI_INDEX, "docker-content-digest": index.digest}
    return httpx.Response(200, content=index.raw, headers=given)


def refusal(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"errors": [{"code": code, "message": "no"}]})


PAGE = httpx.Response(502, html="<html>Bad gateway</html>")
UNKNOWN = refusal(404, "MANIFEST_UNKNOWN")
NAMED = {"docker-distribution-api-version": "registry/2.0"}
"""How a registry names itself in its answers."""


@pytest.mark.parametrize(
    "first",
    [
        PAGE,
        httpx.Response(500),
        httpx.Response(429, headers={"retry-after": "0"}),
        httpx.Response(429, headers={"retry-after": "Wed, 01 Jan 2020 00:00:00 GMT"}),
        httpx.Response(404, html="<html>Not found</html>"),
        httpx.Response(404),
        httpx.Response(200, html="<html>Welcome</html>"),
        httpx.Response(200, content=IMAGE.raw[:-1], headers={"content-type": IMAGE.media_type}),
        httpx.Response(200, content=index_of([]).raw, headers={"content-type": media.OCI_INDEX}),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout(""),
        httpx.RemoteProtocolError("peer closed connection"),
    ],
)
async def test_what_may_pass_is_tried_again(web: respx.Router, repo: RepositoryClient, first: object) -> None:
    route = web.get(f"{BASE}/manifests/{IMAGE.digest}").mock(side_effect=[first, answer()])
    found = await repo.manifest(IMAGE.digest)
    assert found == IMAGE
    assert route.call_count == 2


async def test_a_tag_whose_digest_is_not_that_of_its_bytes_is_read_again(
    web: respx.Router, repo: RepositoryClient
) -> None:
    wrong = answer(**{"docker-content-digest": "sha256:" + "0" * 64})
    web.get(f"{BASE}/manifests/next").mock(side_effect=[wrong, answer()])
    assert await repo.digest(Tag("next")) == IMAGE.digest


async def test_an_outage_says_what_was_asked_and_what_came(web: respx.Router, impatient: RepositoryClient) -> None:
    web.get(f"{BASE}/manifests/next").mock(return_value=PAGE)
    with pytest.raises(InfrastructureError) as outage:
        await impatient.manifest(Tag("next"))
    assert "GET manifest next of r.example.org/o/i: answer 502 Bad Gateway (a body of type text/html)" in str(
        outage.value
    )
    assert "after 1 attempt in " in str(outage.value)


async def test_a_wait_beyond_the_deadline_ends_at_once(web: respx.Router, repo: RepositoryClient) -> None:
    web.get(f"{BASE}/manifests/next").mock(return_value=httpx.Response(429, headers={"retry-after": "3600"}))
    start = anyio.current_time()
    with pytest.raises(InfrastructureError, match="asked to wait 3600 s"):
        await repo.manifest(Tag("next"))
    assert anyio.current_time() - start < 0.3


async def test_an_answer_that_hangs_is_cut_at_the_deadline(web: respx.Router) -> None:
    async def hang(_: httpx.Request) -> httpx.Response:
        await anyio.sleep(60)
        raise AssertionError

    web.get(f"{BASE}/manifests/next").mock(side_effect=hang)
    async with RegistryClient(deadline=0.3) as client:
        repo = client.repository(Repository("r.example.org", "o/i"))
        with pytest.raises(InfrastructureError, match="no answer, after 1 attempt in"):
            await repo.manifest(Tag("next"))


async def test_absence_is_believed_from_the_registry_itself(web: respx.Router, repo: RepositoryClient) -> None:
    web.get(f"{BASE}/manifests/next").mock(return_value=UNKNOWN)
    assert await repo.manifest(Tag("next")) is None


async def test_a_head_without_a_digest_is_followed_by_a_get(web: respx.Router, repo: RepositoryClient) -> None:
    url = f"{BASE}/manifests/{IMAGE.digest}"
    web.head(url).mock(return_value=httpx.Response(200, headers={"content-type": IMAGE.media_type}))
    web.get(url).mock(return_value=answer())
    assert await repo.describe(IMAGE.digest) == IMAGE.descriptor


async def test_a_head_that_says_404_without_words_is_not_believed(web: respx.Router, repo: RepositoryClient) -> None:
    url = f"{BASE}/manifests/{IMAGE.digest}"
    web.head(url).mock(return_value=httpx.Response(404))
    web.get(url).mock(return_value=answer())
    assert await repo.digest(IMAGE.digest) == IMAGE.digest


@pytest.mark.parametrize("status", [401, 403])
async def test_a_denial_names_the_login_and_the_way_out(web: respx.Router, repo: RepositoryClient, status: int) -> None:
    route = web.get(f"{BASE}/manifests/next").mock(return_value=refusal(status, "DENIED"))
    with pytest.raises(PreconditionError, match=r"refuses GET on o/i as me: .*DENIED no.*--registry-auth"):
        await repo.manifest(Tag("next"))
    assert route.call_count == 1


async def test_one_token_serves_all_reading(web: respx.Router, repo: RepositoryClient) -> None:
    def guarded(request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") == "Bearer good":
            return answer()
        return httpx.Response(401, headers={"www-authenticate": CHALLENGE})

    tokens = web.get(f"{HOST}/token").mock(return_value=httpx.Response(200, json={"token": "good", "expires_in": 300}))
    manifests = web.get(f"{BASE}/manifests/{IMAGE.digest}").mock(side_effect=guarded)
    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(repo.manifest, IMAGE.digest)
    await repo.manifest(IMAGE.digest)
    assert tokens.call_count == 1
    assert manifests.call_count <= 11
    asked = tokens.calls[0].request
    assert asked.headers["authorization"] == "Basic bWU6cHc="
    assert asked.url.params["scope"] == "repository:o/i:pull"
    assert asked.url.params["service"] == "r"


async def test_writing_asks_for_a_wider_scope_and_reading_then_uses_it(
    web: respx.Router, repo: RepositoryClient
) -> None:
    def guarded(request: httpx.Request) -> httpx.Response:
        wanted = "Bearer write" if request.method == "PUT" else "Bearer "
        if request.headers.get("authorization", "").startswith(wanted):
            return httpx.Response(201) if request.method == "PUT" else answer()
        return httpx.Response(401, headers={"www-authenticate": CHALLENGE})

    def token(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"access_token": "write" if "push" in request.url.params["scope"] else "read"})

    tokens = web.get(f"{HOST}/token").mock(side_effect=token)
    web.route(url=f"{BASE}/manifests/{IMAGE.digest}").mock(side_effect=guarded)
    await repo.put_manifest(IMAGE, IMAGE.digest)
    assert await repo.manifest(IMAGE.digest) == IMAGE
    assert [call.request.url.params["scope"] for call in tokens.calls] == ["repository:o/i:pull,push"]


async def test_a_token_that_ran_out_is_renewed_once(web: respx.Router, repo: RepositoryClient) -> None:
    current = "one"

    def guarded(request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") == f"Bearer {current}":
            return answer()
        return httpx.Response(401, headers={"www-authenticate": CHALLENGE})

    web.get(f"{HOST}/token").mock(side_effect=lambda _: httpx.Response(200, json={"token": current}))
    web.get(f"{BASE}/manifests/{IMAGE.digest}").mock(side_effect=guarded)
    assert await repo.manifest(IMAGE.digest)
    current = "two"
    assert await repo.manifest(IMAGE.digest)


async def test_a_login_is_not_sent_without_tls(web: respx.Router, repo: RepositoryClient) -> None:
    challenge = 'Bearer realm="http://elsewhere.example.org/token"'
    web.get(f"{BASE}/manifests/next").mock(return_value=httpx.Response(401, headers={"www-authenticate": challenge}))
    with pytest.raises(PreconditionError, match="without TLS"):
        await repo.manifest(Tag("next"))


async def test_a_login_is_not_sent_to_where_blobs_are_kept(web: respx.Router, repo: RepositoryClient) -> None:
    def guarded(request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") == "Basic bWU6cHc=":
            return httpx.Response(307, headers={"location": "https://cdn.example.net/blob"})
        return httpx.Response(401, headers={"www-authenticate": 'Basic realm="r"'})

    web.get(f"{BASE}/blobs/{sha256(b'data')}").mock(side_effect=guarded)
    cdn = web.get("https://cdn.example.net/blob").mock(return_value=httpx.Response(200, content=b"data"))
    assert await repo.blob(sha256(b"data")) == b"data"
    assert "authorization" not in cdn.calls[0].request.headers


async def test_uploads_to_another_host_carry_no_login(web: respx.Router, repo: RepositoryClient) -> None:
    def guarded(request: httpx.Request) -> httpx.Response:
        if "authorization" in request.headers:
            return httpx.Response(202, headers={"location": "https://store.example.net/up?token=x"})
        return httpx.Response(401, headers={"www-authenticate": 'Basic realm="r"'})

    web.post(f"{BASE}/blobs/uploads/").mock(side_effect=guarded)
    store = web.put(url__startswith="https://store.example.net/up").mock(return_value=httpx.Response(201))
    await repo.push_blob(b"data", "text/plain")
    sent = store.calls[0].request
    assert "authorization" not in sent.headers
    assert dict(sent.url.params) == {"token": "x", "digest": sha256(b"data")}


async def test_a_registry_behind_a_tls_proxy_is_still_spoken_to_by_tls(
    web: respx.Router, repo: RepositoryClient
) -> None:
    moved = {"location": "http://r.example.org/v2/o/i/blobs/uploads/1"}
    web.post(f"{BASE}/blobs/uploads/").mock(return_value=httpx.Response(202, headers=moved))
    put = web.put(url__startswith=f"{BASE}/blobs/uploads/1").mock(return_value=httpx.Response(201))
    await repo.push_blob(b"data", "text/plain")
    assert put.call_count == 1


@pytest.mark.parametrize("host", ["r.example.org:443", "R.Example.org", "R.example.org:443"])
async def test_a_host_may_be_spelt_in_another_way(web: respx.Router, host: str) -> None:
    web.get(f"{BASE}/manifests/v1").respond(401, headers={"www-authenticate": "Basic"})
    web.get(f"{BASE}/manifests/v2").respond(404, json={"errors": [{"code": "MANIFEST_UNKNOWN"}]})
    web.get(f"{BASE}/manifests/v3").respond(307, headers={"location": f"{BASE}/manifests/v4"})
    web.get(f"{BASE}/manifests/v4").mock(return_value=answer())
    async with RegistryClient(deadline=2) as client:
        repo = client.repository(Repository(host, "o/i"))
        assert await repo.manifest(Tag("v2")) is None
        assert await repo.digest(Tag("v3")) == IMAGE.digest
        with pytest.raises(PreconditionError, match="without a login"):
            await repo.manifest(Tag("v1"))


async def test_pages_are_followed_by_link(web: respx.Router, repo: RepositoryClient) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        if request.url.params.get("last") == "b":
            return httpx.Response(200, json={"name": "o/i", "tags": ["c"]})
        link = '</v2/o/i/tags/list?last=b&n=2>; rel="next"'
        return httpx.Response(200, json={"name": "o/i", "tags": ["a", "b"]}, headers={"link": link})

    web.get(url__startswith=f"{BASE}/tags/list").mock(side_effect=page)
    assert await repo.tags() == ["a", "b", "c"]


@pytest.mark.parametrize("body", [{"name": "o/i"}, {"tags": ["a b"]}, {"tags": "abc"}, {"tags": {"a": 1}}, []])
async def test_a_list_of_tags_that_cannot_be_read_is_an_outage(
    web: respx.Router, impatient: RepositoryClient, body: object
) -> None:
    web.get(url__startswith=f"{BASE}/tags/list").mock(return_value=httpx.Response(200, json=body))
    with pytest.raises(InfrastructureError, match="cannot be read"):
        await impatient.tags()


@pytest.mark.parametrize(
    "no_such_api",
    [
        httpx.Response(404, text="404 page not found\n", headers=NAMED),
        refusal(404, "UNSUPPORTED"),
        httpx.Response(405),
        httpx.Response(303, headers={"location": "https://web.example.org/-/v2/packages"}),
    ],
)
async def test_without_the_api_the_fallback_tag_is_read(
    web: respx.Router, repo: RepositoryClient, no_such_api: httpx.Response
) -> None:
    index = index_of([IMAGE.descriptor.to_json()])
    subject = sha256(b"subject")
    web.get(url__startswith=f"{BASE}/referrers/").mock(return_value=no_such_api)
    web.get(f"{BASE}/manifests/{referrers_tag(subject)}").mock(return_value=listing(index))
    web.get(url__startswith=f"{BASE}/manifests/sha256:").mock(return_value=UNKNOWN)
    assert await repo.referrers(subject) == [IMAGE.descriptor]


async def test_a_compressed_answer_which_nobody_asked_for_is_not_unpacked(
    web: respx.Router, impatient: RepositoryClient
) -> None:
    packed = gzip.compress(IMAGE.raw)
    sent = httpx.ByteStream(packed)
    web.get(f"{BASE}/manifests/next").mock(
        side_effect=lambda _: httpx.Response(200, stream=sent, headers={"content-encoding": "gzip"})
    )
    with pytest.raises(InfrastructureError, match="in the encoding gzip, not asked for"):
        await impatient.manifest(Tag("next"))


@pytest.fixture
def manifests(web: respx.Router) -> dict[str, httpx.Response]:
    """What is behind a tag or a digest; nothing else is there."""
    there: dict[str, httpx.Response] = {}
    asked = web.get(url__startswith=f"{BASE}/manifests/")
    asked.side_effect = lambda request: there.get(request.url.path.rpartition("/")[2], there.get("anything", UNKNOWN))
    return there


async def test_a_tags_answer_that_does_not_name_its_digest_is_held_against_the_digest(
    manifests: dict[str, httpx.Response], impatient: RepositoryClient
) -> None:
    nameless = httpx.Response(200, content=IMAGE.raw, headers={"content-type": IMAGE.media_type})
    manifests["next"] = nameless
    with pytest.raises(InfrastructureError, match="not the registry's"):
        await impatient.manifest(Tag("next"))
    manifests[IMAGE.digest] = nameless
    assert await impatient.digest(Tag("next")) == IMAGE.digest
    manifests["anything"] = nameless  # a gateway that answers everything so
    with pytest.raises(InfrastructureError, match="not the registry's"):
        await impatient.manifest(Tag("next"))


async def test_a_list_of_tags_without_what_is_there_is_no_list(
    web: respx.Router, manifests: dict[str, httpx.Response], impatient: RepositoryClient
) -> None:
    """An empty one is held against what is expected, any against what was read."""
    tags = web.get(url__startswith=f"{BASE}/tags/list").mock(return_value=httpx.Response(200, json={"tags": []}))
    assert await impatient.tags() == []
    impatient.expect(Tag("stable"))
    manifests["stable"] = answer()
    with pytest.raises(InfrastructureError, match="a list of tags without stable, which is there"):
        await impatient.tags()
    del manifests["stable"]
    tags.mock(return_value=httpx.Response(200, json={"tags": ["next"]}))
    manifests["v1.0.0"] = answer()
    await impatient.manifest(Tag("v1.0.0"))
    with pytest.raises(InfrastructureError, match=r"without v1\.0\.0"):
        await impatient.tags()
    del manifests["v1.0.0"]  # somebody deleted it
    assert await impatient.tags() == ["next"]


@pytest.mark.parametrize(
    "lie",
    [
        httpx.Response(404),
        httpx.Response(404, text="404 page not found"),
        httpx.Response(404, text="default backend - 404"),
        httpx.Response(404, json={"message": "no route", "code": 404}),
        httpx.Response(404, html="<html>", headers=NAMED),
        httpx.Response(405),
        httpx.Response(302, headers={"location": "https://portal.example.org/"}),
    ],
)
async def test_one_answer_of_a_gateway_is_not_the_absence_of_the_api(
    web: respx.Router, repo: RepositoryClient, lie: httpx.Response
) -> None:
    subject = sha256(b"subject")
    index = index_of([IMAGE.descriptor.to_json()])
    listed = httpx.Response(200, content=index.raw, headers={"content-type": media.OCI_INDEX})
    web.get(f"{BASE}/referrers/{subject}").mock(side_effect=[lie, listed])
    empty = httpx.Response(200, content=index_of([]).raw, headers={"content-type": media.OCI_INDEX})
    web.get(url__startswith=f"{BASE}/referrers/").mock(return_value=empty)
    web.get(url__startswith=f"{BASE}/manifests/").mock(return_value=UNKNOWN)
    assert await repo.referrers(subject) == [IMAGE.descriptor]


async def test_an_api_that_answered_a_moment_ago_is_not_absent(web: respx.Router, impatient: RepositoryClient) -> None:
    empty = httpx.Response(200, content=index_of([]).raw, headers={"content-type": media.OCI_INDEX})
    web.get(f"{BASE}/referrers/{sha256(b'one')}").mock(return_value=empty)
    web.get(f"{BASE}/referrers/{sha256(b'two')}").mock(
        return_value=httpx.Response(404, text="404 page not found\n", headers=NAMED)
    )
    web.get(url__startswith=f"{BASE}/manifests/").mock(return_value=UNKNOWN)
    assert await impatient.referrers(sha256(b"one")) == []
    with pytest.raises(InfrastructureError, match="about referrers"):
        await impatient.referrers(sha256(b"two"))


async def test_the_fallback_tag_is_read_beside_the_api(web: respx.Router, repo: RepositoryClient) -> None:
    subject, other = sha256(b"subject"), artifact("x/other", []).descriptor
    for url, one in [(f"referrers/{subject}", IMAGE.descriptor), (f"manifests/{referrers_tag(subject)}", other)]:
        index = index_of([one.to_json()])
        web.get(f"{BASE}/{url}").mock(return_value=listing(index))
    assert await repo.referrers(subject) == [IMAGE.descriptor, other]


async def test_a_list_that_another_tool_wrote_wrong_is_named_and_no_outage(
    web: respx.Router, repo: RepositoryClient
) -> None:
    subject = sha256(b"subject")
    sizeless = {name: told for name, told in IMAGE.descriptor.to_json().items() if name != "size"}
    web.get(f"{BASE}/referrers/{subject}").mock(return_value=refusal(404, "UNSUPPORTED"))
    web.get(f"{BASE}/manifests/{referrers_tag(subject)}").mock(return_value=listing(index_of([sizeless])))
    with pytest.raises(PreconditionError, match=rf"{referrers_tag(subject)} lists referrers and cannot be read"):
        await repo.referrers(subject)


async def test_a_web_page_is_not_taken_for_an_absent_api(web: respx.Router, impatient: RepositoryClient) -> None:
    subject = sha256(b"subject")
    web.get(f"{BASE}/referrers/{subject}").mock(return_value=httpx.Response(404, html="<html>"))
    with pytest.raises(InfrastructureError):
        await impatient.referrers(subject)


async def test_a_tag_that_is_read_as_the_digest_lists_no_referrers(web: respx.Router, repo: RepositoryClient) -> None:
    subject = index_of([IMAGE.descriptor.to_json()])
    web.get(f"{BASE}/referrers/{subject.digest}").mock(return_value=refusal(404, "UNSUPPORTED"))
    web.get(f"{BASE}/manifests/{referrers_tag(subject.digest)}").mock(return_value=listing(subject))
    assert await repo.referrers(subject.digest) == []


async def test_a_registry_that_understands_subjects_needs_no_referrers_tag(
    web: respx.Router, repo: RepositoryClient
) -> None:
    web.head(url__startswith=f"{BASE}/blobs/").mock(return_value=httpx.Response(200))
    put = web.put(url__startswith=f"{BASE}/manifests/sha256:").mock(
        return_value=httpx.Response(201, headers={"oci-subject": IMAGE.digest})
    )
    stored = await repo.push_artifact("x/y", [], subject=IMAGE.descriptor)
    assert put.call_count == 1
    assert put.calls[0].request.url.path.endswith(stored.digest)


async def test_referrers_come_in_pages_and_are_filtered_here(web: respx.Router, repo: RepositoryClient) -> None:
    def listed(kind: str) -> dict[str, object]:
        return artifact(kind, []).descriptor.model_copy(update={"artifact_type": kind}).to_json()

    def page(request: httpx.Request) -> httpx.Response:
        first = "last" not in request.url.params
        index = index_of([listed("x/one"), listed("x/other")] if first else [listed("x/one")])
        link = {"link": f'<{request.url.path}?last=1>; rel="next"'} if first else {}
        return httpx.Response(200, content=index.raw, headers={"content-type": media.OCI_INDEX, **link})

    web.get(url__startswith=f"{BASE}/referrers/").mock(side_effect=page)
    web.get(url__startswith=f"{BASE}/manifests/sha256-").mock(return_value=UNKNOWN)
    assert [one.artifact_type for one in await repo.referrers(sha256(b"s"), "x/one")] == ["x/one", "x/one"]


async def test_a_broken_transfer_goes_on_where_it_stopped(
    web: respx.Router, repo: RepositoryClient, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 64

    async def half() -> AsyncIterator[bytes]:
        yield content[:5000]
        raise httpx.ReadError("reset")

    def serve(request: httpx.Request) -> httpx.Response:
        if wanted := request.headers.get("range"):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            headers = {"content-range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            return httpx.Response(206, content=content[start:], headers=headers)
        return httpx.Response(200, content=half())

    route = web.get(f"{BASE}/blobs/{sha256(content)}").mock(side_effect=serve)
    await repo.fetch_file(sha256(content), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == content
    assert route.calls[1].request.headers["range"] == "bytes=5000-"


async def test_wrong_bytes_are_fetched_again_from_the_start(
    web: respx.Router, repo: RepositoryClient, tmp_path: Path
) -> None:
    answers = [httpx.Response(200, content=b"wrong"), httpx.Response(200, content=b"right")]
    route = web.get(f"{BASE}/blobs/{sha256(b'right')}").mock(side_effect=answers)
    await repo.fetch_file(sha256(b"right"), tmp_path / "file")
    assert "range" not in route.calls[1].request.headers
    assert (tmp_path / "file").read_bytes() == b"right"


async def test_a_final_looking_refusal_is_not_repeated_for_long(web: respx.Router, repo: RepositoryClient) -> None:
    route = web.put(f"{BASE}/manifests/{IMAGE.digest}").mock(return_value=refusal(400, "MANIFEST_INVALID"))
    with pytest.raises(InfrastructureError, match="MANIFEST_INVALID"):
        await repo.persist("PUT", lambda: repo.put_manifest(IMAGE, IMAGE.digest))
    assert route.call_count == 3


@pytest.mark.parametrize("tag", ["next", "stable", "v1.2.3"])
async def test_promoted_tags_are_not_written(web: respx.Router, repo: RepositoryClient, tag: str) -> None:
    with pytest.raises(ValueError, match="only promotion may write it"):
        await repo.put_manifest(IMAGE, Tag(tag))
    assert not web.calls


class Counter:
    """How many there were."""

    connections = 0


@asynccontextmanager
async def serving(port: int, answers: Mapping[bytes, bytes]) -> AsyncIterator[Counter]:
    """A server on connections that stay open, with an answer for each method, or method and path; PUT has two bytes."""
    counter = Counter()

    async def serve(stream: anyio.abc.SocketStream) -> None:
        counter.connections += 1
        came = BufferedByteReceiveStream(stream)
        async with stream:
            with suppress(anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError):
                while True:
                    head = await came.receive_until(b"\r\n\r\n", 4096)
                    if head.startswith(b"PUT"):
                        await came.receive_exactly(2)
                    path = head[:8] if head[:8] in answers else head.split()[0]
                    await stream.send(b"HTTP/1.1 " + answers[path])

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    async with anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield counter
        group.cancel_scope.cancel()


UPLOADING = {
    b"POST": b"202 Accepted\r\nlocation: /v2/o/i/blobs/uploads/7\r\ncontent-length: 0\r\n\r\n",
    b"PUT": b"201 Created\r\ncontent-length: 4\r\n\r\nmade",
}


async def test_one_connection_serves_the_questions_and_the_uploads_of_a_blob(free_tcp_port: int) -> None:
    host = f"127.0.0.1:{free_tcp_port}"
    answers = UPLOADING | {
        b"HEAD": b"404 Not Found\r\ncontent-length: 157\r\n\r\n",
        b"GET": b"307 Temporary Redirect\r\nlocation: /cdn\r\ncontent-length: 4\r\n\r\nover",
        b"GET /cdn": b"200 OK\r\ncontent-length: 2\r\n\r\n{}",
    }
    async with serving(free_tcp_port, answers) as counter, RegistryClient(plain_http={host}, deadline=5) as client:
        repo = client.repository(Repository(host, "o/i"))
        pushed = await repo.push_content(b"{}", "text/plain")
        assert await repo.blob(pushed.digest) == b"{}"
    assert (client.requests, counter.connections) == (5, 1)


async def test_a_body_after_an_answer_that_has_none_is_not_taken_for_the_next_answer(free_tcp_port: int) -> None:
    host = f"127.0.0.1:{free_tcp_port}"
    answers = UPLOADING | {b"HEAD": b"404 Not Found\r\ncontent-length: 4\r\n\r\nnone"}
    async with serving(free_tcp_port, answers), RegistryClient(plain_http={host}, deadline=5) as client:
        pushed = await client.repository(Repository(host, "o/i")).push_content(b"{}", "text/plain")
    assert pushed.digest == sha256(b"{}")


async def test_an_answer_that_nobody_asked_to_compress_is_never_unpacked(free_tcp_port: int) -> None:
    host, bomb = f"127.0.0.1:{free_tcp_port}", zstandard.compress(bytes(64 << 20))
    head = f"200 OK\r\ncontent-encoding: zstd\r\ncontent-length: {len(bomb)}\r\n\r\n".encode()
    answers = {b"GET": head + bomb}
    tracemalloc.start()
    async with serving(free_tcp_port, answers), RegistryClient(plain_http={host}, deadline=1) as client:
        with pytest.raises(InfrastructureError, match="zstd"):
            await client.repository(Repository(host, "o/i")).blob(sha256(b"{}"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


async def test_a_server_without_tls_is_a_configuration_error(free_tcp_port: int) -> None:
    async def serve(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=free_tcp_port)
    async with anyio.create_task_group() as group, RegistryClient(deadline=5) as client:
        group.start_soon(listener.serve, serve)
        with pytest.raises(UsageError, match="does not speak TLS"):
            await client.repository(Repository(f"127.0.0.1:{free_tcp_port}", "o/i")).manifest(Tag("next"))
        group.cancel_scope.cancel()


async def test_nobody_waits_for_a_registry_in_the_container_that_asks(free_tcp_port: int) -> None:
    async with RegistryClient(deadline=60) as client:
        with pytest.raises(UsageError, match="--registry=tcp://"):
            await client.repository(Repository(f"localhost:{free_tcp_port}", "o/i")).manifest(Tag("next"))


@pytest.mark.parametrize("platform", [None, {"os": "linux", "architecture": "amd64"}])
async def test_an_index_that_another_calls_an_image_is_refused(
    web: respx.Router, repo: RepositoryClient, platform: dict[str, str] | None
) -> None:
    linux = {"platform": platform} if platform else {}
    inner = index_of([IMAGE.descriptor.to_json() | {"platform": {"os": "linux", "architecture": "amd64"}}])
    outer = index_of([inner.descriptor.to_json() | {"mediaType": media.OCI_MANIFEST} | linux])
    for one in (inner, outer):
        web.get(f"{BASE}/manifests/{one.digest}").mock(return_value=listing(one))
    for read in (repo.images, repo.platforms, repo.labels):
        with pytest.raises(PreconditionError, match="calls it an image"):
            await read(outer.digest)


async def test_an_image_of_another_platform_that_is_gone_hides_none_that_is_there(
    web: respx.Router, repo: RepositoryClient
) -> None:
    gone = Digest("sha256:" + "0" * 64)
    listed = [
        IMAGE.descriptor.to_json() | {"digest": digest, "platform": {"os": "linux", "architecture": name}}
        for name, digest in (("amd64", IMAGE.digest), ("arm64", gone))
    ]
    index = index_of(listed)
    web.get(f"{BASE}/manifests/{index.digest}").mock(return_value=listing(index))
    web.get(f"{BASE}/manifests/{IMAGE.digest}").mock(return_value=answer())
    web.get(f"{BASE}/manifests/{gone}").mock(return_value=UNKNOWN)
    assert await repo.platforms(index.digest) == {"linux/amd64": IMAGE.digest, "linux/arm64": gone}


async def test_an_index_with_other_digests_is_refused_rather_than_misread(
    web: respx.Router, repo: RepositoryClient
) -> None:
    odd = index_of([{"mediaType": media.OCI_MANIFEST, "digest": "sha512:" + "0" * 128, "size": 1}])
    web.get(f"{BASE}/manifests/{odd.digest}").mock(
        return_value=httpx.Response(200, content=odd.raw, headers={"content-type": media.OCI_INDEX})
    )
    with pytest.raises(PreconditionError, match="broken descriptor"):
        await repo.labels(Digest(odd.digest))


async def test_asking_whether_the_login_may_push_leaves_nothing(web: respx.Router, repo: RepositoryClient) -> None:
    begun = web.post(f"{BASE}/blobs/uploads/").mock(
        return_value=httpx.Response(202, headers={"location": "/v2/o/i/blobs/uploads/7"})
    )
    given_up = web.delete(f"{BASE}/blobs/uploads/7").mock(return_value=httpx.Response(204))
    await repo.ask_to_push()
    assert (begun.call_count, given_up.call_count) == (1, 1)


async def test_a_login_that_may_not_push_is_told_so(web: respx.Router, repo: RepositoryClient) -> None:
    web.post(f"{BASE}/blobs/uploads/").mock(return_value=refusal(403, "DENIED"))
    with pytest.raises(PreconditionError, match="refuses POST on o/i as me"):
        await repo.ask_to_push()


ELSEWHERE = "https://elsewhere.example.net"
ASKS = httpx.Response(401, headers={"www-authenticate": 'Bearer realm="https://evil.example.net/token"'})


@pytest.fixture
def evil(web: respx.Router) -> respx.Route:
    """A token server that nobody has to ask."""
    web.get(url__startswith=ELSEWHERE).mock(return_value=ASKS)
    web.put(url__startswith=ELSEWHERE).mock(return_value=ASKS)
    return web.route(host="evil.example.net").mock(return_value=httpx.Response(200, json={"token": "t"}))


async def test_a_challenge_of_another_host_is_not_answered(
    web: respx.Router, evil: respx.Route, impatient: RepositoryClient
) -> None:
    digest = sha256(b"data")
    web.get(f"{BASE}/blobs/{digest}").mock(return_value=httpx.Response(307, headers={"location": f"{ELSEWHERE}/b"}))
    web.head(url__startswith=f"{BASE}/blobs/").mock(return_value=httpx.Response(404))
    web.post(f"{BASE}/blobs/uploads/").mock(return_value=httpx.Response(202, headers={"location": f"{ELSEWHERE}/u"}))
    with pytest.raises(InfrastructureError, match="which is not the registry"):
        await impatient.blob(digest)
    with pytest.raises(InfrastructureError, match="which is not the registry"):
        await impatient.push_blob(b"data", "text/plain")
    assert not evil.called


async def test_a_list_of_tags_does_not_go_on_at_another_host(web: respx.Router, impatient: RepositoryClient) -> None:
    link = {"link": f'<{ELSEWHERE}/2>; rel="next"'}
    web.get(url__startswith=f"{BASE}/tags").mock(return_value=httpx.Response(200, json={"tags": ["a"]}, headers=link))
    with pytest.raises(InfrastructureError, match="which is not the registry"):
        await impatient.tags()


async def test_what_a_tag_names_is_not_said_by_another_host(web: respx.Router, impatient: RepositoryClient) -> None:
    web.get(f"{BASE}/manifests/next").mock(return_value=httpx.Response(302, headers={"location": f"{ELSEWHERE}/m"}))
    with pytest.raises(InfrastructureError, match="which is not the registry"):
        await impatient.manifest(Tag("next"))


async def test_an_absence_that_another_host_tells_is_an_outage(web: respx.Router, impatient: RepositoryClient) -> None:
    web.get(f"{BASE}/manifests/{IMAGE.digest}").mock(
        return_value=httpx.Response(307, headers={"location": f"{ELSEWHERE}/m"})
    )
    web.get(f"{ELSEWHERE}/m").mock(return_value=UNKNOWN)
    with pytest.raises(InfrastructureError, match="not the registry's own"):
        await impatient.manifest(IMAGE.digest)


@pytest.mark.parametrize("location", ["http://plain.example.net/b", "ftp://r.example.org/b"])
async def test_nothing_leads_out_of_tls(web: respx.Router, repo: RepositoryClient, location: str) -> None:
    web.get(url__startswith=f"{BASE}/blobs/").mock(return_value=httpx.Response(307, headers={"location": location}))
    web.head(url__startswith=f"{BASE}/blobs/").mock(return_value=httpx.Response(404))
    web.post(f"{BASE}/blobs/uploads/").mock(return_value=httpx.Response(202, headers={"location": location}))
    if location.startswith("http://"):
        with pytest.raises(PreconditionError, match="without it; expected https"):
            await repo.blob(sha256(b"data"))
        with pytest.raises(PreconditionError, match="without it; expected https"):
            await repo.push_blob(b"data", "text/plain")
    assert all(call.request.url.scheme == "https" for call in web.calls)


@pytest.mark.parametrize(
    "odd",
    [
        httpx.Response(302, headers={"location": f"{BASE}/manifests/next"}),
        httpx.Response(302, headers={"location": "https://[::1/x"}),
        httpx.Response(200, content=b"[" * 100_000),
        httpx.Response(200, content=b" " * (9 << 20)),
        httpx.Response(404, json={"errors": "none"}),
        httpx.Response(429, headers=[(b"retry-after", b"\xb2")]),
        httpx.Response(200, json={"schemaVersion": 2, "mediaType": ["x"]}),
        httpx.Response(200, json={"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": "x"}),
        httpx.Response(200, json={"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "annotations": {"a": 1}}),
    ],
)
async def test_odd_answers_are_an_outage(web: respx.Router, impatient: RepositoryClient, odd: httpx.Response) -> None:
    web.get(f"{BASE}/manifests/next").mock(return_value=odd)
    with pytest.raises(InfrastructureError, match="GET manifest next"):
        await impatient.manifest(Tag("next"))


@pytest.mark.parametrize(
    "token", [{"token": 7}, {"token": "a\nb"}, {"token": "t", "expires_in": [1]}, {}, [], "[" * 100_000]
)
async def test_an_odd_token_is_an_outage(web: respx.Router, impatient: RepositoryClient, token: object) -> None:
    web.get(f"{BASE}/manifests/next").mock(return_value=httpx.Response(401, headers={"www-authenticate": CHALLENGE}))
    body = token if isinstance(token, str) else json.dumps(token)
    web.get(f"{HOST}/token").mock(return_value=httpx.Response(200, text=body))
    with pytest.raises(InfrastructureError, match="holds no token"):
        await impatient.manifest(Tag("next"))


async def test_a_head_without_words_says_no_absence(web: respx.Router, repo: RepositoryClient) -> None:
    url = f"{BASE}/manifests/{IMAGE.digest}"
    web.head(url).mock(return_value=httpx.Response(404, headers={"content-type": "application/json"}))
    web.get(url).mock(return_value=answer())
    assert await repo.describe(IMAGE.digest) == IMAGE.descriptor


async def test_a_tag_that_quay_let_expire_is_not_there(web: respx.Router, repo: RepositoryClient) -> None:
    web.get(f"{BASE}/manifests/old").mock(return_value=refusal(404, "TAG_EXPIRED"))
    assert await repo.manifest(Tag("old")) is None


async def test_a_list_that_ends_is_asked_once_more(web: respx.Router, repo: RepositoryClient) -> None:
    def cut(request: httpx.Request) -> httpx.Response:
        after = request.url.params.get("last", "")
        return httpx.Response(200, json={"tags": [tag for tag in ("a", "b", "c") if tag > after][:2]})

    web.get(url__startswith=f"{BASE}/tags/list").mock(side_effect=cut)
    assert await repo.tags() == ["a", "b", "c"]


async def test_a_second_page_that_is_not_there_is_an_outage(web: respx.Router, impatient: RepositoryClient) -> None:
    def page(request: httpx.Request) -> httpx.Response:
        if "last" in request.url.params:
            return refusal(404, "NAME_UNKNOWN")
        return httpx.Response(200, json={"tags": ["a"]})

    web.get(url__startswith=f"{BASE}/tags/list").mock(side_effect=page)
    with pytest.raises(InfrastructureError):
        await impatient.tags()


@pytest.mark.parametrize(
    ("status", "error", "what"),
    [
        (400, {"code": "TAG_INVALID", "message": "cannot be overwritten, the repository is immutable"}, "immutable"),
        (412, {"code": "PRECONDITION", "message": "configured as immutable"}, "immutable"),
        (409, {"code": "TAG_EXISTS"}, "immutable"),
        (400, {"code": "MANIFEST_INVALID", "detail": {"message": "unsupported media type"}}, "type of content"),
        (415, {"code": "UNSUPPORTED"}, "type of content"),
        (403, {"code": "DENIED", "message": "quota exceeded"}, "quota"),
        (413, {"code": "SIZE_INVALID", "message": "too large"}, "size"),
        (404, {"code": "NAME_UNKNOWN", "message": "no such repository"}, "Create it"),
        (400, {"code": "NAME_INVALID", "message": "invalid repository name"}, "Correct repository, prefix"),
        (400, {"code": "TAG_INVALID", "message": "manifest tag did not match URI"}, "Correct repository, prefix"),
        (402, {"code": "DENIED", "message": "payment required"}, "plan there"),
        (451, {"code": "DENIED", "message": "blocked"}, "legal reasons"),
    ],
)
async def test_a_final_refusal_says_what_to_do(
    web: respx.Router, repo: RepositoryClient, status: int, error: dict[str, object], what: str
) -> None:
    route = web.put(f"{BASE}/manifests/notes").mock(return_value=httpx.Response(status, json={"errors": [error]}))
    with pytest.raises(PreconditionError, match=what) as refused:
        await repo.push_manifest(IMAGE, Tag("notes"))
    assert route.call_count == 1
    assert "run the command again" not in str(refused.value)


HARBOR_READS_ONLY = {"code": "DENIED", "message": "The system is in read only mode. Any modification is prohibited."}
QUAY_READS_ONLY = {
    "code": "DENIED",
    "message": "System is currently read-only. Pulls will succeed but all write operations are currently suspended.",
    "detail": {},
    "is_readonly": True,
}
read_only = pytest.mark.parametrize(("status", "error"), [(403, HARBOR_READS_ONLY), (405, QUAY_READS_ONLY)])


async def test_who_asks_too_often_is_not_told_to_log_in(web: respx.Router, impatient: RepositoryClient) -> None:
    error = {"code": "DENIED", "message": "You have exceeded a secondary rate limit. Please wait a few minutes."}
    web.get(f"{BASE}/manifests/next").mock(return_value=httpx.Response(403, json={"errors": [error]}))
    with pytest.raises(InfrastructureError, match="secondary rate limit"):
        await impatient.digest(Tag("next"))


@pytest.mark.parametrize("at_once", ["0", "Wed, 01 Jan 2020 00:00:00 GMT"])
async def test_a_registry_that_says_at_once_is_not_stormed(
    web: respx.Router, impatient: RepositoryClient, at_once: str
) -> None:
    busy = httpx.Response(429, headers={"retry-after": at_once})
    route = web.get(f"{BASE}/manifests/next").mock(return_value=busy)
    with pytest.raises(InfrastructureError, match="answer 429"):
        await impatient.digest(Tag("next"))
    assert route.call_count < 10


@read_only
async def test_a_registry_that_takes_nothing_for_a_while_is_an_outage(
    web: respx.Router, impatient: RepositoryClient, status: int, error: dict[str, object]
) -> None:
    suspended = httpx.Response(status, json={"errors": [error]})
    web.put(f"{BASE}/manifests/notes").mock(return_value=suspended)
    web.delete(f"{BASE}/manifests/{IMAGE.digest}").mock(return_value=suspended)
    with pytest.raises(InfrastructureError, match=f"PUT manifest notes .*: answer {status} .*read.only"):
        await impatient.push_manifest(IMAGE, Tag("notes"))
    with pytest.raises(InfrastructureError, match=f"DELETE manifest .*: answer {status} .*read.only"):
        await impatient.delete(IMAGE.digest)


@read_only
async def test_a_write_waits_for_the_end_of_a_garbage_collection(
    web: respx.Router, repo: RepositoryClient, status: int, error: dict[str, object]
) -> None:
    suspended = httpx.Response(status, json={"errors": [error]})
    route = web.put(f"{BASE}/manifests/notes").mock(side_effect=[*[suspended] * 5, httpx.Response(201)])
    await repo.push_manifest(IMAGE, Tag("notes"))
    assert route.call_count == 6


async def test_a_refused_mount_becomes_a_copy(web: respx.Router, repo: RepositoryClient) -> None:
    web.post(url__startswith=f"{BASE}/blobs/uploads/").mock(return_value=refusal(403, "DENIED"))
    web.head(url__startswith=f"{BASE}/blobs/").mock(return_value=httpx.Response(404))
    assert not await repo.take_blob(sha256(b"data"), Repository("r.example.org", "o/other"))


async def test_a_login_that_pushes_and_does_not_delete_may_push(web: respx.Router, repo: RepositoryClient) -> None:
    begun = httpx.Response(202, headers={"location": "/v2/o/i/blobs/uploads/7"})
    web.post(f"{BASE}/blobs/uploads/").mock(return_value=begun)
    web.delete(f"{BASE}/blobs/uploads/7").mock(return_value=refusal(403, "DENIED"))
    await repo.ask_to_push()


async def test_an_image_of_schema_1_is_no_outage(web: respx.Router, repo: RepositoryClient) -> None:
    web.get(f"{BASE}/manifests/old").mock(return_value=httpx.Response(200, json={"schemaVersion": 1}))
    with pytest.raises(PreconditionError, match="schema 1"):
        await repo.manifest(Tag("old"))
