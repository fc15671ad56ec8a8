"""INT8 may cost at most so many points; if it costs more, layers go back to float, those that help most for their cost first.

Only evidence sends layers back (`gate_verdict`): what one or two images more or less could undo does not.

    order:  sensitivity / cost, the cost of a layer being its multiply-adds and 32 for each element that enters or leaves it

because a layer in float loses the gain of its own multiply-adds and pays for a DequantizeLinear and a QuantizeLinear pass.
Layers that matter little (below 2 % of the most sensitive one) wait until all others are back, however cheap they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from msgspec.structs import replace as replace_fields
from numpy.typing import NDArray

from edgeacts.circumstances import circumstances
from edgeacts.errors import UsageError
from edgeacts.quantization.deployed import open_model, scores
from edgeacts.quantization.gate_verdict import check_limit, needed_for, summarise, verdict_on
from edgeacts.quantization.paired import compare, images_needed, right_answers
from edgeacts.records import GateRecord, GateTry, LatencyRatio, PairedDrop

Build = Callable[[frozenset[str]], onnx.ModelProto]
ELEMENT_COST = 32.0  # multiply-adds that take as long as converting one element
MATTERS = 0.02
DEFAULT_MAX_DROP = 0.5


@dataclass(frozen=True)
class Candidate:
    """A layer that can be left in float: `nodes` are the names that `build` is given for it, itself and its activation."""

    name: str
    nodes: frozenset[str]
    sensitivity: float
    multiply_adds: int
    elements: int = 0

    @property
    def cost(self) -> float:
        """What float costs here, in multiply-adds."""
        return max(1.0, self.multiply_adds + ELEMENT_COST * self.elements)


@dataclass(frozen=True)
class GateSettings:
    """`max_drop` in points; `strict`: only a proof passes; `max_layers`: give up after so many have gone back to float.

    Without `strict`, what the images cannot tell passes: nothing shows a loss beyond the limit.
    Raises UsageError for values that cannot be.
    """

    max_drop: float = DEFAULT_MAX_DROP
    strict: bool = False
    max_layers: int | None = None

    def __post_init__(self) -> None:
        check_limit(self.max_drop)
        if self.max_layers is not None and self.max_layers < 0:
            raise UsageError(f"max_layers {self.max_layers}: give a number of at least 0")


@dataclass(frozen=True)
class GateResult:
    """The model that passed, or the best one that was tried; its nodes in float; and the record of all tries."""

    model: onnx.ModelProto
    float_nodes: frozenset[str]
    record: GateRecord


def gate(
    build: Build,
    reference: onnx.ModelProto,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    candidates: Sequence[Candidate],
    settings: GateSettings | None = None,
    *,
    kept: frozenset[str] = frozenset(),
    measure: Callable[[], Mapping[str, float]] | None = None,
    latency: Callable[[onnx.ModelProto], LatencyRatio] | None = None,
    timed_on: str = "",
    step: Callable[[GateTry], None] | None = None,
) -> GateResult:
    """The first of build(kept), build(kept + a layer), ... whose drop against `reference` on the test images is allowed.

    Models run as they are deployed: ONNX Runtime, all optimizations. Nothing is tried that cannot succeed: where even equal
    answers prove nothing (`images_needed`), `strict` fails at once. Without a model that passes, the one with the smallest
    drop is handed back and `record.passed` is false. `kept` are nodes that are in float already; `measure` gives
    sensitivities by name, asked for only if layers must go back; `latency` measures a model against the float one,
    `timed_on` says where; `step` is told of each try. Raises UsageError (images, labels) and what `build` raises.
    """
    settings = settings or GateSettings()
    begin = time.perf_counter()
    answers = right_answers(scores(open_model(reference), images), labels)
    hopeless = settings.strict and len(images) < images_needed(settings.max_drop)
    back = [c for c in candidates if c.nodes <= kept]
    order: list[Candidate] = []
    tries: list[GateTry] = []
    best: tuple[onnx.ModelProto, frozenset[str]] = (reference, frozenset())
    returned: Candidate | None = None
    while True:
        nodes = kept.union(*[c.nodes for c in back])
        model = build(nodes)
        drop = compare(answers, right_answers(scores(open_model(model), images), labels))
        tries.append(_try(model, drop, back, returned, candidates, settings, latency))
        if step is not None:
            step(tries[-1])
        done = passes(tries[-1], settings)
        if done or drop.drop <= min(t.drop.drop for t in tries):
            best = model, nodes
        if len(tries) == 1 and not done and not hopeless:
            candidates = _measured(candidates, measure)
            order = _order([c for c in candidates if not c.nodes <= kept])
        if done or hopeless or len(tries) > len(order[: settings.max_layers]):
            break
        returned = order[len(tries) - 1]
        back = [*back, returned]
    record = _record(settings, tries, order, candidates, reference, time.perf_counter() - begin)
    return GateResult(*best, replace_fields(record, timed_on="" if latency is None else timed_on))


def _measured(
    candidates: Sequence[Candidate], measure: Callable[[], Mapping[str, float]] | None
) -> Sequence[Candidate]:
    if measure is None:
        return candidates
    found = measure()
    return [replace(c, sensitivity=max(0.0, found.get(c.name, 0.0))) for c in candidates]


def _try(
    model: onnx.ModelProto,
    drop: PairedDrop,
    back: Sequence[Candidate],
    returned: Candidate | None,
    candidates: Sequence[Candidate],
    settings: GateSettings,
    latency: Callable[[onnx.ModelProto], LatencyRatio] | None,
) -> GateTry:
    all_macs = max(1, sum(c.multiply_adds for c in candidates))
    return GateTry(
        float_layers=tuple(c.name for c in back),
        returned="" if returned is None else returned.name,
        drop=drop,
        verdict=drop.verdict(settings.max_drop),
        size_bytes=model.ByteSize(),
        float_macs_share=sum(c.multiply_adds for c in back) / all_macs,
        latency=None if latency is None else latency(model),
    )


def passes(tried: GateTry, settings: GateSettings) -> bool:
    """Whether it may be handed over: proved, or, unless `strict`, without evidence against it."""
    return verdict_on(tried.drop, settings.max_drop, strict=settings.strict) != "failed"


def _order(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Most help for its cost first; those that hardly help last; by name where equal, so that the order is always the same."""
    highest = max((c.sensitivity for c in candidates), default=0.0)
    return sorted(
        candidates, key=lambda c: (c.sensitivity < MATTERS * highest, -c.sensitivity / c.cost, c.name)
    )


