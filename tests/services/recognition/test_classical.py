"""Local binary patterns, eigenfaces and correlation filters: library code, and definitions written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.feature import local_binary_pattern

from services.errors import CorruptData
from services.recognition import catalog
from services.recognition.classical import eigenfaces, lbp, otsdf
from services.recognition.classical.gray import gray_chips, small_chips
from services.recognition.template import POINT_NAMES
from services.rendering.torch_renderer import TorchRenderer
from services.rendering.views import ViewRanges, sample_views
from services.shape.basis import load_basis
from services.shape.decode import Decoder

Faces = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def faces() -> Faces:
    """Pictures uint8 (9, 160, 160, 3) and landmarks (9, 5, 2) of three heads in three views each."""
    basis = load_basis("makehuman-mask-1")
    decoder = Decoder(basis)
    renderer = TorchRenderer(decoder.triangles, decoder.vertex_faces)
    genes = np.random.default_rng(4).normal(0, 0.5, (3, len(basis.gene_names))).astype(np.float32)
    views = sample_views(ViewRanges(yaw_deg=(-15, 15)), 3, seed=8)
    rendered = renderer.render(
        decoder.decode(torch.from_numpy(genes)), views, decoder.landmark_indices(POINT_NAMES)
    )
    return rendered.images.flatten(0, 1), rendered.points_px.flatten(0, 1)


def test_patterns_are_scikit_images(faces: Faces) -> None:
    gray = gray_chips(*faces)
    theirs = np.stack([local_binary_pattern(g.astype(np.uint8), 8, 2, "nri_uniform") for g in gray.numpy()])
    assert np.array_equal(lbp.patterns(gray).numpy(), theirs)


def test_a_histogram_counts_every_pixel_of_its_cell(faces: Faces) -> None:
    gray = gray_chips(*faces)[:2]
    numbers = lbp.patterns(gray)
    ours = lbp.histograms(numbers).view(2, 7, 7, 59)
    for row, column in ((0, 0), (3, 5), (6, 6)):
        cell = numbers[1, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
        expected = np.bincount(cell.flatten().numpy(), minlength=59) / (112 * 112)
        np.testing.assert_allclose(ours[1, row, column].numpy(), expected, atol=1e-7)
    np.testing.assert_allclose(ours.sum(dim=(1, 2, 3)).numpy(), 1.0, rtol=1e-5)


def test_chi_square_by_its_definition() -> None:
    a, b = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]), torch.tensor([0.5, 0.3, 0.2])
    expected = [0.2**2 / 0.8 + 0.2, 0.5 + 0.3 + 0.8**2 / 1.2]
    np.testing.assert_allclose(lbp.chi_square(a, b).numpy(), expected, rtol=1e-6)
    assert lbp.chi_square(b[None], b).item() == 0


@pytest.mark.parametrize("name", ["lbp", "eigenfaces"])
def test_one_picture_is_at_no_distance_and_batches_change_nothing(name: str, faces: Faces) -> None:
    machine = catalog.recognizer(name)
    images, points = faces
    embeddings = machine.embed(images, points)
    assert embeddings.shape == (9, machine.size)
    far = machine.unlikeness(embeddings)
    assert far.diagonal().abs().max() < 1e-4
    np.testing.assert_allclose(far[2].numpy(), machine.compare(embeddings, embeddings[2]).numpy(), atol=1e-5)
    assert torch.equal(machine.embed(images[4:5], points[4:5])[0], embeddings[4])
    assert (far[~torch.eye(9, dtype=torch.bool)] > 0.05).all()


def test_eigenfaces_are_the_axes_along_which_faces_differ_most() -> None:
    random = np.random.default_rng(0)
    directions = np.linalg.qr(random.normal(size=(40, 2)))[0].T
    spread = random.normal(size=(300, 2)) * [5.0, 2.0]
    made = spread @ directions + 3.0 + random.normal(0, 0.1, (300, 40))
    space = eigenfaces.face_space(made.astype(np.float32), 2)
    np.testing.assert_allclose(space.mean, made.mean(axis=0), atol=1e-4)
    assert np.abs(space.axes[0] @ directions[0]) > 0.999
    assert np.abs(space.axes[1] @ directions[1]) > 0.999
    np.testing.assert_allclose(space.axes @ space.axes.T, np.eye(2), atol=1e-5)


def test_the_committed_face_space_is_orthonormal_and_explains_a_face(faces: Faces) -> None:
    machine = eigenfaces.EigenfaceRecognizer()
    gram = (machine._axes @ machine._axes.T).numpy()
    np.testing.assert_allclose(gram, np.eye(32), atol=2e-3)
    plane = small_chips(*faces).flatten(1) - machine._mean
    known = (plane @ machine._axes.T) @ machine._axes
    left = (plane - known).square().sum(1) / plane.square().sum(1)
    assert left.median() < 0.5


def test_a_changed_face_space_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "eigenfaces-1.npz"
    path.write_bytes(b"other bytes")
    monkeypatch.setattr(catalog, "locate", lambda info: path)
    with pytest.raises(CorruptData, match="eigenfaces"):
        catalog.recognizer("eigenfaces")


def test_a_filter_answers_one_at_the_origin_to_its_references(faces: Faces) -> None:
    references = small_chips(*faces)[:4]
    for alpha in (0.9, 0.9999):
        answers = otsdf.correlation(references, otsdf.otsdf(references, alpha))[:, 0, 0]
        np.testing.assert_allclose(answers.numpy(), 1.0, atol=2e-3)


def test_a_filter_is_refregiers_formula_written_out() -> None:
    small = torch.from_numpy(np.random.default_rng(1).normal(size=(3, 6, 6)).astype(np.float32))
    x = np.stack([np.fft.fft2(picture).ravel() for picture in small.numpy().astype(np.float64)], axis=1)
    power = (np.abs(x) ** 2).mean(axis=1)
    t = np.diag(1 / (0.8 * power + 0.6 * power.mean()))
    h = t @ x @ np.linalg.inv(x.conj().T @ t @ x) @ np.ones(3)
    expected = np.fft.ifft2(h.reshape(6, 6)).real * 36
    np.testing.assert_allclose(otsdf.otsdf(small, 0.8).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_a_filter_knows_its_reference_from_noise_and_follows_a_shift(faces: Faces) -> None:
    pictures = small_chips(*faces)
    template = otsdf.otsdf(pictures[:3], otsdf.ALPHA)
    noise = torch.from_numpy(np.random.default_rng(2).normal(size=(5, 56, 56)).astype(np.float32))
    own = otsdf.peak_to_sidelobe(otsdf.correlation(pictures[:3], template))
    others = otsdf.peak_to_sidelobe(otsdf.correlation(pictures[3:], template))
    random = otsdf.peak_to_sidelobe(otsdf.correlation(noise, template))
    assert own.min() > others.max()
    assert own.min() > 2 * random.max()
    moved = otsdf.correlation(pictures[:1].roll((3, -5), (1, 2)), template)
    np.testing.assert_allclose(otsdf.peak_to_sidelobe(moved).item(), own[0].item(), rtol=1e-3)
    assert int(moved.flatten().argmax()) == 3 * 56 + (56 - 5)
    assert otsdf.peak_to_sidelobe(otsdf.correlation(torch.zeros(1, 56, 56), template)).item() == 0


def test_peak_to_sidelobe_by_its_definition() -> None:
    plane = torch.from_numpy(np.random.default_rng(3).normal(0, 0.1, (1, 56, 56)).astype(np.float32))
    plane[0, 2, 55] = 4.0
    rows, columns = np.arange(2 - 10, 2 + 10) % 56, np.arange(55 - 10, 55 + 10) % 56
    window = plane[0].numpy()[np.ix_(rows, columns)].copy()
    inner = np.ones((20, 20), bool)
    inner[8:13, 8:13] = False
    expected = (4.0 - window[inner].mean()) / window[inner].std()
    assert otsdf.peak_to_sidelobe(plane).item() == pytest.approx(expected, rel=1e-4)
