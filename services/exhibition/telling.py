"""What was done, in plain words of three lengths; every number in them is of the run's record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.exhibition.controls import controls_of_facts
from services.exhibition.wording import Wording

_AUDIT = "dlib-hog"  # what the audit's own pipeline asks


@dataclass(frozen=True)
class Told:
    """short, medium: one paragraph. long: several. About 30, 80 and 200 words."""

    short: str
    medium: str
    long: tuple[str, ...]


def told(facts: Mapping[str, Any], words: Wording, printed: Mapping[str, Any] | None = None) -> Told:
    """The three texts of a run.

    :param facts: of its page, with at least one mask. printed: the report of the first mask's print, if any.
    """
    asked, masks = facts["asked"], facts["masks"]
    machines = names_of(facts, words)
    values = {
        "masks": words.count("masks", facts["masks_scored"]),
        "views": words.count("views", facts["views_scored"]),
        "generations": words.count("generations", facts["generation"]),
        "islands": words.count("islands", asked["islands"]),
        "machines": words.listed(machines),
        "aims": _aims(asked["objectives"], words),
    }
    seen = _seen(facts, masks[0], words)
    views = words.count("views", masks[0]["audit"]["views"]) if seen else ""
    result = [words.form("result", len(masks), views=views, rates=seen)] if seen else []
    beside = _beside(facts, words)
    whose = "somebodies" if asked.get("aim") == "several" else "somebody"
    whose = whose if facts["manifest"].get("consent") else "nobody"
    long = [
        words.say("text.question", **values),
        words.say("text.search", **values, origin=_origin(asked, words)),
        words.form("text.judges", len(machines)),
        " ".join([*result, *beside, *_again(facts, printed, words)]),
        words.say("text.limits", whose=words.say(f"text.{whose}")),
    ]
    medium = words.say("text.medium", **values, origin=_origin(asked, words))
    return Told(
        words.say("text.short", **values, origin=brief_origin(facts, words)),
        " ".join([medium, *result]),
        tuple(paragraph for paragraph in long if paragraph),
    )


def result_of(facts: Mapping[str, Any], mask: Mapping[str, Any], words: Wording) -> str:
    """In how many new pictures machines see a face in one mask; empty where none was asked."""
    seen = _seen(facts, mask, words)
    if not seen:
        return ""
    return words.form("result", 1, views=words.count("views", mask["audit"]["views"]), rates=seen)


def names_of(facts: Mapping[str, Any], words: Wording) -> list[str]:
    """The machines that a run was bred for, each once."""
    return [called(o, words) for o in dict.fromkeys(o["model"] for o in facts["asked"]["objectives"])]


def called(model: str, words: Wording) -> str:
    """A machine's name: its own, a model file's without its ending, a callable's last part."""
    plain = model.rpartition("/")[2].rpartition(":")[2].removesuffix(".onnx")
    return words.name("machines", model, plain)


def shape_of(asked: Mapping[str, Any], words: Wording) -> str:
    """What genomes bend."""
    return words.name("shapes", asked["basis"].partition("+")[0], asked["title"])


def brief_origin(facts: Mapping[str, Any], words: Wording) -> str:
    """What the search began with, in a word or two."""
    asked = facts["asked"]
    kind = "noise" if asked["start"] == "noise" else "shape"
    return words.say(f"origin.{kind}", shape=shape_of(asked, words))


def _origin(asked: Mapping[str, Any], words: Wording) -> str:
    if asked["start"] == "noise":
        kind = "noise_on_a_head" if asked["face"] else "noise_on_a_blank"
    else:
        kind = "shape" if asked["face"] else "blank"
    return words.say(f"origin.{kind}", shape=shape_of(asked, words))


def _aims(objectives: Sequence[Mapping[str, Any]], words: Wording) -> str:
    """What machines were to say: each question once, with all machines that it was put to."""
    aims = []
    for kind in dict.fromkeys(o["kind"] for o in objectives):
        models = list(dict.fromkeys(o["model"] for o in objectives if o["kind"] == kind))
        key = f"aims.{kind if f'aims.{kind}.one' in words.words else 'other'}"
        machines = words.listed([called(model, words) for model in models])
        aims.append(words.form(key, len(models), machines=machines))
    return words.listed(aims)


def _seen(facts: Mapping[str, Any], mask: Mapping[str, Any], words: Wording) -> str:
    """In how many of a mask's held-out views each detector sees a face; empty where none was asked."""
    audit = mask.get("audit")
    if not audit:
        return ""
    part = {o["model"] for o in facts["asked"]["objectives"]}
    rates = {_AUDIT: audit["hog_rate"], **(audit.get("critics") or {})}
    sides: dict[bool, list[str]] = {True: [], False: []}
    for model, rate in rates.items():
        sides[model in part].append(_rate(model, rate * audit["views"], words))
    fitted, apart = words.listed(sides[True]), words.listed(sides[False])
    if not (fitted and apart):
        return fitted or words.say("result.apart", apart=apart)
    return words.say("result.both", fitted=fitted, apart=apart)


def _rate(model: str, hits: float, words: Wording) -> str:
    return _whole(words.say("result.rate", machine=called(model, words), hits=words.number(round(hits))))


def _whole(text: str) -> str:
    """Words that no line divides."""
    return text.replace(" ", "\u00a0")


def _beside(facts: Mapping[str, Any], words: Wording) -> list[str]:
    """What the same detectors say of noise."""
    audit = facts["masks"][0].get("audit") or {}
    controls = controls_of_facts(facts)
    asked = [model for model in (_AUDIT, *(audit.get("critics") or {})) if "noise" in controls.get(model, {})]
    if not asked:
        return []
    rates = []
    for model in asked:
        hits, of = controls[model]["noise"]
        told = {"hits": words.number(hits), "of": words.number(of)}
        rates.append(_whole(words.say("result.control_rate", machine=called(model, words), **told)))
    return [words.say("result.control", rates=words.listed(rates))]


def _again(facts: Mapping[str, Any], printed: Mapping[str, Any] | None, words: Wording) -> list[str]:
    """What the run's detectors say of the printed solid."""
    if printed is None:
        return []
    count = printed["views"]["count"]
    detectors = {o["model"] for o in facts["asked"]["objectives"] if o["kind"] in ("detect", "together")}
    rates = [
        _rate(model, share * count, words)
        for model, share in printed["after"]["accepted"].items()
        if model in detectors
    ]
    views = words.count("views", count)
    return [words.say("result.printed", rates=words.listed(rates), views=views)] if rates else []
