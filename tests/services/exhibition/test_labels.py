"""What hangs beside a mask: a museum's lines, numbers of the run, and type that stays inside its label."""

from __future__ import annotations

import copy
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.errors import BadInput
from services.exhibition import telling, wording
from services.exhibition.credits import MOST, NOTHING, Credits, checked, given
from services.exhibition.labels import INSIDE_MM, LABEL_MM, Print, label_sheets, labels_of, wall_text
from services.exhibition.poster import poster
from services.exhibition.press import PressFacts, press_sheet
from services.exhibition.typesetting import A4_MM, ITALIC, Piece, broken, pdf, png, width_mm
from services.exhibition.wording import english, load_wording

ROOT = Path(__file__).parents[3]
REPORT = {
    "views": {"count": 20},
    "after": {"accepted": {"dlib-hog": 0.95, "dlib-mmod": 0.9}},
}
SOLID = Print((179.96, 236.14, 96.95), "sls", "nylon PA12", "2/5", REPORT)
AUDIT = {"views": 20, "hog_rate": 0.95, "critics": {"dlib-mmod": 1.0, "viola-jones": 0.55}}
LONGEST = {
    "title": "A Rather Long Title of a Work in Nylon That Nobody Has Shortened Before It Went to Print",
    "artist": "Maximiliane Wilhelmina Featherstonehaugh von Hohenberg-Lang",
    "year": "2025-2026",
    "statement": ("The machine was asked what it sees, and answered with a number. " * 7)[
        : MOST["statement"]
    ].strip(),
    "edition": "Edition of five, and two artist’s proofs",
    "venue": "A House of Art with a Long Name, Third Floor, Room Twelve, in a Town by a River",
    "medium": "3D-printed nylon, mirror-plated, on a lacquered board of birch with a hidden rail of steel",
}


def facts_of(masks=2, **asked):
    """Facts as a run's page has them, as far as words need them."""
    shown = [
        {"id": f"i0{k}-g0167-000", "audit": AUDIT, "fitness": 1.36, "values": {}, "lineage": []}
        for k in range(masks)
    ]
    return {
        "run": "noise-001",
        "seed": 1,
        "generation": 168,
        "masks_scored": 8064,
        "views_scored": 24192,
        "masks": shown,
        "audit": None,
        "controls": None,
        "manifest": {"started": "2026-11-29T05:00:00+00:00", "models": {}, "consent": None},
        "asked": {
            "start": "noise",
            "face": False,
            "basis": "blank-oval-1+edge-30",
            "title": "an oval shell",
            "islands": 2,
            "objectives": [
                {"kind": "detect", "model": "dlib-hog"},
                {"kind": "detect", "model": "dlib-mmod"},
                {"kind": "consistent", "model": "dlib-resnet"},
            ],
            **asked,
        },
    }


def made(facts=None, credits=NOTHING, words=None, prints=()):
    facts, words = facts or facts_of(), words or english()
    return labels_of(facts, credits, words, telling.told(facts, words), dict(prints))


def test_a_label_reads_as_a_museums():
    first, second = made(prints={"i00-g0167-000": SOLID}.items())
    assert first.lines[:4] == [
        "Untitled (HOG, MMOD, ResNet), no. 1, 2026",
        "3D-printed white nylon",
        "23.6 × 18.0 × 9.7 cm",  # height, width, depth of the solid
        "Edition 2 of 5",
    ]
    assert second.lines[1:3] == ["Digital model", "Dimensions variable"]
    assert second.edition is None
    (alone,) = made(facts_of(1), Credits(artist="Ada Example", title="Greco", year="2025", edition="1/3"))
    assert alone.lines[:2] == ["Ada Example", "Greco, 2025"]
    assert alone.edition == "Edition 1 of 3"
    (dyed,) = made(facts_of(1), prints={"i00-g0167-000": Print((1, 2, 3), "mjf", "PP", None, REPORT)}.items())
    assert dyed.medium == "3D print, PP"


def test_no_label_speaks_as_a_program_does():
    for label in made():
        text = "\n".join(label.lines)
        assert not re.search(r"threshold|satisf|fitness|[+−]\d|\w:\w|dlib|i0\d-g|_", text), text


