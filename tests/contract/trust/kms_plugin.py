#!/usr/bin/env python3
"""A KMS of one key for cosign, which asks programs of the name sigstore-kms-NAME for keys of NAME://.

Source: sigstore/sigstore, pkg/signature/kms/cliplugin (protocol v1): the question is the second argument, in JSON, what
is to be signed comes on standard input. Who asks without the word in LAB_KMS_TOKEN gets nothing.
"""

import base64
import json
import os
import subprocess
import sys
from typing import Any

KEY = "/kms/releases.pem"


def answer(question: dict[str, Any]) -> dict[str, Any]:
    if os.environ.get("LAB_KMS_TOKEN") != "canary-kms-token":
        return {"errorMessage": "403: permission denied"}
    if (named := question["initOptions"]["keyResourceID"]) != "releases":
        return {"errorMessage": f"404: no key {named}"}
    match question["methodName"]:
        case "publicKey":
            return {"publicKey": {"publicKeyPEM": told("openssl", "pkey", "-in", KEY, "-pubout")}}
        case "signMessage":
            return {"signMessage": {"signature": told("openssl", "dgst", "-sha256", "-sign", KEY)}}
        case other:
            return {"errorMessage": f"400: {other}"}


def told(*command: str) -> str:
    return base64.b64encode(subprocess.run(command, check=True, capture_output=True).stdout).decode()


print(json.dumps(answer(json.loads(sys.argv[2]))))
