"""The exhibition pack: a folder that goes to a gallery and needs nothing of this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput
from services.exhibition.page import page
from services.exhibition.press import captions_page, plate, plate_png, press_sheet, wall_caption
from services.exhibition.studio import LitMask
from services.rendering.rig import MATERIALS, Material
from services.storage.store import Store

_WHOLE = (
    "film.mp4",
    "film.webp",
    "turntable.mp4",
    "lineup.png",
    "composite.png",
    "before-after.png",
    "run.toml",
    "manifest.json",
)

_OF_A_MASK = (".glb", ".stl", ".3mf", *(f"/still-{name}.png" for name in (*MATERIALS, "room")))


def write_pack(
    folder: Path,
    run: Store,
    facts: Mapping[str, Any],
    lit: Sequence[LitMask],
    vertices: NDArray[np.float32],
    material: Material,
    tell: Callable[[str, int, int], None],
) -> list[str]:
    """Write captions, plates, films, press sheet, meshes and the page into a folder; returns the names.

    :raises BadInput: where the folder cannot be written to.
    """
    masks = facts["masks"]
    captions = [wall_caption(facts, mask, points) for mask, points in zip(masks, vertices, strict=True)]
    written: list[str] = []

    def write(name: str, data: bytes) -> None:
        path = folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise BadInput(f"{path}: cannot be written ({error.strerror}); give another --pack") from None
        written.append(name)

    write("captions.html", captions_page(captions))
    write("captions.txt", ("\n\n".join(caption.text for caption in captions) + "\n").encode())
    write("press.html", press_sheet(facts, captions))
    for k, (mask, mask_lit) in enumerate(zip(masks, lit, strict=True)):
        write(f"plates/{mask['id']}.png", plate_png(plate(mask_lit, material=material)))
        tell("plates", k + 1, len(masks))
    for key in facts["files"]:
        if key in _WHOLE or (key.startswith("masks/") and key.endswith(_OF_A_MASK)):
            write(key, run.get(key))
    write("index.html", page({**facts, "files": sorted(written)}))
    return written
