"""A registry in memory behind httpx, and the weather between it and its clients: crashes, outages, delays."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf
from random import Random
from typing import Any, TypeVar
from unittest.mock import patch

import anyio
import httpx

from pipeline.domain import Channel, Digest, Outcome, Repository, Tag
from pipeline.errors import InfrastructureError
from pipeline.policy.tags import is_version_tag
from pipeline.registry import media

T = TypeVar("T")

HOST = "registry.test"
ELSEWHERE = "elsewhere.test"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
PLATFORMS = ("linux/amd64", "linux/arm64")
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def sha256(data: bytes) -> Digest:
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


acting: ContextVar[str] = ContextVar("acting", default="")
"""Which of several commands at once this task belongs to: what one has seen, the others have not."""
pushed: ContextVar[Digest] = ContextVar("pushed")
"""What the push tool says of the last push of this task."""


class Crash(BaseException):
    """The process was killed."""


class Bad(StrEnum):
    """What happens to a request; `after` means that the registry has carried it out."""

    CRASH_BEFORE = "crash_before"
    CRASH_AFTER = "crash_after"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    TOO_MANY = "too_many"
    INTERNAL = "internal"
    BAD_GATEWAY_AFTER = "bad_gateway_after"
    NOT_FOUND_PAGE = "not_found_page"
    HANGS = "hangs"
    TRUNCATED = "truncated"
    WRONG_DIGEST = "wrong_digest"

    @property
    def takes_effect(self) -> bool:
        return self in (Bad.CRASH_AFTER, Bad.RESET_AFTER, Bad.BAD_GATEWAY_AFTER, Bad.TRUNCATED, Bad.WRONG_DIGEST)

    @property
    def crashes(self) -> bool:
        return self in (Bad.CRASH_BEFORE, Bad.CRASH_AFTER)


class Lie(StrEnum):
    """A plausible wrong answer to a request, which the registry has not carried out."""

    NOT_FOUND_PLAIN = "404 plain"
    NOT_FOUND_GATEWAY = "404 JSON of a gateway"
    NOT_FOUND_PAGE = "404 HTML"
    EMPTY = "200 with an empty list"
    CUT = "200 with a page that is cut"
    STALE = "what was true one write ago"
    ELSEWHERE = "a redirect to another host, which has its own words"
    UNAUTHORIZED_ELSEWHERE = "401 from another host"


@dataclass(frozen=True)
class Delay:
    """How long a request is under way before it takes effect or, `after` that, its answer is."""

    seconds: float
    after: bool = False


@dataclass
class Weather:
    """The `bad` thing that the `at`-th request meets, and all after it when it is `lasting`."""

    bad: Bad | Lie | None = None
    at: int = 0
    lasting: bool = False
    address: bool = False
    """Whether the `bad` thing lasts for the address of the `at`-th request: its method and its path."""
    method: str = ""
    """The method that it meets, from the `at`-th request on; empty for any."""
    then: Lie | None = None
    """What the request after the `at`-th one meets."""
    stranger: Callable[[], None] | None = None
    """Called ahead of the `at`-th request: somebody else acts."""
    slow: Random | None = None
    """Draws how long each request and each answer is under way: up to 30 ms."""
    delays: Callable[[str], Delay | None] | None = None
    """Asked at each request, by its method and path."""
    asked: list[str] = field(default_factory=list)
    """The method and the path of every request so far."""

    @property
    def count(self) -> int:
        return len(self.asked)

    @property
    def lie(self) -> Lie | None:
        """That is met, or was met last."""
        return self.then or (self.bad if isinstance(self.bad, Lie) else None)

    @property
    def told(self) -> str:
        """What was met, and where, for an assertion."""
        where = f"from request {self.at} on, at its address" if self.address else f"request {self.at}"
        met = self.asked[self.at - 1] if self.at <= self.count else "never asked"
        return f"{self.bad} at {where} ({met})" + (f", then {self.then}" if self.then else "")

    def next(self, what: str) -> Bad | Lie | None:
        self.asked.append(what)
        if self.stranger and self.count == self.at:
            self.stranger()
        if self.then and self.count == self.at + 1:
            return self.then
        return self.bad if self._meets(what) else None

    def _meets(self, what: str) -> bool:
        if self.method:
            return self.count >= self.at and what.startswith(self.method)
        if self.address:
            return self.count >= self.at and what == self.asked[self.at - 1]
        return self.count == self.at or (self.lasting and self.count > self.at)

    async def travel(self) -> None:
        if self.slow:
            await anyio.sleep(self.slow.uniform(0, 0.03))


@dataclass(frozen=True)
class Write:
    """One change of a tag, and what the gates had said about the new digest by then."""

    path: str
    tag: str
    old: Digest | None
    new: Digest
    by_us: bool
    verdicts: dict[Channel, Outcome | None]
    seen: Digest | None
    """What the last client that looked saw there."""
    recorded: Digest | None = None
    """What the newest entry of the ledger says was there, for a channel."""
    over_hold: bool = False
    """Whether it is a promotion whose entry comes after a hold that is in force, and does not say so."""

    @property
    def knowingly_over_another(self) -> bool:
        """Whether the writer had seen that the tag was not any more where the plan saw it."""
        return self.by_us and self.old != self.recorded and self.old == self.seen


@dataclass
class Store:
    """One repository."""

    manifests: dict[Digest, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, Digest] = field(default_factory=dict)
    blobs: dict[Digest, bytes] = field(default_factory=dict)
    seen: dict[tuple[str, str], Digest | None] = field(default_factory=dict)
    """What a tag named when a command last asked, by `acting` and tag."""


@dataclass
class MemoryRegistry:
    """Any number of repositories on `registry.test`, with or without the referrers API."""

    referrers_api: bool = True
    stores: dict[str, Store] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    weather: Weather = field(default_factory=Weather)
    earlier: dict[str, Store] = field(default_factory=dict)
    """What was true one write ago."""
    channels: dict[str, tuple[str, Channel]] = field(default_factory=lambda: {one: ("", one) for one in Channel})
    """By tag: the prefix of its image, and the channel that it is."""

    # For tests ------------------------------------------------------------------------------------------------------

    def store(self, path: str) -> Store:
        return self.stores.setdefault(path, Store())

    def tag(self, path: str, tag: str, new: Digest, *, by_us: bool = True) -> None:
        """Every write of a tag, the pipeline's and a stranger's, comes through here."""
        self.remember()
        store = self.store(path)
        # a version tag may come to another repository ahead of what proves it; a channel may not
        places = [path] if tag in self.channels else list(self.stores)
        verdicts = {gate: self.verdict(places, new, gate) for gate in Channel}
        old, seen = store.tags.get(tag), store.seen.get((acting.get(), tag))
        write = Write(path, tag, old, new, by_us, verdicts, seen)
        if tag in self.channels and by_us:
            prefix, channel = self.channels[tag]
            entries = {digest: self._entry(path, digest) for digest in self.chain(path, channel, prefix)}
            entry = next(one for one in entries.values() if one["moves"] and one["moves"][-1]["new"] == new)
            released = {digest for one in entries.values() for digest in one["releases"]}
            holds = [
                one
                for digest, one in entries.items()
                if one["kind"] in ("hold", "rollback") and digest not in released and one["number"] < entry["number"]
            ]
            over_hold = entry["kind"] == "promotion" and bool(holds)
            write = replace(write, recorded=entry["moves"][-1]["old"], over_hold=over_hold)
        self.writes.append(write)
        store.tags[tag] = new

    def remember(self) -> None:
        """Called ahead of each write."""
        self.earlier = _copied(self.stores)

    def saved(self) -> Any:
        return _copied(self.stores), len(self.writes), _copied(self.earlier)

    def restore(self, saved: Any) -> None:
        self.stores, length, self.earlier = _copied(saved[0]), saved[1], _copied(saved[2])
        del self.writes[length:]

    def put_image(self, path: str, labels: dict[str, str], seed: str, platforms: Sequence[str] = PLATFORMS) -> Digest:
        """An image of several platforms, below an index, with no tag yet."""
        store = self.store(path)
        listed = []
        for name in platforms:
            platform = dict(zip(("os", "architecture", "variant"), name.split("/"), strict=False))
            layer = f"{name.removeprefix('linux/')} {seed}"
            config = json.dumps(platform | {"config": {"Labels": labels}, "rootfs": {"diff_ids": [layer]}}).encode()
            parts = [_blob(store, config, IMAGE_CONFIG), _blob(store, layer.encode(), LAYER)]
            manifest = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": parts[0], "layers": parts[1:]}
            listed.append(_manifest(store, manifest) | {"platform": platform})
        index = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": listed}
        return Digest(_manifest(store, index)["digest"])

    def label(self, path: str, digest: Digest | None, name: str) -> str:
        """Of the first image of an index."""
        if digest is None:
            return ""
        store = self.store(path)
        document = json.loads(store.manifests[digest][1])
        if "manifests" in document:
            return self.label(path, document["manifests"][0]["digest"], name)
        config = json.loads(store.blobs[document["config"]["digest"]])
        return str(config["config"]["Labels"].get(name, ""))

    def whole(self, path: str, digest: Digest) -> bool:
        """Whether a manifest is there, and all that it lists."""
        store = self.store(path)
        if digest not in store.manifests:
            return False
        return all(
            self.whole(path, one["digest"]) for one in json.loads(store.manifests[digest][1]).get("manifests", [])
        )

    def verdict(self, paths: list[str], digest: Digest, gate: Channel) -> Outcome | None:
        """The newest that a gate said about a digest in some repository, read without any of the pipeline's code."""
        said: dict[str, tuple[Outcome, list[str]]] = {}
        for store, kind, raw in [
            (self.store(path), *one) for path in paths for one in self.store(path).manifests.values()
        ]:
            document = json.loads(raw) if kind == media.OCI_MANIFEST else {}
            if document.get("artifactType") != media.EVIDENCE or document["subject"]["digest"] != digest:
                continue
            statement = next(one for one in document["layers"] if one["mediaType"] == media.IN_TOTO)["digest"]
            try:
                predicate = json.loads(store.blobs[statement])["predicate"]["bootc-pipeline"]
            except (ValueError, KeyError, RecursionError):
                continue
            if predicate["gate"] == gate:
                said[statement] = Outcome(predicate["result"]["outcome"]), predicate["follows"]
        followed = {one for _, follows in said.values() for one in follows}
        return _worst([outcome for one, (outcome, _) in said.items() if one not in followed])

    def _all(self, path: str) -> list[tuple[str, bytes]]:
        return list(self.store(path).manifests.values())

    def _entry(self, path: str, digest: Digest) -> dict[str, Any]:
        store = self.store(path)
        layer = json.loads(store.manifests[digest][1])["layers"][0]
        entry: dict[str, Any] = json.loads(store.blobs[layer["digest"]])["predicate"]["bootc-pipeline"]
        return entry

    def chain(self, path: str, channel: Channel, prefix: str = "") -> list[Digest]:
        """The entries of a ledger by their tags, newest first, again by other code."""
        numbers = {}
        for tag in self.store(path).tags:
            if tag.startswith(f"{prefix}pipeline-ledger-{channel}-"):
                *_, number, _, digest = tag.split("-")
                numbers[Digest(f"sha256:{digest}")] = int(number)
        return sorted(numbers, key=lambda digest: (numbers[digest], digest), reverse=True)

    # Over HTTP ------------------------------------------------------------------------------------------------------

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Whatever httpx sends comes here."""

        async def handle(_: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
            await request.aread()
            what = f"{request.method} {request.url.path}"
            if delay := self._delay(what):
                try:
                    patience = request.extensions["timeout"]["read"]
                    return _on_its_way(await _held_up(delay, lambda: self._registry(request), patience))
                except TimeoutError:
                    raise httpx.ReadTimeout("no answer") from None
            async with self._under(what) as bad:
                return _on_its_way(await self._answer(request, bad))

        with patch.object(httpx.AsyncHTTPTransport, "handle_async_request", handle):
            yield

    async def _answer(self, request: httpx.Request, bad: Bad | Lie | None) -> httpx.Response:
        if request.url.host == ELSEWHERE:
            return self._of_another_host(request)
        if isinstance(bad, Lie):
            return self._lied(request, bad)
        if bad and not bad.takes_effect:
            match bad:
                case Bad.CRASH_BEFORE:
                    raise Crash
                case Bad.RESET_BEFORE:
                    raise httpx.ConnectError("connection refused")
                case Bad.HANGS:
                    await anyio.sleep(10_000)
                case Bad.TOO_MANY:
                    return httpx.Response(429, headers={"retry-after": "1"}, html="slow down")
                case Bad.INTERNAL:
                    return httpx.Response(500)
            return httpx.Response(404, html="<html>Not found</html>")
        answer = self._registry(request)
        match bad:
            case Bad.CRASH_AFTER:
                raise Crash
            case Bad.RESET_AFTER:
                raise httpx.ReadError("connection reset")
            case Bad.BAD_GATEWAY_AFTER:
                return httpx.Response(502, html="<html>Bad gateway</html>")
            case Bad.TRUNCATED:
                raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")
            case Bad.WRONG_DIGEST if "docker-content-digest" in answer.headers:
                answer.headers["docker-content-digest"] = "sha256:" + "f" * 64
        return answer

    def _delay(self, what: str) -> Delay | None:
        return self.weather.delays(what) if self.weather.delays else None

    def _of_another_host(self, request: httpx.Request) -> httpx.Response:
        if "password" in request.url.path:
            return httpx.Response(401, headers={"www-authenticate": "Basic"}, json={"errors": [{"code": "DENIED"}]})
        return httpx.Response(404, json={"errors": [{"code": "MANIFEST_UNKNOWN"}]})

    def _lied(self, request: httpx.Request, lie: Lie) -> httpx.Response:
        match lie:
            case Lie.NOT_FOUND_PLAIN:
                return httpx.Response(404)
            case Lie.NOT_FOUND_GATEWAY:
                return httpx.Response(404, json={"error": "no route", "code": 404})
            case Lie.NOT_FOUND_PAGE:
                return httpx.Response(404, html="<html>Not found</html>")
            case Lie.EMPTY:
                nothing = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "tags": [], "manifests": []}
                return httpx.Response(200, json=nothing, headers={"content-type": media.OCI_INDEX})
            case Lie.ELSEWHERE:
                return httpx.Response(307, headers={"location": f"https://{ELSEWHERE}/not-there"})
            case Lie.UNAUTHORIZED_ELSEWHERE:
                return httpx.Response(307, headers={"location": f"https://{ELSEWHERE}/password"})
        if request.method not in ("GET", "HEAD"):
            return httpx.Response(200)
        if lie is Lie.STALE:
            return self._of_the_past(request)
        answer = self._registry(request)
        if request.url.path.endswith("/tags/list") and answer.status_code == 200:
            listed = answer.json()
            return httpx.Response(200, json=listed | {"tags": listed["tags"][: len(listed["tags"]) // 2]})
        return httpx.Response(answer.status_code, content=answer.content[: len(answer.content) // 2])

    def _of_the_past(self, request: httpx.Request) -> httpx.Response:
        now, self.stores = self.stores, _copied(self.earlier)
        try:
            return self._registry(request)
        finally:
            self.stores = now

    @asynccontextmanager
    async def _under(self, what: str) -> AsyncIterator[Bad | Lie | None]:
        await self.weather.travel()
        yield self.weather.next(what)
        await self.weather.travel()

    def _registry(self, request: httpx.Request) -> httpx.Response:
        path, _, rest = request.url.path.removeprefix("/v2/").partition("/-/")
        for part in ("manifests", "blobs", "tags", "referrers"):
            path, found, rest = request.url.path.removeprefix("/v2/").partition(f"/{part}/")
            if found:
                handler: Callable[[httpx.Request, str, str], httpx.Response] = getattr(self, f"_{part}")
                return handler(request, path, rest)
        return httpx.Response(404)

    def _tags(self, request: httpx.Request, path: str, _rest: str) -> httpx.Response:
        after = request.url.params.get("last", "")
        return httpx.Response(200, json={"name": path, "tags": sorted(t for t in self.store(path).tags if t > after)})

    def _referrers(self, _request: httpx.Request, path: str, subject: str) -> httpx.Response:
        if not self.referrers_api:  # as distribution 2.8 and 3 answer, which have no such route
            named = {"Docker-Distribution-Api-Version": "registry/2.0"}
            return httpx.Response(404, text="404 page not found\n", headers=named)
        listed = []
        for digest, (kind, raw) in self.store(path).manifests.items():
            document = json.loads(raw)
            if document.get("subject", {}).get("digest") == subject:
                more = {"artifactType": document["artifactType"], "annotations": document.get("annotations", {})}
                listed.append({"mediaType": kind, "digest": digest, "size": len(raw)} | more)
        return httpx.Response(200, json={"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": listed})

    def _manifests(self, request: httpx.Request, path: str, ref: str) -> httpx.Response:
        store = self.store(path)
        if request.method == "PUT":
            digest = sha256(request.content)
            self.remember()
            store.manifests[digest] = (request.headers["content-type"], request.content)
            if ":" not in ref:
                self.tag(path, ref, digest)
            headers = {"OCI-Subject": "yes"} if self.referrers_api else {}
            return httpx.Response(201, headers={"docker-content-digest": digest, **headers})
        found = Digest(ref) if ":" in ref else store.tags.get(ref)
        if request.method == "DELETE":
            return self._delete(store, ref, found)
        store.seen[acting.get(), ref] = found
        if found not in store.manifests:
            return httpx.Response(404, json={"errors": [{"code": "MANIFEST_UNKNOWN"}]})
        kind, raw = store.manifests[found]
        return httpx.Response(200, content=raw, headers={"content-type": kind, "docker-content-digest": found})

    def _delete(self, store: Store, ref: str, found: Digest | None) -> httpx.Response:
        """By tag, which leaves the manifest alone, or by digest, with all tags."""
        if found not in store.manifests:
            return httpx.Response(404, json={"errors": [{"code": "MANIFEST_UNKNOWN"}]})
        if ":" in ref:
            del store.manifests[found]
        for tag in [tag for tag, named in store.tags.items() if (named == found if ":" in ref else tag == ref)]:
            del store.tags[tag]
        return httpx.Response(202)

    def _blobs(self, request: httpx.Request, path: str, rest: str) -> httpx.Response:
        blobs = self.store(path).blobs
        if request.method == "POST":
            if digest := request.url.params.get("mount"):
                blobs[Digest(digest)] = self.store(request.url.params["from"]).blobs[Digest(digest)]
                return httpx.Response(201)
            return httpx.Response(202, headers={"location": "1"})
        if request.method == "PUT":
            blobs[sha256(request.content)] = request.content
            return httpx.Response(201)
        if rest not in blobs:
            return httpx.Response(404, json={"errors": [{"code": "BLOB_UNKNOWN"}]})
        return httpx.Response(200, content=blobs[Digest(rest)])

    # By tools -------------------------------------------------------------------------------------------------------

    async def copy(self, source: Repository, digest: Digest, target: Repository, tag: Tag | None) -> None:
        """What skopeo does: reads all of the source, then writes the target's parts, its manifest last."""
        await self._tool("reads", lambda: None)
        await self._tool("writes", lambda: self._carry(self.store(source.path), self.store(target.path), digest))
        if tag:
            await self._tool(f"tags {tag}", lambda: self._tag_whole(target.path, tag, digest))

    def _tag_whole(self, path: str, tag: Tag, digest: Digest) -> None:
        """A registry takes no manifest without its parts: MANIFEST_BLOB_UNKNOWN."""
        if not self.whole(path, digest):
            raise InfrastructureError(f"skopeo: manifest blob unknown: {digest}")
        self.tag(path, tag, digest)

    def _carry(self, ours: Store, theirs: Store, digest: Digest) -> None:
        """A manifest and all below it."""
        if digest not in ours.manifests:
            raise InfrastructureError(f"skopeo: manifest unknown: {digest}")
        document = json.loads(ours.manifests[digest][1])
        for child in document.get("manifests", []):
            self._carry(ours, theirs, child["digest"])
        parts = [] if "manifests" in document else [document["config"], *document["layers"]]
        theirs.blobs |= {part["digest"]: ours.blobs[part["digest"]] for part in parts}
        theirs.manifests[digest] = ours.manifests[digest]

    async def push(
        self, path: str, candidate: str, labels: dict[str, str], seed: str, platforms: Sequence[str] = PLATFORMS
    ) -> Digest:
        """What podman and skopeo do with what was built here to be that `candidate`: it comes without a tag."""
        digest = MemoryRegistry().put_image(path, labels, seed, platforms)
        pushed.set(digest)
        await self._tool("writes", lambda: self._received(path, labels, seed, platforms))
        return digest

    def _received(self, path: str, labels: dict[str, str], seed: str, platforms: Sequence[str]) -> None:
        """The last write is that of the index: a registry takes no manifest without its parts."""
        manifests = self.store(path).manifests
        digest = self.put_image(path, labels, seed, platforms)
        index = manifests.pop(digest)
        self.remember()
        manifests[digest] = index

    async def _tool(self, what: str, effect: Callable[[], object]) -> None:
        """One request of a tool, which waits for an answer as long as it takes, and tries nothing twice."""
        if delay := self._delay(f"tool {what}"):
            await _held_up(delay, effect, inf)
            return
        async with self._under(f"tool {what}") as bad:
            if bad is Lie.STALE:  # it says that it is done
                return
            if isinstance(bad, Lie):
                raise InfrastructureError(f"skopeo met {bad}")
            if bad is None or bad.takes_effect:
                effect()
            if bad and bad.crashes:
                raise Crash
            if bad:
                raise InfrastructureError(f"skopeo met {bad}")