def test_the_type_of_the_longest_label_stays_inside_it():
    credits = given(str, **LONGEST)
    left = (A4_MM[0] - LABEL_MM[0]) / 2 + INSIDE_MM
    for page in label_sheets(made(credits=credits)) + label_sheets(made()):
        tops = sorted({rule.start_mm[1] for rule in page.items if not hasattr(rule, "text")})
        assert tops
        for run in page.runs():
            assert run.x_mm >= left
            assert run.right_mm <= left + LABEL_MM[0] - 2 * INSIDE_MM + 0.01
            first = (A4_MM[1] - 2 * LABEL_MM[1] - 20) / 2
            inside = [first + k * (LABEL_MM[1] + 20) for k in (0, 1)]
            assert any(top + INSIDE_MM < run.y_mm <= top + LABEL_MM[1] - INSIDE_MM for top in inside), run
    wall = wall_text("x", credits, telling.told(facts_of(), english()), "2026")
    assert max(run.y_mm for run in wall.runs()) < A4_MM[1] - 20
    assert max(run.right_mm for run in wall.runs()) < A4_MM[0] - 20


def test_a_page_is_as_wide_and_high_as_it_says_and_its_words_are_type():
    (page,) = label_sheets(made())
    data = pdf([page], "Untitled", "Ada", "en")
    assert data == pdf([page], "Untitled", "Ada", "en")
    assert b"/MediaBox [ 0 0 595.2756 841.8898 ]" in data
    faces = {run.face for run in page.runs()}
    assert data.count(b"/FontFile2") == data.count(b"/ToUnicode") == len(faces) == 2  # embedded, as letters
    with Image.open(BytesIO(png(page, 60))) as picture:
        assert picture.size == (496, 702)
        assert picture.info["dpi"] == pytest.approx((60, 60), abs=0.1)


def test_lines_are_even_and_the_last_is_no_single_word():
    text = (
        "In twenty pictures that the search had never used it is a face to both of them, and to one more too."
    )
    for room in (60.0, 75.0, 90.0):
        lines = broken([Piece(text)], 13, room)
        ends = [at + width_mm(piece.text, piece.face, 13) for ((piece, at),) in lines]
        assert all(end <= room for end in ends)
        assert " ".join(piece.text for ((piece, _),) in lines) == text
        assert min(ends[:-1]) > 0.7 * room
        assert " " in lines[-1][0][0].text
    ((title, year),) = broken([Piece("Greco,", ITALIC), Piece("2026")], 18, 90)
    assert title[0].face == ITALIC
    assert year[1] > width_mm("Greco,", ITALIC, 18)


@pytest.mark.parametrize("size", ["short", "medium", "long"])
def test_texts_have_their_length_and_the_runs_numbers(size):
    facts = facts_of(1)
    text = getattr(telling.told(facts, english(), REPORT), size)
    text = text if isinstance(text, str) else " ".join(text)
    low, high = {"short": (25, 48), "medium": (65, 110), "long": (150, 260)}[size]
    assert low <= len(text.split()) <= high
    told = text.replace("\u00a0", " ")
    assert "8,064 masks" in told
    assert "168 generations" in told
    if size != "short":
        assert "HOG in 19" in told
        assert "MMOD in 20" in told
        assert "Viola–Jones in 11" in told
    if size == "long":
        assert "20 pictures of the printed solid, it is a face to HOG in 19 and MMOD in 18" in told
    other = copy.deepcopy(facts)
    other["masks_scored"], other["generation"] = 1, 1
    again = telling.told(other, english(), REPORT)
    assert "1 mask" in (" ".join(again.long) if size == "long" else getattr(again, size)).replace(
        "\u00a0", " "
    )


def test_what_it_began_with_is_said_as_it_was():
    def began(**asked):
        story = telling.told(facts_of(1, **asked), english())
        return [re.search(r"began with (.*?)(?:\.| made)", text)[1] for text in (story.short, story.medium)]

    assert began() == ["noise", "noise: random waves on an oval shell, which has no face"]
    assert began(start="neutral") == ["an oval shell", "an oval shell, which has no face"]
    head = {"basis": "makehuman-mask-1", "title": "MakeHuman's head", "face": True}
    assert began(start="neutral", **head) == ["a plain human head", "a plain human head"]
    assert began(**head)[1].startswith("noise: random weights on a model of a human head")
    own = {"basis": "mine-1", "title": "a saddle", "start": "neutral"}
    assert began(**own)[0] == "a saddle"


