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


def machine(files: dagger.Directory, release: str = "") -> dagger.Container:
    """The packages, the start script and the tests' distribution.

    `release` is one of Debian to take the packages from, such as `sid`, which alone has a server of openQA 5.
    """
    packages = _of(release, files) if release else debian(*_PACKAGES)
    return packages.with_directory("/openqa", files.directory("openqa"))


def _of(release: str, files: dagger.Directory) -> dagger.Container:
    """From the mirror that the image has, however far that one lags behind."""
    site = "apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1"
    wanted = " ".join([*_PACKAGES, "libio-interactive-perl"])  # the client's own list lacks it
    script = f"""
        echo "deb [check-valid-until=no] $({site}) {release} main" >/etc/apt/sources.list.d/release.list
        apt-get -qq update
        apt-get -qq install --no-install-recommends --yes --target-release {release} {wanted} >/dev/null
    """
    packages = debian("ca-certificates").with_exec(["sh", "-ec", script])
    return packages.with_file("/catch-up", files.file("openqa/catch-up")).with_exec(["/catch-up"])
