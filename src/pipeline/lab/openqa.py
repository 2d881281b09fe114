"""A real openQA with PostgreSQL and one worker, from Debian packages."""

import dagger

from pipeline.containers.base import debian

PORT = 9526

_PACKAGES = [
    *("openqa", "openqa-worker", "openqa-client", "os-autoinst", "postgresql"),
    *("qemu-system-x86", "qemu-utils", "ovmf", "openssh-client"),
    *("libtext-glob-perl", "procps"),  # openQA's own list lacks them
]


def openqa(files: dagger.Directory, assets: dict[str, dagger.Service]) -> dagger.Service:
    """Serve on port 9526, plain HTTP. `assets` are the services, by host name, that disks may be downloaded from."""
    container = machine(files).with_env_variable("OPENQA_DOWNLOAD_DOMAINS", " ".join(["localhost", *assets]))
    for host, service in assets.items():
        container = container.with_service_binding(host, service)
    return container.with_exposed_port(PORT).as_service(args=["/openqa/start"])


def machine(files: dagger.Directory) -> dagger.Container:
    """The packages, the start script and the tests' distribution."""
    return debian(*_PACKAGES).with_directory("/openqa", files.directory("openqa"))
