"""insightface's networks in batches against the package's own loop, on the same pictures and weights.

``python -m bench.insightface [--models FOLDER]`` takes every ArcFace-shaped and SCRFD file of the folder (DATAMASK_MODELS
where none is named); without any it makes one of each with random weights, of about the work of a small pack.
Answers are compared as well as times. Both sides may use all cores: the package through onnxruntime's own
threads, ours through lanes of one thread each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.machine import machine
from services.recognition import catalog, files
from services.recognition.template import POINT_NAMES
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import ViewRanges, sample_views
from services.shape.basis import load_basis
from services.shape.decode import Decoder
from worker.lanes import Lanes
from worker.scorer import MICRO_IMAGES

RESULT = Path(__file__).parent / "results" / "insightface.json"
PICTURES = 96
ROUNDS = 5
