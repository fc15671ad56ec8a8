"""What an activation costs in OpenVINO: stock exports against edgeacts' forms. Writes benchmarks/openvino.json.

    python benchmarks/openvino_forms.py [--into README.md] [--budget 180] [--folder DIR]

MobileNetV2 1.0 at 224, one thread: as torch.onnx.export writes the formula typed by hand ("stock"), and as edgeacts exports it
within 1e-5 and within 1e-4; in float32, and in bf16 where the CPU has it. All are measured in turn, in fresh processes; ratios
are to ReLU of the same run. The JSON has a record for each kind of CPU.
With --folder the models are kept there and taken from there, so that the export need not happen on a machine held idle.
(This file is not called openvino.py: it would be imported in place of the library.)
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from activations import SIZE, STOCK, live
from cpu_records import put
from torch import nn
from tqdm import tqdm

import edgeacts
from edgeacts.activations import activation
from edgeacts.exporters.to_onnx import to_onnx
from edgeacts.forms import choose_for
from edgeacts.latency import benchmark
from edgeacts.records import LatencyRecord, LatencySeries, to_builtins
from edgeacts.report.insertion import insert_summary
from edgeacts.runtimes import precisions as precisions_of

NETWORK = "mobilenet_v2"
ACTIVATIONS = ("hardswish", "silu", "gelu", "mish", "tanhexp", "nish", "sau")
TOLERANCES = (1e-5, 1e-4)
PRECISIONS = ("f32", "bf16")
BF16_BAR = 2.1  # of each activation, to ReLU in bf16
# Ratios to reach, by tolerance. None: no slower than the stock export.
BARS: Mapping[float, Mapping[str, float | None]] = {
    1e-5: {"sau": 1.05, "mish": 1.50, "tanhexp": 1.85, "nish": 1.90, "gelu": None, "silu": None},
    1e-4: {"sau": 1.05, "mish": 1.50, "tanhexp": 1.60, "nish": 1.60, "gelu": None, "silu": None},
}


def export(folder: Path) -> dict[str, Path]:
    """Label -> file, ReLU first; what is there already is kept."""
    wanted: dict[str, tuple[Any, float]] = {"relu stock": (_stock("relu"), 0.0)}
    for name in ACTIVATIONS:
        wanted[f"{name} stock"] = (_stock(name), 0.0)
        wanted |= {f"{name} {tolerance:g}": (name, tolerance) for tolerance in TOLERANCES}
    paths = {label: folder / f"{label.replace(' ', '-')}.onnx" for label in wanted}
    for label, (source, tolerance) in tqdm(wanted.items(), desc="export", disable=None):
        if not paths[label].exists():
            model = live(edgeacts.build_model(NETWORK, activation=source))
            to_onnx(
                model,
                torch.zeros(1, 3, SIZE, SIZE),
                paths[label],
                tolerance=tolerance,
                input_names=["image"],
                output_names=["logits"],
                dynamic_batch=False,
            )
    return paths


def _stock(name: str) -> Callable[[int], nn.Module]:
    return lambda _channels: STOCK[name]()


def measure(paths: Mapping[str, Path], precision: str, budget_s: float) -> LatencyRecord:
    """Every model of the precision in turn."""
    wanted = [label for label in paths if label.endswith((" stock", *map(_name, tolerances(precision))))]
    return benchmark(
        [paths[label] for label in wanted], runtimes=("openvino",), precision=precision, within=0.01, budget_s=budget_s,
        labels=wanted, progress=True,
    )  # fmt: skip


def tolerances(precision: str) -> tuple[float, ...]:
    """Those that forms of the precision were chosen within; bf16 rounds all of them away."""
    return TOLERANCES if precision == "f32" else TOLERANCES[:1]


def _name(tolerance: float) -> str:
    return f" {tolerance:g}"


def row(name: str, precision: str, record: LatencyRecord) -> dict[str, Any]:
    """The ratios of an activation in one precision, their intervals, the forms, and whether the bars are reached."""
    found = {series.label: series for series in record.series}
    stock = found[f"{name} stock"]
    result: dict[str, Any] = {"stock": _ratio(stock)}
    for tolerance in tolerances(precision):
        series = found[f"{name}{_name(tolerance)}"]
        choice = choose_for(activation(name), runtime="openvino", precision=precision, tolerance=tolerance)
        bar = BARS[tolerance].get(name) if precision == "f32" else BF16_BAR
        limit = stock.ratio if bar is None else bar
        result[f"{tolerance:g}"] = _ratio(series) | {
            "form": choice.form.name,
            "bound": choice.bound,
            "bar": limit,
            "reached": series.ratio <= limit,
        }
    return result


def _ratio(series: LatencySeries) -> dict[str, Any]:
    return {
        "ratio": series.ratio,
        "low": series.ratio_low,
        "high": series.ratio_high,
        "ms": series.median_ns / 1e6,
    }


def summary(every: Mapping[str, Any]) -> str:
    """The README's tables, one for each kind of CPU, from the JSON."""
    return "\n\n".join(_table(cpu, found) for cpu, found in every.items())


