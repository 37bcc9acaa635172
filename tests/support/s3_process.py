"""moto's S3 server with conditional puts that are atomic, as S3's are: run it with `-H host -p port`.

moto looks whether the condition holds and writes afterwards, with nothing in between that keeps another
thread out; two writers could win. A lock around both is all that this adds.
"""

from __future__ import annotations

import threading
from typing import Any

from moto.s3.responses import S3Response
from moto.server import main

_lock = threading.Lock()
_put_object = S3Response.put_object


def _put_object_alone(self: S3Response, *args: Any, **named: Any) -> Any:
    with _lock:
        return _put_object(self, *args, **named)


if __name__ == "__main__":
    S3Response.put_object = _put_object_alone  # type: ignore[method-assign]
    main()
