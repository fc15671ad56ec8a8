"""The reference's values on the runs that were chosen, and the judgement of the candidate's by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgeacts.parity.layers import Arrays, Judgement, Layer, judge

Runs = Sequence[Mapping[str, NDArray[Any]]]
BYTES_AT_MOST = (
    3 * 2**28
)  # of values kept in memory; where there are more they are computed again at each look
_BYTES = 12  # an element in float64 and in float32


class ReferenceLayers(Protocol):
    """A reference that can be looked into: `OnnxLayers` and `ModuleLayers` are such."""

    label: str
    sha256: str
    output_names: tuple[str, ...]

    def layers(self, runs: Runs) -> list[Layer]:
        """Every value in the order of computation, with a sample of it."""

    def look(self, names: Sequence[str], runs: Runs, *, exact: bool) -> Iterator[Arrays]:
        """The named values, run by run; in float32 where not `exact`."""


def by_name(runs: Iterable[Arrays]) -> dict[str, list[NDArray[Any]]]:
    """Name -> its arrays, one a run; values that some run has not are left out."""
    found = list(runs)
    return {n: [values[n] for values in found] for n in found[0] if all(n in values for values in found)}


class Truth:
    """`Truth(...).judge(name, arrays)`: does a value agree with the reference's value of that name?

    `ahead` names values, with their sizes, that are computed all at once as soon as one is asked for, if memory allows.
    """

    def __init__(
        self,
        side: ReferenceLayers,
        runs: Runs,
        ahead: Mapping[str, int],
        *,
        precision: str,
        form_bound: float,
    ) -> None:
        self.runs = runs
        self._side, self._precision, self._form_bound = side, precision, form_bound
        self._ahead = tuple(ahead) if fits(ahead, len(runs)) else ()
        self._exact: dict[str, list[NDArray[Any]]] = {}
        self._rounded: dict[str, list[NDArray[Any]]] = {}

    def judge(self, name: str, found: Sequence[NDArray[Any]]) -> Judgement:
        """The candidate's arrays, one a run, against the reference's value."""
        return judge(
            self.exact(name),
            self._rounded[name],
            found,
            precision=self._precision,
            form_bound=self._form_bound,
        )

    def exact(self, name: str) -> list[NDArray[Any]]:
        """The reference's arrays, one a run."""
        self.fetch([name])
        return self._exact[name]

    def fetch(self, names: Iterable[str]) -> None:
        """Compute these values in one go."""
        missing = [n for n in names if n not in self._exact]
        if not missing:
            return
        if not self._ahead:
            self._exact.clear()
            self._rounded.clear()
        wanted = list(dict.fromkeys([*missing, *(n for n in self._ahead if n not in self._exact)]))
        self._exact |= by_name(self._side.look(wanted, self.runs, exact=True))
        self._rounded |= by_name(self._side.look(wanted, self.runs, exact=False))


def fits(sizes: Mapping[str, int], runs: int) -> bool:
    """Whether values of these sizes may be kept for so many runs."""
    return _BYTES * runs * int(np.sum(list(sizes.values()), dtype=np.int64)) <= BYTES_AT_MOST
