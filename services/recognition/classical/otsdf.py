"""Correlation filters for faces, batched: MACE and its tempered form, the optimal trade-off filter.

Mahalanobis, Kumar and Casasent 1987 (MACE): of all filters that answer 1 at the origin to every reference
picture, the one with the least energy elsewhere. Refregier 1991 (OTSDF) trades some of that sharpness for
tolerance to noise. Savvides, Kumar and Khosla 2002 use it for faces, and judge an answer by its peak-to-
sidelobe ratio: how far the peak stands above what surrounds it, in standard deviations.
"""

from __future__ import annotations

import torch

from services.recognition.classical.gray import small_chips
from services.recognition.template import POINT_NAMES

NAME = "otsdf"

# Refregier's alpha: 1 is MACE, 0 the plain matched filter. High, since pictures are aligned and quite alike.
ALPHA = 0.9999
# The face is aligned: a peak further than this from the origin is somebody else's.
_REACH_PX = 8
# Savvides et al.: a window of 20 x 20 about the peak, without the 5 x 5 in its middle.
_WINDOW_PX = 20
_PEAK_PX = 5


class OtsdfCorrelator:
    """Implements :class:`services.recognition.correlate.Correlator`; its score is the peak-to-sidelobe
    ratio.
    """

    name = NAME
    points = POINT_NAMES

    @torch.inference_mode()
    def build(self, images: torch.Tensor, points_px: torch.Tensor) -> torch.Tensor:
        """The filter float32 (56, 56) of references; see template.chips for the arguments."""
        return otsdf(small_chips(images, points_px), ALPHA)

    @torch.inference_mode()
    def score(self, images: torch.Tensor, points_px: torch.Tensor, template: torch.Tensor) -> torch.Tensor:
        """Peak-to-sidelobe ratios float32 (n,); 0 for an even picture."""
        return peak_to_sidelobe(correlation(small_chips(images, points_px), template))


def otsdf(references: torch.Tensor, alpha: float) -> torch.Tensor:
    """The filter float32 (S, S) that answers 1 at the origin to each of references float32 (k, S, S).

    Refregier 1991: h = T^-1 X (X* T^-1 X)^-1 1, where X holds the references' spectra as columns, T = alpha D
    + sqrt(1 - alpha^2) C, D is their mean power and C the noise's, here white and as strong as the mean of D.
    In double precision, since T spans many orders of magnitude.
    """
    spectra = torch.fft.fft2(references.double()).flatten(1)
    power = spectra.abs().square().mean(dim=0)
    noise = power.mean().clamp_min(1e-12)
    weight = 1.0 / (alpha * power + (1.0 - alpha**2) ** 0.5 * noise)
    gram = (spectra.conj() * weight) @ spectra.T
    # References that are nearly alike make it nearly singular; a trace of the diagonal keeps it solvable.
    gram = gram + torch.eye(len(gram), device=gram.device) * (1e-9 * gram.diagonal().abs().mean())
    share = torch.linalg.solve(gram, torch.ones(len(gram), 1, dtype=gram.dtype, device=gram.device))
    spectrum = (weight[:, None] * spectra.T @ share).view(references.shape[1:])
    # An answer is a mean over pixels: scale it so that a reference's is 1.
    template: torch.Tensor = torch.fft.ifft2(spectrum).real * references[0].numel()
    return template.float()


def correlation(pictures: torch.Tensor, template: torch.Tensor) -> torch.Tensor:
    """Circular cross-correlation float32 (n, S, S) of pictures (n, S, S) with a filter, origin first."""
    spectra = torch.fft.rfft2(pictures) * torch.fft.rfft2(template).conj()
    plane: torch.Tensor = torch.fft.irfft2(spectra, s=pictures.shape[1:])
    return plane


def peak_to_sidelobe(plane: torch.Tensor) -> torch.Tensor:
    """(peak - mean) / deviation float32 (n,) of correlation planes (n, S, S) whose origin is first.

    The peak is the highest value near the origin; mean and deviation are those of the window about it.
    """
    count, side = plane.shape[:2]
    near = torch.arange(-_REACH_PX, _REACH_PX + 1, device=plane.device)
    about = plane[:, near % side][:, :, near % side].flatten(1)
    peak, index = about.max(dim=1)
    row = near[torch.div(index, len(near), rounding_mode="floor")]
    column = near[index % len(near)]
    steps = torch.arange(_WINDOW_PX, device=plane.device) - _WINDOW_PX // 2
    rows, columns = (row[:, None] + steps) % side, (column[:, None] + steps) % side
    window = plane[
        torch.arange(count, device=plane.device)[:, None, None], rows[:, :, None], columns[:, None]
    ]
    far = steps.abs() > _PEAK_PX // 2
    sidelobe = window[:, far[:, None] | far[None, :]]
    deviation = sidelobe.std(dim=1, unbiased=False)
    return (peak - sidelobe.mean(dim=1)) / deviation.clamp_min(1e-9)