def _record(
    settings: GateSettings,
    tries: list[GateTry],
    order: Sequence[Candidate],
    candidates: Sequence[Candidate],
    reference: onnx.ModelProto,
    seconds: float,
) -> GateRecord:
    passed = passes(tries[-1], settings)
    drops = [t.drop.drop for t in tries]
    chosen = len(tries) - 1 if passed else max(i for i, d in enumerate(drops) if d == min(drops))
    kept = tries[chosen]
    return GateRecord(
        model_sha256="",
        max_drop=settings.max_drop,
        strict=settings.strict,
        passed=passed,
        outcome=kept.verdict,
        tries=tuple(tries),
        chosen=chosen,
        order=tuple(c.name for c in order),
        sensitivities={c.name: c.sensitivity for c in candidates},
        costs={c.name: c.cost for c in candidates},
        float_size_bytes=reference.ByteSize(),
        images_needed=needed_for(kept.drop, settings.max_drop),
        timed_on="",
        summary=summarise(
            kept.drop,
            settings.max_drop,
            strict=settings.strict,
            layers=len(kept.float_layers),
            tries=len(tries),
        ),
        seconds=seconds,
        circumstances=circumstances(),
    )


def candidates_of(
    sensitivities: Mapping[str, float], layers: Sequence[Any], elements: Mapping[str, int] | None = None
) -> list[Candidate]:
    """Candidates from layers with `name`, `nodes`, `multiply_adds`; a layer without a sensitivity counts as 0."""
    return [
        Candidate(
            name=layer.name,
            nodes=frozenset(layer.nodes),
            sensitivity=max(0.0, float(sensitivities.get(layer.name, 0.0))),
            multiply_adds=int(layer.multiply_adds),
            elements=(elements or {}).get(layer.name, 0),
        )
        for layer in layers
    ]
