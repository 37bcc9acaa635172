"""How many pictures a scorer draws and looks at in one pass: few on a CPU, on a GPU what its memory holds.

A pass's size may move the last bits of scores, so the first scorer of an exact run pins its own (see pin.py)
and the others take that, also where they would have room for more.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from services.recognition.dlib.hog import GPU_LANES
from services.recognition.together import SIZE_PX

CPU_IMAGES = 24  # more falls out of a core's cache
LEAST, MOST = 64, 2048
# More than twice what tensors hold at a time in passes of 64, 512 and 1,024 pictures of this size: 0.48, 1.15
# and 1.21 GB (python -m bench.on_a_gpu). Networks work in slices, drawing goes by chunks.
FIXED_BYTES = 3 << 29
IMAGE_BYTES = 3 << 19


def pass_images(device: str) -> int:
    """How many pictures of SIZE_PX x SIZE_PX fit a pass on a device, now."""
    if not device.startswith("cuda"):
        return CPU_IMAGES
    free, _ = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return fitting(free + held)


def fitting(free_bytes: int) -> int:
    """A power of two, so that GPUs of one kind come to one answer, from LEAST to MOST."""
    room = max(1, (free_bytes - FIXED_BYTES) // IMAGE_BYTES)
    return int(min(MOST, max(LEAST, 1 << (room.bit_length() - 1))))


def masks_a_pass(images: int, views: int, size_px: int, batch: int) -> int:
    """Masks of a pass whose pictures have a side of size_px, each under so many views.

    No more than a batch has, where a pass is larger than a CPU's; all batches of a run have one size.
    """
    if images <= CPU_IMAGES:
        return max(1, images // views)
    room = images * SIZE_PX**2 // size_px**2 // views
    return max(1, CPU_IMAGES // views, min(room, batch))


def passes_of(genomes: NDArray[np.float32], masks: int) -> list[NDArray[np.float32]]:
    """Genomes (n, d) in passes of ``masks``, the last one filled: so every pass of a batch rounds alike."""
    filled = np.zeros((-(-len(genomes) // masks) * masks, genomes.shape[1]), np.float32)
    filled[: len(genomes)] = genomes
    return [filled[k : k + masks] for k in range(0, len(filled), masks)]


def parts(count: int, device: str) -> list[slice]:
    """Pictures 0 to count, in parts for one pass each, where nothing is pinned; the last may reach beyond.

    On a GPU as many as HOG would fill fewer up to.
    """
    most = GPU_LANES if device.startswith("cuda") else CPU_IMAGES
    return [slice(k, k + most) for k in range(0, count, most)]
