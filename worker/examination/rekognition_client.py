"""Amazon Rekognition as a judge from outside: DetectFaces and CompareFaces, never an objective.

Pictures leave this machine and cost money, so nothing is sent that was not asked for twice: the caller opts
in and names the most it may cost, and the whole bill is reckoned before the first picture goes. Amazon
changes the models at will and names no version; what is kept is the raw answer, the date and the API's
version.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services.errors import BadInput, Unavailable

# US East, first million images a month, both calls, as https://aws.amazon.com/rekognition/pricing/ had it in
# 2025. Look there before a large test: the cap is reckoned with this number.
PRICE_USD = 0.001
PRICED = "2025"
CONFIDENCE = 90.0  # percent; DetectFaces tells of faces from about 50 on
SIMILARITY = 80.0  # percent; CompareFaces' own default threshold
MOST_BYTES = 5 * 1024 * 1024  # of an image sent as bytes


@dataclass(frozen=True)
class Asked:
    """One call and its raw answer. call: DetectFaces or CompareFaces. when: UTC, ISO 8601."""

    call: str
    when: str
    answer: dict[str, Any]


def cost_usd(calls: int) -> float:
    """What so many calls cost."""
    return calls * PRICE_USD


def check_cost(calls: int, most_usd: float) -> None:
    """:raises BadInput: where so many calls cost more than the cap."""
    if not most_usd > 0:
        raise BadInput(f"--max-cost-usd {most_usd:g}: expected an amount above 0")
    if cost_usd(calls) > most_usd + 1e-9:
        raise BadInput(
            f"--aws: {calls} calls cost about {cost_usd(calls):.3f} USD (prices of {PRICED}), more than "
            f"--max-cost-usd {most_usd:g}; nothing was sent. Lower --views or raise the cap"
        )


class Rekognition:
    """Counts what it sends and stops at its cap.

    :param client: a boto3 client for ``rekognition``. most_usd: cap on what this object may spend.
    """

    def __init__(self, client: Any, most_usd: float) -> None:
        self._client, self._most_usd, self.calls = client, most_usd, 0

    @property
    def version(self) -> str:
        """The API's version."""
        return str(self._client.meta.service_model.api_version)

    def detect(self, picture: bytes) -> Asked:
        """Faces in a PNG or JPEG picture, raw. :raises BadInput, Unavailable: as :meth:`compare`."""
        return self._ask("DetectFaces", Image={"Bytes": _sendable(picture)}, Attributes=["DEFAULT"])

    def compare(self, one: bytes, other: bytes) -> Asked:
        """Whether a face of ``other`` is that of ``one``, raw, with every similarity.

        :raises BadInput: for a picture that Rekognition does not take, or where the cap is reached.
        :raises Unavailable: without credentials, or where the service does not answer.
        """
        return self._ask(
            "CompareFaces",
            SourceImage={"Bytes": _sendable(one)},
            TargetImage={"Bytes": _sendable(other)},
            SimilarityThreshold=0.0,
        )

    def _ask(self, call: str, **arguments: Any) -> Asked:
        from botocore.exceptions import BotoCoreError, ClientError

        check_cost(self.calls + 1, self._most_usd)
        self.calls += 1  # a call that fails may be billed
        method = {"DetectFaces": "detect_faces", "CompareFaces": "compare_faces"}[call]
        when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        try:
            answer = dict(getattr(self._client, method)(**arguments))
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code == "InvalidParameterException" and call == "CompareFaces":
                # Rekognition's way to say that the first picture shows no face.
                return Asked(call, when, {"FaceMatches": [], "UnmatchedFaces": [], "Refused": code})
            raise Unavailable(
                f"Amazon Rekognition refused {call}: {code or error}; see your account and region"
            ) from None
        except BotoCoreError as error:
            raise Unavailable(
                f"Amazon Rekognition cannot be asked ({error}); give credentials as boto3 takes them"
            ) from None
        answer.pop("ResponseMetadata", None)
        return Asked(call, when, answer)


def client(region: str, make: Callable[..., Any] | None = None) -> Any:
    """A boto3 client with few retries: each one may be billed.

    :raises Unavailable: where boto3 is not installed.
    """
    try:
        import boto3
        from botocore.config import Config
    except ImportError:
        raise Unavailable("--aws needs boto3: pip install boto3") from None
    settings = Config(retries={"max_attempts": 1}, connect_timeout=10, read_timeout=30)
    return (make or boto3.client)("rekognition", region_name=region, config=settings)


def sees_face(answer: Asked, least: float = CONFIDENCE) -> bool:
    """Whether DetectFaces found a face with at least that confidence (percent)."""
    return any(float(face.get("Confidence", 0.0)) >= least for face in answer.answer.get("FaceDetails", []))


def similarity(answer: Asked) -> float | None:
    """CompareFaces' best similarity in percent; None where it compared nothing."""
    found: Sequence[Any] = answer.answer.get("FaceMatches", [])
    return max((float(match["Similarity"]) for match in found), default=None)


def _sendable(picture: bytes) -> bytes:
    if not picture.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8")):
        raise BadInput("--aws: Rekognition takes PNG and JPEG pictures only")
    if len(picture) > MOST_BYTES:
        raise BadInput(
            f"--aws: a picture of {len(picture):,} bytes; Rekognition takes {MOST_BYTES:,} at most"
        )
    return picture
