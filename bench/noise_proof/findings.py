"""Figures of the cells that are there. Seeds whose cells are missing are left out, and counted as missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cells import Cell, read
from bench.noise_proof.conditions import (
    LIT_FROM_BELOW,
    NOISE,
    PATTERN,
    UPSIDE_DOWN,
    USUAL,
    WIDE,
    YAW,
    YAWS_DEG,
    Condition,
)
from bench.noise_proof.looks import TOGETHER
from bench.noise_proof.settings import (
    BAR_SHARE,
    CRITICS,
    FITTED,
    FORMAT,
    LEAST_CRITICS,
    MACHINES,
    NOISE_SHARE,
    SEEN_SHARE,
    WITNESS,
    Critic,
    Settings,
)
from bench.noise_proof.stages import SIDES, own_kind
from bench.statistics import (
    Interval,
    auc,
    bootstrap,
    crossing,
    holm,
    sign_flip,
    threshold_passing,
)
from services.recognition.catalog import model_info
from services.recognition.statistics.rates import wilson

Scores = NDArray[np.float64]
Json = dict[str, Any]

SURE = 0.05  # of a false yes among all machines


class Findings:
    """All figures of a folder of cells. Everything that it returns is JSON values."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self._folder = settings, folder

    def all(self) -> Json:
        """Every table's figures; None where nothing of it is there yet."""
        return {
            "format": FORMAT,
            "settings": self.settings.digest(),
            "spec": self.settings.usual.table(),
            "elites": self.elites("noise", self.settings.seeds),
            "random": self.elites("random", self.settings.random_seeds),
            "bar": self.bar(),
            "nothing": self.nothing(),
            "primary": self.primary(),
            "critics": self.critics(),
            "controls": self.controls(),
            "fitness": self.fitness(),
            "pattern": self.pattern(),
            "yaw": self.yaw(),
            "ablation": self.ablation(),
            "witness": self.witness(),
        }

    # -- reading

    def cell(self, stage: str, name: str) -> Json | None:
        """A cell's figures, None where it is missing."""
        return read(self.settings, self._folder, stage, name)

    def _seeds(self, stage: str, kind: str, seeds: Sequence[int]) -> list[int]:
        return [seed for seed in seeds if Cell(stage, f"{kind}-{seed}", 0).path(self._folder).exists()]

    def scores(self, stage: str, names: Sequence[str], what: str, machine: str) -> Scores:
        """(s, v): a machine's scores of the views of s cells; of masks of noise (masks, v)."""
        rows: list[Any] = []
        for name in names:
            cell = self.cell(stage, name)
            if cell is not None:
                found = cell[what]["scores"][machine]
                rows += found if what == NOISE.name else [np.ravel(found)]
        return np.array(rows, np.float64)

    def _of(self, stage: str, kind: str, seeds: Sequence[int], what: str, machine: str) -> Scores:
        return self.scores(stage, [f"{kind}-{seed}" for seed in seeds], what, machine)

    def _interval(self, samples: Sequence[NDArray[Any]], statistic: Callable[..., float]) -> Json:
        return asdict(bootstrap(samples, statistic, self.settings.draws, seed=1))

    def _share(self, seen: NDArray[np.bool_]) -> Json:
        """The mean share of views (s, v), each unit alike."""
        return self._interval([seen], lambda drawn: float(drawn.mean()))

    # -- tables

    def elites(self, kind: str, seeds: Sequence[int]) -> list[Json]:
        """A row a seed: the elite, and what dlib's own code says of it on held-out views."""
        rows = []
        for seed in self._seeds("verify", kind, seeds):
            elite, said = self.cell("search", f"{kind}-{seed}"), self.cell("verify", f"{kind}-{seed}")
            if elite is None or said is None:
                continue
            row = {"seed": seed, **{k: v for k, v in elite.items() if k not in ("genome", "standards")}}
            for name, condition in (("usual", USUAL), ("wide", WIDE)):
                seen = {m: float(np.mean(values)) for m, values in said[condition.name]["seen"].items()}
                row[name] = {**seen, "renderers": said[condition.name]["renderers"]}
            views = len(said[USUAL.name]["seen"][TOGETHER])
            rows.append({**row, "wilson": wilson(row["usual"][TOGETHER], views), "held_out_views": views})
        return rows

    def bar(self) -> Json | None:
        """How many seeds are accepted by both in BAR_SHARE of the held-out views, by dlib's own code."""
        cells = [self.cell("verify", f"noise-{seed}") for seed in self.settings.seeds]
        seen = [cell[USUAL.name]["seen"][TOGETHER] for cell in cells if cell is not None]
        if not seen:
            return None
        views = np.array(seen, np.bool_)
        share = self._interval([views], lambda drawn: float((drawn.mean(axis=1) >= BAR_SHARE).mean()))
        return {"reached": int((views.mean(axis=1) >= BAR_SHARE).sum()), "of": len(views), "share": share}

    def nothing(self) -> list[Json]:
        """Noise and the zero before the fitted machines."""
        rows = []
        for name, what in (("plain", NOISE), ("pigment", NOISE), ("zero", USUAL)):
            if self.cell("critics", name) is None:
                continue
            row: Json = {"name": name}
            for machine in (*FITTED, TOGETHER):
                values = self.scores("critics", [name], what.name, machine)
                row |= {"masks": values.shape[0], "views": values.size}
                row[machine] = self._noise_share(name, values > _published(machine))
            rows.append(row)
        return rows

    def _noise_share(self, name: str, seen: NDArray[np.bool_]) -> Json:
        """A share with its interval: over masks, then views; of the zero, one mask, Wilson's."""
        if name != "zero":
            return self._share(seen)
        share = float(seen.mean())
        low, high = wilson(share, seen.size)
        return asdict(Interval(share, low, high))

    def primary(self) -> Json | None:
        """The share of seeds whose elite is seen by enough critics that learned from different pictures."""
        return self._primary("critics", "noise", self.settings.seeds)

    def _primary(self, stage: str, kind: str, seeds: Sequence[int]) -> Json | None:
        there = self._seeds(stage, kind, seeds)
        if not there:
            return None
        asked = [critic for critic in CRITICS if critic.primary]
        seen = [
            self._of(stage, kind, there, USUAL.name, critic.machine) > critic.threshold for critic in asked
        ]
        views = np.stack(seen, axis=2)  # (seeds, views, critics)

        def share(drawn: NDArray[np.bool_]) -> float:
            return float(np.mean([is_seen(rates, asked) for rates in drawn.mean(axis=1)]))

        names = [
            [c.title for c, rate in zip(asked, rates, strict=True) if rate >= SEEN_SHARE]
            for rates in views.mean(axis=1)
        ]
        by = [{"seed": seed, "critics": who} for seed, who in zip(there, names, strict=True)]
        return {"share": self._interval([views], share), "of": len(there), "by_seed": by}

    def critics(self) -> list[Json]:
        """A row a critic: elites and noise at its threshold, at the one that few of noise pass, and AUC."""
        there = self._seeds("critics", "noise", self.settings.seeds)
        if not there or self.cell("critics", "plain") is None:
            return []
        rows = []
        for critic in CRITICS:
            ours = self._of("critics", "noise", there, USUAL.name, critic.machine)
            wide = self._of("critics", "noise", there, WIDE.name, critic.machine)
            plain = self.scores("critics", ["plain"], NOISE.name, critic.machine)
            strict = threshold_passing(plain.ravel(), NOISE_SHARE)
            rates = (ours > critic.threshold).mean(axis=1)
            row: Json = {
                "critic": critic.title,
                "learned": sorted(critic.learned),
                "seeds": len(there),
                "by_seed": dict(zip(map(str, there), rates.tolist(), strict=True)),
                "elites": self._share(ours > critic.threshold),
                "median": float(np.median(rates)),
                "wide": self._share(wide > critic.threshold),
                "strict_threshold": strict,
                "elites_strict": self._share(ours > strict),
                "auc": self._interval([ours, plain], lambda a, b: auc(a.ravel(), b.ravel())),
            }
            for name, what in (("plain", NOISE), ("pigment", NOISE), ("zero", USUAL)):
                values = self.scores("critics", [name], what.name, critic.machine)
                row[name] = self._noise_share(name, values > critic.threshold) if len(values) else None
            rows.append(row)
        return rows

    def controls(self) -> list[Json]:
        """A row a critic: elites beside every control, and whether they beat a, b and c."""
        seeds = self._seeds("critics", "noise", self.settings.seeds)
        rows: list[Json] = []
        for critic in CRITICS if seeds else ():
            row: Json = {"critic": critic.title}
            tests = []
            for name, compared, stage, kind in (
                ("twins", True, "controls", "noise"),
                ("permuted", True, "critics", "permuted"),
                ("best", True, "best", "noise"),
                ("random", False, "critics", "random"),
                (UPSIDE_DOWN.name, False, "controls", "noise"),
                (LIT_FROM_BELOW.name, False, "controls", "noise"),
            ):
                there = self._seeds(stage, kind, seeds)
                if not there:
                    continue
                values = self._control(name, stage, kind, there, critic.machine)
                seen = values > critic.threshold
                row[name] = {**self._share(seen), "seeds": len(there)}
                if compared:
                    ours = self._of("critics", "noise", there, USUAL.name, critic.machine) > critic.threshold
                    p = sign_flip((ours.mean(axis=1) - seen.mean(axis=1)).tolist())
                    row[name]["p"] = p
                    if len(there) == len(self.settings.seeds):  # a part of the seeds claims nothing
                        tests.append(p)
            ours = self._of("critics", "noise", seeds, USUAL.name, critic.machine) > critic.threshold
            row["elites"] = {**self._share(ours), "seeds": len(seeds)}
            # Elites must beat each of the three: the worst of them speaks.
            row["p"] = max(tests) if len(tests) == 3 else None
            rows.append(row)
        said = [row["p"] for row in rows if row["p"] is not None]
        adjusted = iter(holm(said))
        for row in rows:
            row["holm"] = None if row["p"] is None else next(adjusted)
            row["stands"] = None if row["p"] is None else row["holm"] < SURE
        return rows

    def fitness(self) -> Json | None:
        """Lowest and highest fitness of elites, and of those of permuted machines; 0 is at thresholds."""
        found: Json = {}
        for kind in ("noise", "permuted"):
            seeds = self._seeds("search", kind, self.settings.seeds)
            cells = [self.cell("search", f"{kind}-{seed}") for seed in seeds]
            values = [float(cell["fitness"]) for cell in cells if cell is not None]
            if not values:
                return None
            found[kind] = {"low": min(values), "high": max(values)}
        return found

    def _control(self, name: str, stage: str, kind: str, seeds: Sequence[int], machine: str) -> Scores:
        names = [f"{kind}-{seed}" for seed in seeds]
        if stage != "best":
            return self.scores(stage, names, USUAL.name if stage == "critics" else name, machine)
        cells = [self.cell(stage, each) for each in names]
        rows = [np.ravel(cell["critics"][machine]["scores"][machine]) for cell in cells if cell is not None]
        return np.array(rows, np.float64)

    def pattern(self) -> list[Json]:
        """A row a condition: shares of elites' views, by both fitted machines and each critic."""
        seeds = self._seeds("pattern", "noise", self.settings.seeds)
        return [self._looked("pattern", seeds, condition) for condition in PATTERN] if seeds else []

    def _looked(self, stage: str, seeds: Sequence[int], condition: Condition) -> Json:
        row: Json = {"condition": condition.name, "seeds": len(seeds)}
        for title, machine, threshold in _asked():
            scores = self._of(stage, "noise", seeds, condition.name, machine)
            row[title] = self._share(scores > threshold)
        return row

    def yaw(self) -> Json | None:
        """Shares by yaw of both fitted machines and each critic, and where each falls below SEEN_SHARE."""
        seeds = self._seeds("pattern", "noise", self.settings.seeds)
        if not seeds:
            return None
        rows = [self._looked("pattern", seeds, condition) for condition in YAW]
        falls = {
            title: crossing(YAWS_DEG, [row[title]["value"] for row in rows], SEEN_SHARE)
            for title, *_ in _asked()
        }
        return {"rows": rows, "falls_deg": falls}

    def ablation(self) -> list[Json]:
        """A row a blank and symmetry: its searches before both fitted machines and the critics."""
        rows = []
        for kind in (f"{shape}-{side}" for shape in self.settings.shapes for side in SIDES):
            stage, named = ("critics", "noise") if kind == own_kind(self.settings) else ("ablation", kind)
            seeds = self._seeds(stage, named, self.settings.ablation_seeds)
            primary = self._primary(stage, named, seeds)
            if primary is None:
                continue
            both = self._of(stage, named, seeds, USUAL.name, TOGETHER) > 0
            row: Json = {"kind": kind, "seeds": len(seeds), TOGETHER: self._share(both)}
            row["by_seed"] = dict(zip(map(str, seeds), both.mean(axis=1).tolist(), strict=True))
            row["reached"] = int((both.mean(axis=1) >= BAR_SHARE).sum())
            row["primary"] = primary["share"]
            for critic in CRITICS:
                scores = self._of(stage, named, seeds, USUAL.name, critic.machine)
                row[critic.title] = float((scores > critic.threshold).mean())
            rows.append(row)
        return rows

    def witness(self) -> Json | None:
        """The witness on elites, beside noise, twins and the elites of permuted machines."""
        seeds = self._seeds("witness", "noise", self.settings.seeds)
        if not seeds or self.cell("witness", "plain") is None:
            return None
        machine, threshold = WITNESS.machine, WITNESS.threshold
        ours = self._of("witness", "noise", seeds, USUAL.name, machine)
        plain = self.scores("witness", ["plain"], NOISE.name, machine)
        rates = (ours > threshold).mean(axis=1)
        strict = threshold_passing(plain.ravel(), NOISE_SHARE)
        row: Json = {
            "critic": WITNESS.title,
            "strict_threshold": strict,
            "elites_strict": self._share(ours > strict),
            "seen_strict": int(((ours > strict).mean(axis=1) >= SEEN_SHARE).sum()),
            "learned": sorted(WITNESS.learned),
            "by_seed": dict(zip(map(str, seeds), rates.tolist(), strict=True)),
            "seen": int((rates >= SEEN_SHARE).sum()),
            "elites": self._share(ours > threshold),
            "median": float(np.median(rates)),
            "plain": self._share(plain > threshold),
            "auc": self._interval([ours, plain], lambda a, b: auc(a.ravel(), b.ravel())),
        }
        for name, kind, what in (("twins", "noise", "twins"), ("permuted", "permuted", USUAL.name)):
            there = [seed for seed in self._seeds("witness", kind, seeds) if seed in seeds]
            if not there:
                continue
            control = self._of("witness", kind, there, what, machine) > threshold
            beside = rates[[seeds.index(seed) for seed in there]]
            row[name] = {**self._share(control), "seeds": len(there)}
            row[name]["p"] = sign_flip((beside - control.mean(axis=1)).tolist())
        return row

    def views(self) -> list[list[Any]]:
        """Raw scores: subject, mask, view, then both and every machine; elites, noise and the zero."""
        machines = (TOGETHER, *FITTED, *MACHINES)
        subjects = [(f"noise-{seed}", USUAL) for seed in self.settings.seeds]
        subjects += [("plain", NOISE), ("pigment", NOISE), ("zero", USUAL)]
        rows: list[list[Any]] = [["subject", "mask", "view", *machines]]
        for name, condition in subjects:
            cell = self.cell("critics", name)
            if cell is not None:
                scores = np.stack([np.array(cell[condition.name]["scores"][m]) for m in machines], axis=2)
                for (mask, view), values in ((k, scores[k]) for k in np.ndindex(scores.shape[:2])):
                    rows.append([name, mask, view, *(f"{value:g}" for value in values)])
        return rows

    def genomes(self) -> list[list[Any]]:
        """The elite of every search: what it is called, and its genes."""
        kinds = [("search", "noise", self.settings.seeds), ("search", "random", self.settings.random_seeds)]
        kinds.append(("search", "permuted", self.settings.seeds))
        kinds += [
            ("ablation", f"{shape}-{side}", self.settings.ablation_seeds)
            for shape in self.settings.shapes
            for side in SIDES
        ]
        rows: list[list[Any]] = [["search", "mask", "fitness", "views", "relief_mm", "folds", "genes"]]
        for stage, kind, seeds in kinds:
            for seed in seeds:
                elite = self.cell(stage, f"{kind}-{seed}")
                if elite is not None:
                    genes = " ".join(f"{gene:.6g}" for gene in elite["genome"])
                    rows.append([f"{kind}-{seed}", *(elite[name] for name in rows[0][1:-1]), genes])
        return rows


def is_seen(rates: Sequence[float], critics: Sequence[Critic]) -> bool:
    """Whether LEAST_CRITICS of the critics see a mask, by its share of views, and no two of them learned from
    one set of pictures.
    """
    sets = [critic.learned for critic, rate in zip(critics, rates, strict=True) if rate >= SEEN_SHARE]
    return _disjoint(sets) >= LEAST_CRITICS


def _disjoint(sets: Sequence[frozenset[str]]) -> int:
    """How many of some sets share nothing with each other, at most."""
    if not sets:
        return 0
    first, rest = sets[0], sets[1:]
    return max(_disjoint(rest), 1 + _disjoint([each for each in rest if not each & first]))


def _published(machine: str) -> float:
    return 0.5 if machine == TOGETHER else model_info(machine).threshold


def _asked() -> list[tuple[str, str, float]]:
    """Title, machine and threshold of both fitted machines together, and of each critic."""
    return [(TOGETHER, TOGETHER, 0.5), *((c.title, c.machine, c.threshold) for c in CRITICS)]
