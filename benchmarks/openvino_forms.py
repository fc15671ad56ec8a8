"""What an activation costs in OpenVINO: stock exports against edgeacts' forms. Writes benchmarks/openvino.json.

    python benchmarks/openvino_forms.py [--into README.md] [--budget 180] [--folder DIR]

MobileNetV2 1.0 at 224, float32, one thread: as torch.onnx.export writes the formula typed by hand ("stock"), and as edgeacts
exports it within 1e-5 and within 1e-4. All are measured in turn, in fresh processes; ratios are to ReLU of the same run.
With --folder the models are kept there and taken from there, so that the export need not happen on a machine held idle.
(This file is not called openvino.py: it would be imported in place of the library.)
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from activations import SIZE, STOCK, live
from torch import nn
from tqdm import tqdm

import edgeacts
from edgeacts.activations import activation
from edgeacts.exporters.to_onnx import to_onnx
from edgeacts.files import write_text_atomic
from edgeacts.forms import choose_for
from edgeacts.latency import benchmark
from edgeacts.records import LatencyRecord, LatencySeries, to_builtins
from edgeacts.report.insertion import insert_summary

NETWORK = "mobilenet_v2"
ACTIVATIONS = ("hardswish", "silu", "gelu", "mish", "tanhexp", "nish", "sau")
TOLERANCES = (1e-5, 1e-4)
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


def rows(record: LatencyRecord) -> list[dict[str, Any]]:
    """Of each activation the ratios, their intervals, the forms, and whether the bars are reached."""
    found = {series.label: series for series in record.series}
    result = []
    for name in ACTIVATIONS:
        stock = found[f"{name} stock"]
        row: dict[str, Any] = {"activation": name, "stock": _ratio(stock)}
        for tolerance in TOLERANCES:
            series = found[f"{name} {tolerance:g}"]
            choice = choose_for(activation(name), runtime="openvino", tolerance=tolerance)
            bar = BARS[tolerance].get(name, stock.ratio)
            limit = stock.ratio if bar is None else bar
            row[f"{tolerance:g}"] = _ratio(series) | {
                "form": choice.form.name,
                "bound": choice.bound,
                "bar": bar,
                "reached": series.ratio <= limit,
            }
        result.append(row)
    return result


def _ratio(series: LatencySeries) -> dict[str, Any]:
    return {
        "ratio": series.ratio,
        "low": series.ratio_low,
        "high": series.ratio_high,
        "ms": series.median_ns / 1e6,
    }


def summary(found: Mapping[str, Any]) -> str:
    """The README's table, from the JSON."""
    lines = [
        "| OpenVINO, MobileNetV2, 1 thread | stock export | within 1e-5 | form | within 1e-4 | form |",
        "| --- | ---: | ---: | --- | ---: | --- |",
    ]
    for row in found["rows"]:
        cells = [row["activation"], f"{row['stock']['ratio']:.2f}"]
        for tolerance in TOLERANCES:
            one = row[f"{tolerance:g}"]
            cells += [f"**{one['ratio']:.2f}**", f"`{one['form']}`"]
        lines.append(f"| {' | '.join(cells)} |")
    about = found["circumstances"]
    widest = max(
        max(one["high"] / one["ratio"], one["ratio"] / one["low"]) - 1
        for row in found["rows"]
        for one in (row["stock"], *(row[f"{t:g}"] for t in TOLERANCES))
    )
    lines += [
        "",
        f"Latency at 1x3x{SIZE}x{SIZE} in float32 relative to ReLU in the same run. {about['cpu']}, OpenVINO "
        f"{about['versions']['openvino']}, {found['processes']} processes; the widest 95 % interval is ±{100 * widest:.1f} %. "
        "Errors are of max(1, |x|).",
    ]
    return "\n".join(lines)


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
        record = benchmark(
            list(paths.values()), runtimes=("openvino",), within=0.01, budget_s=arguments.budget,
            labels=list(paths), progress=True,
        )  # fmt: skip
    found = {
        "circumstances": to_builtins(record.circumstances),
        "processes": record.processes,
        "rounds": len(record.series[0].samples_ns),
        "relu_ms": record.series[0].median_ns / 1e6,
        "rows": rows(record),
    }
    write_text_atomic(arguments.out, json.dumps(found, indent=1) + "\n")
    text = summary(found)
    print(text)
    if arguments.into:
        insert_summary(arguments.into, text, "make bench-openvino", "openvino")


if __name__ == "__main__":
    main()
