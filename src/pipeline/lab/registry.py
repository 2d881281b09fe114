"""A real registry: Debian's docker-registry, which may delete and keeps its data in a cache volume."""

import dagger
from dagger import dag

from pipeline.containers.base import debian

PORT = 5500


def registry(files: dagger.Directory, name: str) -> dagger.Service:
    """Serve on port 5500, plain HTTP, no login. Labs of the same `name` share their images."""
    return (
        debian("docker-registry")
        .with_file("/config.yml", files.file("registry/config.yml"))
        .with_mounted_cache("/var/lib/registry", dag.cache_volume(f"bootc-lab-registry-{name}"))
        .with_exposed_port(PORT)
        .as_service(args=["docker-registry", "serve", "/config.yml"])
    )
