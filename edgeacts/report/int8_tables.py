"""INT8 in detail: how each file was quantized, what other CPUs make of it, what was tried, and OpenVINO's variants."""

from collections.abc import Sequence

from edgeacts.records import GateTry, OutputError
from edgeacts.report.cells import (
    Cell,
    Table,
    bytes_cell,
    count_cell,
    decibel_cell,
    figure,
    outcome_cell,
    points_cell,
    points_span,
    ratio_cell,
    ratio_span,
    share_cell,
    source_cell,
    words,
)
from edgeacts.report.int8 import eight_bit, layer_count, weights_words
from edgeacts.report.variants import Variant

MAX_LAYERS = 3
"""Layers that saturate, named in a cell."""


def method_table(variants: Sequence[Variant]) -> Table | None:
    """Ranges, biases, weights, activations as units, layers in float, error before any label was looked at."""
    rows = []
    for variant, eight in eight_bit(variants):
        record = eight.quantization.record
        units = ", ".join(f"{name} {count}" for name, count in sorted(record.activations.items()))
        rows.append(
            (
                words(variant.label),
                words(record.chosen),
                words(weights_words(eight)),
                words(record.settings.get("activation_type") or "not said"),
                words(units or "none with a function"),
                words(", ".join(record.float_layers) or "none"),
                *(decibel_cell(error.sqnr_db) for error in (record.exact, record.deployed)),
                share_cell(record.deployed.agreement),
                figure(f"{record.images:,}", f"{record.held_out:,} held out"),
                bytes_cell(record.size_bytes),
                ratio_cell(record.size_ratio),
                count_cell(record.seconds, "s", 0),
                source_cell(eight.quantization.source),
            )
        )
    columns = (
        *("variant", "ranges", "weights", "activations", "as one unit", "nodes in float", "signal to noise"),
        *("as it runs here", "same class here", "images", "size", "of the float file", "seconds", "source"),
    )
    note = "Signal to noise of the outputs on held-out images: in exact arithmetic, and as ONNX Runtime runs the file here."
    return Table("int8-method", "How it was quantized", columns, tuple(rows), note=note) if rows else None


def cpu_table(variants: Sequence[Variant]) -> Table | None:
    """The accuracy of the same file on CPUs that sum 8-bit products in 16 bits, and on those that do not."""
    rows = []
    for variant, eight in eight_bit(variants):
        if eight.saturation is None:
            continue
        record = eight.saturation.record
        most = ", ".join(f"{one.layer} {one.saturated / one.pairs:.2%}" for one in record.layers[:MAX_LAYERS])
        here = "saturates" if record.saturates_here else "does not saturate"
        rows.append(
            (
                words(variant.label),
                Cell(here, record.circumstances.cpu),
                share_cell(record.exact_correct / record.total),
                share_cell(record.saturating_correct / record.total),
                points_cell(record.loss.drop),
                points_span(record.loss.low, record.loss.high),
                count_cell(record.total),
                words(record.other),
                Cell(layer_count(len(record.layers)) if record.layers else "nothing", most),
                figure(f"{record.differing_outputs:,} of {record.checked_outputs:,}"),
                source_cell(eight.saturation.source),
            )
        )
    columns = (
        *(
            "variant",
            "this machine",
            "with VNNI, and ARM",
            "x86 without VNNI",
            "points lost there",
            "95 % interval",
        ),
        *("images", "other kind found by", "saturates", "emulation differs", "source"),
    )
    note = (
        "x86 without VNNI sums 8-bit products in 16 bits. Emulation differs: outputs in which the prediction and the runtime "
        "here were unequal."
    )
    return (
        Table("int8-cpus", "The same file on other CPUs", columns, tuple(rows), note=note) if rows else None
    )


def tries_table(variants: Sequence[Variant]) -> Table | None:
    """Every model that the gate tried."""
    rows = []
    for variant, eight in eight_bit(variants):
        if eight.gate is None:
            continue
        record = eight.gate.record
        for number, tried in enumerate(record.tries):
            size = tried.size_bytes / record.float_size_bytes
            rows.append(
                (
                    words(variant.label),
                    Cell(str(number), "handed back" if number == record.chosen else ""),
                    Cell(f"{len(tried.float_layers)}", tried.returned and f"+ {tried.returned}"),
                    share_cell(tried.drop.accuracy),
                    points_cell(tried.drop.drop),
                    points_span(tried.drop.low, tried.drop.high),
                    words(tried.verdict),
                    ratio_cell(size),
                    share_cell(tried.float_macs_share),
                    *_try_latency(tried),
                    source_cell(eight.gate.source),
                )
            )
    columns = (
        *(
            "variant",
            "try",
            "layers in float",
            "accuracy",
            "points lost",
            "95 % interval",
            "within the limit",
        ),
        *("size", "multiply-adds in float", "latency", "interval of it", "source"),
    )
    timed = dict.fromkeys(
        e.gate.record.timed_on for _, e in eight_bit(variants) if e.gate and e.gate.record.timed_on
    )
    note = "Size and latency are over the float model's"
    note += f", latency on {'; '.join(timed)}." if timed else "; latency was not measured."
    return (
        Table("int8-tries", "What the accuracy gate tried", columns, tuple(rows), note=note) if rows else None
    )


