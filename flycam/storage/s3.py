"""Object store in a bucket of an S3 server, through the MinIO client.

No other module imports the client.

An acknowledged PUT is durable by S3's contract, so `durable` needs nothing more and `flush` has nothing to
wait for. How far that is true depends on the server: the SHA-256 keys of originals let anyone check.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import parse_qs, urlsplit

import urllib3
from minio import Minio
from minio import time as client_time
from minio.credentials.credentials import Credentials
from minio.credentials.providers import EnvAWSProvider, Provider, StaticProvider
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from minio.helpers import check_bucket_name
from urllib3.exceptions import HTTPError

from flycam.errors import (
    BucketMissing,
    DiskFull,
    InputUnusable,
    ObjectMissing,
    StorageFailed,
    StoreDenied,
    StoreUnavailable,
)
from flycam.messages import Message, _
from flycam.storage.files import HashCheckedFile
from flycam.storage.keys import check_key, check_prefix

# -- Clock skew between this machine and an S3 server ----------------------------------------------
#
# Requests signed with a wrong clock are denied, and not every server says why.


MAX_CLOCK_SKEW = timedelta(minutes=15)
"""S3 accepts a signed request for this long, whichever of the two clocks is ahead."""

_SKEWED = ("RequestTimeTooSkewed", "RequestExpired", "ExpiredPresignRequest", "RequestNotReadyYet")
_AMBIGUOUS_CODES = ("AccessDenied", "")
# the answer's clock is read later than the request's, and to the second
_NEARLY = timedelta(minutes=14)
_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3600, 60


def describe_clock_skew(error: Exception, code: str) -> Message | None:
    """Explain a denial by clock skew, or return None.

    code  of the error, "" where the server gave none. Wrong keys have a code of their own; "AccessDenied"
          is put down to the clock where the answer's Date is too far off the clock that signed.
    """
    here = client_time.utcnow()
    there = _date_of(error)
    if code in _SKEWED and there is None:
        return _(
            "this machine's clock and the store's differ too much; set this machine's clock and run again"
        )
    if there is None or not (code in _SKEWED or (code in _AMBIGUOUS_CODES and abs(here - there) >= _NEARLY)):
        return None
    times = {
        "difference": _format_duration(here - there),
        "here": f"{here:%d/%m/%Y %H:%M:%S}",
        "there": f"{there:%d/%m/%Y %H:%M:%S}",
    }
    if here < there:
        return _(
            "this machine's clock is {difference} behind the store's ({here}, {there} UTC); set this "
            "machine's clock, or the store's if that one is wrong, and run again",
            **times,
        )
    return _(
        "this machine's clock is {difference} ahead of the store's ({here}, {there} UTC); set this "
        "machine's clock, or the store's if that one is wrong, and run again",
        **times,
    )


def _date_of(error: Exception) -> datetime | None:
    """Return the time of the server's clock in its answer, None if absent."""
    if not isinstance(error, S3Error):
        return None
    try:
        return client_time.from_http_header(error.response.headers.get("Date", ""))
    except ValueError:
        return None


def _format_duration(off: timedelta) -> Message:
    seconds = round(abs(off).total_seconds())
    if seconds >= 2 * _DAY_S:
        return _("{days:.0f} d", days=seconds / _DAY_S)
    if seconds >= 2 * _HOUR_S:
        return _("{hours:.0f} h", hours=seconds / _HOUR_S)
    if seconds >= 2 * _MINUTE_S:
        return _("{minutes:.0f} min", minutes=seconds / _MINUTE_S)
    return _("{seconds} s", seconds=seconds)


# -- Store in an S3 bucket -------------------------------------------------------------------------


DEFAULT_THREADS = 16
_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 30.0
_RETRIES = 3
_PART_BYTES = 16 << 20
_CONTENT_TYPE = "application/octet-stream"

_MISSING = ("NoSuchKey", "NoSuchObject", "NoSuchVersion")
_DENIED = ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed")
_FULL = ("XMinioStorageFull", "InsufficientStorage", "QuotaExceeded", "EntityTooLarge")
# a conditional PUT that lost: against an object (412), or a concurrent write (409)
_EXISTS = (409, 412)