def _on_its_way(answer: httpx.Response) -> httpx.Response:
    """As one from a network, whose body has not been read yet."""

    async def body() -> AsyncIterator[bytes]:
        yield answer.content

    return httpx.Response(answer.status_code, headers=answer.headers, content=body())


async def _held_up(delay: Delay, act: Callable[[], T], patience: float) -> T:
    """What `act` answers; it takes effect also when nobody waits for it any more. TimeoutError when that is so."""
    answer = asyncio.get_running_loop().create_future()

    def take_effect() -> None:
        try:
            told = act()
        except InfrastructureError as error:
            if not answer.done():
                answer.set_exception(error)
        else:
            if not answer.done():
                answer.set_result(told)

    if delay.after:
        take_effect()
        with anyio.fail_after(patience):
            await anyio.sleep(delay.seconds)
    else:
        asyncio.get_running_loop().call_later(delay.seconds, take_effect)
    with anyio.fail_after(patience):
        found: T = await answer
    return found


def _copied(stores: dict[str, Store]) -> dict[str, Store]:
    """What is in them does not change."""
    return {
        path: Store(dict(store.manifests), dict(store.tags), dict(store.blobs), dict(store.seen))
        for path, store in stores.items()
    }


def _blob(store: Store, data: bytes, kind: str) -> dict[str, Any]:
    store.blobs[sha256(data)] = data
    return {"mediaType": kind, "digest": sha256(data), "size": len(data)}


def _manifest(store: Store, document: dict[str, Any]) -> dict[str, Any]:
    raw = json.dumps(document).encode()
    store.manifests[sha256(raw)] = (document["mediaType"], raw)
    return {"mediaType": document["mediaType"], "digest": sha256(raw), "size": len(raw)}


def _worst(outcomes: list[Outcome]) -> Outcome | None:
    """Of several that were reached side by side."""
    return max(outcomes, key=lambda one: one.exit_code, default=None)


def promoted(tag: str) -> bool:
    """Whether only a promotion may write this tag."""
    return tag in list(Channel) or is_version_tag(tag)


Command = Callable[[], Awaitable[object]]
