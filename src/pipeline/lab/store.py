"""A real S3 server: versitygw on a folder, built from the Go module proxy."""

import dagger

from pipeline.containers.base import debian

PORT = 7500

_VERSITYGW = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"


def store(files: dagger.Directory) -> dagger.Service:
    """Serve on port 7500, plain HTTP; key, secret and bucket are those of `store/start`. The data goes with it."""
    return (
        debian("curl")
        .with_file("/usr/local/bin/versitygw", versitygw())
        .with_directory("/store", files.directory("store"))
        .with_exposed_port(PORT)
        .as_service(args=["/store/start"])
    )


def versitygw() -> dagger.File:
    """The program. Debian's Go fetches the newer Go that the module asks for, from the module proxy as well."""
    return (
        debian("golang-go", "ca-certificates")
        .with_env_variable("CGO_ENABLED", "0")
        .with_env_variable("GOTOOLCHAIN", "auto")
        .with_env_variable("GOBIN", "/usr/local/bin")
        .with_exec(["go", "install", "-trimpath", "-ldflags=-s -w", _VERSITYGW])
        .file("/usr/local/bin/versitygw")
    )