class S3Store:
    """An ObjectStore in an S3 bucket.

    Safe between threads and processes, on any number of machines.
    """

    def __init__(
        self,
        endpoint: str,
        bucket: str,
        *,
        prefix: str = "",
        region: str = "us-east-1",
        credentials: tuple[str, str] | None = None,
        threads: int = DEFAULT_THREADS,
    ) -> None:
        """Open a bucket; raises InputUnusable for an impossible address or name.

        `endpoint` is http://HOST:PORT or https://HOST; `credentials` default to the environment's.
        """
        try:
            parts = urlsplit(endpoint)
        except ValueError as error:
            raise _no_server(endpoint) from error
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
            raise _no_server(endpoint)
        _check_bucket(bucket)
        self._endpoint, self._bucket = endpoint, bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._http = urllib3.PoolManager(
            maxsize=threads,
            timeout=urllib3.Timeout(connect=_CONNECT_TIMEOUT_S, read=_READ_TIMEOUT_S),
            retries=urllib3.Retry(
                total=_RETRIES,
                read=1,
                backoff_factor=0.1,
                status_forcelist=[500, 502, 503, 504],
                raise_on_status=False,
            ),
        )
        provider: Provider = StaticProvider(*credentials) if credentials else _Environment(self._place)
        try:
            self._client = Minio(
                parts.netloc,
                secure=parts.scheme == "https",
                region=region,
                credentials=provider,
                http_client=self._http,
            )
        except ValueError as error:
            # a host, port or region that cannot be one
            raise _no_server(f"{endpoint} ({error})") from error

    @classmethod
    def from_url(cls, url: str) -> S3Store:
        """Open `s3://bucket/prefix?endpoint=http://HOST:PORT&region=…`.

        Raises InputUnusable.
        """
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        unknown = sorted(set(options) - {"endpoint", "region"})
        if parts.scheme != "s3" or not parts.netloc or unknown:
            raise InputUnusable(
                _(
                    "{url}: no address of a bucket; write s3://bucket/prefix?endpoint=http://HOST:PORT",
                    url=url,
                )
            )
        return cls(
            options.get("endpoint", "https://s3.amazonaws.com"),
            parts.netloc,
            prefix=parts.path,
            region=options.get("region", "us-east-1"),
        )

    def __repr__(self) -> str:
        return f"S3Store({self._place})"

    def put(self, key: str, data: bytes, *, durable: bool = False) -> None:
        """See ObjectStore.put."""
        with self._translate_errors(key):
            self._client.put_object(self._bucket, self._name(key), io.BytesIO(data), len(data), _CONTENT_TYPE)

    def put_file(self, key: str, path: Path, *, durable: bool = False, sha256: str | None = None) -> None:
        """See ObjectStore.put_file. Large files go in parts; a broken upload leaves no object."""
        with self._translate_errors(key), HashCheckedFile(path, sha256) as file:
            self._client.put_object(
                self._bucket,
                self._name(key),
                cast(BinaryIO, file),  # the client only reads it
                file.size_bytes,
                _CONTENT_TYPE,
                part_size=_PART_BYTES,
                num_parallel_uploads=1,
            )

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See ObjectStore.put_if_absent. Sends a PUT with If-None-Match.

        The client itself offers none.
        """
        name = self._name(key)
        with self._translate_errors(key):
            url = self._client.get_presigned_url("PUT", self._bucket, name, expires=MAX_CLOCK_SKEW)
            # no automatic retry: a first try that was written but not answered would look like another
            # writer's
            answer = self._http.request(
                "PUT",
                url,
                body=data,
                headers={"If-None-Match": "*", "Content-Type": _CONTENT_TYPE},
                retries=False,
            )
            if answer.status in _EXISTS and self.exists(key):
                return False
            if answer.status != 200:
                raise _answer_error(answer)
        return True

    def ensure_durable(self, key: str, *, durable: bool = False) -> None:
        """See ObjectStore.ensure_durable. Acknowledged objects are durable already."""

    def get(self, key: str) -> bytes:
        """See ObjectStore.get."""
        return self._read(key, 0, 0)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        """See ObjectStore.get_range."""
        if start < 0 or length < 0:
            raise ValueError(f"a range begins and ends at or after 0, not {start}+{length}")
        if length == 0:
            self.size(key)
            return b""
        try:
            return self._read(key, start, length)
        except _PastTheEnd:
            return b""

    def size(self, key: str) -> int:
        """See ObjectStore.size."""
        with self._translate_errors(key):
            size = self._client.stat_object(self._bucket, self._name(key)).size
        if size is None:
            raise StoreUnavailable(
                _("{key}: {place} does not say its size; use another S3 server", key=key, place=self._place)
            )
        return size

    def exists(self, key: str) -> bool:
        """See ObjectStore.exists."""
        try:
            self.size(key)
        except ObjectMissing:
            return False
        return True

    def list(self, prefix: str) -> Iterator[str]:
        """See ObjectStore.list. Holds the names in memory.

        Not every server lists in the order of S3.
        """
        check_prefix(prefix)
        with self._translate_errors(prefix):
            listing = self._client.list_objects(self._bucket, self._prefix + prefix, recursive=True)
            names = [found.object_name for found in listing if not found.is_dir]
        yield from sorted(name.removeprefix(self._prefix) for name in names if name is not None)

    def delete(self, key: str) -> None:
        """See ObjectStore.delete."""
        with self._translate_errors(key):
            self._client.remove_object(self._bucket, self._name(key))

    def free_bytes(self) -> int | None:
        """See ObjectStore.free_bytes. The protocol does not report it."""
        return None

    def flush(self) -> None:
        """See ObjectStore.flush. Every acknowledged PUT is durable already."""

    def close(self) -> None:
        """See ObjectStore.close."""
        self._http.clear()

    @property
    def _place(self) -> str:
        return f"s3://{self._bucket}/{self._prefix} at {self._endpoint}"

    def _name(self, key: str) -> str:
        check_key(key)
        return self._prefix + key

    def _read(self, key: str, start: int, length: int) -> bytes:
        with self._translate_errors(key):
            answer = self._client.get_object(self._bucket, self._name(key), offset=start, length=length)
            try:
                return bytes(answer.read())
            finally:
                answer.close()
                answer.release_conn()

    @contextmanager
    def _translate_errors(self, key: str) -> Iterator[None]:
        try:
            yield
        except (MinioException, HTTPError) as error:
            raise self._trouble(key, error) from error

    def _trouble(self, key: str, error: Exception) -> StorageFailed:
        code, status = _code_and_status(error)
        if code == "InvalidRange" or status == 416:
            return _PastTheEnd(f"{key}: the range begins past the end")
        if code in _MISSING and self._bucket_is_there():
            return ObjectMissing(
                _("{key}: not in {place}; ingest the flight again", key=key, place=self._place)
            )
        if code in (*_MISSING, "NoSuchBucket"):
            return BucketMissing(
                _("{place}: the bucket does not exist; create it, or name another", place=self._place)
            )
        if status in (400, 401, 403) and (clock_skew := describe_clock_skew(error, code)) is not None:
            return StoreDenied(_("{place}: {reason}", place=self._place, reason=clock_skew))
        if code in _DENIED or status in (401, 403):
            return StoreDenied(
                _(
                    "{place}: access denied; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                    place=self._place,
                )
            )
        if code in _FULL or status == 507:
            return DiskFull(
                _("{place}: no space left on the store; free some and run again", place=self._place)
            )
        return StoreUnavailable(
            _(
                "{place}: {error}; check that it is up and run again",
                place=self._place,
                error=_format_error(error),
            )
        )

    def _bucket_is_there(self) -> bool:
        try:
            return bool(self._client.bucket_exists(self._bucket))
        except (MinioException, HTTPError):
            # credentials that may read objects but not query the bucket get a denial: it exists
            return True


class _PastTheEnd(StorageFailed):
    """A range that begins at or after the object's end."""


