"""The facts of a page with the shapes and pictures that belong to them; ``watch`` needs them, too."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.exhibition.inline import pack_triangles, pack_vertices, text_of
from services.rendering.materials import looks
from services.shape.basis import Basis, load_basis
from services.shape.paint import bytes_of, display_colors
from services.srgb import linear_to_srgb
from services.storage.store import ObjectMissing, Store
from services.wire.page_plan import PagePlan, audit_of, controls_of, read_json, visitors_files

PICTURES_KEY = "exhibition.json"  # small pictures that an exhibition made for the page
FILM_BYTES = 3_000_000  # a longer film stays beside the page
MOST_LINES = 12  # masks whose line back to noise can be walked in 3D


def with_audits(run: Store, plan: PagePlan) -> PagePlan:
    """The plan with what has come into the run since it was made: audits, and files for visitors."""
    masks = [{**mask, "audit": audit_of(run, mask["id"])} for mask in plan.facts["masks"]]
    files = visitors_files(run, {mask["id"] for mask in masks})
    facts = {**plan.facts, "masks": masks, "files": files, "controls": controls_of(run)}
    facts["audit"] = read_json(run, "audit.json")
    return PagePlan(facts, plan.genomes, plan.work)


def with_shapes(plan: PagePlan, run: Store, pictures: Mapping[str, Any]) -> dict[str, Any]:
    """The plan's facts, filled with meshes and with what the record holds: pictures, gaze maps, the film.

    :param pictures: what :func:`worker.exhibition.exhibit.exhibit` keeps as ``exhibition.json``, or {}.
    """
    facts: dict[str, Any] = json.loads(json.dumps(plan.facts))  # a copy that nobody else holds
    basis = load_basis(facts["asked"]["basis"])
    facts["mesh"] = {
        "triangles": pack_triangles(basis.triangles),
        "center_m": list(basis.facts.center_m),
        "materials": looks(),
    }
    for mask in facts["masks"]:
        name = mask["id"]
        mask["mesh"] = _packed(basis, plan.genomes.get(name))
        mask["front"] = pictures.get("fronts", {}).get(name)
        mask["received"] = pictures.get("received", {}).get(name, [])
        colors = gaze_colors(run, name, facts["files"], len(basis.neutral))
        if len(basis.colors) and mask["mesh"] is not None:
            own = display_colors(plan.genomes[name][None], basis.colors)[0]
            mask["colors"] = text_of(bytes_of(own).tobytes())
        mask["gaze"] = {model: text_of(found.tobytes()) for model, found in colors.items()}
        mask["gazed"] = {model: _gazed(run, name, model) for model in colors}
    facts["shapes"] = {name: _packed(basis, plan.genomes.get(name)) for name in _on_the_way(facts)}
    facts["thumbs"] = dict(pictures.get("thumbs", {}))
    facts["film"] = _film(run, pictures)
    if facts.get("wall"):
        facts["wall"]["picture"] = pictures.get("wall")
    return facts


def _on_the_way(facts: Mapping[str, Any]) -> list[str]:
    """Masks that are no elites, but lead to the best one in the film, or to one of the first by descent."""
    ways = [moment["id"] for moment in facts["story"]]
    for mask in facts["masks"][:MOST_LINES]:
        ways += [node["id"] for node in mask["lineage"] if node["trunk"]]
    shown = {mask["id"] for mask in facts["masks"]}
    return [name for name in dict.fromkeys(ways) if name not in shown]


def decoded(basis: Basis, genome: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vertices float32 (V, 3) of one genome, for looking at: the decoder's sum, in numpy."""
    weights = np.asarray(genome, np.float32)
    flat = basis.neutral.reshape(-1).astype(np.float64)
    up, down = np.maximum(weights, 0.0), np.maximum(-weights, 0.0)
    genes = len(basis.gene_names)
    flat = flat + up @ basis.positive.reshape(genes, -1) + down @ basis.negative.reshape(genes, -1)
    return np.asarray(flat.reshape(-1, 3), np.float32)


def _packed(basis: Basis, genome: NDArray[np.float32] | None) -> dict[str, Any] | None:
    if genome is None or genome.shape != (len(basis.gene_names),) or not np.isfinite(genome).all():
        return None
    return pack_vertices(decoded(basis, genome))


def _gazed(run: Store, mask: str, model: str) -> dict[str, Any]:
    """What is said of a gaze map; {} where its file is gone or damaged."""
    found = read_json(run, f"masks/{mask}/gaze-{model}.json")
    wanted = ("method", "views", "mirrored", "reach", "deletion")
    return {key: found[key] for key in wanted if key in found} if isinstance(found, dict) else {}


def _film(run: Store, pictures: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        data = run.get("film.mp4")
    except ObjectMissing:
        return None
    return {"data": text_of(data), "poster": pictures.get("poster")} if len(data) <= FILM_BYTES else None


def gaze_colors(run: Store, mask: str, files: Sequence[str], vertices: int) -> dict[str, NDArray[np.uint8]]:
    """Colors uint8 (V, 3) by model, from ``gaze-<model>.glb`` where its mesh is the mask's own."""
    start = f"masks/{mask}/gaze-"
    found = {}
    for key in files:
        if key.startswith(start) and key.endswith(".glb"):
            colors = _vertex_colors(run.get(key), vertices)
            if colors is not None:
                found[key[len(start) : -4]] = colors
    return found


def _vertex_colors(data: bytes, vertices: int) -> NDArray[np.uint8] | None:
    import trimesh

    try:
        scene = trimesh.load(io.BytesIO(data), file_type="glb", process=False)
        (mesh,) = scene.geometry.values()
        linear = np.asarray(mesh.visual.vertex_attributes["color"], np.float64)[:, :3] / 255.0
    except (ValueError, KeyError, AttributeError, TypeError, IndexError):
        return None
    # glTF's vertex colors are linear, pictures are sRGB.
    return np.rint(linear_to_srgb(linear) * 255.0).astype(np.uint8) if len(linear) == vertices else None
