"""The page: findings as Markdown, each table with the command that makes its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench import marks
from bench.noise_proof.conditions import LIT_FROM_BELOW, UPSIDE_DOWN
from bench.noise_proof.findings import SURE
from bench.noise_proof.looks import TOGETHER
from bench.noise_proof.settings import (
    BAR_SEEDS,
    BAR_SHARE,
    CRITICS,
    FITTED,
    LEAST_CRITICS,
    LEAST_OVERLAP,
    NOISE_BAR,
    NOISE_SHARE,
    PRIMARY_GOAL,
    QUICK,
    SEEN_SHARE,
    YUNET_GOAL,
    Settings,
)

Json = Mapping[str, Any]
COMMAND = "python -m bench.noise_proof"

_NOTHING = {"plain": "noise, plain", "pigment": "noise, in color", "zero": "the untouched blank"}
_BOTH = "HOG and MMOD, one place"
_CONTROLS = {
    "elites": "elites",
    "twins": "(a) random signs",
    "permuted": "(b) permuted weights",
    "best": "(c) best of as much noise",
    "random": "random search",
    UPSIDE_DOWN.name: "(d) upside down",
    LIT_FROM_BELOW.name: "(d) lit from below",
}


def page(settings: Settings, found: Json) -> str:
    """All tables; of those that nothing is there of, the command alone."""
    parts = (
        ("Do searches reach both machines?", "search verify critics", _reached(settings, found)),
        ("Do machines that took no part see a face?", "search critics", _critics(settings, found)),
        ("Would any optimized shape do?", "search critics controls best", _controls(settings, found)),
        ("Pattern or shape?", "search pattern", _pattern(settings, found)),
        ("A machine that no choice had looked at", "search critics witness", _witness(settings, found)),
        ("What is given?", "search critics ablation", _ablation(settings, found)),
    )
    quick = " --quick" if settings == QUICK else ""
    lines: list[str] = []
    for title, stages, said in parts:
        body = said or ["Nothing of this has been run yet."]
        lines += [f"### {title}", "", f"`{COMMAND} {stages}{quick}`", "", *body, ""]
    return "\n".join(lines)


def _reached(settings: Settings, found: Json) -> list[str]:
    bar, random = found["bar"], found["random"]
    if bar is None:
        return []
    first = found["elites"][0]
    met = bar["reached"] >= BAR_SEEDS * len(settings.seeds)
    beside = (
        f"Random search with as many views: {_count_reached(random)} of {len(random)}."
        if random
        else "Random search has not been run yet."
    )
    lines = [
        f"{_done(bar['of'], settings.seeds)} **{bar['reached']} of {bar['of']} are accepted by HOG and MMOD,",
        f"in one place (overlap {LEAST_OVERLAP:g} or more), in {BAR_SHARE:.0%} of their held-out views**",
        f"({_interval(bar['share'])} of seeds; the bar of {BAR_SEEDS:.0%} of {len(settings.seeds)} seeds is",
        f"{'met' if met else 'not met'}). Each elite is the best of its run by fitness, fixed before",
        f"anything here was asked; {first['held_out_views']} held-out views, drawn by",
        f"{' and '.join(first['usual']['renderers'])}; judged by dlib's own code. In brackets Wilson's",
        f"interval, of one mask's views. {beside}",
        "",
        *marks.head(
            "search",
            "seed",
            "mask",
            "scored views",
            "HOG",
            "MMOD",
            "both, one place",
            "the same, yaw 30 and pitch 15",
            "relief, mm",
            "turned over",
        ),
    ]
    rows = [("evolved", row) for row in found["elites"]] + [("random", row) for row in random]
    for name, row in rows:
        usual, (low, high) = row["usual"], row["wilson"]
        lines.append(
            marks.row(
                name,
                row["seed"],
                row["mask"],
                f"{row['views']:,}",
                *(f"{usual[machine]:.0%}" for machine in FITTED),
                f"{usual[TOGETHER]:.0%} ({low:.0%} to {high:.0%})",
                f"{row['wide'][TOGETHER]:.0%}",
                f"{row['relief_mm']:.0f}",
                f"{row['folds']:.1%}",
            )
        )
    if found["nothing"]:
        lines += [
            "",
            f"Noise and the untouched blank before the same machines (at most {NOISE_BAR:.0%} was asked for;",
            "intervals over masks, then views; for the blank Wilson's):",
            "",
            *marks.head("", "masks", "views", "HOG", "MMOD", "both, one place"),
        ]
        for row in found["nothing"]:
            shares = [share_words(row[name]) for name in (*FITTED, TOGETHER)]
            lines.append(marks.row(_NOTHING[row["name"]], row["masks"], row["views"], *shares))
    return lines


def _count_reached(rows: Sequence[Json]) -> int:
    return sum(row["usual"][TOGETHER] >= BAR_SHARE for row in rows)


def _critics(settings: Settings, found: Json) -> list[str]:
    rows, primary = found["critics"], found["primary"]
    if not rows or primary is None:
        return []
    share = primary["share"]
    met = share["value"] >= PRIMARY_GOAL
    yunet = next(row["median"] for row in rows if row["critic"] == "yunet (0.9)")
    lines = [
        f"{_done(primary['of'], settings.seeds)} **Primary figure: {share['value']:.0%} of the elites are",
        f"seen in at least {SEEN_SHARE:.0%} of their views by at least {LEAST_CRITICS} critics that learned",
        f"from different pictures** ({_interval(share)}; the goal of {PRIMARY_GOAL:.0%} is",
        f"{'met' if met else 'not met'}). Different means: no training set in common. YuNet, CenterFace and",
        "MTCNN are one voice, for all three learned from WIDER FACE; so did, in part, MMOD, which the masks",
        "were bred for. Critics count at their published thresholds, YuNet at 0.9. AUC: how often a view of",
        "an elite scores above a view of plain noise. Intervals are bootstraps over seeds (or noise masks),",
        "then views; for the blank, one mask, Wilson's. In the median of the seeds YuNet at 0.9 sees "
        f"{yunet:.0%} of views (asked for: {YUNET_GOAL:.0%}, {'met' if yunet >= YUNET_GOAL else 'not met'}).",
        "",
        *marks.head(
            "critic (threshold)",
            "learned from",
            "elites",
            "median of seeds",
            "yaw 30, pitch 15",
            *_NOTHING.values(),
            f"elites where {NOISE_SHARE:.0%} of noise passes",
            "AUC",
        ),
    ]
    for row in rows:
        auc = row["auc"]
        lines.append(
            marks.row(
                row["critic"],
                ", ".join(row["learned"]),
                share_words(row["elites"]),
                f"{row['median']:.0%}",
                share_words(row["wide"]),
                *(share_words(row[name]) for name in _NOTHING),
                f"{share_words(row['elites_strict'])} at {row['strict_threshold']:.3g}",
                f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})",
            )
        )
    lines += ["", *marks.head("seed", "critics that see its elite")]
    return lines + [
        marks.row(each["seed"], ", ".join(each["critics"]) or "none") for each in primary["by_seed"]
    ]


def _controls(settings: Settings, found: Json) -> list[str]:
    rows = found["controls"]
    if not rows:
        return []
    lines = [
        f"{_done(rows[0]['elites']['seeds'], settings.seeds)} {_verdict(rows)}",
        f"(a) The elite's genes with random signs, {settings.twins} twins each: same spectrum, same relief.",
        "(b) The same search and budget against HOG and MMOD whose filters' weights stand in random order",
        "(Adebayo et al. 2018), margins standardized on noise. (c) The noise mask that this critic itself",
        f"likes best among as many as a search looks at. {_reach(found.get('fitness'))}",
        "(d) is reported, not compared: some detectors see",
        "turned faces, too. p: that elites are seen no more than the worst of a, b and c, by sign flips over",
        "seeds; Holm over the critics. (e), the untouched blank, stands in the table above.",
        "",
        *marks.head("critic (threshold)", *_CONTROLS.values(), "p", "Holm", "a, b, c beaten"),
    ]
    for row in rows:
        said = "-" if row["stands"] is None else ("yes" if row["stands"] else "no")
        shares = [_share_of(row.get(name), row["elites"]["seeds"]) for name in _CONTROLS]
        lines.append(marks.row(row["critic"], *shares, _p(row["p"]), _p(row["holm"]), said))
    return lines


def _reach(fitness: Json | None) -> str:
    """How far searches came with machines whose weights are permuted."""
    if fitness is None:
        return ""
    ours, theirs = fitness["noise"], fitness["permuted"]
    met = "; none met them" if theirs["high"] < 0 else ""
    return (
        f"How far (b) came before its own machines: fitness {theirs['low']:+.2f} to {theirs['high']:+.2f},\n"
        f"where 0 stands for thresholds met and elites have {ours['low']:+.2f} to {ours['high']:+.2f}{met}."
    )


def _verdict(rows: Sequence[Json]) -> str:
    """Whether elites beat the controls, with whom, and with whom not."""
    if any(row["stands"] is None for row in rows):
        return "Controls are not complete yet, so nothing is claimed."
    yes = ", ".join(row["critic"] for row in rows if row["stands"])
    no = ", ".join(row["critic"] for row in rows if not row["stands"])
    if not no:
        return f"**Elites beat a, b and c with every critic** (Holm, {SURE:g}): the claim stands."
    if not yes:
        return f"**Elites beat a, b and c with no critic** (Holm, {SURE:g}): the claim does not stand."
    return f"**Elites beat a, b and c with {yes}; not with {no}** (Holm, {SURE:g})."


def _pattern(settings: Settings, found: Json) -> list[str]:
    rows, yaw = found["pattern"], found["yaw"]
    if not rows or yaw is None:
        return []
    titles = [TOGETHER, *(critic.title for critic in CRITICS)]
    names = [_BOTH, *titles[1:]]
    falls = [f"{name}: {_fall(yaw['falls_deg'][title])}" for title, name in zip(titles, names, strict=True)]
    lines = [
        f"{_done(rows[0]['seeds'], settings.seeds)} Share of {settings.pattern_views} views of each elite,",
        "with intervals over seeds, then views. Pictures of 40 and 80 px are enlarged to the usual side.",
        f"**Yaw in degrees from which on less than {SEEN_SHARE:.0%} of views are left: {'; '.join(falls)}.**",
        "",
        *marks.head("", *names),
    ]
    return lines + [
        marks.row(row["condition"], *(share_words(row[title]) for title in titles))
        for row in [*rows, *yaw["rows"]]
    ]


def _fall(yaw_deg: float | None) -> str:
    return "none up to 60" if yaw_deg is None else f"{yaw_deg:.0f}"


def _witness(settings: Settings, found: Json) -> list[str]:
    row = found.get("witness")
    if row is None:
        return []
    auc, seeds = row["auc"], len(row["by_seed"])
    lines = [
        f"{_done(seeds, settings.seeds)} YuNet, CenterFace, BlazeFace's full range and MTCNN",
        "had been asked about tuning seeds while blanks were made. BlazeFace's short range had not: no",
        "choice has looked at its answers. It was named when the runs stood, and asked afterwards. It is no",
        "stranger altogether: like the full range it is Google's, and learned from pictures of its own.",
        f"**It sees {row['seen']} of {seeds} elites in at least {SEEN_SHARE:.0%} of their views, and noise",
        f"in {row['plain']['value']:.0%} of its views; at the threshold that {NOISE_SHARE:.0%} of noise",
        f"passes it sees {row['seen_strict']} of {seeds} elites.** The views are those that critics were",
        "shown; p: that elites are seen no more than the control, at its own threshold, by sign flips over",
        "seeds.",
        "",
        *marks.head(
            "machine (threshold)",
            "elites",
            "median of seeds",
            "noise, plain",
            *(f"{_CONTROLS[name]}, p" for name in ("twins", "permuted")),
            f"elites where {NOISE_SHARE:.0%} of noise passes",
            "AUC",
        ),
        marks.row(
            row["critic"],
            share_words(row["elites"]),
            f"{row['median']:.0%}",
            share_words(row["plain"]),
            *(f"{share_words(c)}, {_p(c['p'])}" if (c := row.get(n)) else "-" for n in ("twins", "permuted")),
            f"{share_words(row['elites_strict'])} at {row['strict_threshold']:.3g}",
            f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})",
        ),
    ]
    return lines


def _ablation(settings: Settings, found: Json) -> list[str]:
    rows = found["ablation"]
    if not rows:
        return []
    lines = [
        "Still given in every run: an outline, which way is up, light mostly from above, and, where a row",
        f"says so, mirror symmetry. {len(settings.ablation_seeds)} seeds a row are asked for. Reached:",
        f"accepted by HOG and MMOD in one place in {BAR_SHARE:.0%} of views; primary: see above.",
        "",
        *marks.head("blank", "seeds", "reached", _BOTH, "primary", *(critic.title for critic in CRITICS)),
    ]
    for row in rows:
        shares = [share_words(row[TOGETHER]), share_words(row["primary"])]
        critics = [f"{row[critic.title]:.0%}" for critic in CRITICS]
        lines.append(
            marks.row(row["kind"].replace("-", ", "), row["seeds"], row["reached"], *shares, *critics)
        )
    return lines


def _done(seeds: int, wanted: Sequence[int]) -> str:
    which = f"{wanted[0]} to {wanted[-1]}"
    if seeds == len(wanted):
        return f"Seeds {which}, all of them."
    return f"**So far {seeds} of the seeds {which}: not to be quoted before all are there.**"


def _interval(figure: Json) -> str:
    return f"{figure['low']:.0%} to {figure['high']:.0%}"


def share_words(figure: Json | None) -> str:
    """A share and its interval."""
    return "-" if figure is None else f"{figure['value']:.0%} ({_interval(figure)})"


def _share_of(figure: Json | None, seeds: int) -> str:
    """A share, and of how many seeds where they are fewer."""
    if figure is None or figure["seeds"] == seeds:
        return share_words(figure)
    return f"{share_words(figure)}, {figure['seeds']} of {seeds} seeds"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
