"""The S3 client: one a process, found by the standard AWS chain; and what its errors mean.

Endpoint, region, profile and credentials are boto3's own business: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL,
AWS_DEFAULT_REGION, AWS_PROFILE, AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY, AWS_SHARED_CREDENTIALS_FILE,
roles of a host or a container. datamask adds nothing of its own.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
)
from botocore.exceptions import ConnectionError as NoConnection

from services.errors import BadInput, DatamaskError, Unavailable

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 20.0
POOL = 64  # idle connections kept; one for each thread and part that travels
HOME_REGION = "us-east-1"  # what other servers than AWS go by; AWS points to the right one

FAILURES = (BotoCoreError, Boto3Error, ClientError)

_lock = threading.Lock()
_clients: dict[tuple[tuple[str, str], ...], S3Client] = {}


def shared_client() -> S3Client:
    """This process's client for the AWS settings in its environment. Threads may share it.

    :raises BadInput: if the settings cannot be used (no such profile, malformed endpoint or file).
    """
    key = tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
    with _lock:
        found = _clients.get(key)
        if found is None:
            found = _clients[key] = make_client()
        return found


def _forget() -> None:
    # A child of fork must not write into its parent's connections, nor wait for a lock that nobody holds.
    global _lock
    _lock = threading.Lock()
    _clients.clear()


os.register_at_fork(after_in_child=_forget)


def make_client(*, read_timeout_s: float = READ_TIMEOUT_S) -> S3Client:
    """A client of one's own. :raises BadInput: as :func:`shared_client`."""
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=read_timeout_s,
        max_pool_connections=POOL,
        tcp_keepalive=True,
        # The store retries by itself: it must know that it did, to recognize its own conditional writes.
        retries={"mode": "standard", "total_max_attempts": 1},
        # Trailing CRC32 checksums are younger than many S3 servers. Without them each body is covered by the
        # SHA-256 in the request's signature, which every server checks.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        # Not boto3.client: its hidden default session is shared between threads unguarded.
        session = boto3.session.Session()
        region = session.region_name or HOME_REGION
        client = session.client("s3", region_name=region, config=config)
        host = urlsplit(client.meta.endpoint_url).hostname or ""
        styled = (session._session.get_scoped_config().get("s3") or {}).get("addressing_style")
        if not host.endswith((".amazonaws.com", ".amazonaws.com.cn")) and not styled:
            # http://s3:8333/bucket, not http://bucket.s3:8333, which no name server knows.
            path = config.merge(Config(s3={"addressing_style": "path"}))
            client = session.client("s3", region_name=region, config=path)
    except (BotoCoreError, Boto3Error, ValueError) as error:
        raise BadInput(
            f"S3: {_line(error)}; check AWS_PROFILE, AWS_ENDPOINT_URL_S3 and the files under ~/.aws"
        ) from error
    return client


# -- what an error means

_ABSENT = {"NoSuchKey", "NotFound", "404"}
_PASSING = {
    *("SlowDown", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled"),
    *("TooManyRequests", "TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded"),
    *(
        "InternalError",
        "ServiceUnavailable",
        "RequestTimeout",
        "RequestTimeoutException",
        "503",
        "500",
        "502",
    ),
    # Two writers at once, and neither is decided: the loser learns it from its next try.
    *("ConditionalRequestConflict", "OperationAborted"),
}
_PERMISSIONS = (
    "the credentials are wrong or may not do this: it takes s3:GetObject, s3:PutObject and s3:DeleteObject "
    "on the objects and s3:ListBucket on the bucket (docs/stores.md)"
)
_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or AWS_SHARED_CREDENTIALS_FILE"
_MENDS = {
    "AccessDenied": _PERMISSIONS,
    "AllAccessDisabled": _PERMISSIONS,
    "403": _PERMISSIONS,
    "InvalidAccessKeyId": f"nobody has this access key there; {_KEYS}",
    "SignatureDoesNotMatch": f"the secret key does not fit the access key; {_KEYS}",
    "InvalidClientTokenId": f"nobody has this access key there; {_KEYS}",
    "ExpiredToken": "the session has ended: sign in again, then give the command again",
    "ExpiredTokenException": "the session has ended: sign in again, then give the command again",
    "InvalidToken": "the session token is not valid: sign in again, or unset AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is off: set it (NTP)",
    "InsufficientStorage": "the store is full: free some space, then go on (evolve: --resume)",
    "QuotaExceeded": "the quota is used up: free some space, then go on (evolve: --resume)",
    "XMinioStorageFull": "the store is full: free some space, then go on (evolve: --resume)",
    "NotImplemented": "the server does not know this request; take one that does (docs/stores.md)",
}
_MOVED = {
    *("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "301", "307"),
    "IllegalLocationConstraintException",
}


def code_of(error: BaseException) -> str:
    """S3's word for the error, such as NoSuchKey; "" where the server did not answer."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def status_of(error: BaseException) -> int:
    """HTTP status, 0 where the server did not answer."""
    if not isinstance(error, ClientError):
        return 0
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_absent(error: BaseException) -> bool:
    """There is no such object (its bucket may be there)."""
    return code_of(error) in _ABSENT


def is_lost(error: BaseException) -> bool:
    """The condition of a conditional request did not hold."""
    return status_of(error) == 412 or code_of(error) in ("PreconditionFailed", "412")


def is_passing(error: BaseException) -> bool:
    """Worth another try: unreachable, cut off, overloaded, throttled, or two writers at the same moment."""
    if isinstance(error, SSLError):
        return "CERTIFICATE" not in str(error).upper()
    if isinstance(error, (NoConnection, HTTPClientError, IncompleteReadError)):
        return True
    status = status_of(error)
    return code_of(error) in _PASSING or status == 429 or (status >= 500 and status not in (501, 507))


def explain(error: BaseException, action: str, where: str, endpoint: str) -> DatamaskError:
    """The error as one clear line: BadInput for a wrong name, Unavailable for the rest."""
    code, place = code_of(error), f"cannot {action} {where}"
    if isinstance(error, (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError)):
        return Unavailable(f"{place}: no usable credentials ({_line(error)}); {_KEYS}")
    if code in ("NoSuchBucket", "InvalidBucketName"):
        bucket = where.removeprefix("s3://").partition("/")[0]
        return BadInput(
            f"{place}: there is no bucket {bucket!r} at {endpoint}; make it (aws s3 mb s3://{bucket}), "
            "correct its name, or set AWS_ENDPOINT_URL_S3 to the right server"
        )
    if code in _MOVED:
        region = _region(error)
        return BadInput(f"{place}: the bucket is in another region; set AWS_DEFAULT_REGION{region}")
    if isinstance(error, SSLError):
        return Unavailable(
            f"{place}: the certificate of {endpoint} is not trusted; set AWS_CA_BUNDLE to its authority's"
        )
    if is_passing(error):
        return Unavailable(
            f"{place}: {endpoint} does not answer as it should ({_line(error)}); "
            "start the server, check the network, or set AWS_ENDPOINT_URL_S3"
        )
    mend = _MENDS.get(code) or ("the store is full: free some space" if status_of(error) == 507 else "")
    return Unavailable(f"{place}: {code or type(error).__name__} at {endpoint}; {mend or _line(error)}")


def _region(error: BaseException) -> str:
    if not isinstance(error, ClientError):
        return ""
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region")
    return f" to {region}" if region else " to the bucket's"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
