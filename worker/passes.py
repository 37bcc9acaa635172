"""How many pictures a scorer draws and looks at in one pass: few on a CPU, on a GPU what its memory holds.

A pass has one of a few fixed shapes and holds what comes, of one batch or of several; empty rows are filled
up. What a mask scores depends neither on the shape nor on its row (Scorer.stacks finds that out), so that
workers with more and with less memory score for one run.
"""

from __future__ import annotations

import torch

from services.recognition.dlib.hog import GPU_LANES
from services.recognition.together import SIZE_PX

CPU_IMAGES = 24  # more falls out of a core's cache
SHAPES = (64, 128, 256, 512, 1024, 2048)  # pictures of a GPU's passes
LEAST, MOST = SHAPES[0], SHAPES[-1]
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


def room(device: str) -> int:
    """How many pictures a worker has at a time: in one pass of a GPU, in one of every core's on a CPU."""
    return pass_images(device) * (1 if device.startswith("cuda") else torch.get_num_threads())


def fitting(free_bytes: int) -> int:
    """The largest shape that so much memory holds; the smallest one is tried in any case."""
    room = max(1, (free_bytes - FIXED_BYTES) // IMAGE_BYTES)
    return shapes_within(max(room, LEAST))[-1]


def shapes_within(images: int) -> tuple[int, ...]:
    """The shapes of passes, in pictures of SIZE_PX x SIZE_PX, where there is room for so many."""
    return tuple(shape for shape in SHAPES if shape <= images) or (images,)


def masks_a_pass(images: int, views: int, size_px: int, wanted: int) -> int:
    """Masks of a pass whose pictures have a side of size_px, each under so many views: of the smallest shape
    that holds the wanted ones, else of the largest that there is room for.
    """
    if images <= CPU_IMAGES:
        return max(1, images // views)
    sizes = [max(1, shape * SIZE_PX**2 // size_px**2 // views) for shape in shapes_within(images)]
    return next((size for size in sizes if size >= wanted), sizes[-1])


def parts(count: int, device: str) -> list[slice]:
    """Pictures 0 to count, in parts for one pass each, where nothing is pinned; the last may reach beyond.

    On a GPU as many as HOG would fill fewer up to.
    """
    most = GPU_LANES if device.startswith("cuda") else CPU_IMAGES
    return [slice(k, k + most) for k in range(0, count, most)]
