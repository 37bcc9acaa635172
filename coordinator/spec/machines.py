"""The models of a spec as they lie here: found, of the right kind, on terms that were acknowledged."""

from __future__ import annotations

import math

from coordinator.spec.spec import Spec
from coordinator.spec.terms import described
from services.errors import BadInput, Unavailable
from services.recognition import own
from services.recognition.catalog import installed, model_info
from services.recognition.model import ModelInfo


def machines(spec: Spec) -> dict[str, ModelInfo]:
    """Every model that the spec names, by name.

    :raises Unavailable: where a file is not here, saying how to get it and on what terms.
    :raises BadInput: where a file is of another kind than its use, has no threshold, or is an objective and a
        critic under two names.
    """
    infos = {name: described(spec.models, name, needed=True) for name in spec.model_names}
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
        if objective.threshold is not None and objective.threshold <= 0 and info.measure == "distance":
            raise BadInput(
                f"[[objective]] of model {info.name!r}: threshold = {objective.threshold:g}, but its answers "
                "are distances, and no two are nearer than 0; take a threshold above 0"
            )
        if spec.run.exact and not info.exact:
            raise BadInput(
                f"[run] exact = true, but {info.name!r} does not promise the same answers twice: leave exact "
                "out, or have its author say exact=True"
            )
    used = {weights_of(infos[o.model]): o.model for o in spec.objective}
    for critic in spec.verify.critics:
        same = used.get(weights_of(infos[critic]))
        if same is not None:
            raise BadInput(
                f"critic {critic!r} has the weights of objective {same!r}; a critic must take no part in the "
                "search"
            )
    return infos


def weights_of(info: ModelInfo) -> str:
    """What two names of one model have in common. Several callables may stand in one source file."""
    return info.name if own.is_own(info.name) else info.sha256


def at_hand(spec: Spec) -> None:
    """Look whether this machine can score by itself; workers elsewhere have weights of their own.

    :raises Unavailable: where the weights of an objective are not here, saying how to get them, or a callable
        of the user's does not answer as it should.
    """
    for objective in spec.objective:
        info = model_info(objective.model)
        if not installed(info):
            raise Unavailable(
                f"model {info.name!r}: its weights are not here; get them with: {info.how_to_get}"
            )
        if own.is_own(info.name):
            own.try_out(info.name, spec.views.size_px)


def elsewhere(spec: Spec) -> None:
    """:raises BadInput: where the spec names a machine that only this process has, and workers cannot."""
    for name in spec.model_names:
        if own.is_own(name) and own.only_here(name):
            raise BadInput(
                f"machine {name!r} is in this process only: for workers install it, as an entry point of "
                f"{own.GROUP}"
            )
