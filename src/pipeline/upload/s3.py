"""S3 and what speaks like it (obstore)."""

import base64
import hashlib
from datetime import timedelta
from functools import partial
from typing import Literal

import httpx
import obstore
from anyio import to_thread
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from pipeline.errors import PreconditionError
from pipeline.policy.retention.disks import StoredDisk
from pipeline.upload.put import TYPE, put_new
from pipeline.upload.sigv4 import signed
from pipeline.upload.store import Passing, Upload

SINGLE_PUT_LIMIT = 5 * 1024**3
"""The largest object that one PUT may create (Amazon S3 User Guide, quotas); beyond it only multipart works."""

PART = 64 * 1024**2
"""Bytes of a part of a larger one."""
_CHECKSUM = "x-amz-checksum-sha256"
"""What the store compares with what it takes, and keeps (Amazon S3 User Guide, checking object integrity)."""
_NOTHING = hashlib.sha256().hexdigest()

_SIGNED_FOR = timedelta(hours=6)


class S3:
    """A bucket, or a folder of it.

    Up to 5 GiB the object is created by one conditional PUT, whose checksum the store compares and keeps. Larger ones
    go by multipart, which obstore cannot make conditional: callers look the key up first and verify afterwards.

    obstore runs in threads: its own async calls can abort the interpreter at exit (0.12.1).
    """

    def __init__(self, bucket: str, prefix: str, endpoint: str | None, region: str, auth: tuple[str, str]) -> None:
        self._where = f"s3://{bucket}/{prefix}".rstrip("/")
        self._auth, self._region = auth, region
        key, secret = auth
        self._store = S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=endpoint,
            region=region,
            access_key_id=key,
            secret_access_key=secret,
            checksum_algorithm="SHA256",  # of each part
            client_options={"allow_http": bool(endpoint and endpoint.startswith("http://")), "timeout": "1h"},
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=20)},
        )

    async def create(self, upload: Upload) -> bool:
        """Write the object unless it exists."""
        if upload.size > SINGLE_PUT_LIMIT:
            return await self._create_in_parts(upload)
        async with httpx.AsyncClient(timeout=httpx.Timeout(60.0, read=600.0)) as http:
            url = await self._address(upload.key)
            headers = self._headers(
                "PUT", url, {_CHECKSUM: _base64(upload.sha256), "content-type": TYPE}, upload.sha256
            )
            return await put_new(http, url, upload, self._where, headers)

    async def _create_in_parts(self, upload: Upload) -> bool:
        put = partial(
            obstore.put,
            self._store,
            upload.key,
            upload.path,
            use_multipart=True,
            chunk_size=PART,
            max_concurrency=4,
        )
        try:
            await to_thread.run_sync(put, abandon_on_cancel=True)
        except BaseError as error:
            raise self._meaning(error) from error
        return True

    async def size(self, key: str) -> int | None:
        """The size of an object; None when there is none."""
        try:
            found = await to_thread.run_sync(obstore.head, self._store, key, abandon_on_cancel=True)
        except FileNotFoundError:
            await self._see_that_the_bucket_is_there(key)
            return None
        except BaseError as error:
            raise self._meaning(error) from error
        return found["size"]

    async def holds(self, upload: Upload) -> bool | None:
        """Compare the checksum that the store made of what it took: of the whole, or of the parts' checksums."""
        url = await self._address(upload.key)
        headers = self._headers("HEAD", url, {"x-amz-checksum-mode": "ENABLED"}, _NOTHING)
        try:
            async with httpx.AsyncClient(timeout=60.0) as http:
                answer = await http.head(url, headers=headers)
        except httpx.TransportError as error:
            raise Passing(f"{self._where} cannot be reached ({type(error).__name__})") from error
        told = answer.headers.get(_CHECKSUM) if answer.is_success else None
        if not told:
            return None
        if "-" not in told:
            return bool(told == _base64(upload.sha256))
        return bool(told == await to_thread.run_sync(_of_parts, upload))

    async def disks(self) -> list[StoredDisk]:
        """All objects of the folder."""
        try:
            batches = await to_thread.run_sync(lambda: list(obstore.list(self._store)), abandon_on_cancel=True)
        except FileNotFoundError as error:
            raise PreconditionError(
                f"{self._where}: there is no such bucket; create it, or correct upload.url"
            ) from error
        except BaseError as error:
            raise self._meaning(error) from error
        return [StoredDisk(one["path"], one["size"], one["last_modified"]) for batch in batches for one in batch]

    async def delete(self, key: str) -> None:
        """Delete an object, if it is there."""
        try:
            await to_thread.run_sync(obstore.delete, self._store, key, abandon_on_cancel=True)
        except FileNotFoundError:
            return
        except BaseError as error:
            raise self._meaning(error) from error

    async def _see_that_the_bucket_is_there(self, key: str) -> None:
        """HEAD has no words to tell a missing bucket from a missing object, GET has."""
        try:
            async with httpx.AsyncClient() as http:
                response = await http.get(await self._signed("GET", key), headers={"Range": "bytes=0-0"})
        except httpx.TransportError as error:
            raise Passing(f"{self._where} cannot be reached ({type(error).__name__})") from error
        if "NoSuchBucket" in response.text:
            raise PreconditionError(f"{self._where}: there is no such bucket; create it, or correct upload.url")

    async def _signed(self, method: Literal["GET", "PUT"], key: str) -> str:
        sign = partial(obstore.sign, self._store, method, key, _SIGNED_FOR)
        return await to_thread.run_sync(sign, abandon_on_cancel=True)

    async def _address(self, key: str) -> str:
        """Where an object is, without a signature."""
        return (await self._signed("GET", key)).partition("?")[0]

    def _headers(self, method: str, url: str, headers: dict[str, str], payload: str) -> dict[str, str]:
        return signed(method, url, headers, payload, self._auth, self._region)

    def _meaning(self, error: BaseError) -> Exception:
        said = str(error).partition("\n")[0][:300]
        if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
            return PreconditionError(f"{self._where} refused the key: {said} Check key, secret, region and its rights")
        return Passing(f"{self._where}: {said}")


def _base64(checksum: str) -> str:
    return base64.b64encode(bytes.fromhex(checksum)).decode()


def _of_parts(upload: Upload) -> str:
    """What S3 makes of an object in parts: the checksum of their checksums, and how many there are."""
    sums = []
    with upload.path.open("rb") as file:
        while part := file.read(PART):
            sums.append(hashlib.sha256(part).digest())
    return f"{base64.b64encode(hashlib.sha256(b''.join(sums)).digest()).decode()}-{len(sums)}"
