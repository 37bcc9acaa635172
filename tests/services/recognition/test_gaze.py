"""Maps of what a machine looks at, held to machines whose gaze is known, and to real ones by deletion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from services.recognition import attribution
from services.recognition.dlib.alignment import POINT_NAMES, chips
from services.recognition.dlib.hog import HogDetector
from services.recognition.dlib.mmod import MmodDetector
from services.recognition.dlib.resnet import DlibResNet
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import ViewRanges, sample_views
from services.shape.basis import load_basis
from services.shape.decode import Decoder

BASIS = load_basis("makehuman-mask-1")
VIEWS = sample_views(ViewRanges(yaw_deg=(-15, 15)), 2, seed=3)
REGIONS = attribution.surface_regions(BASIS.neutral, BASIS.triangles)


@pytest.fixture(scope="module")
def seen():
    """Pictures uint8 (2, S, S, 3) of the neutral head, box, points, map of triangles, gray behind."""
    decoder = Decoder(BASIS)
    renderer = TorchRenderer(decoder.triangles, decoder.vertex_faces)
    vertices = decoder.decode(torch.zeros(1, len(BASIS.gene_names)))
    rendered = renderer.render(vertices, VIEWS, decoder.landmark_indices(POINT_NAMES))
    shown = renderer.triangle_map(vertices, VIEWS)[0]
    images = rendered.images[0]
    assert ((shown >= 0).float().mean(dim=(1, 2)) - rendered.coverage[0]).abs().max() == 0
    return images, rendered.box_px[0], rendered.points_px[0], shown, torch.full_like(images, 128)


def lost_without(seen, share, score):
    """What covering the map's top tenth costs, and the mean and most that eight random tenths cost."""
    images, _, _, shown, behind = seen
    visible = np.unique(REGIONS[shown[shown >= 0].numpy()])
    top = visible[attribution.top_regions(share[visible])]
    rng = np.random.default_rng(0)

    def lost(gone):
        return attribution.deletion(images, shown, behind, REGIONS, gone, score)

    random = [lost(rng.choice(visible, len(top), replace=False)) for _ in range(8)]
    return lost(top), float(np.mean(random)), max(random)


def test_regions_are_patches_of_about_one_size():
    sizes = np.bincount(REGIONS)
    assert len(sizes) == attribution.REGIONS
    assert sizes.min() > 0
    centers = BASIS.neutral[BASIS.triangles].mean(axis=1)
    widths = [np.ptp(centers[k == REGIONS], axis=0).max() for k in range(attribution.REGIONS)]
    assert max(widths) < 0.08  # meters, of a head of 0.2


def test_a_machine_that_looks_at_one_region_is_found_out(seen):
    images, _, _, shown, behind = seen
    wanted = int(REGIONS[shown[0, 80, 80]])
    there = torch.from_numpy(wanted == REGIONS)
    mask = torch.cat([there, there.new_zeros(1)])[shown]

    def score(pictures):
        # Brightness of the one region against what is behind it.
        bright = (pictures.float() - 128.0).abs().mean(dim=3)
        return (bright * attribution.in_rounds(mask, len(pictures))).sum(dim=(1, 2))

    share = attribution.occlusion(images, shown, behind, REGIONS, score)
    assert int(share.argmax()) == wanted
    assert np.abs(np.delete(share, wanted)).max() < 0.01 * share[wanted]
    pixels = attribution.gradient_times_input(images, behind, lambda x: score(x))
    by_gradient = attribution.on_regions(pixels, shown, REGIONS)
    # This machine is linear: the gradient tells the same.
    np.testing.assert_allclose(by_gradient, share, rtol=1e-3, atol=1e-2)


def test_a_detectors_gaze_by_occlusion_passes_deletion(seen):
    images, box, _, shown, behind = seen
    detector = HogDetector()

    def score(pictures):
        return detector.score(pictures, attribution.in_rounds(box, len(pictures))).score

    share = attribution.occlusion(images, shown, behind, REGIONS, score)
    top, mean, most = lost_without(seen, share, score)
    assert top > most
    assert top > 2 * mean


def test_gradients_through_the_detector_pass_deletion(seen):
    images, box, _, shown, behind = seen
    detector = MmodDetector()
    plain = detector.score(images, box).score
    with torch.no_grad():
        torch.testing.assert_close(detector.score_float(images.float(), box), plain)
    pixels = attribution.gradient_times_input(images, behind, lambda x: detector.score_float(x, box))
    share = attribution.on_regions(pixels, shown, REGIONS)
    top, mean, _ = lost_without(seen, share, lambda x: detector.score(x, box).score)
    assert top > mean


def test_gradients_of_the_recognizer_come_back_from_its_chips(seen):
    images, _, points, _, _ = seen
    network = DlibResNet()
    cut = chips(images, points)
    with torch.no_grad():
        torch.testing.assert_close(network.embed_float(cut.float()), network.embed(cut))
    size = images.shape[1]
    # A chip all of whose pixels count 1 puts its whole area back where it was cut from, inside the picture.
    compass = torch.zeros((size, size, 3), dtype=torch.uint8)
    compass[..., 0] = torch.arange(1, size + 1)[None, :]
    compass[..., 1] = torch.arange(1, size + 1)[:, None]
    placed = chips(compass.expand(2, -1, -1, -1).contiguous(), points).long() - 1
    back = attribution.through_chips(torch.ones(2, 150, 150), placed[..., 0], placed[..., 1], size)
    inside = ((placed[..., 0] >= 0) & (placed[..., 1] >= 0)).sum(dim=(1, 2))
    torch.testing.assert_close(back.sum(dim=(1, 2)), inside.float())
    nose = points[0, 4].long()
    assert back[0, nose[1] - 2 : nose[1] + 3, nose[0] - 2 : nose[0] + 3].sum() > 0


def test_colors_run_from_against_over_nothing_to_for():
    share = np.array([-1.0, 0.0, 1.0], np.float32)
    against, nothing, wanted = attribution.heat_colors(share).tolist()
    assert against[2] > against[0]
    assert wanted[0] > wanted[2]
    assert min(nothing) > 180
    flat = attribution.heat_colors(np.zeros(4, np.float32))
    assert (flat == flat[0]).all()
    smooth = attribution.on_vertices(
        np.ones(attribution.REGIONS, np.float32), REGIONS, BASIS.triangles, len(BASIS.neutral)
    )
    np.testing.assert_allclose(smooth, 1.0, rtol=1e-6)
