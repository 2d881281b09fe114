"""What every tool container is made of."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import uuid4

import dagger
from dagger import dag

from pipeline.containers.secrets import read_secret
from pipeline.domain import Repository
from pipeline.errors import UsageError
from pipeline.registry.credentials import Credentials, Login

DEBIAN = "python:3.13-slim"
"""Debian with Python: the image that the module itself runs in (pyproject.toml, tool.dagger)."""

_NAMED = re.compile(r"(:[^/:@]+)?(@.*)?$")
"""The tag and the digest at the end of an image address."""
_INSIDE_A_CONTAINER = "/run/.containerenv"
"""podman's mark, empty: bootc-image-builder and others set up nothing where they find neither it nor /.dockerenv."""
_NOBODY_READS = """\
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
"""
"""For dpkg: an engine that stops half-way keeps no layer, so nothing has to be on its disk at once."""
_HOME = "/opt/pipeline"
_AUTH = "/run/secrets/registry-auth.json"


def debian(*packages: str) -> dagger.Container:
    """A container with Debian packages, none of whose daemons starts by itself; the engine keeps the layer.

    All of them share one layer with Debian's lists; where those have grown too old to install from, they are read anew.
    """
    if not packages:
        return dag.container().from_(DEBIAN)
    install = f"apt-get -qq install --no-install-recommends --yes {' '.join(packages)} >/dev/null"
    return (
        dag.container()
        .from_(DEBIAN)
        .with_env_variable("DEBIAN_FRONTEND", "noninteractive")
        .with_new_file("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", permissions=0o755)
        .with_new_file("/etc/dpkg/dpkg.cfg.d/pipeline", _NOBODY_READS)
        .with_exec(["apt-get", "-qq", "update"])
        .with_exec(["sh", "-c", f"{install} || {{ apt-get -qq update && {install}; }}"])
    )


def anew(container: dagger.Container) -> dagger.Container:
    """What runs in it is no answer that the engine remembers, be it of an earlier try in the same command."""
    return container.with_env_variable("PIPELINE_TRY", uuid4().hex)


def with_pipeline(container: dagger.Container, module: dagger.Directory | None = None) -> dagger.Container:
    """Add this package and what it needs outside Dagger, for `python -m pipeline.…` in the container.

    What it needs is installed once for all of them. `module`: where the sources are, for who calls this from outside of
    the module.
    """
    module = module or dag.current_module().source()
    return (
        container.with_directory(f"{_HOME}/packages", packages(module.file("pyproject.toml")))
        .with_directory(f"{_HOME}/src", module.directory("src"), exclude=["**/__pycache__"])
        .with_env_variable("PYTHONPATH", f"{_HOME}/src:{_HOME}/packages")
        .with_env_variable("PYTHONUNBUFFERED", "1")
        .with_env_variable("MALLOC_ARENA_MAX", "2")  # what threads were given once, each keeps
    )


def packages(project: dagger.File) -> dagger.Directory:
    """The Python packages of the group `toolbox` in pyproject.toml, to be named in PYTHONPATH."""
    return (
        dag.container()
        .from_(DEBIAN)
        .with_file("/pyproject.toml", project)
        .with_exec(
            [
                *("pip", "install", "--quiet", "--root-user-action=ignore"),
                *("--target=/packages", "--group=/pyproject.toml:toolbox"),
            ]
        )
        .directory("/packages")
    )


@dataclass(frozen=True)
class Reach:
    """How tool containers reach the outside: services under their names, registry login, what is plain HTTP.

    `run` makes every exec that touches the outside one of its own: an answer of the engine's cache is no answer.
    """

    services: Mapping[str, dagger.Service] = field(default_factory=dict)
    """By host name, as configured references name it."""
    registry_auth: dagger.Secret | None = None
    plain_http: tuple[str, ...] = ()
    run: str = field(default_factory=lambda: uuid4().hex)

    def outside(self, container: dagger.Container) -> dagger.Container:
        """Let a container talk to the configured hosts, in this run only, and know that it is one."""
        container = container.with_new_file(_INSIDE_A_CONTAINER, "")
        for host, service in self.services.items():
            container = container.with_service_binding(host, service)
        return container.with_env_variable("PIPELINE_RUN", self.run)

    def registries(self, container: dagger.Container) -> dagger.Container:
        """The same for tools of the containers family (podman, skopeo): login and plain HTTP registries too."""
        plain = "".join(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n' for host in self.plain_http)
        container = self.outside(container).with_new_file("/etc/containers/registries.conf.d/pipeline.conf", plain)
        if self.registry_auth is None:
            return container
        return container.with_mounted_secret(_AUTH, self.registry_auth).with_env_variable("REGISTRY_AUTH_FILE", _AUTH)

    async def image(self, address: str) -> dagger.Container:
        """A container from an image address, also one in a registry that is a Dagger service; pulled by the engine.

        With the registry's login where we hold one, else the engine uses the caller's own. The engine speaks plain HTTP
        to localhost, whatever service is behind that name.
        """
        host, _, path = address.partition("/")
        name, _, port = host.partition(":")
        service = self.services.get(name.lower())
        place = address if service is None else f"localhost:{port}/{path}"
        container = dag.container()
        if login := await self._login(address):
            password = dag.set_secret("image-pull-password", login.password)
            container = container.with_registry_auth(place, login.username, password)
        return container.from_(place, registry_service=service)

    async def _login(self, address: str) -> Login | None:
        if self.registry_auth is None:
            return None
        try:
            repository = Repository.parse(_NAMED.sub("", address))
        except ValueError:  # a short name, which means Docker Hub: no registry of ours
            return None
        try:
            login = Credentials.parse(await read_secret(self.registry_auth, "registry-auth")).login(repository)
        except UsageError:  # a credential helper, which may be the caller's own
            return None
        return login if login and login.password else None

    def is_plain(self, repository: Repository) -> bool:
        """Whether the repository's registry is spoken to without TLS."""
        return repository.host in self.plain_http
