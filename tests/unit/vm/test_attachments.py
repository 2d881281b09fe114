"""Where a guest looks for signatures of a repository, it looks for them in the relay, and not otherwise."""

import pytest

from pipeline.vm.attachments import drop_in

REFERENCE = "ghcr.io/o/os:stable"
HERE = "docker:\n  10.0.2.100:5000:\n    use-sigstore-attachments: true\n"


def says(place: str, value: str = "true") -> str:
    return f"---\ndocker:\n  {place}:\n    use-sigstore-attachments: {value}\n"


@pytest.mark.parametrize(
    ("configured", "looks"),
    [
        *((says(place), True) for place in ("ghcr.io/o/os:stable", "ghcr.io/o/os", "ghcr.io/o", "ghcr.io")),
        (says("ghcr.io/o/other") + says("quay.io"), False),
        (says("ghcr.io", "false"), False),
        (says("ghcr.io", "false") + says("ghcr.io/o/os"), True),
        (says("ghcr.io") + says("ghcr.io/o/os", "false"), False),
        ("---\ndefault-docker:\n  use-sigstore-attachments: true\n", False),  # holds for every place already
        ("---\ndocker:\n  ghcr.io/o/os:\n    lookaside: https://sigs.test\n", False),
        ("---\n# nothing\n---\n- a list\n---\ndocker: none\n", False),
        ("---\ndocker: [", False),
        ("---\ncat: /etc/containers/registries.d/*.yaml: No such file\n", False),
        ("", False),
    ],
)
def test_what_a_guest_says_of_the_repository_holds_for_the_relay(configured: str, looks: bool) -> None:
    assert drop_in(configured, REFERENCE) == (HERE if looks else "")


def test_a_registry_has_a_port() -> None:
    assert drop_in(says("registry.test:5000"), "registry.test:5000/os:stable") == HERE
