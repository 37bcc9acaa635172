"""The models of a spec as they lie here: found, of the right kind, on terms that were acknowledged."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from services.errors import BadInput, Unavailable
from services.recognition.catalog import installed, model_info
from services.recognition.model import ModelInfo

if TYPE_CHECKING:
    from coordinator.spec.spec import Spec


def described(spec: Spec, name: str, *, needed: bool) -> ModelInfo:
    """A model's entry with what the spec says of it. needed: see catalog.model_info."""
    info = model_info(name, needed=needed)
    said = spec.models.get(name)
    if said is None:
        return info
    return replace(
        info,
        licence=said.licence,
        source=said.source or info.source,
        training_data=said.training_data or info.training_data,
        research_only=said.research_only,
        threshold=info.threshold if said.threshold is None else said.threshold,
        threshold_source=info.threshold_source if said.threshold is None else "the spec",
    )


def unacknowledged(spec: Spec) -> str | None:
    """One line about the first model whose terms the spec should have acknowledged, or None."""
    for name in spec.model_names:
        info = described(spec, name, needed=False)
        if info.research_only and not spec.licence.covers(name):
            mend = f'acknowledge = ["{name}"] under [licence]'
            if name.startswith("onnx:") and name not in spec.models:
                mend += f', or say it: [models."{name}"] licence = "..."'
            return f"model '{name}' asks for acknowledgement ({info.licence}); {mend}"
    return None


def machines(spec: Spec) -> dict[str, ModelInfo]:
    """Every model that the spec names, by name.

    :raises Unavailable: where a file is not here, saying how to get it and on what terms.
    :raises BadInput: where a file is of another kind than its use, has no threshold, or is an objective and a
        critic under two names.
    """
    infos = {name: described(spec, name, needed=True) for name in spec.model_names}
    for objective in spec.objective:
        info, wanted = infos[objective.model], objective.known.machine
        if info.kind != wanted:
            raise BadInput(
                f"model {info.name!r} is a {info.kind} model; kind '{objective.kind}' needs one to {wanted}"
            )
        if objective.threshold is None and math.isnan(info.threshold):
            raise BadInput(
                f"model {info.name!r} comes without a threshold: give its [[objective]] threshold = ... (a "
                f"{info.measure}), e.g. as datamask calibrate finds it"
            )
    used = {infos[o.model].sha256: o.model for o in spec.objective}
    for critic in spec.verify.critics:
        same = used.get(infos[critic].sha256)
        if same is not None:
            raise BadInput(
                f"critic {critic!r} has the weights of objective {same!r}; a critic must take no part in the "
                "search"
            )
    return infos


def at_hand(spec: Spec) -> None:
    """Look whether this machine can score by itself; workers elsewhere have weights of their own.

    :raises Unavailable: where the weights of an objective are not here, saying how to get them.
    """
    for objective in spec.objective:
        info = model_info(objective.model)
        if not installed(info):
            raise Unavailable(
                f"model {info.name!r}: its weights are not here; get them with: {info.how_to_get}"
            )
