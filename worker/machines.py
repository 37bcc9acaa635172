"""Machines as a worker has them loaded: detectors, recognizers and correlation filters, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from services.recognition import catalog
from services.recognition.correlate import Correlator
from services.recognition.detect import Detector
from services.recognition.dlib.landmarks import LandmarkPredictor
from services.recognition.model import ModelInfo
from services.recognition.networks.precision import Halves
from services.recognition.recognize import Recognizer

Machine = TypeVar("Machine")


class Loaded(NamedTuple):
    """What a loaded machine is: a model with all that is said of it, where it computes, and how finely."""

    info: ModelInfo
    device: str
    half: bool = False


class Machines:
    """The machines of some names, by name, in the order of the names.

    :param hashes: SHA-256 by model, as a run pinned them; what is missing is as the catalog has it.
    :param loaded: machines to use where they are the same, instead of loading them; see ``held``.
    :raises Unavailable, BadInput, CorruptData: as the catalog does, for a machine that cannot be loaded.
    """

    def __init__(
        self,
        names: Iterable[str],
        hashes: Mapping[str, str],
        device: str = "cpu",
        loaded: Mapping[Loaded, Any] | None = None,
    ) -> None:
        self.device = device
        self.held: dict[Loaded, Any] = {}
        self._loaded: Mapping[Loaded, Any] = {} if loaded is None else loaded
        self.infos: dict[str, ModelInfo] = {n: catalog.model_info(n, hashes.get(n)) for n in names}
        self.detectors: dict[str, Detector] = self._of("detect", catalog.detector)
        self.recognizers: dict[str, Recognizer] = self._of("recognize", catalog.recognizer)
        self.correlators: dict[str, Correlator] = self._of("correlate", catalog.correlator)
        self.halved: list[str] = []

    @property
    def aligned(self) -> tuple[Recognizer | Correlator, ...]:
        """Those that align faces by landmarks."""
        return (*self.recognizers.values(), *self.correlators.values())

    def predictor(self) -> LandmarkPredictor:
        """dlib's landmark predictor, which some are aligned by."""
        key = Loaded(catalog.model_info(LandmarkPredictor.name), self.device)
        return self._once(key, lambda: LandmarkPredictor(self.device))

    def halve(self) -> None:
        """From now on compute in half precision where a network can; ``halved`` says which do."""
        every: dict[str, Detector | Recognizer] = {**self.detectors, **self.recognizers}
        self.halved = [name for name, machine in every.items() if isinstance(machine, Halves)]
        for name in self.halved:
            del self.held[self._key(name)]
            if name in self.detectors:
                self.detectors[name] = self._machine(catalog.detector, name, half=True)
            else:
                self.recognizers[name] = self._machine(catalog.recognizer, name, half=True)

    def release(self) -> None:
        """Forget what could have been used of ``loaded``: whoever has it may let go of it."""
        self._loaded = {}

    def _of(self, kind: str, load: Callable[[str, str, str], Machine]) -> dict[str, Machine]:
        return {n: self._machine(load, n) for n, info in self.infos.items() if info.kind == kind}

    def _key(self, name: str, half: bool = False) -> Loaded:
        return Loaded(self.infos[name], self.device, half)

    def _machine(self, load: Callable[[str, str, str], Machine], name: str, half: bool = False) -> Machine:
        def made() -> Machine:
            machine = load(name, self.device, self.infos[name].sha256)
            if half:
                machine.halve()  # type: ignore[attr-defined]
            return machine

        return self._once(self._key(name, half), made)

    def _once(self, key: Loaded, make: Callable[[], Machine]) -> Machine:
        if key not in self.held:
            self.held[key] = self._loaded[key] if key in self._loaded else make()
        machine: Machine = self.held[key]
        return machine