def _try_latency(tried: GateTry) -> tuple[Cell, Cell]:
    if tried.latency is None:
        return Cell(number=True), Cell(number=True)
    return ratio_cell(tried.latency.ratio), ratio_span(tried.latency.low, tried.latency.high)


def ranges_table(variants: Sequence[Variant]) -> Table | None:
    """Ways to choose ranges that were compared on held-out images."""
    rows = [
        (
            words(variant.label),
            words(trial.method),
            words("yes" if trial.bias_correction else "no"),
            *_error_cells(trial.error),
            source_cell(eight.quantization.source),
        )
        for variant, eight in eight_bit(variants)
        for trial in eight.quantization.record.trials
    ]
    columns = ("variant", "ranges", "biases corrected", "signal to noise", "same class", "source")
    return Table("int8-ranges", "Ranges that were tried", columns, tuple(rows)) if rows else None


def layers_table(variants: Sequence[Variant]) -> Table | None:
    """What each layer's 8 bits do to the output, where that was measured, and why it is in float or not."""
    rows = [
        (
            words(variant.label),
            words(row.layer),
            words(row.operator),
            share_cell(row.noise_share),
            share_cell(row.multiply_adds_share),
            share_cell(row.weights_share),
            Cell("float" if row.kept_float else "INT8", row.why),
            source_cell(eight.quantization.source),
        )
        for variant, eight in eight_bit(variants)
        for row in eight.quantization.record.layers
    ]
    columns = (
        "variant",
        "layer",
        "operator",
        "of the noise",
        "multiply-adds",
        "weights",
        "computed in",
        "source",
    )
    return Table("int8-layers", "Sensitivity of the layers", columns, tuple(rows)) if rows else None


def tuning_table(variants: Sequence[Variant]) -> Table | None:
    """What quantization-aware fine-tuning changed."""
    rows = []
    for variant, eight in eight_bit(variants):
        if eight.qat is None:
            continue
        record = eight.qat.record
        drops = [
            cell for drop in (record.before, record.after) for cell in (points_cell(drop.drop), points_span(drop.low, drop.high))
        ]  # fmt: skip
        rows.append(
            (
                words(variant.label),
                count_cell(len(record.epochs)),
                *drops,
                words("the fine-tuned file" if record.kept else "the file from before"),
                figure(f"{record.one_step + record.more:,} of {record.values:,}"),
                source_cell(eight.qat.source),
            )
        )
    columns = (
        *(
            "variant",
            "epochs",
            "points lost before",
            "95 % interval",
            "points lost after",
            "interval of that",
        ),
        *("kept", "8-bit values that differ from training", "source"),
    )
    return Table("int8-tuning", "Quantization-aware fine-tuning", columns, tuple(rows)) if rows else None


def openvino_table(variants: Sequence[Variant]) -> Table | None:
    """Every variant that a quantization for OpenVINO tried."""
    rows = []
    for variant in variants:
        if variant.openvino is None:
            continue
        record = variant.openvino.record
        for one in record.candidates:
            kept = one.name == record.chosen
            time = (Cell(number=True), Cell(number=True), Cell())
            if one.time is not None:
                time = (
                    ratio_cell(one.time.ratio),
                    ratio_span(one.time.low, one.time.high),
                    outcome_cell(one.time.comparison),
                )
            rows.append(
                (
                    words(variant.label),
                    Cell(one.name, ("kept" if record.xml else "not written") if kept else ""),
                    share_cell(record.float_accuracy),
                    share_cell(one.accuracy),
                    *_error_cells(one.error),
                    *time,
                    bytes_cell(one.size_bytes),
                    Cell("yes" if one.acceptable else "no", one.why),
                    source_cell(variant.openvino.source),
                )
            )
    columns = (
        *(
            "variant",
            "way",
            "float accuracy",
            "INT8 accuracy",
            "signal to noise",
            "same class",
            "over the float model",
        ),
        *("interval", "verdict", "size", "acceptable", "source"),
    )
    note = "Accuracy on validation images; latency over the float model's in OpenVINO, in the same run."
    return Table("int8-openvino", "INT8 for OpenVINO", columns, tuple(rows), note=note) if rows else None


def _error_cells(error: OutputError) -> tuple[Cell, Cell]:
    return decibel_cell(error.sqnr_db), share_cell(error.agreement)
