"""The real containers tools find the candidate where the drop-in says, under the reference that users have."""

from pathlib import Path

from dagger import dag

from pipeline.containers.podman import toolbox
from pipeline.vm import relay

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
    pulled = (
        toolbox("iproute2")
        .with_mounted_directory("/candidate", dag.host().directory(str(folder)))
        .with_mounted_file("/relay.py", dag.host().file(str(ROOT / "src/pipeline/vm/relay.py")))
        .with_new_file("/listen.py", LISTEN)
        .with_new_file(relay.DROP_IN, relay.drop_in(REPOSITORY))
        .with_exec(["sh", "-ec", PULL], insecure_root_capabilities=True)
    )
    blob = folder / "blobs" / "sha256" / digest.removeprefix("sha256:")
    assert await pulled.file("/pulled/manifest.json").contents() == blob.read_text()
    blobs, size = relay.fetched(await pulled.file("/log").contents())
    assert (blobs, size > 3_000_000) == (3, True)
