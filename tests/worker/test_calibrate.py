"""Calibration: the people, the blocks that it goes on with, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from services.errors import BadInput, CorruptData
from services.recognition import catalog
from services.recognition.photos import photo_folder
from services.recognition.statistics.calibration import shipped
from services.rendering.views import ViewRanges
from services.shape.catalog import basis_info
from services.storage import open_store
from tests.support.weights import need_weights
from worker.examination import calibrate as module
from worker.examination import distances
from worker.examination.blocks import block_key, open_population, same_probe
from worker.examination.calibrate import calibrate
from worker.examination.distances import GENUINE, PAIRS, Block, Population, compared, draw

BASIS = "makehuman-mask-1"
GENES = len(basis_info(BASIS).gene_names)


def population(**changes):
    given = {"model": "dlib-resnet", "basis": BASIS, "spread": 0.4, "ranges": ViewRanges(), "seed": 5}
    return Population(**{**given, **changes})


def test_people_are_drawn_by_block_and_views_are_mixed():
    genomes, views = draw(population(), 3, GENES)
    again, same = draw(population(), 3, GENES)
    np.testing.assert_array_equal(genomes, again)
    np.testing.assert_array_equal(views.yaw_deg, same.yaw_deg)
    assert genomes.shape == (2 * PAIRS + GENUINE, GENES)
    np.testing.assert_array_equal(genomes[:GENUINE], genomes[2 * PAIRS :])
    assert len(np.unique(genomes[: 2 * PAIRS], axis=0)) == 2 * PAIRS
    assert genomes.std() == pytest.approx(0.4, rel=0.02)
    # The two of a pair look in directions that have nothing to do with each other.
    assert abs(np.corrcoef(views.yaw_deg[:PAIRS], views.yaw_deg[PAIRS : 2 * PAIRS])[0, 1]) < 0.2
    for other in (population(spread=0.8), population(seed=6)):
        assert not np.array_equal(draw(other, 3, GENES)[0] / other.spread, genomes / 0.4)
    assert not np.array_equal(draw(population(), 4, GENES)[0], genomes)


def test_embeddings_are_compared_row_by_row():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 8)).astype(np.float32)
    distances = [np.linalg.norm(x - y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(compared("euclidean", a, b), distances, rtol=1e-6)
    cosines = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(compared("cosine", a, b), cosines, rtol=1e-5)


@pytest.mark.parametrize("name", ["dlib-resnet", "lbp", "eigenfaces", "facenet", "mobilefacenet"])
def test_embeddings_are_compared_as_the_recognizer_itself_does(name):
    if catalog.model_info(name).parcel is not None:
        need_weights(name)
    machine = catalog.recognizer(name)
    drawn = np.random.default_rng(1).random((4, machine.size)).astype(np.float32)
    theirs = machine.compare(torch.from_numpy(drawn), torch.from_numpy(drawn[0])).numpy()
    ours = compared(catalog.model_info(name).comparison, drawn, drawn[:1])
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.fixture
def quick(monkeypatch):
    """Blocks of 4 pairs through the real renderer, detector and network; what was drawn is counted."""
    for where in (distances, module):
        monkeypatch.setattr(where, "PAIRS", 4)
        monkeypatch.setattr(where, "GENUINE", 2)
    monkeypatch.setattr(module, "needed_pairs", lambda far: 4)
    drawn = []
    block = distances.Sampler.block

    def counted(self, number):
        drawn.append((self.population.spread, number))
        return block(self, number)

    monkeypatch.setattr(distances.Sampler, "block", counted)
    return drawn


def run(place, pairs=8, spreads=(0.3,), photos=(), seed=1):
    return calibrate("dlib-resnet", BASIS, spreads, pairs, seed, ViewRanges(), place, photos)


def test_a_calibration_goes_on_where_it_stopped(quick, tmp_path):
    place = open_store(tmp_path)
    first, left_out = run(place)
    assert quick == [(0.3, 0), (0.3, 1)]
    assert left_out == []
    (pairs,) = first.sets
    assert (pairs.impostor_pairs, pairs.genuine_pairs) == (8, 4)
    assert pairs.detected.trials == 16
    assert pairs.median_genuine < pairs.median_impostor
    assert {r.far for r in pairs.refused} == {1e-2, 1e-3, 1e-4}
    again, _ = run(place, 12)
    assert quick[2:] == [(0.3, 2)]
    assert again.sets[0].impostor_pairs == 12
    with pytest.raises(BadInput, match="seed"):
        run(place, seed=2)
    place.put(f"dlib-resnet/spread-0.3/{block_key(0)}", b"damaged")
    with pytest.raises(CorruptData, match="b00000"):
        run(place)


def test_photos_make_sets_of_their_own_and_bad_ones_are_left_out(quick, tmp_path):
    face = Image.fromarray(skimage.data.astronaut()[0:260, 100:360])
    photos = tmp_path / "photos"
    for person in ("ann", "bob"):
        (photos / person).mkdir(parents=True)
        face.save(photos / person / "1.png")
    face.resize((240, 240)).save(photos / "ann" / "2.png")
    (photos / "bob" / "broken.jpg").write_bytes(b"no picture")
    (photos / "bob" / "apple.heic").write_bytes(b"\0\0\0\x18ftypheic")
    Image.new("RGB", (200, 200)).save(photos / "bob" / "empty.png")
    found, left_out = run(open_store(tmp_path / "out"), photos=photo_folder(photos))
    kinds = {s.kind: (s.impostor_pairs, s.genuine_pairs) for s in found.sets}
    assert kinds == {"render-render": (8, 4), "render-photo": (2, 0), "photo-photo": (1, 1)}
    assert sorted(Path(line.split(": ")[0]).name for line in left_out) == [
        "apple.heic",
        "broken.jpg",
        "empty.png",
    ]
    assert found.provenance["people"] == 2
    assert not any("ann" in str(value) for value in found.provenance.values())
    (photos / "none").mkdir()
    Image.new("RGB", (200, 200)).save(photos / "none" / "dark.png")
    with pytest.raises(BadInput, match="none of 1 photos"):
        run(open_store(tmp_path / "out"), photos=photo_folder(photos / "none"))


def test_what_cannot_be_calibrated_is_refused_before_anything_is_drawn(tmp_path):
    place = open_store(tmp_path)
    with pytest.raises(BadInput, match=r"too few.*300"):
        run(place, pairs=299)
    with pytest.raises(BadInput, match="recognizer"):
        calibrate("viola-jones", BASIS, (0.4,), 300, 1, ViewRanges(), place)
    with pytest.raises(BadInput, match="spread"):
        run(place, 300, spreads=(0.4, 0.4))
    with pytest.raises(BadInput, match="spread 9"):
        run(place, 300, spreads=(9.0,))
    assert place.list() == []


def test_blocks_of_another_machine_are_not_mixed_in(tmp_path):
    place = open_store(tmp_path)
    meta, probe = population().meta(), np.linspace(-0.1, 0.1, 128, dtype=np.float32)
    assert open_population(place, meta, probe) == set()
    assert open_population(place, meta, probe + np.float32(1e-5)) == set()
    with pytest.raises(BadInput, match="alignment"):
        open_population(place, meta, probe + np.float32(0.01))
    assert same_probe(probe, probe)
    assert not same_probe(probe, probe[:64])
    place.put("population.json", b"{")
    with pytest.raises(CorruptData, match="population"):
        open_population(place, meta, probe)
    assert Block(probe, probe, probe > 0).impostor is probe


@pytest.mark.parametrize("name", ["dlib-resnet", "lbp", "eigenfaces", "facenet", "mobilefacenet"])
def test_every_built_in_recognizer_ships_with_its_calibration(name):
    found = shipped(name)
    assert found is not None
    assert found.model_sha256 == catalog.model_info(name).sha256
    for pairs in found.sets:
        assert pairs.impostor_pairs >= 3000
        assert [t.far for t in pairs.thresholds][:2] == [0.01, 0.001]
