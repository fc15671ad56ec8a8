"""What quantization-aware fine-tuning regains: INT8 files whose weights are left few levels, before and after it.

    python benchmarks/qat.py CHECKPOINT-EXPORT.onnx --data fashion-mnist --levels 3 7 --into benchmarks/qat.json

Levels: weights are whole numbers from -levels to levels (127: INT8, 7: 4 bits, 3: 3 bits). Drops are from the
float model as it is: where that is not trained to its end, fine-tuning may also gain what more training would.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from edgeacts.circumstances import circumstances
from edgeacts.data import limit, load_dataset
from edgeacts.data.dataset import ImageDataset
from edgeacts.files import write_text_atomic
from edgeacts.onnx_metadata import read_metadata
from edgeacts.preprocessing import Preprocessing
from edgeacts.quantization import QuantizeSettings, calibrate, quantize_static_units
from edgeacts.quantization.calibrating import Calibration
from edgeacts.quantization.qat import QatSettings, fine_tune
from edgeacts.quantization.qat_twin import QuantizedTwin
from edgeacts.quantization.qat_writing import write_weights
from edgeacts.records import to_builtins

CALIBRATION_IMAGES = 128


def main() -> None:
    """Fine-tune the file at each number of levels, print and write what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--levels", nargs="+", type=int, default=[3, 7])
    parser.add_argument("--train", type=int, help="use so many training images; default all")
    parser.add_argument("--test", type=int, help="use so many test images; default all")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--into", type=Path, default=Path("benchmarks/qat.json"))
    arguments = parser.parse_args()
    settings = QatSettings(epochs=arguments.epochs, learning_rate=arguments.lr, threads=arguments.threads)
    rows: list[dict[str, Any]] = []
    for path in arguments.models:
        dataset = _dataset(arguments, path)
        source = onnx.load(path)
        calibration = calibrate(source, dataset.preprocessing(dataset.train.images[:CALIBRATION_IMAGES]))
        for levels in arguments.levels:
            rows.append(
                {"model": _name(path), "levels": levels}
                | _row(source, calibration, dataset, levels, settings)
            )
            print(json.dumps(rows[-1]["summary"]), rows[-1]["float_correct"], rows[-1]["total"], flush=True)
            content = {
                "settings": to_builtins(settings),
                "rows": rows,
                "circumstances": to_builtins(circumstances()),
            }
            write_text_atomic(arguments.into, json.dumps(content, indent=1) + "\n")


def _dataset(arguments: argparse.Namespace, path: Path) -> ImageDataset:
    stated = Preprocessing.from_json(read_metadata(path)["edgeacts.preprocessing"])
    dataset = replace(load_dataset(arguments.data, image_size=stated.height), preprocessing=stated)
    return limit(dataset, train=arguments.train, test=arguments.test, validation=arguments.test)


def _name(path: Path) -> str:
    stated = read_metadata(path)
    model, activation = (json.loads(stated[f"edgeacts.{key}"])["name"] for key in ("model", "activation"))
    return f"{model} {activation}"


def _row(
    source: onnx.ModelProto,
    calibration: Calibration,
    dataset: ImageDataset,
    levels: int,
    settings: QatSettings,
) -> dict[str, Any]:
    full = quantize_static_units(source, calibration, QuantizeSettings(ranges="mse", reduce_range="yes"))
    with tempfile.TemporaryDirectory() as folder:
        result = fine_tune(
            coarsened(full, calibration.prepared, levels), dataset, Path(folder), settings,
            reference=source, prepared=calibration.prepared,
        )  # fmt: skip
    record = result.record
    return {
        "summary": record.summary,
        "total": record.before.total,
        "float_correct": record.before.reference_correct,
        "before": to_builtins(record.before),
        "after": to_builtins(record.after),
        "kept": record.kept,
        "parity": {"values": record.values, "one_step": record.one_step, "more": record.more},
        "seconds": record.seconds,
    }


def coarsened(model: onnx.ModelProto, prepared: onnx.ModelProto, levels: int) -> onnx.ModelProto:
    """The file with weights rounded from the float ones to -levels .. levels."""
    twin = QuantizedTwin(model)
    twin.start_from(prepared)
    for name, row in twin.trained.items():
        if row.site is not None:
            twin.trained[name] = replace(row, site=replace(row.site, largest=levels))
    return write_weights(twin, model)


if __name__ == "__main__":
    main()
