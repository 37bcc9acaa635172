"""What is said of the models that a spec names, by the catalog and by the spec itself, and on what terms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from coordinator.spec.objectives import LicenceSpec, ModelSpec
from services.recognition.catalog import model_info
from services.recognition.model import ModelInfo


def described(models: Mapping[str, ModelSpec], name: str, *, needed: bool) -> ModelInfo:
    """A model's entry with what the spec says of it.

    :param models: the spec's tables [models], by model. needed: see catalog.model_info.
    """
    info = model_info(name, needed=needed)
    said = models.get(name)
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


def unacknowledged(names: Iterable[str], models: Mapping[str, ModelSpec], licence: LicenceSpec) -> str | None:
    """One line about the first model whose terms the spec should have acknowledged, or None.

    :param names: the models that the spec names. models: as :func:`described`. licence: what it acknowledges.
    """
    for name in names:
        info = described(models, name, needed=False)
        if info.research_only and not licence.covers(name):
            mend = f'acknowledge = ["{name}"] under [licence]'
            if name.startswith("onnx:") and name not in models:
                mend += f', or say it: [models."{name}"] licence = "..."'
            return f"model '{name}' asks for acknowledgement ({info.licence}); {mend}"
    return None
