"""Callables of the user's as machines: bred for, recorded, installed, and refused in one line."""

from __future__ import annotations

import gc
import hashlib
import importlib.util
import re
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import datamask
from services.recognition import own
from services.recognition.own import Machine, MachineFault

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "own-machine.md"
IMAGES = np.random.default_rng(1).integers(0, 256, (3, 20, 30, 3), np.uint8)


def spec_of(model: str, kind: str = "detect", **more: Any) -> dict[str, Any]:
    return {
        "search": {"islands": 1, "population": 8, "generations": 4, "optimizers": ["sep-cma"]},
        "migration": {"every": 2, "count": 0},
        "views": {"count": 2},
        "verify": {"critics": [], "views": 2},
        "elites": {"count": 1, "ranking_views": 2},
        "objective": [{"kind": kind, "model": model}],
        **more,
    }


def darkness(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(1.0 - images.mean(axis=(1, 2, 3)) / 255.0)


def numbers(images: NDArray[np.uint8]) -> torch.Tensor:
    means = torch.from_numpy(images).float().mean(dim=(1, 2))
    return means * torch.ones(3, requires_grad=True)  # as a network's answers are


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    own._ADDED.clear()


def test_a_callable_is_bred_for_and_the_record_names_it(tmp_path: Path) -> None:
    name = datamask.machines.add("dark", darkness, threshold=0.4, scale=0.1, licence="mine")
    assert name == "own:dark"
    assert name in datamask.machines
    evolving = datamask.evolve(spec_of(name), store=tmp_path, run="dark", pictures=False)
    assert not evolving.spec.run.exact
    run = evolving.finish()
    said = run.manifest["models"][name]
    assert said["source_file"] == "test_own_machine.py"
    assert said["sha256"] == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert (said["exact"], said["licence"]) == (False, "mine")
    table = run.evaluations
    scores = np.stack(table[f"scores {name}"].to_numpy())
    assert scores.shape == (32, 2)
    assert len(np.unique(scores)) > 50
    mask = run.elites[0]
    np.testing.assert_allclose(
        mask.scores(views=3, seed=2)[name].raw, darkness(mask.render(3, seed=2)), rtol=1e-6
    )
    assert datamask.look(np.full((40, 40, 3), 10, np.uint8), [name])[name].face


def test_on_a_blank_embeddings_need_no_detector_that_says_where_a_face_is(tmp_path: Path) -> None:
    name = datamask.machines.add("mean-color", numbers, gives="embeddings", threshold=20.0, scale=5.0)
    oval = spec_of(name, "consistent", mask={"basis": "blank-oval-1"})
    table = datamask.evolve(oval, store=tmp_path, run="oval", pictures=False).finish().evaluations
    apart = np.stack(table[f"scores consistent:{name}"].to_numpy())
    assert len(np.unique(apart)) == len(apart)  # nothing was taken for a view without a face


def test_embeddings_compare_views_and_people(tmp_path: Path) -> None:
    name = datamask.machines.add("mean-color", numbers, gives="embeddings", threshold=20.0, scale=5.0)
    spec = spec_of(name, "consistent", consent={"subject": "a", "granted_by": "a", "purpose": "a test"})
    spec["objective"].append({"kind": "identity", "model": name, "images": ["skimage:astronaut"]})
    run = datamask.evolve(spec, store=tmp_path, run="two", pictures=False).finish()
    mask = run.elites[0]
    answers = mask.scores([name], views=2, seed=3)[name]
    photo = datamask.look("skimage:astronaut", [name])[name].embedding
    assert answers.asked == "identity"
    own_numbers = numbers(mask.render(2, seed=3)).detach().numpy()
    # The photograph is shrunk for `look`, and not for the run.
    np.testing.assert_allclose(answers.raw, np.linalg.norm(own_numbers - photo, axis=1), atol=3.0)
    assert set(mask.values) == {f"consistent:{name}", f"identity:{name}"}


def test_one_without_a_source_file_says_so_and_may_be_replaced(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec("def call(images): return images.mean(axis=(1, 2, 3))", names)
    name = datamask.machines.add("prompt", names["call"], threshold=100.0)
    run = datamask.evolve(spec_of(name), store=tmp_path, run="prompt", pictures=False).finish()
    said = run.manifest["models"][name]
    assert (said["sha256"], said["source_file"]) == ("", None)
    assert "no source file" in said["source"]
    mask = run.elites[0]
    before = mask.scores(views=2)[name].raw
    exec("def call(images): return -images.mean(axis=(1, 2, 3))", names)
    datamask.machines.add("prompt", names["call"], threshold=100.0)
    np.testing.assert_array_equal(mask.scores(views=2)[name].raw, -before)


def test_one_that_is_compared_otherwise_is_another_machine(tmp_path: Path) -> None:
    spec = spec_of("own:mean-color", "consistent")
    raw, elites = {}, []
    for measure, threshold in (("distance", 20.0), ("similarity", 0.5)):
        name = datamask.machines.add(
            "mean-color", numbers, gives="embeddings", measure=measure, threshold=threshold, scale=0.5
        )
        run = datamask.evolve(spec, store=tmp_path, run=measure, pictures=False).finish()
        raw[measure] = np.stack(run.evaluations[f"scores consistent:{name}"].to_numpy())
        elites.append(run.elites[0])
        answers = elites[0].scores([name], views=2, seed=3)[name]
        assert answers.measure == measure
        shown = numbers(elites[0].render(2, seed=3)).detach()
        apart = (
            (shown[0] - shown[1]).norm() if measure == "distance" else 1 - torch.cosine_similarity(*shown, 0)
        )
        np.testing.assert_allclose(answers.raw, float(apart), atol=1e-4)
    assert raw["distance"].max() > 1
    assert raw["similarity"].max() < 1
    longer = datamask.machines.add(
        "mean-color",
        lambda images: torch.cat([numbers(images)] * 2, dim=1),
        gives="embeddings",
        threshold=20.0,
    )
    assert datamask.look("skimage:astronaut", [longer])[longer].embedding.shape == (6,)


def test_nothing_is_left_of_a_machine_that_nobody_can_ask() -> None:
    class Ones:
        def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
            time.sleep(0.4 * late.is_set())
            return np.ones(len(images))

    def threads() -> int:
        return sum(thread.name == "own machine" for thread in threading.enumerate())

    late, before = threading.Event(), threads()
    call = Ones()
    known = weakref.ref(call)
    machine = Machine(call, threshold=0.5, timeout_s=0.1)
    np.testing.assert_array_equal(machine.ask("own:x", IMAGES), np.ones(3, np.float32))
    late.set()
    with pytest.raises(MachineFault, match="no answer"):
        machine.ask("own:x", IMAGES)
    late.clear()
    machine.ask("own:x", IMAGES)
    assert threads() == before + 2  # one is late, and has another in its place
    del machine, call
    deadline = time.monotonic() + 10
    while threads() > before or known() is not None:
        assert time.monotonic() < deadline
        gc.collect()
        time.sleep(0.02)


def test_an_exact_machine_keeps_the_promise_of_the_run(tmp_path: Path) -> None:
    name = datamask.machines.add("dark", darkness, threshold=0.4, exact=True)
    runs = [
        datamask.evolve(spec_of(name), store=tmp_path, run=run, pictures=False).finish() for run in ("a", "b")
    ]
    assert runs[0].spec["run"]["exact"]
    assert runs[0].record.head().parts == runs[1].record.head().parts
    datamask.machines.add("dark", darkness, threshold=0.4)
    with pytest.raises(datamask.BadInput, match=r"own:dark.* does not promise the same answers twice"):
        datamask.evolve(spec_of(name, run={"exact": True}), store=tmp_path, pictures=False)


def test_a_run_is_not_taken_up_with_another_file(tmp_path: Path) -> None:
    name = datamask.machines.add("dark", darkness, threshold=0.4)
    evolving = datamask.evolve(spec_of(name), store=tmp_path, run="dark", pictures=False)
    next(evolving)
    evolving.close()
    other = tmp_path / "other.py"
    other.write_text("def darkness(images):\n    return images.mean(axis=(1, 2, 3)) / 255\n")
    found = importlib.util.spec_from_file_location("other", other)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    datamask.machines.add("dark", module.darkness, threshold=0.4)
    with pytest.raises(datamask.BadInput, match="bring the file that it was started with"):
        datamask.evolve(spec_of(name), store=tmp_path, run="dark", pictures=False, resume=True)


def test_two_machines_of_one_file_are_not_one(tmp_path: Path) -> None:
    name = datamask.machines.add("dark", darkness, threshold=0.4)
    critic = datamask.machines.add("light", lambda images: 1.0 - darkness(images), threshold=0.4)
    spec = spec_of(name, verify={"critics": [critic], "views": 2})
    assert datamask.evolve(spec, store=tmp_path, pictures=False).spec.verify.critics == [critic]


def raising(images: NDArray[np.uint8]) -> Any:
    return 1 / 0


@pytest.mark.parametrize(
    ("call", "said", "words"),
    [
        (raising, {}, r"raised ZeroDivisionError at test_own_machine.py:\d+: division by zero"),
        (lambda images: exec("raise SystemExit(3)"), {}, "raised SystemExit"),
        (lambda images: time.sleep(30), {"timeout_s": 0.05}, "no answer to 3 pictures within 0.05 s"),
        (lambda images: None, {}, r"expected shape \(3,\), got \(\)"),
        (lambda images: images.mean(), {}, r"expected shape \(3,\), got \(\)"),
        (lambda images: np.zeros(2), {}, r"expected shape \(3,\), got \(2,\)"),
        (lambda images: np.zeros((3, 1)), {}, r"expected shape \(3,\), got \(3, 1\)"),
        (lambda images: [[1], [1, 2], [3]], {}, "its answer is no array"),
        (lambda images: ["a"] * 3, {}, "real numbers, got dtype <U1"),
        (lambda images: np.zeros(3, complex), {}, "real numbers, got dtype complex128"),
        (lambda images: np.array([0, np.nan, 1]), {}, r"1 of 3 pictures are not finite \(picture 1: \[nan\]"),
        (lambda images: np.array([0.0, 1.0, 1e300]), {}, r"not finite \(picture 2: \[inf\]"),
        (lambda images: np.array([0, 1, 2.0]), {"measure": "probability"}, "from 0 to 1, got 0 to 2"),
        (lambda images: np.zeros(3), {"gives": "embeddings"}, r"expected shape \(3, d\), got \(3,\)"),
        (lambda images: np.zeros((3, 0)), {"gives": "embeddings"}, r"expected shape \(3, d\)"),
    ],
)
def test_a_wrong_answer_is_one_line(call: Callable[..., Any], said: dict[str, Any], words: str) -> None:
    machine = Machine(call, threshold=0.5, **said)
    with pytest.raises(MachineFault, match=words) as caught:
        machine.ask("own:x", IMAGES)
    assert str(caught.value).startswith("own:x: ")
    assert "\n" not in str(caught.value)


def test_one_that_hung_or_raised_is_asked_again() -> None:
    answers = iter([lambda: time.sleep(30), lambda: 1 / 0, lambda: np.ones(3)])
    machine = Machine(lambda images: next(answers)(), threshold=0.5, timeout_s=0.5)
    for words in ("no answer", "division by zero"):
        with pytest.raises(MachineFault, match=words):
            machine.ask("own:x", IMAGES)
    np.testing.assert_array_equal(machine.ask("own:x", IMAGES), np.ones(3, np.float32))


def test_a_callable_cannot_change_the_pictures() -> None:
    def greedy(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        images[:] = 0
        return np.zeros(len(images))

    before = IMAGES.copy()
    Machine(greedy, threshold=0.5).ask("own:x", IMAGES)
    np.testing.assert_array_equal(IMAGES, before)


@pytest.mark.parametrize(
    ("name", "said", "words"),
    [
        ("a.b", {}, "expected a name of up to 64 letters"),
        ("dark", {"call": 3}, "expected a callable, got int"),
        ("dark", {"gives": "answers"}, "expected one of scores, embeddings"),
        ("dark", {"measure": "distance"}, "scores are compared as score or probability"),
        ("dark", {"threshold": float("nan")}, "threshold nan: expected a number"),
        ("dark", {"scale": 0}, "scale 0: expected a number above 0"),
        ("dark", {"timeout_s": "long"}, "timeout_s 'long'"),
    ],
)
def test_what_is_said_of_a_machine_is_checked(name: str, said: dict[str, Any], words: str) -> None:
    call = said.pop("call", darkness)
    with pytest.raises(datamask.BadInput, match=words):
        datamask.machines.add(name, call, **{"threshold": 0.5, **said})


def test_what_is_wrong_shows_before_anything_is_written(tmp_path: Path) -> None:
    name = datamask.machines.add("raising", raising, threshold=0.5)
    with pytest.raises(MachineFault, match="division by zero") as caught:
        datamask.evolve(spec_of(name), store=tmp_path / "runs")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert not (tmp_path / "runs").exists()
    for wrong in ("own:missing", "own:os.system", "own:os:system"):
        with pytest.raises(datamask.DatamaskError, match=r"is not here|never a path to code"):
            datamask.evolve(spec_of(wrong), store=tmp_path / "runs")


def test_what_goes_wrong_on_the_way_stops_the_run_and_loses_nothing(tmp_path: Path) -> None:
    asked = []

    def fickle(images: NDArray[np.uint8]) -> NDArray[np.float64]:
        asked.append(len(images))
        return darkness(images) if len(asked) < 5 else np.full(len(images), np.nan)

    name = datamask.machines.add("fickle", fickle, threshold=0.4)
    evolving = datamask.evolve(spec_of(name), store=tmp_path, run="fickle", pictures=False)
    with pytest.raises(MachineFault, match="are not finite"):
        list(evolving)
    assert evolving.run.generation == 2
    assert not list(evolving.run.record.store.list("failures/"))


def test_workers_need_it_installed(tmp_path: Path) -> None:
    name = datamask.machines.add("dark", darkness, threshold=0.4)
    with pytest.raises(datamask.BadInput, match="is in this process only"):
        datamask.evolve(spec_of(name), store=tmp_path, executor="celery", broker="redis://127.0.0.1:1/0")


def test_an_installed_one_works_from_the_command_line(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "dim_eyes-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dim-eyes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[datamask.machines]\ndim = dim_eyes:MACHINE\nbroken = dim_eyes:NOTHING\nwrong = dim_eyes:dim\n"
    )
    (site / "dim_eyes.py").write_text(
        "import datamask\n\n\ndef dim(images):\n    return 1 - images.mean(axis=(1, 2, 3)) / 255\n\n\n"
        "MACHINE = datamask.Machine(dim, threshold=0.4, licence='CC0')\n"
    )
    (tmp_path / "dim.toml").write_text(
        "[search]\nislands = 1\npopulation = 4\ngenerations = 1\n[migration]\ncount = 0\n[views]\ncount = 1\n"
        "[elites]\ncount = 1\nranking_views = 1\n[verify]\ncritics = []\n"
        '[[objective]]\nkind = "detect"\nmodel = "own:dim"\n'
    )
    environment = {**__import__("os").environ, "PYTHONPATH": f"{site}:{ROOT}"}

    def command(*words: str) -> subprocess.CompletedProcess[str]:
        every = [sys.executable, "-m", "coordinator.cli", *words]
        return subprocess.run(
            every, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=300, check=False
        )

    done = command("evolve", "dim.toml", "--run", "dim", "--no-pictures", "--quiet")
    assert done.returncode == 0, done.stderr
    said = datamask.open(tmp_path / "runs" / "dim").manifest["models"]["own:dim"]
    assert said["sha256"] == hashlib.sha256((site / "dim_eyes.py").read_bytes()).hexdigest()
    assert (said["source_file"], said["licence"]) == ("dim_eyes.py", "CC0")
    assert "own:dim" in command("models").stdout
    for name, words in (("broken", "cannot be loaded"), ("wrong", "expected a datamask.Machine")):
        text = (tmp_path / "dim.toml").read_text().replace("own:dim", f"own:{name}")
        (tmp_path / "bad.toml").write_text(text)
        refused = command("evolve", "bad.toml", "--no-pictures", "--quiet")
        assert refused.returncode in (1, 2)
        assert words in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.slow  # evolves a small run
def test_the_ten_lines_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (lines,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(list(filter(None, lines.splitlines()))) <= 10
    exec(compile(lines, PAGE.name, "exec"), {})
    assert datamask.open("runs/run-001").generation == 4


@pytest.mark.slow  # evolves a small run
def test_the_torch_module_of_the_example_is_bred_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import own_machine  # type: ignore[import-not-found]

    spec = {
        **own_machine.SPEC,
        "search": {"islands": 1, "population": 8, "generations": 12, "optimizers": ["sep-cma"]},
    }
    found = list(datamask.evolve(spec, store=tmp_path, run="drawn", pictures=False))
    assert max(g.fitness for g in found[6:]) > found[0].fitness
    # What it was drawn from is what it likes best.
    drawing = np.full((1, 40, 40, 3), 200, np.uint8)
    white = own_machine.model.drawing[0, 0].numpy() > 0
    drawing[0, 12:28, 12:28] = np.where(white, 200, 20)[..., None]
    assert own_machine.drawn_face(drawing)[0] > 0.99
    assert "own_machine.py" in PAGE.read_text()
