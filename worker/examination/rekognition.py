"""Ask Amazon Rekognition about a run's masks and controls, and keep its raw answers in the run."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from services.exhibition.palette import png
from services.recognition.statistics.rates import wilson_rate
from services.storage.store import Store
from worker.examination.rekognition_client import (
    CONFIDENCE,
    PRICE_USD,
    PRICED,
    SIMILARITY,
    Asked,
    Rekognition,
    check_cost,
    sees_face,
    similarity,
)
from worker.examination.stills import Still, stills
from worker.examination.verify import Claim, subjects_of

FORMAT = 1


def ask_rekognition(
    run: Store,
    claim: Claim,
    each: int,
    seed: int,
    client: Any,
    most_usd: float,
    reference: bytes | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Send pictures of every elite and control; write ``verify/aws/<time>.json`` and return its values.

    DetectFaces is asked about each picture; CompareFaces about each and the reference photo, or, without
    one, about each two pictures of a head. each: pictures of a subject, even. client: boto3's. most_usd: what
    it may cost at most: reckoned before anything is sent. What was answered before a failure is kept.

    :raises BadInput: where it would cost more. :raises Unavailable: where the service does not answer.
    """
    subjects = len(subjects_of(claim, 2))
    compared = each if reference is not None else each // 2
    calls = subjects * (each + compared)
    check_cost(calls, most_usd)
    pictures = stills(claim, each, seed)
    service = Rekognition(client, most_usd)
    encoded = [png(still.pixels) for still in pictures]
    found: list[tuple[int, Asked]] = []
    report = progress or _silent
    started = datetime.datetime.now(datetime.UTC)
    try:
        for k, picture in enumerate(encoded):
            found.append((k, service.detect(picture)))
            report("DetectFaces", k + 1, len(encoded))
        for k, picture in enumerate(encoded):
            if reference is not None:
                found.append((k, service.compare(reference, picture)))
            elif k % 2 == 0:
                found.append((k, service.compare(picture, encoded[k + 1])))
            report("CompareFaces", k + 1, len(encoded))
    finally:
        result = _result(pictures, found, service, started, reference is not None)
        key = f"verify/aws/{started.strftime('%Y%m%dT%H%M%SZ')}.json"
        run.put(key, (json.dumps(result, indent=1, allow_nan=False, default=str) + "\n").encode())
    return result


def _result(
    pictures: Sequence[Still],
    found: Sequence[tuple[int, Asked]],
    service: Rekognition,
    started: datetime.datetime,
    against_reference: bool,
) -> dict[str, Any]:
    raw = [
        {"picture": k, "subject": pictures[k].subject, "kind": pictures[k].kind, **asdict(asked)}
        for k, asked in found
    ]
    return {
        "format": FORMAT,
        "service": "Amazon Rekognition",
        "api_version": service.version,
        "date": started.isoformat(timespec="seconds"),
        "question": "target" if against_reference else "itself",
        "calls": service.calls,
        "cost_usd": round(service.calls * PRICE_USD, 6),
        "priced": PRICED,
        "thresholds": {"confidence": CONFIDENCE, "similarity": SIMILARITY},
        "rates": _rates(pictures, found),
        "raw": raw,
    }


def _rates(pictures: Sequence[Still], found: Sequence[tuple[int, Asked]]) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for subject in dict.fromkeys(still.subject for still in pictures):
        own = [asked for k, asked in found if pictures[k].subject == subject]
        detected = [sees_face(a) for a in own if a.call == "DetectFaces"]
        likeness = [similarity(a) for a in own if a.call == "CompareFaces"]
        matched = [s is not None and s >= SIMILARITY for s in likeness]
        rows.append(
            {
                "subject": subject,
                "face": asdict(wilson_rate(sum(detected), len(detected))) if detected else None,
                "match": asdict(wilson_rate(sum(matched), len(matched))) if matched else None,
            }
        )
    return rows


def _silent(what: str, done: int, of: int) -> None:
    return