class _Environment(Provider):
    """Keys from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else StoreDenied."""

    def __init__(self, place: str) -> None:
        self._place = place

    def retrieve(self) -> Credentials:
        try:
            return EnvAWSProvider().retrieve()
        except ValueError:
            raise StoreDenied(
                _(
                    "{place}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                    place=self._place,
                )
            ) from None


def _no_server(place: str) -> InputUnusable:
    return InputUnusable(_("{place}: no address of an S3 server; write http://HOST:PORT", place=place))


def _check_bucket(name: str) -> None:
    """Raise InputUnusable for an invalid bucket name, once, at opening.

    The client would raise ValueError at every use.
    """
    try:
        check_bucket_name(name)
    except ValueError as error:
        raise InputUnusable(
            _(
                "s3://{name}: no name of a bucket; write 3 to 63 lower-case letters, digits and hyphens",
                name=name,
            )
        ) from error


def _answer_error(answer: urllib3.BaseHTTPResponse) -> Exception:
    try:
        return S3Error.fromxml(answer)
    except (SyntaxError, UnicodeDecodeError):
        return ServerError(f"HTTP status {answer.status}", answer.status)


def _code_and_status(error: Exception) -> tuple[str, int]:
    if isinstance(error, S3Error):
        return error.code or "", int(error.response.status)
    if isinstance(error, ServerError):
        return "", error.status_code
    if isinstance(error, InvalidResponseError):
        return "", int(error._code)
    return "", 0


def _format_error(error: Exception) -> str:
    if isinstance(error, S3Error):
        return f"{error.code} ({error.message})"
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split())
