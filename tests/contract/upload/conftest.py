"""Places that take uploads: a real S3 server (versitygw), Apache with WebDAV, nginx with plain PUT."""

import base64
import hashlib
import os
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagger
import httpx
import pytest
from dagger import dag

from pipeline.containers.base import debian
from pipeline.lab.store import versitygw

START = Path(__file__).parents[3] / "ci/lab/store/start"
USER, SECRET = "releaser", "canary-upload-secret"

# Collections have to be made, `If-None-Match` is honoured.
APACHE = """
ServerName files
PidFile /tmp/pid
Listen 8080
ErrorLog /dev/stderr
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authn_file_module /usr/lib/apache2/modules/mod_authn_file.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule auth_basic_module /usr/lib/apache2/modules/mod_auth_basic.so
LoadModule dav_module /usr/lib/apache2/modules/mod_dav.so
LoadModule dav_fs_module /usr/lib/apache2/modules/mod_dav_fs.so
DavLockDB /srv/locks/db
User www-data
Group www-data
DocumentRoot /srv/www
<Directory /srv/www>
  Dav On
  AuthType Basic
  AuthName upload
  AuthUserFile /htpasswd
  <Limit GET HEAD OPTIONS>
    Require all granted
  </Limit>
  <LimitExcept GET HEAD OPTIONS>
    Require valid-user
  </LimitExcept>
</Directory>
"""

# Folders come by themselves, `If-None-Match` is not looked at.
NGINX = """
daemon off;
user www-data;
error_log stderr;
events {}
http {
  access_log off;
  client_max_body_size 0;
  server {
    listen 8080;
    root /srv/www;
    location / {
      dav_methods PUT;
      create_full_put_path on;
      limit_except GET {
        auth_basic upload;
        auth_basic_user_file /htpasswd;
      }
    }
  }
}
"""


@dataclass(frozen=True)
class Place:
    """One server, as `python -m pipeline.upload` is told of it."""

    arguments: tuple[str, ...]
    public_url: str
    user: str = USER
    secret: str = SECRET


@pytest.fixture(scope="session")
async def store_program(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the lab's versitygw."""
    folder = tmp_path_factory.mktemp("versitygw")
    await versitygw().export(str(folder / "versitygw"))
    return folder


@pytest.fixture(scope="session")
def s3(store_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The lab's object store, started as the lab starts it; not behind a tunnel, which swallows what is refused."""
    port = free_port()
    environment = os.environ | {
        "PATH": f"{store_program}:{os.environ['PATH']}",
        "ROOT_ACCESS_KEY": USER,
        "ROOT_SECRET_KEY": SECRET,
        "STORE_PORT": str(port),
        "STORE_ROOT": str(tmp_path_factory.mktemp("store")),
    }
    process = subprocess.Popen([str(START)], env=environment, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, process)
        public_url = f"{url}/os-images/candidates"
        yield Place(("--url", "s3://os-images/candidates", "--endpoint", url, "--public-url", public_url), public_url)
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture(scope="session")
async def apache(anyio_backend: str, engine: None) -> AsyncIterator[Place]:
    """A web server with WebDAV."""
    server = web(debian("apache2"), APACHE).as_service(args=["apache2", "-DFOREGROUND", "-f", "/web.conf"])
    tunnel = await dag.host().tunnel(server).start()
    yield at(await tunnel.endpoint(scheme="http"))
    await tunnel.stop()


@pytest.fixture(scope="session")
async def nginx(anyio_backend: str, engine: None) -> AsyncIterator[Place]:
    """A web server that takes PUT and knows no collections."""
    server = web(debian("nginx-light"), NGINX).as_service(args=["nginx", "-c", "/web.conf"])
    tunnel = await dag.host().tunnel(server).start()
    yield at(await tunnel.endpoint(scheme="http"))
    await tunnel.stop()


@pytest.fixture(params=["s3", "apache", "nginx"])
def place(request: pytest.FixtureRequest, s3: Place, apache: Place, nginx: Place) -> Place:
    """Each kind of server in turn."""
    return {"s3": s3, "apache": apache, "nginx": nginx}[request.param]


def web(container: dagger.Container, configuration: str) -> dagger.Container:
    """Its configuration, the one user who may write, and a folder for the server's own user."""
    password = base64.b64encode(hashlib.sha1(SECRET.encode()).digest()).decode()
    return (
        container.with_new_file("/web.conf", configuration)
        .with_new_file("/htpasswd", f"{USER}:{{SHA}}{password}\n")
        .with_directory(
            "/srv",
            dag.directory().with_new_directory("www", permissions=0o755).with_new_directory("locks", permissions=0o755),
            owner="www-data",
        )
        .with_exposed_port(8080)
    )


def at(url: str) -> Place:
    """A folder two levels down, which is not there yet."""
    folder = f"{url}/os/candidates"
    return Place(("--url", folder, "--public-url", folder), folder)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return when the server answers, whatever it says."""
    until = time.monotonic() + 30
    while True:
        try:
            httpx.get(url)
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{START} did not come up") from None
            time.sleep(0.05)
        else:
            return


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
