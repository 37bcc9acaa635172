"""What genomes are genomes of: a head or a blank, and what each gene does to it."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from services.errors import BadInput
from services.rendering.views import Views
from services.shape.catalog import DEFAULT_BASIS, basis_ids, basis_info
from services.shape.installed import know

if TYPE_CHECKING:
    from trimesh import Trimesh

    from worker.eye import Eye

VIEWER_PX = 420


class Basis:
    """A basis by its name.

    :raises BadInput: where there is none of that name.
    """

    def __init__(self, name: str = DEFAULT_BASIS) -> None:
        know(name)
        self.info = basis_info(name)

    def __repr__(self) -> str:
        return f"datamask.Basis({self.name!r})"

    @staticmethod
    def names() -> tuple[str, ...]:
        """Every basis that is installed, the default first."""
        return basis_ids()

    @property
    def name(self) -> str:
        """Its name, under which a spec asks for it."""
        return self.info.id

    @property
    def genes(self) -> tuple[str, ...]:
        """The names of the genes, in a genome's order."""
        return self.info.gene_names

    @property
    def triangles(self) -> NDArray[np.int32]:
        """Corners int32 (T, 3) of the triangles, counter-clockwise seen from outside."""
        return _eye(self.name).basis.triangles

    @property
    def landmarks(self) -> dict[str, int]:
        """The vertex of each landmark; left is the viewer's."""
        return dict(_eye(self.name).basis.landmarks)

    def random(self, count: int, *, spread: float | None = None, seed: int = 0) -> NDArray[np.float32]:
        """Noise genomes float32 (count, genes): weights N(0, spread). spread: None is usual for the basis."""
        spread = self.info.facts.spread if spread is None else spread
        drawn = np.random.default_rng(seed).standard_normal((count, len(self.genes)), np.float32)
        return np.asarray(np.float32(spread) * drawn, np.float32)

    def decode(self, genomes: ArrayLike) -> NDArray[np.float32]:
        """Vertices float32 (n, V, 3) in meters of genomes (n, genes).

        :raises BadInput: where the shape is another one.
        """
        decoded: NDArray[np.float32] = _eye(self.name).vertices(self._checked(genomes)).cpu().numpy()
        return decoded

    def render(self, genomes: ArrayLike, views: Views) -> NDArray[np.uint8]:
        """Pictures uint8 (n, views, S, S, 3) of every genome (n, genes) under every view."""
        _, rendered = _eye(self.name).every(self._checked(genomes), views)
        pictures: NDArray[np.uint8] = rendered.images.cpu().numpy()
        return pictures

    def mesh(self, genome: ArrayLike) -> Trimesh:
        """One genome (genes,) as a mesh in meters, in its colors where the basis has any."""
        import trimesh

        one = self._checked([genome])
        colors = self._colors(one)
        # As it is: nothing is merged or turned, so that vertices keep their numbers.
        return trimesh.Trimesh(self.decode(one)[0], self.triangles, vertex_colors=colors, process=False)

    def glb(self, genome: ArrayLike, name: str = "mask") -> bytes:
        """One genome (genes,) as a file: binary glTF, meters."""
        from services.shape.export import notes_of, write_glb

        one = self._checked([genome])
        extras = {"id": name, **notes_of(self.name)}
        return write_glb(self.decode(one)[0], self.triangles, self._colors(one), name, extras)

    def picture(self, genome: ArrayLike, size_px: int = 360) -> NDArray[np.uint8]:
        """A studio picture uint8 (size, size, 3) of one genome (genes,), for people."""
        from services.exhibition.film import POSE
        from services.exhibition.lineup import shared_field_mm
        from services.exhibition.palette import backdrop, mount, pixels
        from services.exhibition.studio import Studio, dressed, one_thread

        if size_px < 1:
            raise BadInput(f"picture: expected a size of 1 pixel or more, got {size_px}")
        one = self._checked([genome])
        colors = self._colors(one)
        with one_thread():
            studio = Studio(self.triangles, self.info.facts.center_m, directions=48, shadow_px=64)
            lit = dressed([studio.light(self.decode(one)[0])], None if colors is None else colors[None])[0]
            wall = backdrop(size_px, size_px)
            mount(wall, lit.shoot(POSE, size_px, shared_field_mm([lit], [POSE])), (0, 0))
        return pixels(wall)

    def viewer(self, genome: ArrayLike, words: str = "") -> str:
        """HTML that shows one genome (genes,) in 3D, by itself: it asks no network for anything."""
        import json

        from services.exhibition.inline import pack_triangles, pack_vertices, text_of
        from services.rendering.materials import looks

        one = self._checked([genome])
        colors = self._colors(one)
        told = json.dumps(
            {
                "mesh": {
                    "triangles": pack_triangles(self.triangles),
                    "center_m": list(self.info.facts.center_m),
                    "materials": looks(),
                },
                "shape": pack_vertices(self.decode(one)[0]),
                "colors": None if colors is None else text_of(colors.tobytes()),
            }
        )
        assets = resources.files("services.exhibition") / "assets"
        scripts = "".join(
            f"<script>{(assets / name).read_text('utf-8')}</script>" for name in ("vendor.js", "viewer.js")
        )
        page = (
            "<!doctype html><meta charset='utf-8'><style>html,body,div{margin:0;width:100%;height:100%;"
            "background:#26272a;overflow:hidden}canvas{display:block}</style>"
            f"<div><canvas tabindex='0' aria-label='{escape(words, quote=True)}'></canvas></div>{scripts}"
            f"<script>const told = {told};\n"
            "new Viewer.View(document.querySelector('canvas'), told.mesh).show(told.shape, told.colors);"
            "</script>"
        )
        return (
            f'<iframe srcdoc="{escape(page, quote=True)}" sandbox="allow-scripts" width="{VIEWER_PX}" '
            f'height="{VIEWER_PX}" style="border: 0" title="{escape(words or self.name)}"></iframe>'
        )

    def _colors(self, one: NDArray[np.float32]) -> NDArray[np.uint8] | None:
        import torch

        found = _eye(self.name).decoder.paint_bytes(torch.from_numpy(one))
        return None if found is None else found[0]

    def _checked(self, genomes: object) -> NDArray[np.float32]:
        try:
            given = np.array(genomes, np.float32)
            got = f"shape {given.shape}"
        except (TypeError, ValueError):
            given, got = np.zeros(0, np.float32), "words, or rows of several lengths"
        if given.ndim != 2 or given.shape[1] != len(self.genes) or not np.isfinite(given).all():
            raise BadInput(
                f"genomes: expected finite numbers of shape (n, {len(self.genes)}), one weight a gene of "
                f"basis {self.name!r}; got {got}"
            )
        return given


@lru_cache(maxsize=4)
def _eye(name: str) -> Eye:
    from worker.eye import Eye

    return Eye(name)
