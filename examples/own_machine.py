"""Masks for a machine of one's own: a torch module that takes two eyes and a mouth for a face.

python examples/own_machine.py     (three minutes on two cores; docs/own-machine.md shows what comes of it)
"""

import numpy as np
import torch
from torch.nn import functional

import datamask

SIDE = 40  # pixels of what it looks at


class Drawing(torch.nn.Module):
    """How much the best place in a picture looks like a child's drawing of a face: a correlation, -1 to 1."""

    def __init__(self) -> None:
        super().__init__()
        drawing = torch.ones(16, 16)
        drawing[4:7, 3:6] = drawing[4:7, 10:13] = 0.0  # eyes
        drawing[11:13, 4:12] = 0.0  # mouth
        drawing = drawing - drawing.mean()
        self.register_buffer("drawing", (drawing / drawing.norm())[None, None])

    def forward(self, gray: torch.Tensor) -> torch.Tensor:
        """Scores (n,) of pictures (n, 1, SIDE, SIDE)."""
        patches = functional.unfold(gray, 16)  # (n, 256, places)
        patches = patches - patches.mean(dim=1, keepdim=True)
        patches = patches / patches.norm(dim=1, keepdim=True).clamp_min(1.0)
        return torch.einsum("npk,p->nk", patches, self.drawing.flatten()).amax(dim=1)


model = Drawing().eval()


@torch.inference_mode()
def drawn_face(images: np.ndarray) -> torch.Tensor:
    """The machine: pictures uint8 (n, H, W, 3) in, one score each out."""
    gray = torch.from_numpy(images).float().mean(dim=3)[:, None]
    return model(functional.interpolate(gray, (SIDE, SIDE), mode="area"))


MACHINE = datamask.machines.add("drawn-face", drawn_face, threshold=0.5, scale=0.1)
SPEC = {
    "name": "drawn-face",
    "seed": 4,
    "mask": {"color": True},
    "search": {"islands": 3, "population": 24, "generations": 60, "optimizers": ["sep-cma"]},
    "views": {"count": 3, "yaw_deg": [-15, 15], "pitch_deg": [-8, 8]},
    "elites": {"count": 3},
    "objective": [{"kind": "detect", "model": MACHINE}],
    "verify": {"critics": ["yunet"]},
}

if __name__ == "__main__":
    evolving = datamask.evolve(SPEC)
    for generation in evolving:
        print(f"{generation.number}: {generation.fitness:+.2f}")
    for name, answers in evolving.run.elites[0].scores([MACHINE, "dlib-hog", "yunet"]).items():
        print(f"{name} accepts {answers.accepted:.0%} of the best mask's views")
    print(evolving.run.url)
