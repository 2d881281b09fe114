"""What a machine that installs an image has to believe: the files that podman, skopeo and bootc read.

Sources: containers/image, docs/containers-policy.json.5.md and docs/containers-registries.d.5.md. With a policy whose
`default` takes anything, bootc refuses to enforce signatures at all; so all that stays as it was is named.
"""

import base64
import json
from collections.abc import Mapping, Sequence

from pipeline.domain import Repository
from pipeline.trust.keys import PublicKey

POLICY = "etc/containers/policy.json"
_REGISTRIES = "etc/containers/registries.d"
_ANYTHING = [{"type": "insecureAcceptAnything"}]
_LOCAL = ("containers-storage", "dir", "docker-archive", "docker-daemon", "oci", "oci-archive", "tarball")
"""Where images come from that are no registries: they came here by somebody's own hand."""


def files(keys: Mapping[Repository, Sequence[PublicKey]], mirrors: Mapping[Repository, Repository]) -> dict[str, str]:
    """The files, by their path below `/`, of a machine that installs from these repositories.

    An image is taken when one of the keys signed it for the reference by which it is asked for. `mirrors`: repositories
    that machines install from, and the ones of `keys` that they are copies of, with the signatures.
    """
    asked = {str(repository): [_signed(those)] for repository, those in keys.items()}
    asked |= {str(one): [_signed(keys[origin], one, origin)] for one, origin in mirrors.items()}
    transports = {"docker": {**asked, "": _ANYTHING}, **{name: {"": _ANYTHING} for name in _LOCAL}}
    policy = {"default": [{"type": "reject"}], "transports": transports}
    return {
        POLICY: json.dumps(policy, indent=2) + "\n",
        **{f"{_REGISTRIES}/{_file_name(name)}.yaml": _look_for_signatures(name) for name in asked},
    }


def _signed(keys: Sequence[PublicKey], mirror: Repository | None = None, origin: Repository | None = None) -> object:
    """Several keys need containers/image 5.33, which is podman 5.3 and skopeo 1.17."""
    held = [base64.b64encode(key.pem).decode() for key in keys]
    identity: dict[str, str] = {"type": "matchRepoDigestOrExact"}
    if mirror:
        identity = {"type": "remapIdentity", "prefix": str(mirror), "signedPrefix": str(origin)}
    return {
        "type": "sigstoreSigned",
        **({"keyData": held[0]} if len(held) == 1 else {"keyDatas": held}),
        "signedIdentity": identity,
    }


def _look_for_signatures(name: str) -> str:
    return f"docker:\n  {name}:\n    use-sigstore-attachments: true\n"


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in ".-_" else "-" for letter in name)
