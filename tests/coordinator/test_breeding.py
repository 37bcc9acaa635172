"""A hand on the search: breed from chosen masks, pin some, keep others out."""

from __future__ import annotations

import datetime
import hashlib
import json

import numpy as np
import pytest
import tomli_w

from coordinator.record.record import Record
from coordinator.run import open_run
from coordinator.search.breeding import KEY, read_breeding
from coordinator.search.elites import choose_elites
from coordinator.search.heritage import bred_spec, heritage_of
from coordinator.search.island import Island, NeedScores
from coordinator.search.optimizers import make_optimizer
from coordinator.spec.calibrated import calibrated
from coordinator.spec.spec import parse_spec
from services.errors import BadInput, CorruptData
from services.rendering.presets import PRESETS
from services.storage.open import open_store
from services.wire.mask import decode_masks, encode_masks
from services.wire.plan import OK, Scores
from tests.support.runs import grow


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return grow(tmp_path_factory.mktemp("parent") / "grown-001", population=8)


def genome(parent, name):
    return next(row["genome"] for row in parent.rows if row["id"] == name)


MASKS = ("i00-g0009-001", "i01-g0009-002")


def bred(parent, folder, *, pinned=(), vetoed=(), near=0.5, masks=MASKS, **options):
    heritage = heritage_of(parent.record, masks, pinned, vetoed, near)
    spec = bred_spec(parent.record, heritage, (masks, pinned, vetoed), **options)
    record = Record(open_store(folder, write=True).sub("child"))
    return open_run(spec, record, resume=True, heritage=heritage), heritage


def test_a_bred_run_says_where_it_came_from(parent, tmp_path):
    opened, heritage = bred(parent, tmp_path, pinned=["i00-g0008-000"], overrides=["search.generations=3"])
    manifest = opened.record.manifest()["bred_from"]
    assert manifest["run"] == "grown-001"
    assert [m["id"] for m in manifest["masks"]] == [*MASKS, "i00-g0008-000"]
    for entry in manifest["masks"]:
        own = hashlib.sha256(genome(parent, entry["id"]).astype("<f4").tobytes()).hexdigest()
        assert entry["genome_sha256"] == own
    table = opened.record.spec_table()
    assert table["search"]["generations"] == 3
    assert table["seed"] == parent.opened.spec.seed + 1
    again = read_breeding(opened.record.store, opened.spec.breed.genomes)
    assert again.encoded() == heritage.breeding.encoded()
    resumed, _ = bred(parent, tmp_path, pinned=["i00-g0008-000"], overrides=["search.generations=3"])
    assert resumed.breeding.encoded() == again.encoded()
    with pytest.raises(BadInput, match="cannot resume with another spec"):
        bred(parent, tmp_path, overrides=["search.generations=3"])
    opened.record.store.put(KEY, heritage.breeding.encoded()[:-1])
    with pytest.raises(CorruptData, match="changed since"):
        read_breeding(opened.record.store, opened.spec.breed.genomes)


@pytest.mark.parametrize("name", ["sep-cma", "genetic", "map-elites", "random", "cma", "snes", "de", "nsga2"])
def test_every_optimizer_begins_with_the_chosen_masks(parent, name):
    chosen = np.stack([genome(parent, m) for m in MASKS])
    grid = parse_spec(
        {"objective": [{"kind": "detect", "model": "dlib-hog"}], "archive": True}, "spec"
    ).archive.grid("makehuman-mask-1")
    kept = genome(parent, "i00-g0003-000")[None]
    optimizer = make_optimizer(
        *(name, chosen.shape[1], chosen, 16, np.random.SeedSequence(0)), keep=kept, sigma=0.2, grid=grid
    )
    first = optimizer.ask()
    # Where genomes are drawn around a mean, it comes first.
    lead = 1 if name in ("sep-cma", "cma", "snes") else 0
    assert first[lead : lead + 3].tobytes() == np.clip(np.concatenate([chosen, kept]), -3, 3).tobytes()
    rest = first[lead + 3 :] - np.clip(chosen, -3, 3).mean(axis=0)
    noise = make_optimizer(name, chosen.shape[1], "noise", 16, np.random.SeedSequence(0), grid=grid).ask()
    if name != "random":
        assert np.sqrt((rest**2).mean()) < 0.8 * np.sqrt((noise**2).mean())
    with pytest.raises(ValueError, match="9 masks to begin with"):
        make_optimizer(name, 138, np.zeros((9, 138)), 16, np.random.SeedSequence(0), grid=grid)


