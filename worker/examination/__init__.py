"""Masks before machines after the search: verification, calibration, identification, gaze, other judges."""
