"""The machines that are known here, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import BadInput
from services.recognition import catalog, own
from services.recognition.model import ModelInfo
from services.recognition.own import Machine


class Machines(Mapping[str, ModelInfo]):
    """Every detector, recognizer and correlation filter: `datamask models` lists the same.

    An entry says what a machine is for, its licence, its threshold and whose faces it learned from.
    """

    def __getitem__(self, name: str) -> ModelInfo:
        try:
            return catalog.model_info(name)
        except BadInput as error:
            raise UnknownMachine(str(error)) from None

    def __iter__(self) -> Iterator[str]:
        return (info.name for info in (*catalog.models(), *catalog.found()))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in list(iter(self))

    def add(self, name: str, call: Machine | Callable[[NDArray[np.uint8]], Any], **said: Any) -> str:
        """Hand over a machine of your own to this process: docs/own-machine.md shows one.

        :param name: letters, digits, `-` and `_`; one that is taken is replaced.
        :param call: a :class:`datamask.Machine`, or the callable of one; `said`: what else it takes, `gives`
            and `threshold` above all.
        :returns: what a spec calls it: `own:NAME`.
        :raises BadInput: naming what cannot be so.
        """
        if isinstance(call, Machine) and said:
            raise BadInput(f"machine {name!r}: say {', '.join(said)} where the Machine is made")
        return own.add(name, call if isinstance(call, Machine) else Machine(call, **said))

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


class UnknownMachine(BadInput, KeyError):
    """No machine of that name."""


machines = Machines()
