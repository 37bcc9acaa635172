"""Thresholds and scales of recognizers from their calibrations, so that margins of different ones compare."""

from __future__ import annotations

from pathlib import Path

from services.errors import BadInput, reason_of
from services.recognition.catalog import model_info
from services.recognition.statistics.calibration import (
    MIXED,
    RENDERS,
    Calibration,
    decode_calibration,
    shipped,
)

SPREAD = 0.4  # ordinary heads: their pairs are the more alike, so that their thresholds are the stricter ones


def calibrated(model: str, far: float, file: str | None, photographed: bool) -> dict[str, float]:
    """``threshold`` at a false accept rate, and ``scale``: from there to the median of different people.

    Margins then read alike for every model: 0 where a share ``far`` of pairs of different people pass, -1
    where half of them do.

    :param file: a calibration; None: the one that datamask ships.
    :param photographed: whether renders are compared with photographs, and pairs of those are the right ones.
    :raises BadInput: where there is no calibration of the model, or it does not carry the rate.
    """
    calibration, where = _read(model, file)
    pairs = calibration.nearest(MIXED, SPREAD) if photographed else None
    if pairs is None or not pairs.thresholds:
        pairs = calibration.nearest(RENDERS, SPREAD)
    carried = {} if pairs is None else {t.far: t.threshold for t in pairs.thresholds}
    if pairs is None or far not in carried:
        rates = ", ".join(f"{rate:g}" for rate in carried) or "none"
        raise BadInput(
            f"{where}: it has no threshold of {model} at far = {far:g} (it carries {rates}); choose one of "
            f"those, or calibrate with more pairs: datamask calibrate {model} --pairs N"
        )
    scale = abs(pairs.median_impostor - carried[far])
    if scale == 0:
        raise BadInput(f"{where}: half of all pairs pass at far = {far:g}; such a threshold separates nobody")
    return {"threshold": carried[far], "scale": scale}


def _read(model: str, file: str | None) -> tuple[Calibration, str]:
    if file is None:
        found = shipped(model)
        if found is None:
            raise BadInput(
                f"datamask ships no calibration of '{model}', which far asks for; make one (datamask "
                f'calibrate {model}) and name its file: calibration = "runs/calibration/NAME.json"'
            )
        return found, f"shipped calibration of {model}"
    try:
        data = Path(file).read_bytes()
    except (OSError, ValueError) as error:
        raise BadInput(f"{file}: the calibration cannot be read: {reason_of(error)}") from None
    found = decode_calibration(data, file)
    info = model_info(model, needed=False)
    if found.model_sha256 != info.sha256:
        raise BadInput(
            f"{file}: a calibration of {found.model} (sha256 {found.model_sha256[:12]}...), not of {model}"
        )
    return found, file
