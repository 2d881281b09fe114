"""AWS Signature Version 4 for one request, by header: what obstore signs into addresses has no headers of ours.

Source: Amazon S3 API Reference, "Signature Calculations for the Authorization Header".
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

_ALGORITHM = "AWS4-HMAC-SHA256"


def signed(
    method: str,
    url: str,
    headers: Mapping[str, str],
    payload: str,
    auth: tuple[str, str],
    region: str,
    now: datetime | None = None,
) -> dict[str, str]:
    """The headers to send.

    Args:
        method: of the request.
        url: without a query, its path encoded.
        headers: all of them are signed.
        payload: sha256 of the body, in hexadecimal, which the store compares.
        auth: key and secret.
        region: of the bucket.
        now: when it is not now.
    """
    place, at = urlsplit(url), now or datetime.now(UTC)
    moment, day = f"{at:%Y%m%dT%H%M%SZ}", f"{at:%Y%m%d}"
    sent = {name.lower(): value for name, value in headers.items()}
    sent |= {"host": place.netloc, "x-amz-content-sha256": payload, "x-amz-date": moment}
    names = ";".join(sorted(sent))
    listed = "".join(f"{name}:{sent[name].strip()}\n" for name in sorted(sent))
    request = "\n".join([method, place.path, "", listed, names, payload])
    scope = f"{day}/{region}/s3/aws4_request"
    text = "\n".join([_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{auth[1]}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"Credential={auth[0]}/{scope},SignedHeaders={names},Signature={signature}"
    return sent | {"authorization": f"{_ALGORITHM} {credential}"}