def _table(cpu: str, found: Mapping[str, Any]) -> str:
    columns = [("f32", f"{t:g}") for t in TOLERANCES]
    heads = ["stock export", *(f"within {_short(t)} | form" for t in TOLERANCES)]
    if "bf16" in found["precisions"]:
        columns.append(("bf16", f"{TOLERANCES[0]:g}"))
        heads += ["bf16: stock", "edgeacts | form"]
    lines = [
        f"| OpenVINO, {cpu} | {' | '.join(heads)} |",
        "| --- |" + "".join(" ---: | --- |" if "form" in head else " ---: |" for head in heads),
    ]
    for one in found["rows"]:
        cells, told = [one["activation"]], set()
        for precision, tolerance in columns:
            if precision not in told:
                cells.append(f"{one[precision]['stock']['ratio']:.2f}")
                told.add(precision)
            ours = one[precision][tolerance]
            cells += [f"**{ours['ratio']:.2f}**", f"`{ours['form']}`"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", _caption(found)])


def _short(tolerance: float) -> str:
    return f"{tolerance:.0e}".replace("e-0", "e-")


def _caption(found: Mapping[str, Any]) -> str:
    about = found["circumstances"]
    widest = max(
        max(one["high"] / one["ratio"], one["ratio"] / one["low"]) - 1
        for row in found["rows"]
        for precision in found["precisions"]
        for one in row[precision].values()
    )
    relu = " and ".join(f"{p['relu_ms']:.2f} ms in {name}" for name, p in found["precisions"].items())
    return (
        f"MobileNetV2 at 1x3x{SIZE}x{SIZE}, one thread, relative to ReLU in the same run ({relu}). {about['cpu']}, OpenVINO "
        f"{about['versions']['openvino']}; the widest 95 % interval is ±{100 * widest:.1f} %. Errors are of max(1, |x|)"
        f"{'; in bf16 forms may be off by 1e-3.' if 'bf16' in found['precisions'] else '.'}"
    )


def record_of(measured: Mapping[str, LatencyRecord]) -> dict[str, Any]:
    """What the JSON has of this CPU."""
    return {
        "circumstances": to_builtins(measured["f32"].circumstances),
        "precisions": {
            name: {
                "processes": record.processes,
                "rounds": len(record.series[0].samples_ns),
                "relu_ms": record.series[0].median_ns / 1e6,
            }
            for name, record in measured.items()
        },
        "rows": [
            {"activation": name} | {p: row(name, p, record) for p, record in measured.items()}
            for name in ACTIVATIONS
        ],
    }


def main() -> None:
    """Export, measure, write the JSON, and the README's part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "openvino.json")
    parser.add_argument("--into", type=Path, help="Markdown file to put the table into")
    parser.add_argument("--budget", type=float, default=180.0, help="seconds of measurement")
    parser.add_argument("--folder", type=Path, help="where the exported models are kept")
    parser.add_argument("--export-only", action="store_true", help="stop after the export into --folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgeacts-bench-") as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        paths = export(folder)
        if arguments.export_only:
            return
        here = [name for name in PRECISIONS if name in precisions_of("openvino")]
        measured = {name: measure(paths, name, arguments.budget) for name in here}
    text = summary(put(arguments.out, record_of(measured)))
    print(text)
    if arguments.into:
        insert_summary(arguments.into, text, "make bench-openvino", "openvino")


if __name__ == "__main__":
    main()
