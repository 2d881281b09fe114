"""S3 and what speaks like it (obstore)."""

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
from pipeline.upload.put import put_new
from pipeline.upload.store import Passing, Upload

SINGLE_PUT_LIMIT = 5 * 1024**3
"""The largest object that one PUT may create (Amazon S3 User Guide, quotas); beyond it only multipart works."""

_SIGNED_FOR = timedelta(hours=6)


class S3:
    """A bucket, or a folder of it.

    Up to 5 GiB the object is created by one conditional PUT: obstore signs its address, httpx streams the file. Larger
    ones go by multipart, which obstore cannot make conditional: callers look the key up first and verify afterwards.

    obstore runs in threads: its own async calls can abort the interpreter at exit (0.12.1).
    """

    def __init__(
        self, bucket: str, prefix: str, endpoint: str | None, region: str, auth: tuple[str, str] | None
    ) -> None:
        self._where = f"s3://{bucket}/{prefix}".rstrip("/")
        key, secret = auth or (None, None)
        self._store = S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=endpoint,
            region=region,
            access_key_id=key,
            secret_access_key=secret,
            skip_signature=auth is None,
            client_options={"allow_http": bool(endpoint and endpoint.startswith("http://")), "timeout": "1h"},
            retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=20)},
        )

    async def create(self, upload: Upload) -> bool:
        """Write the object unless it exists."""
        if upload.size > SINGLE_PUT_LIMIT:
            return await self._create_in_parts(upload)
        async with httpx.AsyncClient(timeout=httpx.Timeout(60.0, read=600.0)) as http:
            return await put_new(http, await self._signed("PUT", upload.key), upload, self._where)

    async def _create_in_parts(self, upload: Upload) -> bool:
        put = partial(
            obstore.put,
            self._store,
            upload.key,
            upload.path,
            use_multipart=True,
            chunk_size=64 * 1024**2,
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

    def _meaning(self, error: BaseError) -> Exception:
        said = str(error).partition("\n")[0][:300]
        if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
            return PreconditionError(f"{self._where} refused the key: {said} Check key, secret, region and its rights")
        return Passing(f"{self._where}: {said}")
