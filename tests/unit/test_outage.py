"""An outage during a build is not a verdict on the image."""

import pytest

from pipeline.policy.outage import looks_like_an_outage


@pytest.mark.parametrize(
    "said",
    [
        "Error: creating build container: initializing source docker://q.io/b:1: pinging container registry q.io: "
        'Get "https://q.io/v2/": dial tcp: lookup q.io: no such host',
        "Error: reading manifest: received unexpected HTTP status: 503\npinging container registry q.io: EOF",
        "E: Failed to fetch http://deb/x  Connection timed out",
        "Curl error (6): Could not resolve host: mirrors.fedoraproject.org",
        "write /var/tmp/storage1: no space left on device",
        "toomanyrequests: You have reached your pull rate limit",
    ],
)
def test_network_registry_and_disk_failures_are_outages(said):
    assert looks_like_an_outage(said)


@pytest.mark.parametrize(
    "said",
    [
        'Error: building at STEP "RUN systemctl enable nothing.service": exit status 1',
        "Error: unable to copy from source: manifest unknown",
        "connection refused in a test of its own\n" + "line\n" * 50 + "exit status 1",
    ],
)
def test_what_the_build_itself_gets_wrong_is_a_verdict(said):
    assert not looks_like_an_outage(said)
