"""Whose fault a failed tool run is, in the words of the tools."""

import pytest

from pipeline.errors import GateFailed, InfrastructureError, PreconditionError, UsageError
from pipeline.policy.blame import Work, headline, whose_fault

OUTAGES = [
    "Error: creating build container: initializing source docker://q.io/b:1: pinging container registry q.io: "
    'Get "https://q.io/v2/": dial tcp: lookup q.io: no such host',
    "Error: reading manifest: received unexpected HTTP status: 503\npinging container registry q.io: EOF",
    "E: Failed to fetch http://deb/x  Connection timed out",
    "Curl error (6): Could not resolve host: mirrors.fedoraproject.org",
    "write /var/tmp/storage1: no space left on device",
    "toomanyrequests: You have reached your pull rate limit",
    "/bin/sh: line 1: 8 Killed dnf install\nerror: build: exit status 137",
]

COPIES = [
    ("uploading manifest v1 to r.io/os: tag invalid: The image tag 'v1' already exists in the 'os' repository and "
     "cannot be overwritten because the repository is immutable.", PreconditionError, "immutability"),
    ("writing manifest: uploading manifest stable to h.io/os: unknown: Failed to process request due to 'os:stable' "
     "configured as immutable.", PreconditionError, "immutability"),
    ("writing blob: initiating layer upload: denied: quota exceeded", PreconditionError, "quota"),
    ("writing blob: uploading layer chunked: StatusCode: 413, <html>413 Request Entity Too Large", PreconditionError,
     "its limit"),
    ("uploading manifest: manifest invalid: unsupported media type", PreconditionError, "no such manifest"),
    ("reading manifest: unsupported schema version 1", PreconditionError, "build it anew"),
    ("unsupported manifest type application/vnd.docker.distribution.manifest.v1+prettyjws", PreconditionError,
     "build it anew"),
    ("requested access to the resource is denied", PreconditionError, "--registry-auth"),
    ("reading manifest v1 in r.io/os: unauthorized: authentication required", PreconditionError, "--registry-auth"),
    ("reading manifest sha256:00 in r.io/os: manifest unknown", InfrastructureError, "again"),
    ('pinging container registry r.io: Get "https://r.io/v2/": http: server gave HTTP response to HTTPS client',
     UsageError, "plain_http"),
    ("tls: failed to verify certificate: x509: certificate signed by unknown authority", PreconditionError, "trusted"),
    ('dial tcp 10.0.0.1:443: i/o timeout', InfrastructureError, "again"),
    ("trying to reuse blob sha256:00: denied: The system is in read only mode. Any modification is prohibited.",
     InfrastructureError, "again"),
    ("uploading manifest stable to q.io/os: denied: System is currently read-only. Pulls will succeed but all write "
     "operations are currently suspended.", InfrastructureError, "again"),
    ("received unexpected HTTP status: 502 Bad Gateway", InfrastructureError, "again"),
    ("writing blob: Patch: read tcp: connection reset by peer", InfrastructureError, "again"),
    ("copying layer: unexpected EOF", InfrastructureError, "again"),
    ("write /var/lib/containers/storage/overlay/l: no space left on device", InfrastructureError, "room"),
    ("copying image: signal: killed", InfrastructureError, "memory"),
    ("open /var/lib/containers/storage/x: permission denied: not yours", InfrastructureError, "again"),
    ("something that nobody has ever seen", InfrastructureError, "again"),
]  # fmt: skip

DISKS = [
    ("OSError: [Errno 28] No space left on device\nerror: cannot run osbuild: exit status 1", InfrastructureError,
     "room"),
    ("mount: fsconfig() failed: /dev/loop0p3: Can't lookup blockdev.", InfrastructureError, "loop"),
    ("losetup: cannot find an unused loop device", InfrastructureError, "loop"),
    ("mount: /run/osbuild: Operation not permitted", InfrastructureError, "rights"),
    ("error: cannot validate the setup: this command must be run in a privileged container", InfrastructureError,
     "rights"),
    ("error: cannot ensure the environment: mount: permission denied", InfrastructureError, "rights"),
    ("error: running osbuild failed: signal: killed", InfrastructureError, "memory"),
    ("error: unknown flag: --in-vm", UsageError, "args"),
    ("error: cannot build: unsupported image type \"qcow3\"", UsageError, "args"),
    ("disk-builder: error: argument --type: invalid choice: 'qcow3' (choose from 'qcow2')", UsageError, "args"),
    ("error: cannot read config: toml: line 1: expected '.' or '='", UsageError, "config names"),
    ("error: unknown keys found: [customizations.usr]", UsageError, "config names"),
    ('error: default root file system type not specified\nno default root filesystem type specified in container',
     GateFailed, "--rootfs"),
    ("bootupd is required for ostree-based installs\nerror: running osbuild failed: exit status 1", GateFailed, ""),
    ("a finding that nobody has ever seen", GateFailed, ""),
    ("error: image not known: ghcr.io/o/os:stable", InfrastructureError, "again"),
    ("error: no container storage in /var/lib/containers/storage", InfrastructureError, "again"),
]  # fmt: skip


