"""One service in front of several, so that a lab is one thing to start, to stop and to reach.

It speaks SSH, since `dagger … up` carries one connection well and many badly: it hands no client's end of a connection
on, tells connections apart by their port alone and forgets none, and a request that meets the server's end of a
connection stops the port for good (seen with v0.21.8: a second request 5 s after the first, as the server's keep-alive
ends). Over SSH it is one connection that nobody ends.
"""

import dagger

from pipeline.containers.base import debian

PORT = 2222


def gateway(files: dagger.Directory, servers: dict[str, dagger.Service], key: str) -> dagger.Service:
    """Serve SSH on port 2222: forwarding to the servers, by host name, for the holder of a public `key`."""
    container = (
        debian("openssh-server")
        .with_file("/start", files.file("gateway/start"))
        .with_env_variable("AUTHORIZED_KEY", key)
        .with_exposed_port(PORT)
    )
    for host, service in servers.items():
        container = container.with_service_binding(host, service)
    return container.as_service(args=["/start"])
