"""The lab's registry, asked directly: what really lies behind a tag."""

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator

from rehearsal.lab import REGISTRY

_KINDS = ", ".join(
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ]
)


def manifest(image: str, reference: str) -> bytes | None:
    """The bytes of a manifest by tag or digest; None when there is none. `image` is as the lab's containers name it."""
    request = urllib.request.Request(_url(image, f"manifests/{reference}"), headers={"Accept": _KINDS})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise


def digest(image: str, reference: str) -> str | None:
    """The digest of those bytes."""
    found = manifest(image, reference)
    return None if found is None else f"sha256:{hashlib.sha256(found).hexdigest()}"


def attached(image: str, subject: str) -> set[str]:
    """The digests of what is attached to a manifest, by the fallback tag of registries without the referrers API."""
    listed = manifest(image, subject.replace(":", "-"))
    return {one["digest"] for one in json.loads(listed)["manifests"]} if listed else set()


def put(image: str, tag: str, content: bytes) -> None:
    """Write a manifest under a tag, as somebody who does not go through the pipeline would."""
    kind = json.loads(content)["mediaType"]
    request = urllib.request.Request(
        _url(image, f"manifests/{tag}"), data=content, headers={"Content-Type": kind}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=30):
        pass


def tags(image: str) -> set[str]:
    """Every tag of the repository."""
    try:
        with urllib.request.urlopen(_url(image, "tags/list"), timeout=30) as answer:
            return set(json.load(answer)["tags"] or [])
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return set()
        raise


def blobs(image: str) -> Iterator[tuple[str, bytes]]:
    """Everything that the repository's tags lead to, manifests and blobs, each once: digest and bytes."""
    seen: set[str] = set()
    wanted = [("manifests", tag) for tag in tags(image)]
    while wanted:
        kind, reference = wanted.pop()
        request = urllib.request.Request(_url(image, f"{kind}/{reference}"), headers={"Accept": _KINDS})
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = bytes(answer.read())
        name = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if name in seen:
            continue
        seen.add(name)
        yield name, content
        if kind == "manifests":
            document = json.loads(content)
            wanted += [("manifests", child["digest"]) for child in document.get("manifests", [])]
            named = [*document.get("layers", []), *([document["config"]] if "config" in document else [])]
            wanted += [("blobs", blob["digest"]) for blob in named if blob["digest"] not in seen]


def _url(image: str, rest: str) -> str:
    _, _, path = image.partition("/")
    return f"http://localhost:{REGISTRY}/v2/{path}/{rest}"