@pytest.mark.parametrize("said", OUTAGES)
@pytest.mark.parametrize("work", Work)
def test_network_registry_and_machine_failures_are_outages_whatever_the_tool_did(work, said):
    assert whose_fault(work, said).error is InfrastructureError


@pytest.mark.parametrize(
    "said",
    [
        'Error: building at STEP "RUN systemctl enable nothing.service": exit status 1',
        "Error: unable to copy from source: manifest unknown",
        "connection refused in a test of its own\n" + "line\n" * 50 + "exit status 1",
        "sh: ./configure: permission denied\nexit status 126",
        "E: access to the quota file is denied",
    ],
)
def test_what_the_build_itself_gets_wrong_is_a_verdict(said):
    assert whose_fault(Work.BUILD, said).error is GateFailed


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("waiting for init preliminary setup: EOF", InfrastructureError),
        ("unable to apply cgroup configuration: failed to write 9: no such process", InfrastructureError),
        ('exec: "/bin/sh": stat /bin/sh: no such file or directory', GateFailed),
        ('error during container init: error mounting "proc" to rootfs at "/proc": not a directory', GateFailed),
    ],
)
def test_a_runtime_that_makes_no_container_says_nothing_of_the_image(said, error):
    said = f'runc create failed: unable to start container process: {said}\nError: building at STEP "RUN true": exit 1'
    assert whose_fault(Work.BUILD, said).error is error


@pytest.mark.parametrize(("said", "error", "advice"), COPIES)
def test_a_final_refusal_of_a_registry_is_told_from_an_outage(said, error, advice):
    blame = whose_fault(Work.COPY, said)
    assert (blame.error, advice in blame.advice) == (error, True), blame


@pytest.mark.parametrize(("said", "error", "advice"), DISKS)
def test_a_disk_that_is_not_built_is_the_images_fault_only_when_it_is(said, error, advice):
    blame = whose_fault(Work.DISK, said)
    assert (blame.error, advice in blame.advice) == (error, True), blame


def test_an_image_that_the_configuration_names_and_nobody_has_is_a_precondition():
    blame = whose_fault(Work.PULL, "reading manifest 1 in r.io/tools: manifest unknown")
    assert (blame.error, "correct its name" in blame.advice) == (PreconditionError, True)


def test_what_was_said_last_decides_over_what_was_tried_again():
    said = 'level=warning msg="Failed, retrying in 1s: connection reset by peer"\nFATA writing blob: quota exceeded'
    assert whose_fault(Work.COPY, said).error is PreconditionError


def test_a_base_image_that_the_login_may_not_read_is_no_verdict_on_the_image():
    said = (
        "Error: creating build container: initializing source docker://r.io/base:1: reading manifest 1 in r.io/base: "
    )
    assert whose_fault(Work.BUILD, said + "unauthorized: authentication required").error is PreconditionError


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            "org.osbuild.bootupd: abc\nerror: bootupd is required for ostree-based installs\n"
            "Traceback (most recent call last):\nsubprocess.CalledProcessError: returned non-zero exit status 1.\n"
            "error: cannot run osbuild: running osbuild failed: exit status 1\n",
            "bootupd is required for ostree-based installs",
        ),
        ("[1/7] Building\nerror: unknown flag: --in-vm", "unknown flag: --in-vm"),
        ("error: exit status 1", "exit status 1"),
        ("only words", "only words"),
        ("", "it said nothing"),
        ("it failed\nWARNING: running outside a container", "it failed"),
    ],
)
def test_the_headline_is_the_last_line_that_names_a_cause(said, line):
    assert headline(said) == line


def test_a_line_of_many_units_has_a_headline_in_time() -> None:
    """Were a colon part of a unit's name as well, each further unit would double the ways to read the line."""
    line = "x.service:" * 60 + " failed"
    assert headline(line)
    assert headline("a.service:b.stage: error: no space") == "no space"
