"""Pictures of an exhibition, really rendered: what they must show, and that they are the same every time."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace

import av
import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from services.errors import BadInput
from services.exhibition import palette
from services.exhibition.archive_sheet import Axis, kinds_sheet, legend
from services.exhibition.composite import composite, overlay
from services.exhibition.film import Frame, film_strip
from services.exhibition.front import portrait
from services.exhibition.glyphs import embedding_strip, hog_glyphs
from services.exhibition.inline import pack_triangles, pack_vertices
from services.exhibition.lineup import Caption, lineup
from services.exhibition.movie import FPS, Mark, morph, mp4, turntable, webp
from services.exhibition.page import json_text
from services.exhibition.procrustes import mean_mask, similarity
from services.exhibition.questions import answer, asks
from services.exhibition.studio import _GRAZING, Pose, Studio
from services.exhibition.views_sheet import SCALE, Seen, contact_sheet
from services.recognition.kinds import KINDS
from services.rendering.rig import MATERIALS, material_named
from services.shape.basis import load_basis
from services.shape.decode import Decoder

BASIS = load_basis("makehuman-mask-1")
DECODER = Decoder(BASIS)
GENES = len(BASIS.gene_names)
LANDMARKS = np.array(sorted(BASIS.landmarks.values()), np.int64)
QUICK = Studio(BASIS.triangles, directions=48, shadow_px=48)


def decode(genomes):
    return DECODER.decode(torch.from_numpy(np.array(genomes, np.float32))).numpy()


def noise(count, spread=0.5, seed=3):
    return np.random.default_rng(seed).normal(0, spread, (count, GENES)).astype(np.float32)


@pytest.fixture(scope="module")
def neutral():
    return QUICK.light(np.array(BASIS.neutral))


def test_a_picture_is_a_cut_out_in_the_middle_lit_from_the_upper_left(neutral):
    shot = neutral.shoot(Pose(), 200, 240.0)
    assert shot.shape == (200, 200, 4)
    assert shot.dtype == np.uint8
    solid = shot[..., 3] == 255
    assert 0.25 < solid.mean() < 0.6
    assert not shot[0].any()
    assert not shot[:, 0].any()
    columns = np.flatnonzero(solid.any(axis=0))
    assert abs(columns[0] + columns[-1] + 1 - 200) <= 2  # the neutral mask is symmetric
    width_mm = float(np.ptp(BASIS.neutral[:, 0])) * 1e3
    assert len(columns) * 240 / 200 == pytest.approx(width_mm, rel=0.05)
    light = shot[..., :3].sum(-1).astype(float)
    left, right = solid.copy(), solid.copy()
    left[:, 100:], right[:, :100] = False, False
    assert light[left].mean() > 1.15 * light[right].mean()
    edge = (shot[..., 3] > 0) & ~solid
    assert edge.any()  # anti-aliased


def test_a_turned_head_points_its_nose_to_the_right(neutral):
    def right_reach(yaw):
        return np.flatnonzero((neutral.shoot(Pose(yaw), 160, 240.0)[..., 3] > 0).any(axis=0))[-1] - 80

    nose = BASIS.neutral[BASIS.landmarks["nose_tip"]]
    turned = np.sin(np.radians(78)) * (nose[2] + 0.03)
    assert right_reach(78.0) >= turned * 1e3 * 160 / 240 - 1
    mirrored = neutral.shoot(Pose(-40.0), 160, 240.0)[..., 3]
    straight = neutral.shoot(Pose(40.0), 160, 240.0)[:, ::-1, 3]
    assert (np.abs(mirrored.astype(int) - straight) > 64).mean() < 0.002


def test_a_mask_behind_a_wall_is_in_its_shadow(neutral):
    wall = np.array([[-0.3, -0.3, 0.12], [0.3, -0.3, 0.12], [0.0, 0.5, 0.12]], np.float32)
    triangles = np.concatenate([BASIS.triangles, np.array([[0, 1, 2]], np.int32) + len(BASIS.neutral)])
    studio = Studio(triangles, directions=48, shadow_px=48)
    covered = studio.light(np.concatenate([BASIS.neutral, wall]))
    nose = BASIS.landmarks["nose_tip"]
    toward = covered.sky[:, 2] > 0.9
    assert covered.seen[nose][toward].max() == 0.0
    assert neutral.seen[nose][toward].min() == 1.0


def test_no_even_surface_is_in_its_own_shadow():
    plaque = load_basis("blank-plaque-1")
    lit = Studio(plaque.triangles, plaque.facts.center_m, directions=160, shadow_px=96).light(plaque.neutral)
    facing = lit.normals @ lit.sky.T
    inside = (lit.centered[:, :2].abs() < 0.9 * lit.centered[:, :2].abs().amax(0)).all(1)
    assert inside.sum() > 2000
    assert (lit.seen[inside][facing[inside] > _GRAZING] < 0.99).float().mean() < 0.02


def test_pictures_do_not_depend_on_threads(neutral):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = QUICK.light(np.array(BASIS.neutral)).shoot(Pose(20.0), 160, 240.0)
        torch.set_num_threads(2)
        two = QUICK.light(np.array(BASIS.neutral)).shoot(Pose(20.0), 160, 240.0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert palette.png(one) == palette.png(two)


def test_a_mask_that_is_not_finite_is_refused():
    broken = np.array(BASIS.neutral)
    broken[7, 1] = np.nan
    with pytest.raises(BadInput, match="not finite"):
        QUICK.light(broken)


def test_lineup_has_a_row_a_mask_and_room_for_captions(neutral):
    one = lineup([neutral])
    two = lineup([neutral, neutral])
    assert two.shape[0] > one.shape[0]
    assert two.shape[1] == one.shape[1]
    titled = lineup([neutral], [Caption("i00-g0003-001", (("fitness", "+0.41"),))])
    assert titled.shape[0] == one.shape[0]
    assert titled.shape[1] > one.shape[1]
    assert palette.png(one) == palette.png(lineup([neutral]))
    with pytest.raises(BadInput, match="no mask"):
        lineup([])
    with pytest.raises(BadInput, match="captions"):
        lineup([neutral], [])


def test_similarity_finds_the_motion_it_was_given():
    rng = np.random.default_rng(5)
    points = rng.normal(size=(9, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    scale, rotation, shift = similarity(points, 1.7 * points @ turn.T + [0.1, -2.0, 3.0])
    assert scale == pytest.approx(1.7)
    np.testing.assert_allclose(rotation, turn, atol=1e-12)
    np.testing.assert_allclose(shift, [0.1, -2.0, 3.0], atol=1e-12)


def test_the_mean_of_identical_masks_is_that_mask():
    mask = decode(noise(1))
    mean, aligned = mean_mask(np.repeat(mask, 3, axis=0), np.repeat(mask, 3, axis=0)[:, LANDMARKS])
    np.testing.assert_allclose(mean, mask[0], atol=1e-7)
    np.testing.assert_allclose(aligned, np.repeat(mask, 3, axis=0), atol=1e-7)


def test_the_mean_of_one_mask_moved_about_is_that_shape():
    mask = decode(noise(1))[0].astype(np.float64)
    angle = np.radians(14.0)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
    moved = np.stack([mask, 1.2 * mask @ turn.T + 0.01, 0.8 * mask @ turn + [0.0, 0.02, 0.0]])
    moved = moved.astype(np.float32)
    mean, aligned = mean_mask(moved, moved[:, LANDMARKS])
    assert np.abs(aligned - aligned[0]).max() < 1e-6
    reversed_mean, _ = mean_mask(moved[::-1], moved[::-1, LANDMARKS])
    np.testing.assert_allclose(reversed_mean, mean, atol=1e-6)
    plain, still = mean_mask(moved, None)
    np.testing.assert_array_equal(still, moved)
    np.testing.assert_allclose(plain, moved.mean(0), atol=1e-7)


def test_overlay_of_equal_pictures_is_the_picture_and_of_two_halves_is_half():
    rng = np.random.default_rng(1)
    picture = rng.integers(1, 256, (12, 12, 4), dtype=np.uint8)
    np.testing.assert_array_equal(overlay([picture] * 5), picture)
    nothing = np.zeros_like(picture)
    half = overlay([picture, nothing])
    np.testing.assert_array_equal(half[..., :3], picture[..., :3])
    np.testing.assert_allclose(half[..., 3], picture[..., 3] / 2, atol=0.5)


def test_composite_of_identical_masks_shows_that_mask_twice():
    mask = decode(noise(1, 0.3))
    page = composite(QUICK, np.repeat(mask, 2, axis=0), np.repeat(mask, 2, axis=0)[:, LANDMARKS])
    same = composite(QUICK, mask, mask[:, LANDMARKS])
    picture = slice(0, page.shape[0] - 110)  # without the words, which count the masks
    assert np.abs(page[picture].astype(int) - same[picture]).max() <= 3
    with pytest.raises(BadInput, match="no mask"):
        composite(QUICK, mask[:0], mask[:0, LANDMARKS])


def test_portrait_shows_the_mask_before_the_wall(neutral):
    page = portrait(neutral, np.array(BASIS.neutral), BASIS.triangles, 200)
    assert page.shape == (200, 200, 3)
    assert page[100, 100].min() > 100 > page[3, 3].max()


def test_the_film_begins_and_ends_with_its_frames_and_the_camera_stands_still():
    frames = [Frame(g, 4 * k, 0.5 * k - 0.6) for k, g in enumerate(noise(3, 0.8))]
    pictures = list(morph(QUICK, decode, frames, size_px=96, steps=2))
    again = list(morph(QUICK, decode, frames, size_px=96, steps=2))
    assert all(np.array_equal(a, b) for a, b in zip(pictures, again, strict=True))
    assert len(pictures) == 2 * 2 + round(1.5 * FPS)
    assert np.array_equal(pictures[-1], pictures[2 * 2])  # it is held
    backward = list(
        morph(QUICK, decode, frames[::-1], size_px=96, steps=2)
    )  # the same shapes, the same camera
    assert np.abs(pictures[-1][:96].astype(int) - backward[0][:96]).mean() < 1
    assert np.abs(pictures[0][:96].astype(int) - backward[0][:96]).mean() > 6
    with pytest.raises(BadInput, match="no generation"):
        list(morph(QUICK, decode, []))
    with pytest.raises(BadInput, match="even"):
        list(morph(QUICK, decode, frames, size_px=97))


def test_the_film_says_from_when_on_a_machine_sees_a_face():
    plain = [Frame(g, k, 0.5) for k, g in enumerate(noise(3))]
    seen = [plain[0], replace(plain[1], seen=("dlib-hog",)), plain[2]]
    pairs = zip(*(morph(QUICK, decode, f, size_px=240, steps=1) for f in (plain, seen)), strict=True)
    first, second, *_, last = [(a != b).any(-1) for a, b in pairs]
    assert not first.any()
    assert second.sum() > 40
    assert np.array_equal(second, last)
    assert not second[:200].any()  # below the mask


def test_a_machines_box_is_drawn_where_it_says():
    def mark(picture):
        assert picture.shape == (96, 96, 3)
        return Mark((0.25, 0.25, 0.75, 0.75), "HOG +1.00")

    frames = [Frame(noise(1)[0], 3, 0.5)]
    plain, marked = (next(iter(morph(QUICK, decode, frames, size_px=96, marker=w))) for w in (None, mark))
    gold = (np.abs(marked.astype(int) - palette.YES).max(-1) < 8) & (plain != marked).any(-1)
    rows, columns = np.nonzero(gold[:96])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (24, 72, 24, 72)


def test_the_mp4_is_what_browsers_play():
    pictures = list(
        morph(QUICK, decode, [Frame(g, k, None) for k, g in enumerate(noise(2))], size_px=96, steps=3)
    )
    data = mp4(pictures)
    assert data.index(b"moov") < data.index(b"mdat")  # it plays while it loads
    with av.open(io.BytesIO(data)) as opened:
        (stream,) = opened.streams.video
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.height, stream.width) == pictures[0].shape[:2]
        shown = [frame.to_ndarray(format="rgb24") for frame in opened.decode(stream)]
    assert len(shown) == len(pictures)
    for k in (0, -1):
        assert np.abs(shown[k].astype(int) - pictures[k]).mean() < 6
    with pytest.raises(BadInput, match="no picture"):
        mp4([])


def test_the_webp_is_small_and_moves():
    pictures = list(
        morph(QUICK, decode, [Frame(g, k, None) for k, g in enumerate(noise(2))], size_px=96, steps=8)
    )
    with Pillow.open(io.BytesIO(webp(pictures))) as opened:
        assert opened.format == "WEBP"
        assert opened.n_frames > 2
        opened.seek(0)
        first = np.array(opened.convert("RGB"), int)
        opened.seek(opened.n_frames - 1)
        assert np.abs(first - np.array(opened.convert("RGB"), int)).mean() > 3
    with pytest.raises(BadInput, match="no picture"):
        webp([])


def test_a_turntable_swings_to_both_sides_and_comes_back(neutral):
    pictures = list(turntable(neutral, "i00", size_px=96, seconds=0.5))
    assert len(pictures) == 12
    mirrored = pictures[3][:96, ::-1]
    masks = [(p.sum(-1) > 330)[:96] for p in (pictures[9], mirrored)]
    assert (masks[0] != masks[1]).mean() < 0.2  # left and right profile are mirror images, but for the light
    assert np.abs(pictures[3].astype(int) - pictures[9]).mean() > 5
    with pytest.raises(BadInput, match="even"):
        list(turntable(neutral, "i00", size_px=95))


def test_tiles_give_the_same_pixels_as_one_piece(neutral, monkeypatch):
    whole = neutral.shoot(Pose(30.0), 150, 240.0)
    monkeypatch.setattr("services.exhibition.studio._TILE_PX", 128)
    tiled = neutral.shoot(Pose(30.0), 150, 240.0)
    difference = np.abs(whole.astype(int) - tiled)
    assert difference.max(initial=0) <= 40  # a sample on an edge may fall to the other side
    assert (difference > 1).mean() < 1e-3


def test_a_mirror_plaster_and_nylon_look_different_and_colors_show(neutral):
    shots = {
        name: neutral.shoot(Pose(), 120, 240.0, material=m)[..., :3].astype(int)
        for name, m in MATERIALS.items()
    }
    # Both are white; where nylon shines it is the brighter.
    assert np.abs(shots["nylon"] - shots["plaster"])[shots["nylon"].any(-1)].mean() > 1
    assert np.abs(shots["nylon"] - shots["mirror"]).mean() > 10
    spread = {name: shot[shot.any(-1)].mean(-1).std() for name, shot in shots.items()}
    assert spread["mirror"] > spread["plaster"]
    red = np.zeros(BASIS.neutral.shape, np.uint8)
    red[:, 0] = 220
    painted = neutral.painted(red).shoot(Pose(), 120, 240.0, material=MATERIALS["color"])[60, 60].astype(int)
    assert painted[0] > painted[1] + 60
    with pytest.raises(BadInput, match="uint8"):
        neutral.painted(red[:5])
    with pytest.raises(BadInput, match="nylon"):
        material_named("gold")


def test_a_lineup_has_the_width_that_was_asked_for_and_many_masks_make_a_wall(neutral):
    small = lineup([neutral], width_px=700)
    large = lineup([neutral], width_px=1400)
    assert (small.shape[1], large.shape[1]) == (700, 1400)
    assert large.shape[0] == pytest.approx(2 * small.shape[0], abs=2)
    wall = lineup([neutral] * 7, [Caption(str(k)) for k in range(7)], width_px=700)
    assert wall.shape[0] < 700
    for width in (599, 8193):
        with pytest.raises(BadInput, match="8192"):
            lineup([neutral], width_px=width)


def test_an_archive_of_one_measure_has_one_row_and_nothing_up(neutral):
    across, up = Axis("width", "mm", 2, 100.0, 200.0), Axis("asymmetry", "", 3, 0.0, 1.0)
    row, table = (kinds_sheet([neutral], [(1, 0)], [True], across, *more) for more in ((), (up,)))
    assert table.shape[0] - row.shape[0] == 2 * 200
    assert legend(across, None).startswith("Across: width, 100 mm to 200 mm and beyond. Gold frame")
    assert "beyond. Up: asymmetry, 0.00 to 1.00 and beyond. Gold" in legend(across, up)
    noted = kinds_sheet([neutral], [(1, 0)], [True], across, note="The 400 best of 512 masks are shown.")
    changed = np.flatnonzero((noted != row).any(axis=(1, 2)))
    assert 0 < len(changed) < 30  # a line
    with pytest.raises(BadInput, match="no cell 1, 1 among 2 x 1"):
        kinds_sheet([neutral], [(1, 1)], [True], across)


def test_hog_glyphs_run_along_edges():
    up = np.zeros((3, 3, 9), np.float32)
    up[1, 1, 0] = 1.0  # a gradient to the right: a vertical edge
    glyph = hog_glyphs(up)[20:40, 20:40]
    assert glyph[2:18, 9:11].mean() > 120
    assert glyph[:, :6].max() == 0
    across = np.zeros_like(up)
    across[1, 1, 4:6] = 1.0  # near 90 degrees: a horizontal edge
    glyph = hog_glyphs(across)[20:40, 20:40]
    assert glyph[8:12].mean() > 3 * glyph[:6].mean()
    with pytest.raises(BadInput, match="orientations"):
        hog_glyphs(up[..., :8])


def test_the_embedding_strip_is_gold_above_zero_and_blue_below():
    strip = embedding_strip(np.array([0.3, 0.0, -0.3]))
    assert strip.shape == (40, 12, 3)
    gold, nothing, blue = strip[0, 1].astype(int), strip[0, 5].astype(int), strip[0, 9].astype(int)
    assert gold[0] > gold[2]
    assert blue[2] > blue[0]
    assert nothing.max() < 50
    with pytest.raises(BadInput, match="embedding"):
        embedding_strip(np.array([np.nan]))


def test_packed_vertices_come_back_to_within_ten_micrometers():
    packed = pack_vertices(BASIS.neutral)
    steps = np.frombuffer(base64.b64decode(packed["data"]), "<i2").reshape(-1, 3)
    assert np.abs(steps * packed["step_m"] - BASIS.neutral).max() < 1e-5
    assert len(packed["data"]) < 6 * len(BASIS.neutral) * 4 / 3 + 8
    triangles = pack_triangles(BASIS.triangles)
    back = np.frombuffer(base64.b64decode(triangles["data"]), "<u2").reshape(-1, 3)
    np.testing.assert_array_equal(back, BASIS.triangles)
    with pytest.raises(BadInput, match="finite"):
        pack_vertices(np.full((3, 3), np.inf))
    with pytest.raises(BadInput, match="triangles"):
        pack_triangles(np.array([[0, 1]]))


def test_facts_cannot_leave_their_element():
    text = json_text({"name": "</script><!--&\u2028"})
    assert not {"<", ">", "&", "\u2028"} & set(text)
    assert json.loads(text) == {"name": "</script><!--&\u2028"}


def test_the_strip_wraps_and_draws_the_fitness():
    frames = [Frame(g, k, None) for k, g in enumerate(noise(7, 0.4))]
    plain = film_strip(QUICK, decode, frames)
    known = [Frame(f.genome, f.generation, 0.1 * f.generation) for f in frames]
    graphed = film_strip(QUICK, decode, known)
    assert graphed.shape[0] > plain.shape[0]
    assert graphed.shape[1] == plain.shape[1]
    assert (np.abs(graphed.astype(int) - palette.YES).max(-1) < 12).sum() > 200
    told = film_strip(QUICK, decode, [*frames[:-1], replace(frames[-1], seen=("dlib-hog",))])
    assert told.shape[0] > plain.shape[0]
    assert (np.abs(told.astype(int) - palette.YES).max(-1) < 12).sum() > 40  # whose first face it is, in gold
    with pytest.raises(BadInput, match="no generation"):
        film_strip(QUICK, decode, [])


def test_a_contact_sheet_holds_the_scored_pixels_untouched():
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (5, 40, 40, 3), dtype=np.uint8)
    box = (5.0, 8.0, 30.0, 33.0)
    views = [Seen(image, box if k % 2 else None, None, ("HOG +1.00",)) for k, image in enumerate(images)]
    page = contact_sheet(views, "What the machine received")
    flat = page.reshape(-1, 3)
    for image in images:
        large = np.kron(image, np.ones((SCALE, SCALE, 1), np.uint8))
        starts = np.flatnonzero((flat == large[0, 0]).all(-1))
        found = [
            (r, c)
            for r, c in (divmod(int(s), page.shape[1]) for s in starts)
            if np.array_equal(page[r : r + 80, c : c + 80], large)
        ]
        assert len(found) == 1
    gold = (page == palette.YES).all(-1).sum()
    unseen = contact_sheet([Seen(v.image, None, None, v.words) for v in views], "What the machine received")
    assert gold > (unseen == palette.YES).all(-1).sum() + 2 * 2 * (25 + 25)
    with pytest.raises(BadInput, match="no view"):
        contact_sheet([], "nothing")


def test_a_recognizer_does_not_say_face():
    for kind in KINDS.values():
        words = (*asks(kind.name), answer(kind.name, True), answer(kind.name, False))
        assert "yes" not in " ".join(words)  # each kind has its own
        assert all(("face" in said) == (kind.machine == "detect") for said in words)
