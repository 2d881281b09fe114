"""The real containers tools find the candidate where the drop-in says, under the reference that users have."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import dagger
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from dagger import dag

from pipeline.containers.podman import toolbox
from pipeline.domain import Digest, Repository
from pipeline.trust import machine
from pipeline.trust.image import MEDIA_TYPE, annotated, payload
from pipeline.trust.keys import PublicKey
from pipeline.vm import attachments, relay

ROOT = Path(__file__).parents[3]
REPOSITORY = "ghcr.io/owner/os"

LISTEN = """
import socket, subprocess, sys
server = socket.create_server(("10.0.2.100", 5000))
print("listening", flush=True)
while True:
    connection, _ = server.accept()
    with connection:
        subprocess.Popen([sys.executable, "-I", *sys.argv[1:]], stdin=connection, stdout=connection, stderr=connection)
"""
"""What QEMU does for the guest."""

PULL = """
ip address add 10.0.2.100/32 dev lo
python /listen.py /relay.py /candidate /log > /ready &
until [ -s /ready ]; do sleep 0.1; done
skopeo copy --quiet docker://ghcr.io/owner/os:stable dir:/pulled
kill $!
"""


async def test_skopeo_pulls_the_candidate_by_the_users_reference(engine: None, layout: tuple[Path, str]) -> None:
    folder, digest = layout
    pulled = guest(folder).with_exec(["sh", "-ec", PULL], insecure_root_capabilities=True)
    blob = folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
    assert await pulled.file("/pulled/manifest.json").contents() == blob.read_text()
    blobs, size = relay.fetched(await pulled.file("/log").contents())
    assert (blobs, size > 3_000_000) == (3, True)


@pytest.mark.parametrize(
    ("signed_for", "found"),
    [
        ("stable", ""),
        ("testing", "Signature for identity .*os:testing.* is not accepted"),
        ("", "A signature was required, but no signature exists"),
    ],
)
async def test_a_policy_of_the_guests_own_finds_the_candidates_signatures_in_the_relay(
    engine: None, layout: tuple[Path, str], signed_for: str, found: str
) -> None:
    """With the files that `policy` prints: what is signed as it asks comes in, nothing else does."""
    folder, digest = layout
    key = ec.generate_private_key(ec.SECP256R1())
    if signed_for:
        sign(folder, Digest(digest), f"{REPOSITORY}:{signed_for}", key)
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    container = guest(folder)
    files = machine.files({Repository.parse(REPOSITORY): [PublicKey.parse(pem)]}, {})
    for path, content in files.items():
        container = container.with_new_file(f"/{path}", content)
    (own,) = (content for path, content in files.items() if "registries.d" in path)
    container = container.with_new_file(attachments.DROP_IN, attachments.drop_in(own, f"{REPOSITORY}:stable"))
    pulled = container.with_exec(["sh", "-ec", PULL], insecure_root_capabilities=True, expect=dagger.ReturnType.ANY)
    said = (await pulled.stderr()).replace("\n", " ")
    assert bool(await pulled.exit_code()) == bool(found), said
    assert re.search(found, said), said


def guest(folder: Path) -> dagger.Container:
    """What the relay and its drop-in look like from inside of the machine."""
    return (
        toolbox("iproute2")
        .with_mounted_directory("/candidate", dag.host().directory(str(folder)))
        .with_mounted_file("/relay.py", dag.host().file(str(ROOT / "src/pipeline/vm/relay.py")))
        .with_new_file("/listen.py", LISTEN)
        .with_new_file(relay.DROP_IN, relay.drop_in(REPOSITORY))
    )


def sign(folder: Path, digest: Digest, reference: str, key: ec.EllipticCurvePrivateKey) -> None:
    """Put a signature of an image beside it, as cosign does."""

    def write(content: bytes, media_type: str) -> dict[str, Any]:
        found = hashlib.sha256(content).hexdigest()
        (folder / "blobs" / "sha256" / found).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{found}", "size": len(content)}

    claim = payload(reference, digest)
    signature = annotated(key.sign(claim, ec.ECDSA(hashes.SHA256())))
    document = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": write(b"{}", "application/vnd.oci.image.config.v1+json"),
        "layers": [write(claim, MEDIA_TYPE) | {"annotations": signature}],
    }
    named = write(json.dumps(document).encode(), document["mediaType"])
    index = json.loads((folder / "index.json").read_text())
    index["manifests"].append(named | {"annotations": {relay.REF_NAME: f"sha256-{digest.hex}.sig"}})
    (folder / "index.json").write_text(json.dumps(index))
