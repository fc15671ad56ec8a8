"""What quantization says: paired counts add up to their drops, the gate's answer is that of its tries, shares are shares."""

from collections.abc import Iterator

from edgeacts.quantization.gate_verdict import needed_for, verdict_on
from edgeacts.quantization.paired import POINTS, tango_interval
from edgeacts.records import (
    GateRecord,
    LatencyRatio,
    OpenVinoQuantizationRecord,
    OutputError,
    PairedDrop,
    QatRecord,
    QuantizationRecord,
    SaturationRecord,
)
from edgeacts.report.consistency_times import interval

POINTS_SLACK = 0.01
"""Room for rounded points in records."""


def gate(record: GateRecord) -> str:
    """Why a gate's record cannot be true."""
    return next(_gate(record), "")


def _gate(record: GateRecord) -> Iterator[str]:
    if not 0 <= record.chosen < len(record.tries):
        yield f"try {record.chosen} of {len(record.tries)} is the chosen one"
        return
    for number, tried in enumerate(record.tries):
        what = f"try {number}"
        yield from _drop(tried.drop, what)
        if tried.drop.verdict(record.max_drop) != tried.verdict:
            yield f"{what} {tried.verdict}, but {tried.drop} is {tried.drop.verdict(record.max_drop)} for {record.max_drop:g}"
        if not 0 <= tried.float_macs_share <= 1:
            yield f"{what}: {tried.float_macs_share:g} is no share of the multiply-adds"
        yield from _sizes(tried.size_bytes, record.float_size_bytes, what)
        yield from _ratio(tried.latency, what)
    kept = record.kept
    if record.outcome != kept.verdict:
        yield f"it says that the accuracy {record.outcome}, but the chosen try {kept.verdict}"
    needed = needed_for(kept.drop, record.max_drop)
    if record.images_needed != needed:
        yield f"it says that {record.images_needed:,} images would tell, but {needed:,} would"
    told = verdict_on(kept.drop, record.max_drop, strict=record.strict)
    if record.verdict != told:
        yield f"it says {record.verdict!r}, but {kept.drop} on {kept.drop.total:,} images is {told!r} for {record.max_drop:g}"


def saturation(record: SaturationRecord) -> str:
    """Why a prediction for other CPUs cannot be true."""
    return next(_saturation(record), "")


def _saturation(record: SaturationRecord) -> Iterator[str]:
    loss = record.loss
    yield from _drop(loss, "the loss")
    found = (record.total, record.exact_correct, record.saturating_correct)
    if found != (loss.total, loss.reference_correct, loss.candidate_correct):
        yield f"{record.exact_correct} and {record.saturating_correct} of {record.total} right is not what the loss says"
    if not 0 <= record.differing_outputs <= record.checked_outputs:
        yield f"{record.differing_outputs} of {record.checked_outputs} outputs differ"
    for layer in record.layers:
        if not 0 <= layer.saturated <= layer.pairs:
            yield f"{layer.layer}: {layer.saturated} of {layer.pairs} pairs saturate"


def quantization(record: QuantizationRecord) -> str:
    """Why a quantization's record cannot be true."""
    return next(_quantization(record), "")


def _quantization(record: QuantizationRecord) -> Iterator[str]:
    yield from _sizes(record.size_bytes, record.float_size_bytes, "the file")
    if not 0 <= record.held_out <= record.images:
        yield f"{record.held_out} of {record.images} images were held out"
    errors = [record.exact, record.deployed, *(trial.error for trial in record.trials)]
    yield from (reason for error in errors for reason in _error(error))
    for row in record.layers:
        shares = (row.noise_share, row.multiply_adds_share, row.weights_share)
        if not all(0 <= share <= 1 + 1e-9 for share in shares):
            yield f"{row.layer}: shares of {', '.join(f'{share:g}' for share in shares)}"


def qat(record: QatRecord) -> str:
    """Why a fine-tuning's record cannot be true."""
    return next(_qat(record), "")


def _qat(record: QatRecord) -> Iterator[str]:
    yield from _drop(record.before, "before")
    yield from _drop(record.after, "after")
    same = (record.before.total, record.before.reference_correct)
    if same != (record.after.total, record.after.reference_correct):
        yield "before and after were not compared with the same answers"
    if min(record.one_step, record.more) < 0 or record.one_step + record.more > record.values:
        yield f"{record.one_step} + {record.more} of {record.values} values differ"


def openvino(record: OpenVinoQuantizationRecord) -> str:
    """Why a quantization for OpenVINO cannot be true."""
    return next(_openvino(record), "")


def _openvino(record: OpenVinoQuantizationRecord) -> Iterator[str]:
    if record.chosen not in {one.name for one in record.candidates}:
        yield f"{record.chosen!r} is the chosen one, but was not tried"
    if record.held_out < 1:
        yield f"{record.held_out} images judged"
    for one in record.candidates:
        yield from _error(one.error)
        if one.accuracy is not None and not 0 <= one.accuracy <= 1:
            yield f"{one.name}: accuracy {one.accuracy:g}"
        if one.drop is not None:
            yield from _drop(one.drop, one.name)
        if one.time is not None:
            yield from interval(one.time.low, one.time.ratio, one.time.high, f"{one.name}: ratio")


def _drop(drop: PairedDrop, what: str) -> Iterator[str]:
    right = (drop.reference_correct, drop.candidate_correct)
    if (
        min(drop.lost, drop.gained) < 0
        or not all(0 <= count <= drop.total for count in right)
        or drop.total < 1
    ):
        yield f"{what}: {right[0]} and {right[1]} of {drop.total} images right, {drop.lost} lost, {drop.gained} gained"
        return
    if right[0] - right[1] != drop.lost - drop.gained or drop.lost > right[0] or drop.gained > right[1]:
        yield f"{what}: from {right[0]} to {right[1]} right, but {drop.lost} lost and {drop.gained} gained"
        return
    low, high = tango_interval(drop.lost, drop.gained, drop.total)
    found = tuple(POINTS * share for share in ((drop.lost - drop.gained) / drop.total, low, high))
    if any(abs(a - b) > POINTS_SLACK for a, b in zip(found, (drop.drop, drop.low, drop.high), strict=True)):
        yield f"{what}: the counts give a drop of {found[0]:.2f} points ({found[1]:.2f} to {found[2]:.2f}), not {drop}"


def _sizes(size_bytes: int, float_size_bytes: int, what: str) -> Iterator[str]:
    if size_bytes <= 0 or float_size_bytes <= 0:
        yield f"{what}: {size_bytes} bytes, the float file {float_size_bytes}"


def _ratio(found: LatencyRatio | None, what: str) -> Iterator[str]:
    if found is not None:
        yield from interval(found.low, found.ratio, found.high, f"{what}: latency")


def _error(error: OutputError) -> Iterator[str]:
    if error.agreement is not None and not 0 <= error.agreement <= 1:
        yield f"{error.agreement:g} is no share of images with the same class"
