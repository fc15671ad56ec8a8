"""The search itself: pair the values of both models, look at the executed candidate by bisection, say what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.parity.bisecting import Search
from edgeacts.parity.divergence_files import Part
from edgeacts.parity.executed_layers import Executed, Place, executed_layers
from edgeacts.parity.layers import Judgement, Layer
from edgeacts.parity.locating_inputs import Chosen, judged
from edgeacts.parity.minimal import cut
from edgeacts.parity.onnx_layers import OnnxGraph, OnnxLayers
from edgeacts.parity.pairing import pair
from edgeacts.parity.truth import ReferenceLayers, Truth, by_name, fits
from edgeacts.records import LayerRow
from edgeacts.runtimes import Session

AROUND = 3  # values on each side of the divergence that are looked at for the table
AT_ONCE = 16  # values in one look where all are to be looked at
WIDER = 3  # how far back a part may reach that shows the divergence alone


@dataclass(frozen=True)
class Located:
    """What was found; `parts` are parts of the file that may show it alone, the smallest first."""

    rows: tuple[LayerRow, ...]
    summary: str
    first: int | None = None
    looks: int = 0
    observer_effect: str = ""
    parts: tuple[Part, ...] = ()


def agreement(chosen: Chosen, outputs: Mapping[str, str], graph: OnnxGraph) -> Located:
    """Nothing to look for: a row for each output."""
    rows = tuple(_row(graph, n, outputs[n].removeprefix("output "), chosen.judged[n]) for n in chosen.judged)
    blind = [n for n, j in chosen.judged.items() if j.outcome == "blind"]
    told = f"every output is within its budget, also on the {chosen.name} inputs, where they differ most"
    if blind:
        told += f"; {', '.join(blind)} hardly moves with the input, so agreement means little"
    return Located(rows, told)


def find(
    chosen: Chosen,
    plain: Session,
    file: OnnxLayers,
    side: ReferenceLayers,
    outputs: Mapping[str, str],
    place: Place,
    form_bound: float,
    bar: Any,
    *,
    everything: bool,
) -> Located:
    """The first value beyond its budget on the chosen runs, of which one output is known to be."""
    probe = chosen.runs[:2]
    layers, theirs = file.layers(probe), side.layers(probe)
    pairs = pair(theirs, layers, file.graph.ancestors, by_name=isinstance(side, OnnxLayers))
    pairs |= {n: r for n, r in outputs.items() if n not in pairs}
    sizes = _sizes(pairs, theirs, layers)
    chosen = _fewer(chosen, sizes, plain, side, outputs, place, form_bound)
    truth = Truth(side, chosen.runs, sizes, precision=place.precision, form_bound=form_bound)
    with executed_layers(file.path, plain, layers, probe, place) as executed:
        located = _Finder(chosen, file, executed, truth, pairs, place.runtime, bar).find(
            layers, everything=everything
        )
    if isinstance(side, OnnxLayers):
        inputs = dict(
            zip((s.name for s in file.graph.inputs), (s.name for s in side.graph.inputs), strict=True)
        )
        located = replace(located, parts=tuple(replace(p, twin={**p.twin, **inputs}) for p in located.parts))
    return located


def _sizes(pairs: Mapping[str, str], theirs: Sequence[Layer], layers: Sequence[Layer]) -> dict[str, int]:
    known = {x.name: x.size for x in theirs}
    own = {x.name: x.size for x in layers}
    return {r: known.get(r, own.get(n, 1)) for n, r in pairs.items()}


def _fewer(
    chosen: Chosen,
    sizes: Mapping[str, int],
    plain: Session,
    side: ReferenceLayers,
    outputs: Mapping[str, str],
    place: Place,
    form_bound: float,
) -> Chosen:
    """The worst half or quarter of the runs, if only so many fit into memory and an output still fails on them."""
    count = len(chosen.runs)
    while count > 3 and not fits(sizes, count):
        count = -(-count // 2)
    if count == len(chosen.runs):
        return chosen
    fewer = judged(
        chosen.name,
        chosen.runs[:count],
        plain,
        side,
        outputs,
        precision=place.precision,
        form_bound=form_bound,
    )
    return chosen if fewer.failing is None else fewer


class _Finder:
    def __init__(
        self,
        chosen: Chosen,
        file: OnnxLayers,
        executed: Executed,
        truth: Truth,
        pairs: Mapping[str, str],
        runtime: str,
        bar: Any,
    ) -> None:
        self.chosen, self.graph, self.executed, self.truth, self.pairs = (
            chosen,
            file.graph,
            executed,
            truth,
            pairs,
        )
        self.runtime, self.bar = runtime, bar
        self.judged: dict[str, Judgement] = {n: j for n, j in chosen.judged.items() if n in pairs}
        self.worst: dict[str, int] = {}  # the run in which a bad value is furthest off
        self.looks = 0
        self.effects: list[str] = []
        self.healed = ""  # an output that is right as soon as it is looked into
        visible = executed.names | set(chosen.judged)
        self.names = [n for n in file.graph.names if n in pairs and n in visible]

    def find(self, layers: Sequence[Layer], *, everything: bool) -> Located:
        failing = self.chosen.failing
        assert failing is not None  # noqa: S101  the caller has looked
        if failing not in self.names:  # an input handed through, or a constant
            self.names.append(failing)
        search = Search(self.names, self.graph.ancestors, self._before, self._look)
        search.bad.update({n: j.outcome == "fail" for n, j in self.judged.items()})
        first = search.first(failing)
        if first not in self.worst:  # an output, which was not looked at but given
            self._judge(first, self.chosen.found[first])
        self._look_around(first)
        if everything:
            left = [n for n in self.names if n not in self.judged]
            for start in range(0, len(left), AT_ONCE):
                self._look(left[start : start + AT_ONCE])
        rows = tuple(self._row(n) for n in self._listed(failing))
        index = next(i for i, row in enumerate(rows) if row.candidate == first)
        return Located(
            rows=rows,
            summary=self._summary(first, rows),
            first=index,
            looks=self.looks,
            observer_effect=self._effect_text(),
            parts=self._parts(first, {x.name: x for x in layers}),
        )

    def _before(self, name: str) -> list[str]:
        """The values that can be looked at from which `name` is computed without another between."""
        return cut(self.graph.proto.graph, name, frozenset(self.names) - {name})

    def _listed(self, failing: str) -> list[str]:
        names = list(self.graph.names)
        return names if failing in names else [*names, failing]

    def _look(self, names: Sequence[str]) -> dict[str, bool]:
        """Whether each is beyond its budget in the executed candidate; one look."""
        self.looks += 1
        self.bar.update()
        found = by_name(self.executed.look(names, self.chosen.runs))
        self._notice(names, found)
        self.truth.fetch(self.pairs[n] for n in names)
        for name in names:
            if name in found:
                self._judge(name, found[name])
        return {n: n in self.judged and self.judged[n].outcome == "fail" for n in names}

    def _judge(self, name: str, found: Sequence[NDArray[Any]]) -> None:
        self.judged[name] = self.truth.judge(self.pairs[name], found)
        if self.judged[name].outcome == "fail":
            expected = self.truth.exact(self.pairs[name])
            self.worst[name] = int(
                np.argmax([_change([e], [f]) for e, f in zip(expected, found, strict=True)])
            )

    def _notice(self, names: Sequence[str], found: Mapping[str, Sequence[NDArray[Any]]]) -> None:
        """Did looking change an output by more than its budget?"""
        for output, undisturbed in self.chosen.found.items():
            if output in names or output not in found:
                continue
            before, unit = self.chosen.judged[output], _unit(self.chosen.judged[output])
            change = _change(undisturbed, found[output])
            if change <= (before.allowed or 0.0) * unit:
                continue
            share = f"{change / unit:.1e} of its movement" if np.isfinite(change) else "beyond measure"
            self.effects.append(f"with {', '.join(names)} as further outputs, {output} changed by {share}")
            now = self.truth.judge(self.pairs[output], found[output])
            if before.outcome == "fail" and now.outcome != "fail":
                self.healed = output

    def _effect_text(self) -> str:
        if not self.effects:
            return ""
        more = f" (and {len(self.effects) - 1} more)" if len(self.effects) > 1 else ""
        if self.healed:
            limit = (
                f"{self.healed} agrees with the reference while it is looked at, so the difference lies in what the "
                "runtime makes of several layers together, and cannot be located further"
            )
        else:
            limit = "what is said of the layers holds while they are looked at, and may not hold undisturbed"
        return f"{self.effects[0]}{more}; {limit}"

    def _look_around(self, first: str) -> None:
        """Neighbours for the table, in one look."""
        at = self.names.index(first)
        near = [n for n in self.names[max(0, at - AROUND) : at + AROUND + 1] if n not in self.judged]
        if near:
            self._look(near)

    def _row(self, name: str) -> LayerRow:
        return _row(self.graph, name, self.pairs.get(name, "").removeprefix("output "), self.judged.get(name))

    def _summary(self, first: str, rows: Sequence[LayerRow]) -> str:
        operator = f" ({self.graph.operator(first)})" if first in self.graph.makers else ""
        named = self.pairs[first].removeprefix("output ")
        which = "" if named == first else f" (there {named})"
        unpaired = sum(not row.reference for row in rows)
        hidden = sum(bool(row.reference) and row.candidate not in set(self.names) for row in rows)
        parts = [
            f"{first}{operator} is the first value that differs from the reference's{which}: {self.judged[first].reason}, "
            f"on the {self.chosen.name} inputs",
            self._inputs_text(first, self._before(first)),
        ]
        if unpaired:
            parts.append(f"{unpaired} of {len(rows)} values have no counterpart in the reference")
        if hidden:
            parts.append(f"{hidden} were not looked at, as they do not exist in what {self.runtime} executes")
        return "; ".join(parts)

    def _inputs_text(self, first: str, before: Sequence[str]) -> str:
        above = self.graph.ancestors(first)
        between = [n for n in self.graph.names if n in above and n not in self.pairs]
        between = [n for n in between if not any(n in self.graph.ancestors(b) for b in before)]
        if not before and not above:
            return "it is computed from the model's inputs"
        text = (
            f"what stands before it agrees ({', '.join(before)})"
            if before
            else "nothing before it could be compared"
        )
        if between:
            listed = ", ".join(f"{n} ({self.graph.operator(n)})" for n in between[-3:])
            text += f", but the cause may be in what has no counterpart there: {listed}"
        return text

    def _parts(self, first: str, layers: Mapping[str, Layer]) -> tuple[Part, ...]:
        """The layer between the values before it, then with what stands before those, and so on."""
        run, judgement = self.worst.get(first, 0), self.judged[first]
        parts, known = [], self.graph.ancestors(first) & set(self.names)
        for _ in range(WIDER + 1):
            before = cut(self.graph.proto.graph, first, known)
            self.truth.fetch([self.pairs[n] for n in (*before, first)])
            arrays = {n: self.truth.exact(self.pairs[n])[run] for n in (*before, first)}
            arrays = {n: a.astype(layers[n].dtype) if n in layers else a for n, a in arrays.items()}
            wanted = arrays.pop(first)
            given = {**arrays, **self.chosen.runs[run]}
            parts.append(
                Part(given, first, wanted, dict(self.pairs), (judgement.allowed or 0.0) * _unit(judgement))
            )
            if not before:
                break
            known -= set(before)
        return tuple(parts)


def _unit(judgement: Judgement) -> float:
    """What one of its relative error is in the value's own unit."""
    if judgement.max_error and judgement.relative_error:
        return judgement.max_error / judgement.relative_error
    return 1.0


def _change(a: Sequence[NDArray[Any]], b: Sequence[NDArray[Any]]) -> float:
    """The largest difference; inf for another shape or a NaN on one side."""
    worst = 0.0
    for x, y in zip(a, b, strict=True):
        if x.shape != y.shape:
            return float("inf")
        with np.errstate(invalid="ignore"):
            gap = np.abs(x.astype(np.float64) - y)
        gap[(x == y) | (np.isnan(x.astype(np.float64)) & np.isnan(y.astype(np.float64)))] = 0.0
        worst = max(worst, float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0)))
    return worst


def _row(graph: OnnxGraph, name: str, reference: str, judgement: Judgement | None) -> LayerRow:
    made = name in graph.makers
    return LayerRow(
        reference=reference,
        candidate=name,
        operator=graph.operator(name) if made else "",
        max_error=None if judgement is None else judgement.max_error,
        relative_error=None if judgement is None else judgement.relative_error,
        allowed=None if judgement is None else judgement.allowed,
        outcome="not looked at" if judgement is None else judgement.outcome,
    )