def test_a_run_without_an_audit_claims_nothing():
    facts = facts_of()
    for mask in facts["masks"]:
        mask["audit"] = None
    story = telling.told(facts, english())
    assert "is a face to" not in story.medium + " ".join(story.long)
    assert all("is a face to" not in label.text for label in made(facts))


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("title", "", "is empty"),
        ("title", "  \n ", "is empty"),
        ("artist", "x" * 61, "has 61 characters, and its label has room for 60"),
        ("statement", "word " * 120, "room for 420"),
        ("venue", "a\x07b", "cannot be printed"),
        ("year", "soon", "is no year: expected one such as 2026"),
        ("year", "2026-2025", "is no year"),
        ("year", "26", "is no year"),
        ("year", True, "is no year"),
        ("edition", 5, "expected text"),
    ],
)
def test_what_cannot_stand_on_a_label_is_refused_in_a_line(name, value, wanted):
    with pytest.raises(ValueError, match=re.escape(wanted)):
        checked(name, value)
    if isinstance(value, str):
        with pytest.raises(BadInput, match=f"^--{name} ") as caught:
            given(lambda key: f"--{key}", **{name: value})
        assert "\n" not in str(caught.value)


def test_what_was_given_stands_above_what_the_spec_says():
    assert checked("year", 2026) == "2026"
    assert checked("year", "2025 - 2026") == "2025–2026"
    above = Credits(title="A").over(Credits(title="B", artist="C"))
    assert (above.title, above.artist) == ("A", "C")


def test_letters_without_a_shape_and_words_without_room_are_refused():
    with pytest.raises(BadInput, match="has no 草 間"):
        made(credits=Credits(artist="草間"))
    made(credits=Credits(title="Дата-маска Μάσκα Łódź"))
    with pytest.raises(BadInput, match="wider than its line"):
        label_sheets(made(credits=Credits(title="W" * 40)))
    with pytest.raises(BadInput, match="does not fit two lines"):
        poster(np.zeros((1, 1, 3), np.uint8), "W" * 40, "2026", NOTHING, "bred")


def test_the_press_sheet_holds_texts_pictures_and_terms():
    facts = facts_of()
    facts["manifest"]["models"] = {"dlib-hog": {"licence": "BSL-1.0", "training_data": "LFW " + "x" * 200}}
    facts["manifest"]["consent"] = {
        **{"subject": "A", "granted_by": "A", "purpose": "a mask"},
        "covers": ["evolve"],
    }
    credits, words = Credits(artist="Ada Example", venue="Kunsthalle"), english()
    story, grey = telling.told(facts, words), np.full((60, 40, 3), 90, np.uint8)
    shown = labels_of(facts, credits, words, story, {})
    pictures = {label.mask: grey for label in shown}
    pages = press_sheet(PressFacts(facts, credits, "Greco", "2026", story, shown, grey, pictures), words)
    text = " ".join(run.text for page in pages for run in page.runs())
    for wanted in ("Ada Example", "Greco", "at Kunsthalle", "In 1", "plates/i01-g0167-000.png", "BSL-1.0"):
        assert wanted in text, wanted
    assert "ask before" in text
    assert "Face of A; consent granted by A for a mask; it covers evolve." in text
    assert sum(hasattr(item, "pixels") for page in pages for item in page.items) == 3
    for page in pages:
        assert max(run.right_mm for run in page.runs()) <= A4_MM[0] - 20
        assert max(run.y_mm for run in page.runs()) <= A4_MM[1] - 10


