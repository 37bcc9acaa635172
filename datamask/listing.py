"""The machines that are known here, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from services.recognition import catalog
from services.recognition.model import ModelInfo


class Machines(Mapping[str, ModelInfo]):
    """Every detector, recognizer and correlation filter: `datamask models` lists the same.

    An entry says what a machine is for, its licence, its threshold and whose faces it learned from.
    """

    def __getitem__(self, name: str) -> ModelInfo:
        return catalog.model_info(name)

    def __iter__(self) -> Iterator[str]:
        return (info.name for info in (*catalog.models(), *catalog.found()))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in list(iter(self))

    def here(self, name: str) -> bool:
        """Whether its weights are on this machine."""
        return catalog.installed(catalog.model_info(name))

    def __repr__(self) -> str:
        return f"<machines: {', '.join(self)}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{info.kind}</td><td>{', '.join(info.roles)}</td>"
            f"<td>{'yes' if self.here(name) else 'no'}</td><td>{escape(info.licence)}</td></tr>"
            for name, info in self.items()
        )
        header = "".join(f"<th>{word}</th>" for word in ("machine", "kind", "roles", "here", "licence"))
        return f"<table><tr>{header}</tr>{rows}</table>"


machines = Machines()
