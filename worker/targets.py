"""Reference photographs to embeddings, by dlib's own whole pipeline. The photos stay where they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.recognition.audit import embed_photo


def embed_photos(paths: Sequence[Path]) -> NDArray[np.float32]:
    """Embeddings float32 (photos, 128), each of the one face in its photo.

    :raises BadInput: for a photo that cannot be read, or shows no face or several.
    """
    return np.stack([np.asarray(embed_photo(path)[0], np.float32) for path in paths])
