"""Signatures are those that Amazon's documentation works out (Signature Calculations for the Authorization Header)."""

import hashlib
from datetime import UTC, datetime

import pytest

from pipeline.upload.sigv4 import signed

AUTH = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW = datetime(2013, 5, 24, tzinfo=UTC)
HOST = "https://examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "signature"),
    [
        (
            "GET",
            "/test.txt",
            {"Range": "bytes=0-9"},
            b"",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test%24file.text",
            {"Date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
    ],
)
def test_the_signature_is_the_documented_one(method, path, headers, body, signature):
    payload = hashlib.sha256(body).hexdigest()
    sent = signed(method, f"{HOST}{path}", headers, payload, AUTH, "us-east-1", NOW)
    assert sent["authorization"].endswith(f"Signature={signature}")
    assert sent["x-amz-content-sha256"] == payload
