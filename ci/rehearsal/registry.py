"""The lab's registry, or one that images name as it is, asked directly: what really lies behind a tag."""

import gzip
import hashlib
import io
import json
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rehearsal.lab import REGISTRY

_LAB = f"registry:{REGISTRY}"
"""How the lab's own containers name it."""
_KINDS = ", ".join(
    [
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ]
)
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


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
    return None if found is None else _sha256(found)


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
        name = _sha256(content)
        if name in seen:
            continue
        seen.add(name)
        yield name, content
        if kind == "manifests":
            document = json.loads(content)
            wanted += [("manifests", child["digest"]) for child in document.get("manifests", [])]
            named = [*document.get("layers", []), *([document["config"]] if "config" in document else [])]
            wanted += [("blobs", blob["digest"]) for blob in named if blob["digest"] not in seen]


def derived(
    source: str,
    reference: str,
    target: str,
    text: str,
    *,
    tag: str = "",
    labels: dict[str, str] | None = None,
    architecture: str = "amd64",
) -> str:
    """Put an image with one more file, that holds `text`, into another repository; its digest.

    Other `labels` are added and `architecture` is what it says of itself. Without `tag` it has only its digest.
    """
    described = json.loads(manifest(source, reference) or b"")
    if "manifests" in described:
        described = json.loads(manifest(source, described["manifests"][0]["digest"]) or b"")
    config = json.loads(_blob(source, described["config"]["digest"]))
    unpacked = _packed("usr/share/rehearsal", text)
    config["architecture"] = architecture
    config["config"]["Labels"] = (config["config"].get("Labels") or {}) | (labels or {})
    config["rootfs"]["diff_ids"].append(_sha256(unpacked))
    config.get("history", []).append({"created_by": "one more file"})
    for layer in described["layers"]:
        _send("POST", _url(target, f"blobs/uploads/?mount={layer['digest']}&from={source.partition('/')[2]}"))
    described["layers"].append(_uploaded(target, gzip.compress(unpacked), _LAYER))
    described["config"] |= _uploaded(target, json.dumps(config).encode(), described["config"]["mediaType"])
    content = json.dumps(described | {"mediaType": _KINDS.split(", ")[1]}).encode()
    put(target, tag or _sha256(content), content)
    return _sha256(content)


def laid_out(image: str, reference: str, folder: Path) -> Path:
    """An image as an OCI layout."""
    content = manifest(image, reference) or b""
    described = json.loads(content)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for name in (described["config"]["digest"], *(layer["digest"] for layer in described["layers"])):
        (blobs / name.partition(":")[2]).write_bytes(_blob(image, name))
    top = {"mediaType": described["mediaType"], "digest": _sha256(content), "size": len(content)}
    (blobs / top["digest"].partition(":")[2]).write_bytes(content)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    return folder


def _packed(path: str, text: str) -> bytes:
    packed, content = io.BytesIO(), text.encode()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        file = tarfile.TarInfo(path)
        file.size, file.mode = len(content), 0o644
        archive.addfile(file, io.BytesIO(content))
    return packed.getvalue()


def _uploaded(image: str, content: bytes, kind: str) -> dict[str, Any]:
    """A blob's descriptor."""
    where = _send("POST", _url(image, "blobs/uploads/"))
    name = _sha256(content)
    _send("PUT", f"{where}{'&' if '?' in where else '?'}digest={name}", content)
    return {"mediaType": kind, "digest": name, "size": len(content)}


def _send(method: str, url: str, content: bytes = b"") -> str:
    """Where the registry wants what comes next."""
    headers = {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(url, data=content, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return urllib.parse.urljoin(url, answer.headers.get("Location", ""))


def _blob(image: str, name: str) -> bytes:
    with urllib.request.urlopen(_url(image, f"blobs/{name}"), timeout=60) as answer:
        return bytes(answer.read())


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _url(image: str, rest: str) -> str:
    host, _, path = image.partition("/")
    return f"http://{f'localhost:{REGISTRY}' if host == _LAB else host}/v2/{path}/{rest}"
