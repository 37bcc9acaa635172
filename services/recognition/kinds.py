"""What each kind of objective needs, compares and gates: the one table of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.recognition.margins import Margins, consistency_margin, refusal_margin, view_margin
from services.recognition.model import Kind


@dataclass(frozen=True)
class ObjectiveKind:
    """One way in which a machine can be satisfied.

    :param machine: the kind of model that it takes.
    :param images: the photographs that it takes: none, or only as a choice; of one person; one of each of
        several people.
    :param reference: whether machines compare masks with something that lies under ``targets/`` of the run.
    :param combine: how several references may be compared with, the usual way first.
    :param gates: whether it opens the gate of others: it says whether a face is seen at all.
    :param gated: whether its value sinks to the floor where no detector sees a face, unless a spec says more.
    :param across_views: whether it compares a mask's views with each other, and with other masks' views; so
        it needs two views, and there can be one of this kind.
    :param margins: how far beyond its threshold each view is.
    :param together: whether all detectors of this kind are asked for one place, see agreement.py; so there
        must be two of them.
    :param slope: the part of a value above 0 that fitness counts, unless a spec says more.
    :param refuses: whether the machine is to see no face: its value is positive where it sees none.
    """

    name: str
    machine: Kind
    images: Literal["none", "optional", "person", "people"] = "none"
    reference: bool = False
    combine: tuple[str, ...] = ("centroid",)
    gates: bool = False
    gated: bool = False
    across_views: bool = False
    margins: Margins = view_margin
    together: bool = False
    slope: float = 1.0
    refuses: bool = False

    @property
    def portrays(self) -> bool:
        """Whether it is about real people's faces, whatever images are given."""
        return self.images in ("person", "people")


DETECT = ObjectiveKind("detect", "detect", gates=True)
TOGETHER = ObjectiveKind("together", "detect", gates=True, together=True, slope=0.25)
# Every blank is refused from the start: that must not pay for a face that is not there yet.
REFUSE = ObjectiveKind("refuse", "detect", margins=refusal_margin, slope=0.25, refuses=True)
CONSISTENT = ObjectiveKind(
    "consistent", "recognize", gated=True, across_views=True, margins=consistency_margin
)
IDENTITY = ObjectiveKind("identity", "recognize", "person", reference=True, combine=("centroid", "best"))
COMPOSITE = ObjectiveKind("composite", "recognize", "people", reference=True, combine=("centroid", "worst"))
CORRELATE = ObjectiveKind("correlate", "correlate", "optional", reference=True)

KINDS = {kind.name: kind for kind in (DETECT, TOGETHER, REFUSE, CONSISTENT, IDENTITY, COMPOSITE, CORRELATE)}
