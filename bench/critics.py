"""Critics of many runs' elites: what machines that took no part make of them, loaded once for all.

A recognizer is asked twice. Does it take a mask for the person, by the threshold that one rendered head in a
hundred passes as this very person (see worker.examination.match_rates.person_pairs)? And does it take the
mask for somebody else, by that one's own threshold: what only looks more like photographs would pass for
everybody.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coordinator.record.verification import Verified
from services.recognition.catalog import model_info
from services.recognition.statistics.calibration import RENDERS, calibration_of
from services.recognition.statistics.rates import matches
from services.rendering.views import ViewRanges, sample_views
from services.storage.store import Store
from worker.examination.identify import DETECTOR, Gallery, rendered_people
from worker.examination.match_rates import likeness, person_pairs
from worker.examination.panel import Answers, Panel
from worker.examination.targets import embed_photos
from worker.examination.verify import RANDOM_SPREAD

Float = NDArray[np.float32]
Home = tuple[str, ViewRanges]  # basis and views of a run: what other people are drawn by


@dataclass(frozen=True)
class _Bench:
    """The critics of one basis, and other people as they see them."""

    panel: Panel
    people: Mapping[str, Gallery]


class Critics:
    """Machines by name, asked about the elites of runs.

    :param faces: photograph of each person, by name. far: the false accept rate to match at. people: rendered
        heads that set each person's thresholds. calibrations: a store with ``calibration/MODEL.json`` of the
        recognizers, for the threshold between two rendered heads.
    """

    def __init__(
        self, names: Sequence[str], faces: Mapping[str, Path], far: float, people: int, calibrations: Store
    ) -> None:
        self.names = tuple(names)
        self._faces, self._far, self._count, self._calibrations = faces, far, people, calibrations
        self._benches: dict[Home, _Bench] = {}
        self._references: dict[tuple[str, str], Float] = {}
        self._thresholds: dict[tuple[Home, str, str], float] = {}
        self._between = {name: self._between_renders(name) for name in names}

    def say(self, run: Verified, views: int, seed: int, person: str | None) -> dict[str, float]:
        """Means over a run's elites on held-out views, by figure. person: whose face the run is toward.

        Critics that are objectives of the run say nothing. A view in which dlib's own pipeline sees no face
        matches nobody.
        """
        home = run.spec.mask.basis, run.spec.views.ranges()
        panel = self._bench(home).panel
        asked = [name for name in self.names if name not in {o.model for o in run.spec.objective}]
        drawn = sample_views(home[1], views, seed)
        found: dict[str, list[float]] = {}
        for elite in run.elites:
            genomes = np.repeat(np.asarray(elite.genome, np.float32)[None], views, axis=0)
            answers = panel.ask(panel.look(genomes, drawn))
            for name in asked:
                for figure, value in self._of(name, answers, home, person).items():
                    found.setdefault(f"{name}: {figure}", []).append(value)
        return {figure: float(np.nanmean(values)) for figure, values in found.items()}

    def _of(self, name: str, answers: Answers, home: Home, person: str | None) -> dict[str, float]:
        """What one machine says of one elite."""
        if name in answers.detected:
            return {"sees a face": float(answers.detected[name].mean())}
        if person is None or name not in answers.embeddings:
            return {}
        info, embeddings = model_info(name), answers.embeddings[name]
        similarity = info.measure == "similarity"

        def scores(whom: str) -> Float:
            return likeness(embeddings, self._reference(name, whom), info.comparison)

        def passing(found: Float, threshold: float) -> float:
            return float(matches(found, threshold, similarity).mean())

        own, far = scores(person), f"at FAR {self._far:g}"
        usable = own[np.isfinite(own)]
        others = [passing(scores(o), self._own(name, home, o)) for o in self._faces if o != person]
        said = {
            f"median {info.measure}": float(np.median(usable)) if len(usable) else math.nan,
            f"takes it for the person {far}": passing(own, self._own(name, home, person)),
        }
        if others:
            said[f"takes it for another person {far}"] = float(np.mean(others))
        between = self._between[name]
        if between is not None:
            said[f"passes the threshold of two rendered heads {far}"] = passing(own, between)
        return said

    def _own(self, name: str, home: Home, person: str) -> float:
        """The threshold at which other rendered heads pass as this person at the FAR."""
        key = home, name, person
        if key not in self._thresholds:
            people = self._bench(home).people[name].embeddings
            pairs = person_pairs(model_info(name), people, self._reference(name, person), RANDOM_SPREAD)
            threshold = None if pairs is None else pairs.at(self._far)
            if threshold is None:
                raise SystemExit(f"{name}: {len(people)} heads are too few for a threshold; give more people")
            self._thresholds[key] = threshold
        return self._thresholds[key]

    def _between_renders(self, name: str) -> float | None:
        """The threshold between two rendered heads at the FAR, where it was calibrated."""
        calibration = calibration_of(self._calibrations, name)
        pairs = None if calibration is None else calibration.nearest(RENDERS, RANDOM_SPREAD)
        return None if pairs is None else pairs.at(self._far)

    def _reference(self, name: str, person: str) -> Float:
        if (name, person) not in self._references:
            self._references[name, person] = embed_photos([self._faces[person]], name)
        return self._references[name, person]

    def _bench(self, home: Home) -> _Bench:
        if home not in self._benches:
            basis, ranges = home
            panel = Panel(basis, list(dict.fromkeys([*self.names, DETECTOR])), {}, "cpu")
            people: Mapping[str, Gallery] = {}
            if panel.recognizers and self._faces:
                recognizers = list(panel.recognizers)
                people = rendered_people(panel, recognizers, basis, RANDOM_SPREAD, ranges, 0, self._count)
            self._benches[home] = _Bench(panel, people)
        return self._benches[home]
