"""The accuracy of one INT8 file here and on CPUs whose 8-bit sums are wider or narrower; and whether 7-bit weights pay."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeacts.circumstances import circumstances
from edgeacts.quantization.deployed import open_model, scores
from edgeacts.quantization.emulation import EmulatedModel
from edgeacts.quantization.paired import compare, right_answers
from edgeacts.quantization.saturation import probe
from edgeacts.records import LayerSaturation, PairedDrop, SaturationRecord

Images = NDArray[np.float32]
Step = Callable[[int], None]
CHECKED = 64  # images on which the emulation is held against the runtime
EMULATED = 1000  # at most, where accuracy itself must be emulated
SHOWN_LAYERS = 3


def predict(
    model: onnx.ModelProto,
    images: Images,
    labels: NDArray[np.int64],
    *,
    checked: int = CHECKED,
    emulated: int = EMULATED,
    step: Step | None = None,
) -> SaturationRecord:
    """Right answers on CPUs that sum 8-bit products in 16 bits and on those that do not; one of the two is this machine.

    Where this machine saturates, the other kind is ONNX Runtime's own 32-bit mode, on all images; where it does not, 16-bit sums
    are emulated on `emulated` images. On `checked` images the emulation is compared with what the runtime gives here, bit by
    bit, and layers are counted. `step(n)` is told of images done. Raises NotEmulated for a model without 8-bit products, or
    with products that are not emulated, and UsageError for images that it does not take.
    """
    begin = time.perf_counter()
    here = probe().saturates
    chosen = _spread(len(images), len(images) if here else emulated)
    images, labels = images[chosen], labels[chosen]
    found = scores(open_model(model), images)
    looked_at = _spread(len(images), checked)
    twin = EmulatedModel(model, saturating=here)
    differing = _differing(twin, images[looked_at], found[looked_at])
    if here:
        narrow, wide, other = found, scores(open_model(model, exact=True), images), "32-bit option"
    else:
        twin = EmulatedModel(model, saturating=True)
        narrow, wide, other = _emulated_scores(twin, images, step), found, "emulated"
    loss = compare(right_answers(wide, labels), right_answers(narrow, labels))
    layers = tuple(
        LayerSaturation(layer=p.name, pairs=p.count.pairs, saturated=p.count.saturated)
        for p in sorted(twin.products, key=lambda p: -p.count.share)
        if p.count.saturated
    )
    return SaturationRecord(
        model_sha256=hashlib.sha256(model.SerializeToString()).hexdigest(),
        saturates_here=here,
        total=loss.total,
        saturating_correct=loss.candidate_correct,
        exact_correct=loss.reference_correct,
        loss=loss,
        other=other,
        checked_outputs=int(found[looked_at].size),
        differing_outputs=differing,
        layers=layers,
        summary=_summary(loss, here, layers),
        seconds=time.perf_counter() - begin,
        circumstances=circumstances(),
    )


def _spread(total: int, wanted: int) -> NDArray[np.intp]:
    """`wanted` indices, evenly over 0 .. total-1."""
    return np.unique(np.linspace(0, total - 1, min(total, max(1, wanted))).astype(np.intp))


def _emulated_scores(twin: EmulatedModel, images: Images, step: Step | None = None) -> NDArray[Any]:
    parts = []
    for start in range(0, len(images), twin.batch):
        parts.append(twin.run({twin.input: images[start : start + twin.batch]})[0])
        if step is not None:
            step(len(parts[-1]))
    return np.concatenate(parts)


def _differing(twin: EmulatedModel, images: Images, found: NDArray[np.float32]) -> int:
    return int(np.count_nonzero(_emulated_scores(twin, images) != found))


def _summary(loss: PairedDrop, here: bool, layers: tuple[LayerSaturation, ...]) -> str:
    wide, narrow = (f"{n / loss.total:.2%}" for n in (loss.reference_correct, loss.candidate_correct))
    kinds = (("x86 CPUs without VNNI", narrow, here), ("CPUs with VNNI and ARM", wide, not here))
    text = ", ".join(f"{share} on {name}{' (as this one)' if own else ''}" for name, share, own in kinds)
    if not layers:
        return f"accuracy {text}: nothing saturates"
    most = ", ".join(f"{row.layer} {row.saturated / row.pairs:.2%}" for row in layers[:SHOWN_LAYERS])
    return f"accuracy {text}: {loss}; {len(layers)} layers saturate, most of all {most} of their sums"


@dataclass(frozen=True)
class ReduceDecision:
    """Whether weights should have 7 bits. `full` is the prediction for 8 bits, `cost` the drop from 8 bits, unsaturated, to 7."""

    reduce: bool
    reason: str
    full: SaturationRecord
    cost: PairedDrop | None


def decide_reduce_range(
    full: onnx.ModelProto,
    reduced: Callable[[], onnx.ModelProto],
    images: Images,
    labels: NDArray[np.int64],
    *,
    emulated: int = EMULATED,
    step: Step | None = None,
) -> ReduceDecision:
    """Seven bits if saturation surely costs accuracy on CPUs without VNNI and more than seven bits cost on every CPU.

    `full` is the model with 8-bit weights, `reduced()` builds the one with 7 bits, which answers alike everywhere; it is
    called only if something saturates. A file goes to machines of both kinds, so where it is made does not matter.
    """
    record = predict(full, images, labels, emulated=emulated, step=step)
    if not record.layers or record.loss.low <= 0:
        why = "nothing saturates" if not record.layers else f"no sure loss by saturation, {record.loss}"
        return ReduceDecision(False, f"8-bit weights: {why}", record, None)
    chosen = _spread(len(images), record.total)
    images, labels = images[chosen], labels[chosen]
    wide = open_model(full, exact=True) if record.saturates_here else open_model(full)
    cost = compare(
        right_answers(scores(wide, images), labels),
        right_answers(scores(open_model(reduced()), images), labels),
    )
    better = cost.drop < record.loss.drop
    bits, verb = ("7", "costs less than") if better else ("8", "costs no less than")
    return ReduceDecision(
        better,
        f"{bits}-bit weights: the reduced range, {cost} on every CPU, {verb} saturation, {record.loss} on CPUs without VNNI",
        record,
        cost,
    )
