"""An index of two platforms goes from a commit to :testing: one build, one gate, one disk and one boot for each."""

import json
import tempfile
from collections.abc import Iterator

import dagger
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from dagger import dag
from rehearsal import registry
from rehearsal.lab import MODULE, REGISTRY

from pipeline.containers.base import debian
from pipeline.containers.podman import STORAGE, toolbox
from pipeline.lab.images import tiny_os, tiny_os_for_arm64

pytestmark = pytest.mark.thorough

MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
BASE = "registry:5500/lab/tiny-os"
_INDEX = f"""
skopeo copy --quiet oci-archive:/amd64.oci containers-storage:localhost/amd64
skopeo copy --quiet oci-archive:/arm64.oci containers-storage:localhost/arm64
podman manifest create localhost/both localhost/amd64 localhost/arm64
podman manifest push --quiet --all --tls-verify=false localhost/both docker://{BASE}:both
"""
_READY = 8000
_EMULATE = f"""
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
cat /usr/lib/binfmt.d/qemu-aarch64.conf >/proc/sys/fs/binfmt_misc/register
exec python -m http.server {_READY}
"""
"""The kernel forgets its emulators with the last mount of that file system: they are there while this runs."""


@pytest.fixture(scope="module")
def engine() -> Iterator[BlockingPortal]:
    """The one that the lab and the pipeline run in; calls to it go through the portal."""
    with tempfile.TemporaryFile("w") as log, start_blocking_portal() as portal:
        connection = dagger.connection(dagger.Config(log_output=log))
        with portal.wrap_async_context_manager(connection):
            yield portal


@pytest.fixture(scope="module")
def base(surroundings: None, engine: BlockingPortal) -> str:
    """The tiny OS for both machines as one index in the lab's registry."""
    files = dag.host().directory(str(MODULE / "ci" / "lab"))
    served = dag.host().service([dagger.PortForward(backend=REGISTRY, frontend=REGISTRY)])
    pushed = (
        toolbox()
        .with_mounted_file("/amd64.oci", tiny_os(files))
        .with_mounted_file("/arm64.oci", tiny_os_for_arm64(files))
        .with_service_binding("registry", served)
        .with_mounted_temp(STORAGE)
        .with_exec(["sh", "-e", "-c", _INDEX], insecure_root_capabilities=True)
    )
    engine.call(pushed.sync)
    return f"{BASE}:both"


@pytest.fixture
def emulated(engine: BlockingPortal) -> Iterator[None]:
    """The kernel runs programs for arm64, as on a runner after docker/setup-qemu-action."""
    tool = debian("qemu-user-static").with_exposed_port(_READY)
    service = tool.as_service(args=["sh", "-e", "-c", _EMULATE], insecure_root_capabilities=True)
    engine.call(service.start)
    yield
    engine.call(service.stop)


@pytest.fixture(scope="module")
def configured(repository, base) -> str:
    """The commit that asks for both platforms."""
    repository.replace("pipeline.toml", f"{BASE}:bookworm", base)
    repository.replace("pipeline.toml", "\nbuild_args", f"\nplatforms = {json.dumps(list(MACHINES))}\nbuild_args")
    return repository.commit("For arm64, too")


def test_programs_that_do_not_run_here_are_no_verdict_on_the_image(repository, caller, configured):
    assert "for linux/arm64 cannot be built" in " ".join(caller.fails("precondition", "doctor").output.split())
    said = caller.fails("precondition", "build-next").output
    assert "Register an emulator" in " ".join(said.split())
    assert registry.digest(repository.image, configured) is None


@pytest.mark.usefixtures("emulated")
def test_every_platform_is_built_looked_at_and_booted(repository, caller, configured, tmp_path):
    assert "programs for linux/arm64 run" in caller.pipeline.call("doctor").output
    caller.passes("build-next")
    repository.tag("v1.0.0-test")
    caller.passes("promote-testing", "--tag", "v1.0.0-test")

    index = json.loads(registry.manifest(repository.image, "testing") or b"{}")
    platforms = {f"{one['platform']['os']}/{one['platform']['architecture']}" for one in index["manifests"]}
    assert platforms == MACHINES.keys()
    for gate, check in ("next", "unit/greeting"), ("testing", "reboot"):
        folder = tmp_path / gate
        caller.passes("evidence", "--ref", "v1.0.0-test", "--gate", gate, "export", "--path", str(folder))
        found = json.loads((folder / "result.json").read_text())
        passed = {one["name"] for one in found["checks"] if one["status"] == "passed"}
        assert {f"{machine}/{check}" for machine in MACHINES.values()} <= passed
    disks = {found["inputs"][f"{machine}/disk sha256"] for machine in MACHINES.values()}
    assert len(disks) == len(MACHINES)
    assert registry.digest(repository.image, "testing") == registry.digest(repository.image, configured)
