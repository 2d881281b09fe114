"""The lab's registry, asked directly: what really lies behind a tag."""

import hashlib
import json
import urllib.error
import urllib.request

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


def _url(image: str, rest: str) -> str:
    _, _, path = image.partition("/")
    return f"http://localhost:{REGISTRY}/v2/{path}/{rest}"
