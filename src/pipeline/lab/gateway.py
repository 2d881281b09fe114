"""One service in front of several, so that a lab is one thing to start, to stop and to reach."""

import dagger
from dagger import dag

from pipeline.containers.base import DEBIAN


def gateway(files: dagger.Directory, servers: dict[str, tuple[dagger.Service, int]]) -> dagger.Service:
    """Serve every server on its own port; `servers` maps a host name to the service and its port."""
    container = dag.container().from_(DEBIAN).with_mounted_file("/forward.py", files.file("gateway/forward.py"))
    for host, (service, port) in servers.items():
        container = container.with_service_binding(host, service).with_exposed_port(port)
    doors = [f"{port}:{host}:{port}" for host, (_, port) in servers.items()]
    return container.as_service(args=["python3", "/forward.py", *doors])
