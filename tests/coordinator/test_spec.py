"""The run spec: defaults, refusals with one clear line, overrides."""

from __future__ import annotations

import datetime
import re
import tomllib
from pathlib import Path
from typing import Annotated

import pytest

from coordinator.spec.objectives import ObjectiveSpec
from coordinator.spec.spec import SearchSpec, Spec, parse_spec, plain
from coordinator.spec.spec_file import differences, filled_spec, load_spec
from coordinator.spec.tables import Before, completed
from services.errors import BadInput

ROOT = Path(__file__).parents[2]
DETECT = '[[objective]]\nkind = "detect"\nmodel = "dlib-hog"\n'
REFUSE = '[[objective]]\nkind = "refuse"\nmodel = "dlib-hog"\n'
MACHINES = DETECT + DETECT.replace("hog", "mmod") + '[archive]\nmachines = ["dlib-hog", "dlib-mmod"]\n'
CONSISTENT = DETECT + '[[objective]]\nkind = "consistent"\nmodel = "dlib-resnet"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "spec.toml"
    path.write_text(text)
    return path


def specs_in_documents() -> list[tuple[str, str]]:
    """Every TOML block of README and docs that holds an objective, and every example."""
    found = [(p.name, p.read_text()) for p in sorted((ROOT / "examples").glob("*.toml"))]
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        blocks = re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL) if page.exists() else []
        found += [(page.name, block) for block in blocks if "[[objective]]" in block]
    return found


@pytest.mark.parametrize(
    ("name", "text"), specs_in_documents(), ids=lambda value: value if len(value) < 40 else ""
)
def test_every_spec_that_people_see_is_valid(name: str, text: str) -> None:
    assert isinstance(parse_spec(tomllib.loads(text), name), Spec)


def test_filled_in_spec_parses_to_itself(tmp_path: Path) -> None:
    spec = load_spec(ROOT / "examples" / "portrait.toml")
    assert parse_spec(tomllib.loads(spec.toml()), "again") == spec


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["'objective' is missing", "[[objective]]"]),
        (DETECT + "[serch]\nislands = 2", ["unknown key 'serch'", "'search'"]),
        (DETECT + "[search]\npopulaton = 2", ["[search]", "unknown key 'populaton'", "'population'"]),
        (DETECT + "[views]\nyaw = [0, 1]", ["[views]", "unknown key 'yaw'", "'yaw_deg'"]),
        (DETECT + "[views]\nyaw_deg = [20, -20]", ["yaw_deg"]),
        (DETECT + "[views]\nyaw_deg = 20", ["yaw_deg", "[low, high]"]),
        (DETECT + "[views]\ncount = 3\nfirst = 4", ["[views]", "first = 4 is more than count = 3"]),
        (CONSISTENT + "[views]\nfirst = 1", ["[views] first must be 2 or more", "consistent"]),
        (
            CONSISTENT + "[elites]\nranking_views = 1",
            ["[elites] ranking_views must be 2 or more", "consistent"],
        ),
        (DETECT + "[mask]\ncolor = 1", ["[mask] color", "boolean"]),
        (DETECT + '[mask]\nedge = "0.5"', ["[mask] edge", "number"]),
        (CONSISTENT + 'far = "0.01"', ["far", "number"]),
        (DETECT + "[search]\nislands = 0", ["[search] islands: ", "greater than or equal to 1", "given: 0"]),
        (DETECT + '[search]\noptimizers = ["pso"]', ["[search.optimizers] 0: ", "'sep-cma'"]),
        (DETECT + "[migration]\ncount = 30", ["count = 30", "population = 24"]),
        (DETECT + '[mask]\nbasis = "makehuman"', ["makehuman-mask-1"]),
        ('[[objective]]\nkind = "detect"\nmodel = "dlib-hogg"', ["dlib-hogg", "dlib-hog"]),
        ('[[objective]]\nkind = "detect"\nmodel = "viola-jones"', ["viola-jones", "critic"]),
        ('[[objective]]\nkind = "detect"\nmodel = "dlib-resnet"', ["dlib-resnet", "recognize"]),
        ('[[objective]]\nkind = "identity"\nmodel = "dlib-resnet"', ["images", "--target"]),
        (
            '[[objective]]\nkind = "identity"\nmodel = "dlib-resnet"\nimages = ["a.jpg"]',
            ["[consent]", "--consent"],
        ),
        (DETECT + '[verify]\ncritics = ["dlib-hog"]', ["dlib-hog", "critic"]),
        (DETECT + '[record]\nevaluations = "some"', ["[record] evaluations", "'1 in N'", "given: 'some'"]),
        (DETECT + '[record]\nevaluations = "1 in 9"\n[pareto]', ["[pareto]", "leave [record] evaluations"]),
        (
            DETECT + '[record]\nevaluations = "accepted"\n[store]\nmasks = "all"',
            ["[store] masks", "leave [record] evaluations"],
        ),
        (MACHINES.replace(', "dlib-mmod"', ""), ["[archive] machines", "at least 2"]),
        (MACHINES.replace('mmod"]', 'resnet"]'), ["[archive] machines holds 'dlib-resnet'", "'dlib-hog'"]),
        (MACHINES.replace('mmod"]', 'hog"]'), ["[archive] machines names one twice"]),
        (MACHINES + 'measures = ["relief"]', ["[archive] cells are of machines or of measures"]),
        (MACHINES + 'admit = "accepted"', ["[archive] a cell of machines says who accepts"]),
        (REFUSE, ["every objective is of kind 'refuse'", 'kind = "detect"']),
        (DETECT + REFUSE, ["'dlib-hog' is to see a face and to see none"]),
        (DETECT + REFUSE.replace("hog", "resnet"), ["dlib-resnet", "kind 'refuse' needs one to detect"]),
        ("name = 'a/b'\n" + DETECT, ["name: ", "given: 'a/b'"]),
        ("name = ", ["not valid TOML", "Invalid value"]),
    ],
)
def test_refusals_say_what_where_and_what_instead(tmp_path: Path, text: str, words: list[str]) -> None:
    path = write(tmp_path, text)
    with pytest.raises(BadInput) as refused:
        load_spec(path)
    message = str(refused.value)
    assert "\n" not in message
    assert str(path) in message
    for word in words:
        assert word in message, message