def test_several_people_are_named_in_words_and_their_consent_ends_when_it_ends():
    facts, words = facts_of(1, aim="several"), english()
    facts["manifest"]["consent"] = {
        **{"subject": ["Ada", "Bo", "Cy"], "granted_by": ["Ada", "Bo", "Di"], "purpose": "a mask"},
        **{"covers": ["evolve", "exhibit"], "expires": "2027-03-01"},
    }
    story = telling.told(facts, words)
    assert "The faces of people who consented were the goal" in story.long[-1]
    shown = labels_of(facts, NOTHING, words, story, {})
    grey = np.full((60, 40, 3), 90, np.uint8)
    pages = press_sheet(
        PressFacts(facts, NOTHING, "Greco", "2026", story, shown, None, {shown[0].mask: grey}), words
    )
    text = " ".join(run.text for page in pages for run in page.runs())
    assert "Face of Ada, Bo and Cy; consent granted by Ada, Bo and Di for a mask;" in text
    assert "it covers evolve and exhibit, until 2027-03-01." in text


# -- words


def pseudo(text, key):
    """A text that nobody could take for English, with its braces."""
    if key in ("language", "thousands", "decimal"):
        return {"language": "x-pseudo", "thousands": ".", "decimal": ","}[key]
    parts = re.split(r"(\{\w+\})", text)
    return "".join(p if p.startswith("{") else re.sub(r"[a-z]", "ä", p) for p in parts)


def written(tmp_path, changed=lambda key, text: text, without=()):
    lines = [
        f"{'.'.join(_quoted(part) for part in key.split('.'))} = {_quoted(changed(key, text))}"
        for key, text in english().words.items()
        if key not in without
    ]
    path = tmp_path / "other.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def test_a_translation_is_one_file(tmp_path):
    words = load_wording(str(written(tmp_path, lambda key, text: pseudo(text, key))))
    facts = facts_of()
    (label, _) = made(facts, words=words, prints={"i00-g0167-000": SOLID}.items())
    assert label.dimensions == "23,6 × 18,0 × 9,7 ää"
    story = telling.told(facts, words)
    assert "8.064" in story.short
    pages = label_sheets([label])
    english_words = r"\b(the|search|masks|white|face|of)\b"
    for text in (*label.lines, story.medium, *story.long, *(r.text for p in pages for r in p.runs())):
        assert not re.search(english_words, text), text


def test_a_translation_with_a_fault_is_refused_in_a_line(tmp_path):
    with pytest.raises(BadInput, match=r"lacks 'label.untitled' \('Untitled"):
        load_wording(str(written(tmp_path, without=("label.untitled",))))
    path = written(tmp_path)
    path.write_text('labels.x = "y"\n' + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(BadInput, match=r"unknown key 'labels.x'"):
        load_wording(str(path))
    path = written(tmp_path, lambda key, text: text + "{who}" if key == "label.untitled" else text)
    with pytest.raises(BadInput, match=r"'label.untitled' has \{who\} in braces; it may have: machines"):
        load_wording(str(path))
    for more in (":d", "!r"):
        faulty = written(tmp_path, lambda key, text, more=more: text.replace("{number}", f"{{number{more}}}"))
        with pytest.raises(BadInput, match=r"\{number\} stands in braces with more than its name"):
            load_wording(str(faulty))
    path.write_text('language = "{"')
    with pytest.raises(BadInput, match="cannot be read"):
        load_wording(str(path))
    with pytest.raises(BadInput, match="no such file"):
        load_wording(str(tmp_path / "absent.toml"))
    # A machine that the file does not name is called as the run calls it.
    words = load_wording(str(written(tmp_path, without=("machines.dlib-hog",))))
    assert telling.called("dlib-hog", words) == "dlib-hog"


def test_every_word_that_is_asked_for_is_there_and_none_is_in_vain():
    sources = [*(ROOT / "services/exhibition").glob("*.py"), *(ROOT / "worker/exhibition").glob("*.py")]
    text = "\n".join(path.read_text() for path in sources)
    known = english().words
    said = set(re.findall(r'\.say\(\s*"([\w.]+)"', text)) | set(re.findall(r'words\["([\w.]+)"\]', text))
    assert len(said) > 25
    assert said <= set(known)
    counted = {f"count.{key}" for key in re.findall(r'\.count\("(\w+)"', text)}
    formed = set(re.findall(r'\.form\(\s*"([\w.]+)"', text))
    patterns = {key.partition("{")[0] for key in re.findall(r'f"([\w.]+\.\{[^"]*)"', text)}
    for key in known:
        parents = {key.rpartition(".")[0], key.partition(".")[0] + "."}
        assert key in said or parents & (counted | formed | patterns) or key.startswith(wording._OPEN), key
