"""Genomes to vertices, batched, on one device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from services.errors import BadInput
from services.shape import paint
from services.shape.basis import Basis
from services.topology import vertex_face_table

# A matrix product's last bits may depend on how many rows it has (MKL: those of 1 and 5 rows differ, of 12 to
# 48 they agree). In blocks of fixed rows a genome gets the same vertices whatever it is decoded with. A GPU,
# which is asked for each block anew, has larger ones.
_CPU_ROWS = 16
_GPU_ROWS = 64


def block_rows(device: torch.device | str) -> int:
    """How many genomes are decoded in one matrix product on a device, fewer being filled up."""
    return _CPU_ROWS if torch.device(device).type == "cpu" else _GPU_ROWS


class Decoder:
    """Decodes genomes on ``device``: neutral + max(w, 0) @ positive + max(-w, 0) @ negative.

    triangles: ``(T, 3)`` int64. vertex_faces: ``(V, K)`` int64 padded with T. Both on the device.
    """

    def __init__(self, basis: Basis, device: torch.device | str = "cpu") -> None:
        self.basis = basis
        self.device = torch.device(device)
        vertex_count = len(basis.neutral)
        self.triangles = torch.from_numpy(basis.triangles.astype(np.int64)).to(self.device)
        self.vertex_faces = torch.from_numpy(vertex_face_table(basis.triangles, vertex_count)).to(self.device)
        self.neutral = torch.from_numpy(basis.neutral.copy()).to(self.device)
        sides = np.concatenate([basis.positive, basis.negative]).reshape(-1, vertex_count * 3)
        self._sides = torch.from_numpy(sides).to(self.device)
        colors = basis.colors
        self._cover = torch.from_numpy(colors.cover.copy()).to(self.device)
        changes = (colors.positive, colors.negative)
        self._changes = [torch.from_numpy(side.copy()).to(self.device).unbind() for side in changes]
        self._skin = torch.tensor(paint.SKIN_SRGB, device=self.device)

    def landmark_indices(self, names: Sequence[str]) -> torch.Tensor:
        """Vertex indices ``(L,)`` int64 of named landmarks. Raises BadInput for an unknown name."""
        unknown = [name for name in names if name not in self.basis.landmarks]
        if unknown:
            known = ", ".join(self.basis.landmarks) or "none"
            raise BadInput(f"basis {self.basis.id!r} has no landmark {unknown[0]!r}; it has {known}")
        indices = [self.basis.landmarks[name] for name in names]
        return torch.tensor(indices, dtype=torch.int64, device=self.device)

    @torch.inference_mode()
    def decode(self, genomes: torch.Tensor) -> torch.Tensor:
        """Vertices ``(n, V, 3)`` float32 in meters of genomes ``(n, G)`` float32.

        Weights are not limited; a genome that is not finite gives vertices that are not finite. Raises
        BadInput where the shape is not ``(n, G)``.
        """
        count = len(self.basis.gene_names)
        if genomes.ndim != 2 or genomes.shape[1] != count:
            raise BadInput(
                f"genomes have shape {tuple(genomes.shape)}, expected (n, {count}): "
                f"one weight per gene of basis {self.basis.id!r}"
            )
        weights = genomes.to(self.device, torch.float32)
        signed = torch.cat([weights.clamp(min=0), (-weights).clamp(min=0)], dim=1)
        rows = block_rows(self.device)
        blocks = torch.split(torch.nn.functional.pad(signed, (0, 0, 0, -len(signed) % rows)), rows)
        neutral = self.neutral.reshape(1, -1)
        flat = torch.cat([torch.addmm(neutral, block, self._sides) for block in blocks])
        return flat[: len(genomes)].view(-1, len(self.basis.neutral), 3)

    @torch.inference_mode()
    def colors(self, genomes: torch.Tensor) -> torch.Tensor | None:
        """Colors ``(n, V, 3)`` float32, display values (sRGB) in 0 to 1, of genomes ``(n, G)``; None where
        the basis has no color genes. A weight that is not finite paints nothing.
        """
        count = len(self._cover)
        if count == 0:
            return None
        weights = genomes[:, -count:].to(self.device, torch.float32).nan_to_num(0.0)
        share = (weights / paint.FULL).clamp(-1.0, 1.0)
        up, down = share.clamp(min=0), (-share).clamp(min=0)
        skin = self._skin.expand(len(genomes), self._cover.shape[1], 3)
        cover = self._cover[:, None, :, None].unbind()
        blended: torch.Tensor = paint.blend(skin, cover, up, down, *self._changes)
        return blended.clamp(paint.DARKEST, 1.0)

    def paint_bytes(self, genomes: torch.Tensor) -> npt.NDArray[np.uint8] | None:
        """:meth:`colors` as files and pictures take them: uint8 ``(n, V, 3)``."""
        colors = self.colors(genomes)
        return None if colors is None else paint.bytes_of(colors.cpu().numpy())