@pytest.mark.parametrize(
    "more",
    [{"views": {"yaw_deg": (0, 10**400)}}, {"search": {"islands": 10**30}}],
    ids=["a range", "a count"],
)
def test_whole_numbers_that_no_file_could_hold_are_refused_from_python_too(more: dict[str, object]) -> None:
    with pytest.raises(BadInput, match=r"^spec: '\w+' holds a whole number of more than 64 bits"):
        filled_spec({**tomllib.loads(DETECT), **more}, Path("spec"))


def test_missing_spec_points_to_the_examples(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no such spec file.*examples"):
        load_spec(tmp_path / "none.toml")


def test_expired_consent_is_refused(tmp_path: Path) -> None:
    text = (
        '[[objective]]\nkind = "identity"\nmodel = "dlib-resnet"\nimages = ["a.jpg"]\n'
        '[consent]\nsubject = "A"\ngranted_by = "A"\npurpose = "art"\nexpires = 2026-01-31'
    )
    path = write(tmp_path, text)
    assert load_spec(path, today=datetime.date(2026, 1, 31)).identity
    with pytest.raises(BadInput, match="2026-01-31 has passed"):
        load_spec(path, today=datetime.date(2026, 2, 1))


def test_set_changes_tables_lists_and_text(tmp_path: Path) -> None:
    path = write(tmp_path, DETECT)
    changed = load_spec(
        path,
        seed=9,
        overrides=[
            "search.generations=3",
            "views.yaw_deg=[-5, 5]",
            "objective.0.weight=2",
            "mask.start=neutral",
        ],
    )
    assert (changed.seed, changed.search.generations, changed.mask.start) == (9, 3, "neutral")
    assert changed.views.ranges().yaw_deg == (-5.0, 5.0)
    assert changed.objective[0].weight == 2.0


@pytest.mark.parametrize("override", ["search", "=3", "objective.7.weight=1", "objective.x.y=1"])
def test_set_that_makes_no_sense(tmp_path: Path, override: str) -> None:
    with pytest.raises(BadInput, match=re.escape(f"--set {override}")):
        load_spec(write(tmp_path, DETECT), overrides=[override])


def test_target_and_consent_make_a_quick_identity_run(tmp_path: Path) -> None:
    text = '[[objective]]\nkind = "identity"\nmodel = "dlib-resnet"'
    spec = load_spec(write(tmp_path, text), targets=["me.jpg"], consent="me, for my own mask")
    assert spec.objective[0].images == [str(Path("me.jpg").absolute())]
    assert spec.consent is not None
    assert spec.consent.granted_by == spec.consent.purpose == "me, for my own mask"
    with pytest.raises(BadInput, match="--target needs"):
        load_spec(write(tmp_path, DETECT), targets=["me.jpg"])


def test_differences_name_the_key_and_both_values() -> None:
    assert differences({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 4}) == [
        "a.c: 2 -> 3",
        "d: None -> 4",
    ]


def test_a_key_that_a_recorded_spec_lacks_stands_for_what_was_done_before_it_existed() -> None:
    class LaterSearch(SearchSpec):
        pace: Annotated[str, Before("steady")] = "hurried"

    class LaterObjective(ObjectiveSpec):
        patient: bool = False

    class Later(Spec):
        search: LaterSearch = LaterSearch()
        objective: list[LaterObjective]
        mood: str = "calm"

    recorded = parse_spec(tomllib.loads(DETECT), "test").table()
    now = completed(recorded, Later)
    assert (now["search"]["pace"], now["objective"][0]["patient"], now["mood"]) == ("steady", False, "calm")
    assert completed(now, Later) == now
    assert plain(completed(recorded, Spec)) == recorded
    older = {key: value for key, value in recorded.items() if key not in ("run", "store")}
    older["search"] = {key: value for key, value in recorded["search"].items() if key != "symmetric"}
    older["views"] = {key: value for key, value in recorded["views"].items() if key != "jpeg_quality"}
    assert differences(plain(completed(older, Spec)), recorded) == ["search.symmetric: False -> True"]


def test_any_face_is_sought_left_and_right_alike_and_a_given_one_is_not() -> None:
    anybody = load_spec(ROOT / "examples" / "archetype.toml")
    somebody = load_spec(ROOT / "examples" / "portrait.toml")
    assert anybody.search.symmetric
    assert somebody.search.symmetric  # for it says so
    table = somebody.table()
    del table["search"]["symmetric"]
    assert not parse_spec(table, "test").search.symmetric


def test_color_asks_for_the_basis_with_color_genes() -> None:
    spec = parse_spec(tomllib.loads(DETECT + "[mask]\ncolor = true\n"), "test")
    assert spec.mask.basis == "makehuman-mask-1+paint-1"
    assert parse_spec(spec.table(), "run.toml") == spec
    assert parse_spec(tomllib.loads(DETECT), "test").mask.basis == "makehuman-mask-1"


def test_gauss_newton_asks_for_a_face_to_come_near() -> None:
    with pytest.raises(BadInput, match="needs a face to come near"):
        parse_spec(tomllib.loads(DETECT + '[search]\noptimizers = ["gauss-newton"]\n'), "test")
