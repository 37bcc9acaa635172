"""The adapter for Amazon Rekognition, against botocore's Stubber.

These tests prove plumbing only: that the right calls go out with the right arguments, that nothing goes out
beyond the cap, and that answers are read and kept. They say nothing of what Rekognition sees.
"""

from __future__ import annotations

import boto3
import pytest
from botocore.stub import ANY, Stubber

from services.errors import BadInput, Unavailable
from worker.examination.rekognition_client import (
    MOST_BYTES,
    PRICE_USD,
    Rekognition,
    check_cost,
    sees_face,
    similarity,
)

PNG = b"\x89PNG\r\n\x1a\n..."


@pytest.fixture
def client():
    return boto3.client(
        "rekognition", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
    )


def test_both_calls_send_the_bytes_and_keep_the_raw_answer(client):
    with Stubber(client) as stub:
        face = {"Confidence": 99.5, "BoundingBox": {"Width": 0.5, "Height": 0.5, "Left": 0.2, "Top": 0.2}}
        stub.add_response(
            "detect_faces", {"FaceDetails": [face]}, {"Image": {"Bytes": PNG}, "Attributes": ["DEFAULT"]}
        )
        stub.add_response(
            "compare_faces",
            {"FaceMatches": [{"Similarity": 41.5}, {"Similarity": 83.25}], "UnmatchedFaces": []},
            {"SourceImage": {"Bytes": PNG}, "TargetImage": {"Bytes": PNG}, "SimilarityThreshold": 0.0},
        )
        service = Rekognition(client, 1.0)
        seen, compared = service.detect(PNG), service.compare(PNG, PNG)
        stub.assert_no_pending_responses()
    assert seen.answer == {"FaceDetails": [face]}
    assert (sees_face(seen), sees_face(seen, 99.9)) == (True, False)
    assert similarity(compared) == 83.25
    assert (seen.call, compared.call, service.calls) == ("DetectFaces", "CompareFaces", 2)
    assert service.version == "2016-06-27"


def test_nothing_is_sent_beyond_the_cap(client):
    with Stubber(client) as stub:  # any call would raise: no answer is prepared
        service = Rekognition(client, PRICE_USD / 2)
        with pytest.raises(BadInput, match="nothing was sent"):
            service.detect(PNG)
        assert service.calls == 0
        stub.assert_no_pending_responses()
    check_cost(1000, 1000 * PRICE_USD)
    with pytest.raises(BadInput, match="max-cost-usd"):
        check_cost(1001, 1000 * PRICE_USD)
    for cap in (0.0, -1.0, float("nan")):
        with pytest.raises(BadInput, match="above 0"):
            check_cost(1, cap)


def test_no_face_in_the_first_picture_is_an_answer_and_a_refusal_is_none(client):
    with Stubber(client) as stub:
        stub.add_client_error("compare_faces", "InvalidParameterException", expected_params=ANY_PAIR)
        stub.add_client_error("detect_faces", "AccessDeniedException")
        service = Rekognition(client, 1.0)
        answer = service.compare(PNG, PNG)
        assert similarity(answer) is None
        assert answer.answer["Refused"] == "InvalidParameterException"
        with pytest.raises(Unavailable, match="AccessDeniedException"):
            service.detect(PNG)


ANY_PAIR = {"SourceImage": ANY, "TargetImage": ANY, "SimilarityThreshold": ANY}


def test_pictures_that_it_does_not_take_stay_here(client):
    service = Rekognition(client, 1.0)
    with pytest.raises(BadInput, match="PNG and JPEG"):
        service.detect(b"GIF89a")
    with pytest.raises(BadInput, match="bytes"):
        service.detect(PNG + bytes(MOST_BYTES))
    assert service.calls == 0
