"""A registry in memory, spoken to over HTTP as a real one; its contract test is tests/contract/retention."""

import hashlib
import json
import math
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
import respx

from pipeline.domain import Digest, Repository, Tag
from pipeline.registry import media
from pipeline.registry.client import RegistryClient

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CREATED = "org.opencontainers.image.created"


def sha256(data: bytes) -> Digest:
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


class FakeRegistry:
    """One repository on `registry.test`: manifests, tags, blobs, with the habits of several registries to choose."""

    host = "registry.test"

    def __init__(self, router: respx.MockRouter, name: str = "os") -> None:
        self.router = router
        self.repository = Repository(self.host, name)
        self.api: Callable[[httpx.Request], httpx.Response] | None = None
        """What answers outside of the registry's own API."""
        self.manifests: dict[Digest, tuple[str, bytes]] = {}
        self.tags: dict[str, Digest] = {}
        self.blobs: dict[Digest, bytes] = {}
        self.copies: dict[str, tuple[str, bytes]] = {}
        self.log: list[str] = []
        self.now = NOW
        self.referrers_api = True
        self.deletes = True
        self.untags = "tag"  # or "refuse", "manifest"
        self.tags_go_along = True
        """Else, as with crane's registry, a tag is a copy that outlives the manifest."""
        self.hidden_tags: set[str] = set()
        self.before: Callable[[str], httpx.Response | None] = lambda request: None
        """Called with `METHOD path` before each request; may change things, or answer instead."""

    # What tests put in

    def put(self, document: dict[str, Any], *tags: str) -> Digest:
        raw = json.dumps(document).encode()
        digest = sha256(raw)
        self.manifests[digest] = (document.get("mediaType", "application/x-unknown"), raw)
        self.tags |= dict.fromkeys(tags, digest)
        return digest

    def blob(self, data: bytes, kind: str) -> dict[str, Any]:
        digest = sha256(data)
        self.blobs[digest] = data
        return {"mediaType": kind, "digest": digest, "size": len(data)}

    def image(
        self, *tags: str, days: float | None = 100, labelled: float | None = None, text: str = "", **more: Any
    ) -> Digest:
        """`days` old by its configuration, and by its label `labelled` days."""
        created: dict[str, Any] = {} if days is None else {"created": (NOW - timedelta(days=days)).isoformat()}
        if labelled is not None:
            created["config"] = {"Labels": {CREATED: (NOW - timedelta(days=labelled)).isoformat()}}
        seed = text or f"{tags} {days}"
        config = self.blob(
            json.dumps({"os": "linux", "architecture": "amd64", "of": seed, **created}).encode(),
            "application/vnd.oci.image.config.v1+json",
        )
        layers = [self.blob(b"layer of " + seed.encode(), "application/vnd.oci.image.layer.v1.tar+gzip")]
        return self.put(
            {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": config, "layers": layers, **more}, *tags
        )

    def describe(self, digest: Digest) -> dict[str, Any]:
        kind, raw = self.manifests[digest]
        return {"mediaType": kind, "digest": digest, "size": len(raw)}

    def index(self, *children: Digest, tags: tuple[str, ...] = (), **more: Any) -> Digest:
        listed = [self.describe(child) for child in children]
        return self.put({"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": listed, **more}, *tags)

    def artifact(
        self, subject: Digest | None, *tags: str, text: str = "signature", days: float | None = None
    ) -> Digest:
        empty = self.blob(b"{}", media.EMPTY)
        more: dict[str, Any] = {"subject": self.describe(subject)} if subject else {}
        if days is not None:
            more["annotations"] = {CREATED: (NOW - timedelta(days=days)).isoformat()}
        layers = [self.blob(text.encode(), "text/plain")]
        document = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "artifactType": "application/x-signature"}
        return self.put({**document, "config": empty, "layers": layers, **more}, *tags)

    def images(self) -> set[Digest]:
        """All manifests but the records of the pipeline."""
        records = {digest for tag, digest in self.tags.items() if tag.startswith("pipeline-")}
        return set(self.manifests) - records

    def names(self) -> set[str]:
        """All tags but those of records."""
        return {tag for tag in self.tags if not tag.startswith("pipeline-")}

    # What a user can get

    def pull(self, digest: Digest) -> None:
        """Every manifest and blob below, or KeyError."""
        document = json.loads(self.manifests[digest][1])
        for child in document.get("manifests", []):
            self.pull(child["digest"])
        for blob in [document.get("config"), *document.get("layers", [])]:
            if blob:
                self.blobs[blob["digest"]]

    # What it answers

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if self.api and request.url.path.startswith("/api/"):
            return self.api(request)
        path = request.url.path.removeprefix(f"/v2/{self.repository.path}/")
        line = f"{request.method} {path}"
        self.log.append(line)
        answer = self.before(line) or self._answer(request, path)
        answer.headers["date"] = format_datetime(self.now, usegmt=True)
        return answer

    def _answer(self, request: httpx.Request, path: str) -> httpx.Response:
        what, _, name = path.partition("/")
        handler = getattr(self, f"_{what}", None)
        return handler(request, name) if handler else httpx.Response(404)

    def _tags(self, request: httpx.Request, name: str) -> httpx.Response:
        return httpx.Response(200, json={"name": "os", "tags": sorted(set(self.tags) - self.hidden_tags)})

    def _referrers(self, request: httpx.Request, name: str) -> httpx.Response:
        if not self.referrers_api:  # as Debian's docker-registry says it
            known = {"docker-distribution-api-version": "registry/2.0"}
            return httpx.Response(404, text="404 page not found\n", headers=known)
        found = [
            self.describe(digest)
            for digest, (_, raw) in self.manifests.items()
            if name.encode() in raw and json.loads(raw).get("subject", {}).get("digest") == name
        ]
        return httpx.Response(200, json={"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": found})

    def _manifests(self, request: httpx.Request, name: str) -> httpx.Response:
        if request.method == "PUT":
            raw = request.content
            self.manifests[sha256(raw)] = (request.headers["content-type"], raw)
            if ":" not in name:
                self.tags[name] = sha256(raw)
            headers = {"OCI-Subject": "yes"} if self.referrers_api else {}
            return httpx.Response(201, headers={"docker-content-digest": sha256(raw), **headers})
        digest = Digest(name) if ":" in name else self.tags.get(name)
        unknown = httpx.Response(404, json={"errors": [{"code": "MANIFEST_UNKNOWN"}]})
        if request.method == "DELETE":
            return self._delete(name, digest) or unknown
        kept = self.copies.get(name)
        if digest not in self.manifests and not kept:
            return unknown
        kind, raw = kept or self.manifests[digest]
        return httpx.Response(200, content=raw, headers={"content-type": kind, "docker-content-digest": digest})

    def _delete(self, name: str, digest: Digest | None) -> httpx.Response | None:
        if not self.deletes or (":" not in name and self.untags == "refuse"):
            return httpx.Response(405, json={"errors": [{"code": "UNSUPPORTED"}]})
        if self.copies.pop(name, None):
            del self.tags[name]
            return httpx.Response(202)
        if digest is None or digest not in self.manifests:
            return None
        if ":" not in name and self.untags == "tag":
            del self.tags[name]
        else:
            gone = self.manifests.pop(digest)
            tags = [tag for tag, to in self.tags.items() if to == digest]
            if self.tags_go_along:
                self.tags = {tag: to for tag, to in self.tags.items() if to != digest}
            else:
                self.copies |= dict.fromkeys(tags, gone)
        return httpx.Response(202)

    def _blobs(self, request: httpx.Request, name: str) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(202, headers={"location": "1"})
        if request.method == "PUT":
            self.blobs[sha256(request.content)] = request.content
            return httpx.Response(201)
        if name not in self.blobs:
            return httpx.Response(404, json={"errors": [{"code": "BLOB_UNKNOWN"}]})
        return httpx.Response(200, content=self.blobs[Digest(name)])


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with respx.mock(assert_all_called=False) as router:
        fake = FakeRegistry(router)
        router.route(host=fake.host).mock(side_effect=fake)
        yield fake


@pytest.fixture
async def client() -> AsyncIterator[RegistryClient]:
    async with RegistryClient(deadline=60) as opened:
        yield opened


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up on an outage at once: the next attempt would come after the deadline, however busy the machine is."""
    monkeypatch.setattr("pipeline.registry.transport._pause", lambda failures: math.inf)


@pytest.fixture
def commit() -> Callable[[int], Tag]:
    return lambda number: Tag(f"{number:040x}")


@pytest.fixture(autouse=True)
def registries_live_in_the_past(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their clock is `NOW`, a fixed date."""
    monkeypatch.setattr("pipeline.registry.clock.SKEW", timedelta(days=36500))