@pytest.mark.parametrize("name", ["sep-cma", "cma", "snes", "de"])
def test_genes_in_which_the_chosen_masks_differ_move_most(name):
    chosen = np.zeros((4, 20), np.float32)
    chosen[:, :3] = [[2, -2, 2], [-2, 2, 2], [2, 2, -2], [-2, -2, -2]]
    drawn = make_optimizer(name, 20, chosen, 400, np.random.SeedSequence(3), sigma=0.2).ask()[5:]
    spread = drawn.std(axis=0)
    assert (spread[:3] > 5 * spread[3:].max()).all()


def scored(genomes, views):
    """Scores that fall with the genome's length, so that the neutral head is the fittest."""
    raw = np.repeat(-np.abs(genomes).mean(axis=1)[None, :, None], views, axis=2)
    count = len(genomes)
    return Scores(
        np.concatenate([raw, raw]).astype(np.float32),
        np.full(count, np.nan, np.float32),
        np.full(count, OK, np.uint8),
        np.zeros(count, np.float32),
        np.ones((count, views), np.float32),
    )


def lived(island, epochs):
    life, answer = island.life(), None
    ranked = []
    while True:
        try:
            request = life.send(answer)
        except StopIteration:
            return ranked
        answer = None
        if isinstance(request, NeedScores):
            answer = scored(request.genomes, request.view_count)
        elif hasattr(request, "state"):
            ranked += island.ranked[request.epoch]
        else:
            answer = island.emigrants[request.epoch].take([])


def test_a_pinned_mask_stays_and_a_vetoed_one_stays_out(parent, tmp_path):
    worst, out = "i00-g0000-000", "i01-g0002-002"
    opened, heritage = bred(
        *(parent, tmp_path),
        pinned=[worst],
        vetoed=[out],
        near=0.4,
        masks=MASKS[:1],
        overrides=["elites.count=2"],
    )
    island = Island(0, opened.spec, opened.objectives, 138, heritage.breeding)
    ranked = decode_masks(encode_masks(lived(island, 2)), "here")
    elites = choose_elites(ranked, 2)
    pinned = [mask for mask in elites if mask.pinned]
    assert [mask.genome.tobytes() for mask in pinned] == [
        np.clip(genome(parent, worst), -3, 3).astype(np.float32).tobytes()
    ]
    assert elites[0].fitness > pinned[0].fitness

    near = genome(parent, out) + np.float32(0.3)
    far = genome(parent, out) + np.float32(0.7)
    assert heritage.breeding.is_vetoed(np.stack([near, far])).tolist() == [True, False]
    found = island._fitness(np.stack([near, far]), scored(np.stack([near, far]), 2))
    assert np.isneginf(found.fitness[0])
    assert np.isfinite(found.fitness[1])


def test_bad_choices_are_named(parent, tmp_path):
    with pytest.raises(BadInput, match=r"no mask 'i00-g0009-00l'.*did you mean 'i00-g0009-00"):
        heritage_of(parent.record, ["i00-g0009-00l"])
    with pytest.raises(BadInput, match="choose one"):
        heritage_of(parent.record, MASKS, (), MASKS[:1])
    with pytest.raises(BadInput, match="within 9 of a vetoed mask"):
        heritage_of(parent.record, MASKS[:1], (), MASKS[1:], 9.0)
    with pytest.raises(BadInput, match="of one basis"):
        bred(parent, tmp_path, overrides=["mask.basis=makehuman-mask-1+paint-1"])
    with pytest.raises(BadInput, match=r"5 masks to begin with.*search\.population=10"):
        bred(parent, tmp_path, masks=[f"i00-g0009-00{k}" for k in range(5)])
    with pytest.raises(BadInput, match="pinned masks"):
        bred(parent, tmp_path, pinned=[f"i00-g0008-00{k}" for k in range(3)])
    by_hand = parent.opened.spec.table() | {
        "breed": {"run": "x", "masks": ["i00-g0000-000"], "genomes": "0" * 64}
    }
    with pytest.raises(BadInput, match="datamask breed"):
        open_run(parse_spec(by_hand, "spec"), Record(open_store(tmp_path).sub("hand")), resume=False)


