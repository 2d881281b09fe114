"""Places that take uploads: a real S3 server (versitygw), Apache with WebDAV, nginx with plain PUT."""

import base64
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import dagger
import pytest
from dagger import dag

from pipeline.containers.base import debian
from pipeline.lab.store import store

LAB_FILES = Path(__file__).parents[3] / "ci/lab"
STORE_AUTH = "lab:throw-away-lab-key"
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
async def s3(anyio_backend: str, engine: None) -> AsyncIterator[Place]:
    """The lab's object store, started as the lab starts it."""
    user, _, secret = STORE_AUTH.partition(":")
    tunnel = await dag.host().tunnel(store(dag.host().directory(str(LAB_FILES)))).start()
    url = await tunnel.endpoint(scheme="http")
    public_url = f"{url}/os-images/candidates"
    arguments = ("--url", "s3://os-images/candidates", "--endpoint", url, "--public-url", public_url)
    yield Place(arguments, public_url, user, secret)
    await tunnel.stop()


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
