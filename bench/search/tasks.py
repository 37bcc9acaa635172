"""What the contenders are set to do: the specs of examples/, with no change but seed, budget and photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.evidence import CONSENT, ROOT, portraits
from coordinator.spec.spec import Spec
from coordinator.spec.spec_file import load_spec

PORTRAITS = ("astronaut", "group-1", "group-2", "group-3", "group-4")


@dataclass(frozen=True)
class Task:
    """One problem. variants: noise seeds, or portraits; seeds: whether any other seed would do as well.

    budget: scored views that a contender may spend.
    """

    name: str
    title: str
    variants: tuple[str, ...]
    budget: int
    spec: Callable[[str], Spec]
    seeds: bool = False

    def takes(self, variant: str) -> bool:
        """Whether there is such a variant."""
        return variant in self.variants or (self.seeds and variant.isdigit())


def _archetype(variant: str) -> Spec:
    return load_spec(ROOT / "examples" / "archetype.toml", seed=int(variant))


def _noise(variant: str) -> Spec:
    return load_spec(ROOT / "examples" / "noise.toml", seed=int(variant), overrides=["search.islands=1"])


def _identity(variant: str) -> Spec:
    path = ROOT / "examples" / "portrait.toml"
    if variant == "astronaut":
        return load_spec(path)
    photos = portraits()
    if variant not in photos:
        raise SystemExit(f"portrait {variant}: expected one of {', '.join(photos)}")
    return load_spec(
        path, targets=[photos[variant]], consent=CONSENT, overrides=[f'consent.subject="{variant}"']
    )


TASKS = {
    task.name: task
    for task in (
        Task("archetype", "any face at all, from noise", ("1", "2", "3", "4", "5"), 12_000, _archetype, True),
        Task("noise", "a face on a blank", ("11", "12", "13", "14", "15"), 6_000, _noise, True),
        Task("identity", "one face, from the neutral head", PORTRAITS, 16_000, _identity),
    )
}