def test_what_follows_from_a_change_changes_with_it(parent, tmp_path):
    table = parent.opened.spec.table()
    table["objective"].append({"kind": "consistent", "model": "dlib-resnet", "far": 0.01})
    table["objective"][-1] |= calibrated("dlib-resnet", 0.01, None, photographed=False)
    record = Record(open_store(tmp_path).sub("with-far"))
    record.store.put("run.toml", tomli_w.dumps(parse_spec(table, "spec").table()).encode())
    record.store.put("manifest.json", json.dumps(parent.record.manifest()).encode())
    heritage = heritage_of(parent.record, MASKS)

    def changed(*overrides):
        return bred_spec(record, heritage, (MASKS, [], []), overrides=overrides)

    same, rate, own = changed(), changed("objective.2.far=0.001"), changed("objective.2.scale=0.5")
    assert same.objective[2].threshold == table["objective"][2]["threshold"]
    expected = calibrated("dlib-resnet", 0.001, None, photographed=False)
    assert (rate.objective[2].threshold, rate.objective[2].scale) == tuple(expected.values())
    assert own.objective[2].scale == 0.5
    passport = changed("views.preset=passport", "views.pitch_deg=[-1.0, 1.0]").views.ranges()
    assert passport.yaw_deg == PRESETS["passport"]["yaw_deg"] != same.views.ranges().yaw_deg
    assert passport.pitch_deg == (-1.0, 1.0)
    with pytest.raises(BadInput, match=r"far and scale both say"):
        changed("objective.2.far=0.001", "objective.2.scale=0.5")


def test_masks_of_another_basis_are_refused(tmp_path):
    other = grow(tmp_path / "old", generations=5)
    manifest = other.record.manifest()
    manifest["basis"]["sha256"] = "0" * 64
    other.record.store.put("manifest.json", json.dumps(manifest).encode())
    with pytest.raises(BadInput, match="use the datamask version"):
        heritage_of(other.record, ["i00-g0000-000"])


def test_consent_is_carried_over_and_checked(tmp_path):
    person = {
        "consent": {
            "subject": "A. Person",
            "granted_by": "A. Person",
            "purpose": "a test",
            "expires": datetime.date(2026, 1, 31),
        },
        "objective": [
            {"kind": "detect", "model": "dlib-hog"},
            {"kind": "detect", "model": "dlib-mmod"},
            {"kind": "identity", "model": "dlib-resnet", "images": ["face.jpg"]},
        ],
    }
    plain = grow(tmp_path / "plain", generations=5)
    table = parse_spec({**plain.opened.spec.table(), **person}, "spec").table()
    plain.record.store.put("run.toml", tomli_w.dumps(table).encode())
    heritage = heritage_of(plain.record, ["i00-g0000-000"])
    ids = (["i00-g0000-000"], [], [])
    spec = bred_spec(plain.record, heritage, ids, today=datetime.date(2026, 1, 1))
    assert spec.consent.subject == "A. Person"
    with pytest.raises(BadInput, match="has passed"):
        bred_spec(plain.record, heritage, ids, today=datetime.date(2026, 2, 1))
    with pytest.raises(BadInput, match="cannot be changed here"):
        bred_spec(
            plain.record,
            heritage,
            ids,
            overrides=["consent.purpose=another"],
            today=datetime.date(2026, 1, 1),
        )
    with pytest.raises(BadInput, match="faces and machines"):
        bred_spec(
            *(plain.record, heritage, ids),
            overrides=['objective.2.images=["other.jpg"]'],
            today=datetime.date(2026, 1, 1),
        )
