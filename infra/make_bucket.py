"""Make the bucket of DATAMASK_STORE where it is not there yet; compose runs it before the coordinator.

Endpoint and credentials come by the standard AWS chain. It waits for a server that is only starting.
"""

from __future__ import annotations

import os
import sys
import time
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from services.errors import DatamaskError
from services.storage.s3_client import make_client

PATIENCE_S = 60.0
OURS = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def bucket_of(store: str) -> str | None:
    """The bucket of an ``s3://`` URL; None for any other store, which needs none."""
    parts = urlsplit(store)
    return parts.netloc if parts.scheme == "s3" else None


def ensure(bucket: str, patience_s: float = PATIENCE_S) -> bool:
    """Make the bucket; False where it was there.

    :raises ClientError: if the server refuses; :raises BotoCoreError: if it cannot be reached for so long.
    """
    client = make_client()
    region = client.meta.region_name
    # AWS wants to be told every region but its first.
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    give_up = time.monotonic() + patience_s
    while True:
        try:
            client.head_bucket(Bucket=bucket)
            return False
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
        except BotoCoreError:
            if time.monotonic() > give_up:
                raise
            time.sleep(1.0)
            continue
        try:
            client.create_bucket(Bucket=bucket, **place)  # type: ignore[arg-type]
            return True
        except ClientError as error:
            if error.response["Error"]["Code"] not in OURS:
                raise


def main() -> int:
    """The exit code: 0 when the bucket is there, 1 when not, 2 when there is nothing to make."""
    store = os.environ.get("DATAMASK_STORE", "")
    bucket = bucket_of(store)
    if not bucket:
        print(f"make_bucket: DATAMASK_STORE={store}: expected s3://BUCKET/PREFIX", file=sys.stderr)
        return 2
    try:
        made = ensure(bucket)
    except (ClientError, BotoCoreError, DatamaskError) as error:
        text = " ".join(str(error).split())
        print(
            f"make_bucket: bucket {bucket}: {text}; check the endpoint and the credentials", file=sys.stderr
        )
        return 1
    print(f"bucket {bucket}: {'made' if made else 'there'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
